-- Queries in the manner of PostgreSQL's regression suite, one a line.
SELECT 1
SELECT
SELECT ALL 1
SELECT DISTINCT ON (region) region, id FROM customers ORDER BY region, id DESC
SELECT * FROM customers
TABLE customers
TABLE ONLY payments
SELECT c.* FROM customers AS c (a, b, c)
SELECT customers FROM customers
SELECT (customers).name FROM customers
SELECT (c.*).name FROM customers c
SELECT ((c)).name FROM customers c
SELECT c::text FROM customers c
SELECT ROW(c.*) FROM customers c
SELECT ROW(c.*, 1) = ROW(c.*, 1) FROM customers c
SELECT c IS NULL, c IS NOT NULL, c = c FROM customers c
SELECT count(c), count(c.*), count(DISTINCT c) FROM customers c
SELECT to_json(c), row_to_json(c), jsonb_agg(c) FROM customers c GROUP BY c
SELECT json_agg(x ORDER BY x.id) FROM (SELECT id, email FROM customers) x
SELECT public.customers.name FROM public.customers
SELECT honest.public.customers.name FROM honest.public.customers
SELECT real.public.customers.name FROM real.public.customers
SELECT a.id FROM customers a, customers b, customers c WHERE a.id = b.id AND b.id = c.id
SELECT * FROM customers a JOIN customers b USING (id)
SELECT * FROM customers a JOIN customers b USING (id) AS u WHERE u.id > 3
SELECT * FROM customers NATURAL JOIN orders
SELECT * FROM customers NATURAL FULL OUTER JOIN orders
SELECT * FROM (customers c JOIN orders o ON o.customer_id = c.id) AS j
SELECT * FROM (customers c CROSS JOIN products) AS j (x, y, z) WHERE x > 3
SELECT * FROM ((customers c LEFT JOIN orders o ON c.id = o.customer_id) RIGHT JOIN products p ON p.id = o.id)
SELECT * FROM customers c LEFT JOIN LATERAL (SELECT max(o.total) FROM orders o WHERE o.customer_id = c.id) m ON true
SELECT * FROM orders o, LATERAL (SELECT c.name FROM customers c WHERE c.id = o.customer_id OFFSET 0) x
SELECT * FROM customers TABLESAMPLE BERNOULLI (10)
SELECT * FROM customers TABLESAMPLE SYSTEM (50) REPEATABLE (7)
SELECT * FROM products TABLESAMPLE SYSTEM (50) REPEATABLE (7)
SELECT * FROM ONLY customers
SELECT * FROM ONLY (payments)
SELECT * FROM payments *
SELECT ctid, xmin, cmin, tableoid, * FROM customers
SELECT tableoid::regclass, ctid FROM payments
SELECT xmax FROM products
SELECT * FROM payroll
SELECT * FROM secret_view
SELECT secret_function()
SELECT password_hash FROM customers
SELECT c.password_hash FROM customers c
SELECT * FROM customers WHERE password_hash LIKE 'a%'
SELECT * FROM customers ORDER BY password_hash
SELECT ssn FROM employees
SELECT max(ssn) FROM employees GROUP BY ssn HAVING max(ssn) > '1'
SELECT * FROM employees JOIN customers ON ssn = password_hash
WITH customers AS (SELECT 1 AS password_hash) SELECT password_hash FROM customers
WITH a AS (SELECT * FROM customers), b AS (TABLE a) SELECT * FROM b JOIN a USING (id)
WITH RECURSIVE a (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM a WHERE n < 10) SELECT * FROM a
WITH RECURSIVE t AS (SELECT id, manager_id, 1 AS d FROM employees WHERE manager_id IS NULL UNION ALL SELECT e.id, e.manager_id, d + 1 FROM employees e JOIN t ON t.id = e.manager_id) SEARCH DEPTH FIRST BY id SET o CYCLE id SET is_cycle USING path SELECT * FROM t ORDER BY o
WITH RECURSIVE t AS (SELECT id, manager_id FROM employees UNION SELECT e.id, e.manager_id FROM employees e JOIN t ON t.id = e.manager_id) SEARCH BREADTH FIRST BY id SET o SELECT * FROM t
WITH RECURSIVE x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x
WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM (SELECT * FROM x) q WHERE n < 5) SELECT * FROM x
WITH a AS MATERIALIZED (SELECT * FROM orders) SELECT * FROM a
WITH a AS NOT MATERIALIZED (SELECT * FROM orders) SELECT * FROM a
WITH a AS (INSERT INTO orders (customer_id, placed_at) VALUES (1, now()) RETURNING *) SELECT * FROM a
WITH a AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM a
WITH a AS (UPDATE tickets SET state = 'done' RETURNING *) DELETE FROM orders WHERE id IN (SELECT id FROM a)
WITH customers AS (SELECT * FROM customers) SELECT * FROM customers
WITH customers AS (SELECT * FROM customers), orders AS (SELECT * FROM customers) SELECT * FROM orders
SELECT * FROM (WITH customers AS (SELECT 1) SELECT * FROM customers) a, customers b
SELECT (WITH c AS (SELECT max(id) AS m FROM customers) SELECT m FROM c)
SELECT id FROM customers UNION SELECT id FROM orders
SELECT id FROM customers UNION ALL (SELECT id FROM orders EXCEPT SELECT id FROM tickets) INTERSECT ALL SELECT 1
(SELECT id FROM customers ORDER BY 1 LIMIT 1) UNION ALL (SELECT id FROM orders ORDER BY 1 LIMIT 1) ORDER BY 1
(((SELECT id FROM customers)))
((SELECT id FROM customers) UNION (TABLE ONLY payments))
SELECT * FROM customers EXCEPT SELECT * FROM customers
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC LIMIT 1
VALUES ((SELECT email FROM customers LIMIT 1))
SELECT * FROM (VALUES (1, 2), (3, 4)) AS v (a, b)
SELECT region, count(*) FROM customers GROUP BY ROLLUP (region, points)
SELECT region, points, grouping(region, points) FROM customers GROUP BY GROUPING SETS ((region), (points), ())
SELECT region, points FROM customers GROUP BY CUBE (region, points), ROLLUP (region)
SELECT region FROM customers GROUP BY DISTINCT ROLLUP (region), ROLLUP (region)
SELECT region FROM customers GROUP BY ALL ROLLUP (region), ()
SELECT id, name, email FROM customers GROUP BY id
SELECT c.*, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id
SELECT 1 AS email FROM customers GROUP BY email
SELECT email AS id FROM customers GROUP BY id ORDER BY id
SELECT lower(email) FROM customers GROUP BY lower(email) HAVING count(*) > 1
SELECT sum(points) OVER w, rank() OVER (w ORDER BY id), lag(email, 2, '-') OVER (PARTITION BY region ORDER BY id) FROM customers WINDOW w AS (PARTITION BY region)
SELECT sum(points) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM customers
SELECT sum(points) OVER (ORDER BY created_at RANGE BETWEEN interval '1 day' PRECEDING AND CURRENT ROW) FROM customers
SELECT first_value(name) OVER (ORDER BY id GROUPS BETWEEN 2 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM customers
SELECT count(*) FILTER (WHERE email LIKE 'a%') OVER (ORDER BY birth_date) FROM customers
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY salary) FROM employees
SELECT percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY salary DESC) FILTER (WHERE team = 'a') FROM employees
SELECT rank(50000) WITHIN GROUP (ORDER BY salary), mode() WITHIN GROUP (ORDER BY team) FROM employees
SELECT string_agg(DISTINCT name, ',' ORDER BY name), array_agg(email ORDER BY id DESC NULLS LAST) FROM customers
SELECT xmlagg(xmlelement(name c, xmlattributes(id AS i), name)) FROM customers
SELECT xmlforest(id, name AS n), xmlconcat('<a/>', '<b/>'), xmlpi(name php, 'x'), xmlroot(xml '<a/>', version '1.0', standalone yes) FROM customers
SELECT xmlserialize(CONTENT '<a/>'::xml AS text), xmlparse(DOCUMENT '<a/>'), '<a/>'::xml IS DOCUMENT
SELECT * FROM xmltable('/r' PASSING '<r><a>1</a></r>' COLUMNS a int PATH 'a', o FOR ORDINALITY)
SELECT x.* FROM customers, xmltable('/r' PASSING xmlelement(name r, email) COLUMNS v text PATH '.') x
SELECT * FROM json_table('[1,2]', '$[*]' COLUMNS (n int PATH '$', o FOR ORDINALITY, NESTED PATH '$.x' COLUMNS (y text PATH '$')))
SELECT j.* FROM customers, json_table(attributes, '$' COLUMNS (level int PATH '$.level' DEFAULT 0 ON EMPTY)) j
SELECT json_value(attributes, '$.lang' RETURNING text NULL ON ERROR), json_query(attributes, '$' WITH WRAPPER), json_exists(attributes, '$.level') FROM customers
SELECT json_object('a': 1, 'b' VALUE email NULL ON NULL WITH UNIQUE KEYS), json_array(1, email ABSENT ON NULL RETURNING jsonb) FROM customers
SELECT json_objectagg(name: email), json_arrayagg(email ORDER BY id) FROM customers
SELECT json_array(SELECT email FROM customers)
SELECT '{}' IS JSON, '[]' IS JSON ARRAY, '1' IS JSON SCALAR WITH UNIQUE KEYS, 'x' IS NOT JSON OBJECT
SELECT json('{}'), json_scalar(1), json_serialize('{}' RETURNING bytea)
SELECT attributes->'level', attributes->>'lang', attributes #> '{a,b}', attributes @> '{"level":1}', attributes ? 'lang', attributes['level'] FROM customers
SELECT tags[1], tags[1:2], tags[:], (ARRAY[[1,2],[3,4]])[1][2:2] FROM customers
SELECT (dimensions).width, (p.dimensions).height, (p).dimensions.width FROM products p
SELECT * FROM unnest(ARRAY[1,2], ARRAY['a','b']) WITH ORDINALITY AS u (a, b, o)
SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['a']), json_to_recordset('[{"a":1}]') AS (a int)) WITH ORDINALITY
SELECT * FROM json_to_record('{"a":1}') AS x (a int, b text COLLATE "C")
SELECT c.id, u FROM customers c, unnest(c.tags) u
SELECT unnest(tags), generate_series(1, 2) FROM customers
SELECT * FROM generate_series(1, (SELECT count(*) FROM customers)) g
SELECT CASE WHEN email LIKE 'a%' THEN 1 ELSE 0 END, CASE region WHEN 'eu' THEN name END FROM customers
SELECT coalesce(email, phone), nullif(email, ''), greatest(id, points), least(1, 2) FROM customers
SELECT id BETWEEN 1 AND 5, id NOT BETWEEN SYMMETRIC 5 AND 1, id IN (1, 2), id NOT IN (SELECT id FROM orders) FROM customers
SELECT email IS DISTINCT FROM phone, email IS NOT DISTINCT FROM NULL, (id, points) IN ((1, 2)), (id, name) < (5, 'x') FROM customers
SELECT * FROM customers WHERE (id, region) = (SELECT 1, 'eu')
SELECT * FROM customers WHERE ROW(id, name) OVERLAPS ROW(1, 2)
SELECT (date '2020-01-01', date '2021-01-01') OVERLAPS (date '2020-06-01', interval '1 day')
SELECT id = ANY (ARRAY[1, 2]), id > ALL (SELECT id FROM orders), id = SOME ('{1,2}') FROM customers
SELECT EXISTS (SELECT FROM customers), ARRAY(SELECT email FROM customers), (SELECT name FROM customers LIMIT 1)
SELECT name LIKE 'A%' ESCAPE '\', name NOT ILIKE '_%', name SIMILAR TO '(a|b)%', name ~* '^a', name !~~ 'x' FROM customers
SELECT name COLLATE "C", name || 'x' COLLATE "POSIX" FROM customers ORDER BY name COLLATE "C" USING <
SELECT extract(year FROM birth_date), date_trunc('month', created_at AT TIME ZONE 'UTC'), created_at AT LOCAL FROM customers
SELECT position('a' IN name), substring(name FROM 1 FOR 2), substring(name SIMILAR 'a#"b#"c' ESCAPE '#'), overlay(name PLACING 'x' FROM 1), trim(BOTH 'x' FROM name), normalize(name, NFC) FROM customers
SELECT CAST(id AS text), id::numeric(10,2)::int, int '5', interval '1' YEAR, interval(3) '1.5 s', timestamp(2) with time zone 'now', bit '101', X'1F', B'1', N'x' FROM customers
SELECT U&'d\0061t\+000061', U&'d!0061t' UESCAPE '!', U&"\0069d" FROM customers
SELECT $$it's$$, $tag$a $$ b$tag$, E'\x41\n\u0041', 'a'
SELECT 'foo'   'bar'
SELECT 1_000, 0x1F, 0o17, 0b11, .5, 5., 1e10, 1E-5
SELECT current_date, current_time(2), localtimestamp, current_user, session_user, user, current_role, current_catalog, current_schema, system_user
SELECT @ -5, |/ 25, ||/ 27, 2 ^ 3, 5 !~ '6', -id, +id, ~id, id # 3 FROM customers
SELECT 1 OPERATOR(pg_catalog.+) 2, id OPERATOR(pg_catalog.=) ANY (ARRAY[1]) FROM customers
SELECT id OPERATOR(public.+) 2 FROM customers
SELECT NOT true AND false OR NULL IS UNKNOWN, true IS NOT TRUE
SELECT * FROM customers WHERE NOT (NOT (id = 1 OR (region = 'us' AND id > 2)))
SELECT * FROM customers LIMIT ALL OFFSET 5
SELECT * FROM customers ORDER BY id OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY
SELECT * FROM customers ORDER BY region FETCH FIRST ROW WITH TIES
SELECT * FROM customers LIMIT (SELECT 3) OFFSET (SELECT count(*) FROM orders) % 3
SELECT * FROM orders FOR UPDATE
SELECT * FROM orders o FOR NO KEY UPDATE OF o NOWAIT
SELECT * FROM orders o, customers c FOR UPDATE OF o SKIP LOCKED FOR SHARE OF c
SELECT * FROM (SELECT * FROM orders) x FOR KEY SHARE
SELECT * FROM customers FOR READ ONLY
SELECT * FROM order_summary
SELECT order_summary FROM order_summary ORDER BY order_summary
SELECT "Id", "select", "wéird ""col" FROM "Odd Names"
SELECT o."select" AS "from", o.* FROM "Odd Names" AS "o"
SELECT * FROM "odd names"
SELECT * FROM CUSTOMERS AS "C", orders AS "c"
SELECT count(*) AS count FROM customers AS count
SELECT id AS select, name AS from, email AS "where" FROM customers
SELECT a.a FROM (SELECT id AS a FROM customers) AS a
SELECT x FROM (SELECT customers AS x FROM customers) y
SELECT (x).email FROM (SELECT customers AS x FROM customers) y
SELECT (SELECT c.email), (SELECT c) FROM customers c
SELECT (SELECT email FROM orders LIMIT 1) FROM customers
SELECT * FROM customers c WHERE EXISTS (SELECT 1 FROM orders WHERE customer_id = c.id AND region = c.region)
SELECT * FROM typed WHERE j::text = '{}' AND jb @? '$.b' AND r @> 3 AND p <-> point '(0,0)' < 5 AND ip << inet '10.0.0.0/8' AND by = '\xde'
SELECT to_tsvector('simple', name) @@ to_tsquery('simple', 'oak & lamp'), ts_rank(search, plainto_tsquery('simple', 'oak')), ts_headline(name, to_tsquery('oak')) FROM products
SELECT text(id), name(customers), id(c), numeric(id) FROM customers, customers c
SELECT currval('orders_id_seq'), nextval('orders_id_seq'), lastval()
SELECT last_value, is_called FROM orders_id_seq
SELECT * FROM customers_pkey
SELECT pg_typeof(email), pg_column_size(c.*), num_nulls(c.email, c.phone), num_nonnulls(VARIADIC ARRAY[1]) FROM customers c
SELECT concat_ws(',', VARIADIC tags), format('%s %I', VARIADIC tags), make_interval(days => 3), make_date(2020, 1, day => 2) FROM customers
SELECT jsonb_path_query(attributes, '$.level ? (@ > 1)'), jsonb_each(attributes), jsonb_object_keys(attributes) FROM customers
SELECT (jsonb_each(attributes)).*, (jsonb_each(attributes)).key FROM customers
SELECT jsonb_populate_record(NULL::customers, '{}'), json_populate_recordset(c, '[]') FROM customers c
SELECT NULL::customers, ROW(1)::customers, (NULL::customers).password_hash
SELECT 'x'::payroll, NULL::payroll[]
SELECT ARRAY[c] FROM customers c
SELECT array_agg(c), (array_agg(c))[1].email FROM customers c
SELECT DISTINCT c FROM customers c ORDER BY c
SELECT * FROM customers ORDER BY 2, email, lower(name) DESC NULLS FIRST, 1 + 1
SELECT * FROM pg_class JOIN customers ON relname = name
SELECT relname FROM pg_class WHERE oid = 'payroll'::regclass
SELECT * FROM pg_stats
SELECT * FROM information_schema.columns WHERE table_name = 'customers'
SELECT * FROM information_schema.tables, pg_catalog.pg_tables, pg_catalog.pg_attribute
SELECT * FROM pg_stat_activity
SELECT * FROM pg_shadow
SELECT lo_get(1), pg_read_file('x'), dblink('x'), query_to_xml('SELECT 1', true, true, '')
SELECT set_config('search_path', 'public', false), current_setting('search_path'), set_config('role', 'x', true)
SELECT $1, $2::int + $1 FROM customers WHERE id = $3
SELECT * FROM customers WHERE email = $1 AND id = ANY ($2)
SELECT * FROM customers /* a comment /* nested */ */ WHERE id = 1 -- the end
SELECT/**/*/**/FROM/**/customers
SELECT*FROM"customers"WHERE"id"=1
select id from customers;select id from orders;
;
;;SELECT 1;;
