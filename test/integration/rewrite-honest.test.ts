/** Statements of every form that SELECT has give the same columns and rows as over a database that really holds only the view. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { type RewriteFixture, startRewriteFixture } from './rewrite-fixture.ts';

const STATEMENTS = [
  `SELECT * FROM customers ORDER BY id`,
  `SELECT c.* FROM customers c ORDER BY c.id`,
  `SELECT public.customers.* FROM public.customers ORDER BY 1`,
  `SELECT public.customers.id, customers.name FROM public.customers ORDER BY 1`,
  `TABLE customers`,
  `SELECT id FROM (TABLE customers) t WHERE 10/score > 2`,
  `SELECT count(*) FROM customers`,
  `SELECT count(*) FROM ONLY customers`,
  `SELECT count(*) FROM ONLY (customers)`,
  `SELECT count(*) FROM customers *`,
  `SELECT count(*) FROM ONLY (customers) AS c WHERE 10/c.score > 1`,
  `SELECT c.id, o.total FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY 2, 1`,
  `SELECT c.id, o.total FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND 10/c.score > 3 ORDER BY 2, 1`,
  `SELECT c.id, o.total FROM orders o LEFT JOIN customers c ON o.customer_id = c.id AND 10/c.score > 3 ORDER BY 2, 1`,
  `SELECT c.id, o.total FROM orders o FULL JOIN customers c ON o.customer_id = c.id ORDER BY 2, 1`,
  `SELECT c.id, o.total FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id WHERE 10/c.score > 3 ORDER BY 2, 1`,
  `SELECT * FROM customers c JOIN accounts a USING (id) ORDER BY id`,
  `SELECT * FROM customers NATURAL JOIN plain`,
  `SELECT id, label FROM customers JOIN plain USING (id) WHERE 10/score > 1`,
  `SELECT * FROM (customers c JOIN plain p ON p.id = c.id) j ORDER BY 1`,
  `SELECT j.cid FROM (customers c CROSS JOIN plain p) AS j(cid, b) WHERE 10/j.score > 2`,
  `SELECT x.id, x.n FROM customers AS x(id, n) WHERE 10 / x.score > 1 ORDER BY 1`,
  `SELECT d.a FROM (SELECT id, 10/score FROM customers) AS d(a, b) WHERE d.b > 2 ORDER BY 1`,
  `SELECT d.a FROM (SELECT id, 10/score AS b FROM customers LIMIT 30) AS d(a) WHERE 5/d.b > 1 ORDER BY 1`,
  `SELECT d.r, d.n FROM (SELECT region AS r, count(*) AS n FROM customers GROUP BY region) d WHERE 10/length(d.r) > 1`,
  `SELECT d.s FROM (SELECT DISTINCT score AS s FROM customers) d WHERE 10/d.s > 2 ORDER BY 1`,
  `SELECT d.s FROM (SELECT score AS s FROM customers UNION ALL SELECT id FROM plain) d WHERE 10/d.s > 2 ORDER BY 1`,
  `SELECT d.s FROM ((SELECT score AS s FROM customers) UNION (SELECT id FROM plain) ORDER BY 1) d WHERE 10/d.s > 2`,
  `((SELECT id FROM customers) UNION ALL (SELECT balance FROM accounts)) ORDER BY 1`,
  `(SELECT id FROM customers WHERE 10/score > 1 ORDER BY id LIMIT 3) UNION ALL (SELECT balance FROM accounts WHERE 5/balance > 0 ORDER BY 1 LIMIT 2) ORDER BY 1`,
  `SELECT id FROM customers INTERSECT SELECT id FROM accounts EXCEPT SELECT 1 ORDER BY id`,
  `WITH c AS (SELECT * FROM customers) SELECT c.id FROM c WHERE 10/c.score > 1 ORDER BY 1`,
  `WITH customers AS (SELECT * FROM customers WHERE score > 2) SELECT id FROM customers ORDER BY 1`,
  `WITH c AS MATERIALIZED (SELECT id, score FROM customers) SELECT * FROM c x JOIN c y USING (id) WHERE 10/x.score > 1 ORDER BY 1`,
  `WITH a AS (SELECT 1 AS id), b AS (SELECT id FROM a) SELECT c.name FROM customers c JOIN b ON b.id = c.id`,
  `WITH RECURSIVE r AS (SELECT id, score FROM customers WHERE id = 1 UNION ALL SELECT c.id, c.score FROM customers c JOIN r ON c.id = r.id + 3 WHERE 10/c.score > 0) SELECT * FROM r ORDER BY 1`,
  `WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT c.id FROM customers c, r WHERE c.id = r.n ORDER BY 1`,
  `WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SEARCH DEPTH FIRST BY n SET o CYCLE n SET cyc USING p SELECT n, cyc FROM r ORDER BY o`,
  `SELECT c.id, l.total FROM customers c, LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id ORDER BY total LIMIT 1) l ORDER BY 1`,
  `SELECT c.id, l.y FROM customers c, LATERAL (SELECT 10/c.score AS y) l WHERE l.y > 2 ORDER BY 1`,
  `SELECT c.id, g FROM customers c, generate_series(1, c.score) g WHERE 10/c.score > 2 ORDER BY 1, 2`,
  `SELECT c.id, j.value FROM customers c, json_each_text(c.doc) j WHERE j.value::int > 50 ORDER BY 1`,
  `SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total / c.score > 100) ORDER BY 1`,
  `SELECT c.id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 600) ORDER BY 1`,
  `SELECT c.id FROM customers c WHERE c.id IN (SELECT customer_id FROM orders GROUP BY 1 HAVING count(*) > 1) ORDER BY 1`,
  `SELECT c.id FROM customers c WHERE c.score = ANY (SELECT 10/balance FROM accounts) ORDER BY 1`,
  `SELECT c.id FROM customers c WHERE c.score > ALL (SELECT id FROM plain) ORDER BY 1`,
  `SELECT c.id, (SELECT max(total) FROM orders o WHERE o.customer_id = c.id) AS m FROM customers c ORDER BY 1`,
  `SELECT c.id, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY 1) FROM customers c ORDER BY 1`,
  `SELECT c.id FROM customers c WHERE (SELECT 10/c.score) > 2 ORDER BY 1`,
  `SELECT region, count(*) FROM customers GROUP BY region HAVING 10/length(region) > 1`,
  `SELECT score, count(*) FROM customers GROUP BY 1 HAVING 10/score > 1 ORDER BY 1`,
  `SELECT region, active, count(*) FROM customers GROUP BY ROLLUP (region, active) ORDER BY 1, 2`,
  `SELECT region, count(*) FROM customers GROUP BY GROUPING SETS ((region), ()) HAVING 10/count(*) < 5 ORDER BY 1`,
  `SELECT id, row_number() OVER (PARTITION BY region ORDER BY score DESC, id) FROM customers ORDER BY 1`,
  `SELECT * FROM (SELECT id, rank() OVER w AS r FROM customers WINDOW w AS (ORDER BY 10/score)) d WHERE r < 4 ORDER BY 1`,
  `SELECT DISTINCT ON (region) region, id FROM customers ORDER BY region, id`,
  `SELECT DISTINCT score FROM customers WHERE 10/score > 1 ORDER BY score`,
  `SELECT id FROM customers ORDER BY 10/score, id LIMIT 5 OFFSET 2`,
  `SELECT id FROM customers ORDER BY id FETCH FIRST 3 ROWS ONLY`,
  `SELECT id FROM customers ORDER BY score FETCH FIRST 3 ROWS WITH TIES`,
  `SELECT c FROM customers c WHERE id = 1`,
  `SELECT (c).name FROM customers c WHERE 10/score > 1 ORDER BY 1`,
  `SELECT (c).* FROM customers c WHERE id = 1`,
  `SELECT (c).* FROM customers c WHERE id < 9 AND 10/score > 1 ORDER BY 1`,
  `SELECT ROW(c.*) FROM customers c WHERE 10/c.score > 1 ORDER BY c.id`,
  `SELECT name(c) FROM customers c ORDER BY 1`,
  `SELECT score(c) FROM customers c WHERE 10/score > 1 ORDER BY 1`,
  `SELECT row_to_json(c) FROM customers c WHERE 10/score > 1 ORDER BY c.id`,
  `SELECT to_jsonb(c) - 'created' FROM customers c ORDER BY c.id`,
  `SELECT count(c) FROM customers c WHERE 10/score > 1`,
  `SELECT count(*) FROM customers c WHERE c IS NOT NULL`,
  `SELECT count(*) FROM customers c WHERE c IS NULL`,
  `SELECT c.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE c IS NULL AND 10/o.total < 1`,
  `SELECT count(*) FROM accounts a, accounts b WHERE a = b`,
  `SELECT array_agg(a ORDER BY a.id) FROM accounts a WHERE 5/a.balance > 0`,
  `SELECT a::text FROM accounts a WHERE 5/a.balance > 0 ORDER BY a.id`,
  `SELECT c FROM (SELECT id, name FROM customers WHERE 10/score > 1) c ORDER BY 1`,
  `SELECT customers FROM public.customers WHERE id = 1`,
  `WITH w AS (SELECT c FROM customers c) SELECT (c).id FROM w ORDER BY 1`,
  `SELECT l FROM customers c, LATERAL (SELECT c.id, c.name) l WHERE 10/c.score > 1 ORDER BY 1`,
  `SELECT "Größe", 'ä', id FROM customers WHERE 'Ümlaut' <> name AND 100/"Größe" > 3 ORDER BY id`,
  `SELECT $q$it's$q$, id FROM customers WHERE $a$x$a$ <> name AND 10/score > 1 ORDER BY id`,
  `SELECT FROM customers WHERE 10/score > 3`,
  `SELECT id FROM customer_names WHERE 10/score > 1 ORDER BY id`,
  `SELECT * FROM customer_names ORDER BY id`,
  `SELECT id FROM risky WHERE 100/ratio > 2 ORDER BY id`,
  `SELECT * FROM risky r JOIN customers c USING (id) WHERE 10/c.score > 1 ORDER BY id`,
  `SELECT sum(amount) FROM parts`,
  `SELECT id FROM parts WHERE 100/amount > 5 ORDER BY id`,
  `SELECT * FROM ROWS FROM (generate_series(1,2), unnest(ARRAY['a','b'])) AS f(a, b), customers c WHERE c.id = f.a`,
  `SELECT x.* FROM customers c, XMLTABLE('/r' PASSING xmlelement(name r, c.name) COLUMNS n text PATH '.') x WHERE c.id < 4 ORDER BY 1`,
  `SELECT id, CASE WHEN score > 3 THEN 'high' ELSE 'low' END AS level FROM customers ORDER BY level, id`,
  `SELECT score AS id, id AS score FROM customers ORDER BY score, id`,
  `SELECT email, count(*) FROM customers GROUP BY email`,
  `SELECT id FROM customers WHERE email LIKE 'user%' ORDER BY id`,
  `SELECT id FROM customers WHERE name ILIKE 'NAME1%' ORDER BY id`,
  `SELECT id FROM customers WHERE created > now() - interval '100 years' ORDER BY id`,
  `SELECT id FROM customers WHERE (id, score) IN ((1, 2), (4, 5)) ORDER BY id`,
  `SELECT id FROM customers WHERE score BETWEEN 2 AND 4 AND amount > 3 ORDER BY id`,
  `SELECT id FROM customers WHERE tags && ARRAY['t1'] AND tags[1] = 't1' ORDER BY id`,
  `SELECT string_agg(name, ',' ORDER BY id) FILTER (WHERE 10/score > 1) FROM customers`,
  `SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY score) FROM customers`,
  `SELECT c1.id FROM customers c1 JOIN customers c2 ON c1.id = c2.id + 1 AND 10/c1.score >= 10/c2.score ORDER BY 1`,
  `VALUES (1, 'a'), (2, 'b') ORDER BY 1`,
  `SELECT v.a FROM (VALUES (1), (2)) v(a) JOIN customers c ON c.id = v.a WHERE 10/c.score > 1`,
  `SELECT o.id FROM orders o WHERE o.customer_id IN (SELECT id FROM customers WHERE 10/score > 2) ORDER BY 1`,
  `SELECT o.id FROM orders o WHERE o.total IN (SELECT 10/score FROM customers) ORDER BY 1`,
  `SELECT id FROM customers WHERE NULLIF(score, 3) IS NULL ORDER BY id`,
  `SELECT id, COALESCE(10/NULLIF(score-2, 0), 0) FROM customers WHERE COALESCE(10/NULLIF(score, 0), 0) > 2 ORDER BY id`,
  `SELECT other.customers.remark FROM other.customers`,
  `SELECT c.id FROM customers c, unnest(c.tags) t(x) WHERE 1/c.score > 0 AND x = 't1' ORDER BY 1`,
  `SELECT c.id FROM customers c, unnest(c.tags) WITH ORDINALITY AS t(x, o) WHERE 1/(o + c.score) > -1 ORDER BY 1`,
  `SELECT t.ord FROM customers c, unnest(c.tags) WITH ORDINALITY AS t(x, ord) ORDER BY 1`,
  `SELECT u FROM unnest(ARRAY[1,2]) u`,
  `SELECT u.u FROM unnest(ARRAY[1,2]) u`,
  `SELECT g FROM generate_series(1,3) AS g`,
  `SELECT generate_series FROM generate_series(1,3)`,
  `SELECT value FROM json_array_elements('[1,2]')`,
  `SELECT j.value FROM json_array_elements('[1,2]') j`,
  `SELECT j.key, j.value FROM json_each('{"a":1}') j`,
  `SELECT key FROM json_each('{"a":1}') ORDER BY key`,
  `SELECT (json_each('{"a":1}')).key`,
  `SELECT (json_each('{"a":1}')).*`,
  `SELECT x.a FROM json_to_recordset('[{"a":1}]') AS x(a int)`,
  `SELECT d.key FROM (SELECT (json_each('{"a":1}')).*) d`,
  `SELECT d.name FROM (SELECT (c).* FROM customers c) d WHERE 10/d.score > 1 ORDER BY 1`,
  `SELECT regexp_matches('abc', '(b)') AS m`,
  `SELECT (regexp_match('abc', '(b)'))[1]`,
  `SELECT count(*) AS total FROM customers HAVING count(*) > 1 ORDER BY total`,
  `SELECT extract(year FROM created) AS y, count(*) FROM customers GROUP BY y ORDER BY y`,
  `SELECT date_trunc('day', created)::date AS d, count(*) AS n FROM customers GROUP BY 1 ORDER BY d`,
  `SELECT name AS n FROM customers ORDER BY upper(name), n`,
  `SELECT c.id FROM customers c JOIN LATERAL (SELECT o.total FROM orders o WHERE o.customer_id = c.id LIMIT 1) AS o ON true ORDER BY o.total`,
  `SELECT sum(total) OVER (PARTITION BY customer_id ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders ORDER BY id`,
  `SELECT a.id FROM accounts a WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = a.customer_id AND 1000/o.total > 9) ORDER BY 1`,
  `SELECT a.id FROM accounts a WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = a.customer_id AND 1000/o.total > 9) ORDER BY 1`,
  `SELECT a.id FROM accounts a WHERE a.customer_id IN (SELECT o.customer_id FROM orders o WHERE 1000/o.total > 9) ORDER BY 1`,
  `SELECT count(*) FROM customers WHERE id IN (SELECT customer_id FROM orders GROUP BY 1 HAVING count(*) > 1)`,
  `SELECT value FROM json_array_elements('[1,2]')`,
  `SELECT j.value FROM json_array_elements('[1,2]') j`,
  `SELECT c."Größe" /* a comment with 'quotes' */, -- and a " one
 c.id FROM customers c WHERE 10/c.score > 1 ORDER BY c.id`,
  `SELECT c.id, jt.n FROM customers c, JSON_TABLE(c.doc::jsonb, '$' COLUMNS (n int PATH '$.n')) jt WHERE 10/c.score > 1 ORDER BY 1`,
  `SELECT json_arrayagg(id ORDER BY id), json_objectagg(name VALUE score) IS NOT NULL FROM customers WHERE 10/score > 2`,
];

/** Written in a grammar that older servers do not have. */
const NEEDS_17 = /JSON_TABLE|json_arrayagg/;

describe.each(([18, 15] as const).filter(isPostgresInstalled))('on PostgreSQL %i', (version) => {
  let fixture: RewriteFixture;
  beforeAll(async () => {
    fixture = await startRewriteFixture(version);
  });
  afterAll(async () => {
    await fixture.stop();
  });

  const here = STATEMENTS.filter((text) => version >= 17 || !NEEDS_17.test(text));
  test.each(here)('%s', async (text) => {
    expect(fixture.refusal(text)).toBeUndefined();
    const honest = await fixture.runHonest(text);
    expect(honest.kind, JSON.stringify(honest)).toBe('rows');
    expect(await fixture.run(text), fixture.rewrite(text)).toEqual(honest);
  });

  test('ROW, aggregates and casts of a whole row show the visible columns only', async () => {
    const text =
      'SELECT c::text, row_to_json(c)::text, ROW(c.*)::text FROM customers c WHERE 10/c.score > 0 AND c.id < 9';
    const seen = JSON.stringify(await fixture.run(text));
    expect(seen).toContain('name1');
    expect(seen).not.toMatch(/zzsecret|postern|user1@/);
  });

  test('GROUP BY a primary key lets every column of the table stand', async () => {
    for (const text of [
      'SELECT id, name, doc FROM customers GROUP BY id ORDER BY id',
      "SELECT c.id, upper(c.name), c.doc->>'n' FROM customers c GROUP BY c.id HAVING length(c.name) > 5 ORDER BY c.name",
      'SELECT c.id, c.name, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.name',
    ]) {
      const raw = await fixture.raw(text.replace(/GROUP BY/, "WHERE region = 'eu' GROUP BY"));
      expect(await fixture.run(text), text).toEqual(raw);
    }
  });

  test('TABLESAMPLE moves inside, and another percentage is another answer', async () => {
    const all = await fixture.run('SELECT count(*) FROM customers TABLESAMPLE BERNOULLI (100) WHERE 10/score > 0');
    expect(all).toMatchObject({ rows: [['40']] });
    const none = await fixture.run('SELECT count(*) FROM customers TABLESAMPLE BERNOULLI (0)');
    expect(none).toMatchObject({ rows: [['0']] });
    const text = 'SELECT 1 FROM customers TABLESAMPLE BERNOULLI (7) WHERE id = 3';
    expect([...(fixture.analyze(text).sensitiveLiterals ?? [])]).toEqual([text.indexOf('7')]);
  });
});
