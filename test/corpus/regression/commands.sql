-- Writes, session commands and utilities in the manner of PostgreSQL's regression suite, one a line.
INSERT INTO orders DEFAULT VALUES
INSERT INTO orders (customer_id, placed_at) VALUES (1, now()), (2, DEFAULT) RETURNING *
INSERT INTO orders (customer_id, placed_at) SELECT id, now() FROM customers RETURNING id, orders.*
INSERT INTO orders AS o (id, customer_id, placed_at) VALUES (1, 2, now()) ON CONFLICT DO NOTHING
INSERT INTO orders AS o (id, customer_id, placed_at) VALUES (1, 2, now()) ON CONFLICT (id) DO UPDATE SET total = excluded.total + o.total WHERE o.total < 5 RETURNING o.id
INSERT INTO orders (id, customer_id, placed_at) VALUES (1, 2, now()) ON CONFLICT ON CONSTRAINT orders_pkey DO UPDATE SET (total, note) = (SELECT 1, email FROM customers LIMIT 1)
INSERT INTO orders OVERRIDING SYSTEM VALUE VALUES (1, 2, 'eu', 'paid', 3, now(), 'n')
INSERT INTO orders OVERRIDING USER VALUE SELECT * FROM orders
INSERT INTO orders TABLE orders
INSERT INTO orders WITH c AS (SELECT * FROM orders) SELECT * FROM c
WITH c AS (SELECT id FROM customers) INSERT INTO tickets (customer_id, title) SELECT id, 'x' FROM c ON CONFLICT (title, state) DO NOTHING
INSERT INTO tickets (title, customer_id) VALUES ((SELECT email FROM customers LIMIT 1), (SELECT max(id) FROM customers))
INSERT INTO tickets (title) VALUES ('a') ON CONFLICT (title, state) WHERE true DO UPDATE SET priority = tickets.priority + 1
INSERT INTO tickets (title, body) VALUES ('a', 'b') RETURNING body, tickets, tickets.*
INSERT INTO customers (name) VALUES ('x')
INSERT INTO payroll VALUES (1, 2)
INSERT INTO order_summary VALUES (1)
INSERT INTO orders (region, customer_id, placed_at) VALUES ('us', 1, now())
INSERT INTO orders (nope) VALUES (1)
INSERT INTO orders (id, id) VALUES (1, 2)
INSERT INTO products (dimensions.width) VALUES (1)
INSERT INTO orders (customer_id, placed_at) VALUES (1, now()) RETURNING (SELECT password_hash FROM customers)
INSERT INTO orders (customer_id, placed_at) VALUES (1, now()) RETURNING WITH (OLD AS o, NEW AS n) o.id, n.id
UPDATE orders SET total = 1
UPDATE orders SET total = total + 1, note = DEFAULT WHERE id = 1 RETURNING *
UPDATE orders SET (total, note) = (1, 'x'), status = 'paid'
UPDATE orders SET (total, note) = ROW(1, 'x')
UPDATE orders SET (total, note) = (SELECT 1, name FROM customers c WHERE c.id = orders.customer_id)
UPDATE orders o SET note = c.email FROM customers c WHERE c.id = o.customer_id RETURNING o.*, c.*
UPDATE orders o SET note = c.password_hash FROM customers c WHERE c.id = o.customer_id
UPDATE ONLY orders SET total = 1 WHERE region = 'us'
UPDATE orders SET region = 'us' WHERE id = 1
UPDATE tickets SET body = 'x' WHERE body = 'y'
UPDATE tickets SET title = body
UPDATE tickets SET state = 'closed' RETURNING body
UPDATE customers SET name = 'x'
UPDATE payroll SET amount = 1
UPDATE orders SET total = 1 WHERE CURRENT OF cur
UPDATE orders SET total = (SELECT max(salary) FROM employees) WHERE EXISTS (SELECT FROM customers WHERE password_hash = 'x')
WITH x AS (SELECT id FROM orders FOR UPDATE SKIP LOCKED LIMIT 1) UPDATE orders SET status = 'paid' FROM x WHERE orders.id = x.id RETURNING orders.*
UPDATE orders SET total = 1 FROM orders o2 WHERE o2.id = orders.id
UPDATE products SET dimensions.width = 3
UPDATE orders SET orders.total = 1
UPDATE orders SET total = old.total RETURNING old.total, new.total
DELETE FROM orders
DELETE FROM orders WHERE id = 1 RETURNING *
DELETE FROM orders o USING customers c WHERE c.id = o.customer_id AND c.email LIKE 'a%' RETURNING c.*
DELETE FROM ONLY orders o WHERE o.total > (SELECT avg(total) FROM orders)
DELETE FROM customers
DELETE FROM payroll
DELETE FROM tickets WHERE body = 'x' RETURNING body
DELETE FROM orders WHERE CURRENT OF cur
WITH d AS (DELETE FROM orders RETURNING *) INSERT INTO tickets (title) SELECT note FROM d
MERGE INTO orders o USING customers c ON o.customer_id = c.id WHEN MATCHED THEN UPDATE SET total = 1 WHEN NOT MATCHED THEN INSERT (customer_id, placed_at) VALUES (c.id, now())
MERGE INTO orders o USING (VALUES (1, 2)) v (a, b) ON o.id = v.a WHEN MATCHED AND o.total > 1 THEN DELETE WHEN MATCHED THEN DO NOTHING
MERGE INTO orders USING orders o2 ON orders.id = o2.id WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), orders.*
MERGE INTO ONLY orders USING tickets ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES
MERGE INTO customers USING orders ON true WHEN MATCHED THEN DELETE
MERGE INTO tickets USING customers ON body = email WHEN MATCHED THEN UPDATE SET body = email
COPY customers TO STDOUT
COPY customers (id, email) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';', NULL 'n', QUOTE '"', ESCAPE '\', FORCE_QUOTE *)
COPY customers (password_hash) TO STDOUT
COPY (SELECT * FROM customers) TO STDOUT (FORMAT binary)
COPY (DELETE FROM orders RETURNING *) TO STDOUT
COPY (VALUES (1)) TO STDOUT
COPY (TABLE customers) TO STDOUT
COPY customers TO STDOUT WITH CSV HEADER
COPY orders FROM STDIN
COPY orders (customer_id, placed_at) FROM STDIN WITH (FORMAT csv, ON_ERROR ignore)
COPY orders FROM STDIN WHERE total > 5
COPY orders FROM '/etc/passwd'
COPY customers TO '/tmp/x'
COPY customers TO PROGRAM 'cat'
COPY orders FROM PROGRAM 'id'
COPY customers FROM STDIN
COPY BINARY customers TO STDOUT
COPY payroll TO STDOUT
COPY pg_class TO STDOUT
BEGIN
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE
BEGIN READ WRITE
START TRANSACTION ISOLATION LEVEL REPEATABLE READ
COMMIT
COMMIT AND CHAIN
END
ROLLBACK
ROLLBACK AND NO CHAIN
ABORT
SAVEPOINT s
RELEASE SAVEPOINT s
ROLLBACK TO SAVEPOINT s
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
ROLLBACK PREPARED 'x'
SET TRANSACTION ISOLATION LEVEL READ COMMITTED
SET TRANSACTION SNAPSHOT '00000003-1'
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET CONSTRAINTS ALL DEFERRED
SET CONSTRAINTS orders_customer_id_fkey IMMEDIATE
SET search_path TO public
SET search_path = pg_catalog, public
SET search_path TO payroll_schema
SET SCHEMA 'public'
SET LOCAL search_path = "public"
SET NAMES 'utf8'
SET NAMES 'latin1'
SET TIME ZONE 'Europe/Berlin'
SET TIME ZONE INTERVAL '+01:00' HOUR TO MINUTE
SET TIME ZONE LOCAL
SET timezone TO DEFAULT
SET statement_timeout = 1000
SET statement_timeout TO '1h'
SET LOCAL statement_timeout = 0
SET work_mem = '1GB'
SET role postgres
SET ROLE NONE
SET SESSION AUTHORIZATION postgres
SET SESSION AUTHORIZATION DEFAULT
SET standard_conforming_strings = off
SET client_encoding = 'SQL_ASCII'
SET extra_float_digits = 3
SET application_name = 'x'
SET "DateStyle" = 'ISO, MDY'
SET row_security = off
SET session_replication_role = replica
SET a.b = 'c'
SET XML OPTION DOCUMENT
SET jit = off
RESET ALL
RESET search_path
RESET ROLE
RESET SESSION AUTHORIZATION
SHOW ALL
SHOW search_path
SHOW TRANSACTION ISOLATION LEVEL
SHOW TIME ZONE
SHOW SESSION AUTHORIZATION
SHOW data_directory
DISCARD ALL
DISCARD PLANS
DISCARD TEMP
DISCARD SEQUENCES
PREPARE p AS SELECT * FROM customers WHERE id = $1
PREPARE p (int, text) AS INSERT INTO orders (customer_id, note, placed_at) VALUES ($1, $2, now()) RETURNING *
PREPARE p AS SELECT * FROM payroll
PREPARE p AS VALUES ($1)
EXECUTE p
EXECUTE p (1, 'x')
EXECUTE p ((SELECT max(id) FROM customers))
PREPARE q AS SELECT * FROM customers; EXECUTE q
DEALLOCATE p
DEALLOCATE PREPARE p
DEALLOCATE ALL
DECLARE c CURSOR FOR SELECT * FROM customers
DECLARE c BINARY INSENSITIVE SCROLL CURSOR WITH HOLD FOR SELECT * FROM customers
DECLARE c NO SCROLL CURSOR FOR SELECT * FROM orders FOR UPDATE
DECLARE c CURSOR FOR TABLE payroll
DECLARE c CURSOR FOR SELECT * FROM customers; FETCH ALL FROM c; CLOSE c
FETCH c
FETCH FORWARD 5 FROM c
FETCH BACKWARD ALL IN c
FETCH ABSOLUTE -1 FROM c
MOVE NEXT FROM c
CLOSE c
CLOSE ALL
EXPLAIN SELECT * FROM customers
EXPLAIN ANALYZE SELECT * FROM customers
EXPLAIN (ANALYZE, BUFFERS, FORMAT json, SETTINGS, WAL, TIMING off, SUMMARY) SELECT * FROM orders
EXPLAIN (GENERIC_PLAN) SELECT * FROM customers WHERE id = $1
EXPLAIN VERBOSE DELETE FROM orders
EXPLAIN (FORMAT yaml) INSERT INTO orders DEFAULT VALUES
EXPLAIN EXECUTE p (1)
EXPLAIN DECLARE c CURSOR FOR SELECT * FROM customers
EXPLAIN CREATE TABLE x AS SELECT * FROM customers
EXPLAIN SELECT * FROM payroll
CREATE TEMP TABLE t AS SELECT * FROM customers
CREATE TEMPORARY TABLE t (a, b) ON COMMIT DROP AS SELECT id, email FROM customers WITH NO DATA
CREATE TEMP TABLE t AS TABLE customers
CREATE TEMP TABLE t AS EXECUTE p
CREATE TEMP TABLE t AS VALUES (1, 2)
CREATE TEMP TABLE IF NOT EXISTS t (id int PRIMARY KEY, v text DEFAULT 'x' CHECK (v <> ''), UNIQUE (v))
CREATE TEMP TABLE t (LIKE customers INCLUDING ALL)
CREATE TEMP TABLE t () INHERITS (customers)
CREATE TEMP TABLE t OF size
CREATE TEMP TABLE t PARTITION OF payments DEFAULT
CREATE TEMP TABLE t (a int REFERENCES customers)
CREATE TEMP TABLE customers (id int)
CREATE TEMP TABLE pg_class (id int)
CREATE TEMP TABLE t (a int DEFAULT secret_function())
CREATE TEMP TABLE t (a int GENERATED ALWAYS AS (b + 1) STORED, b int) WITH (fillfactor = 70) TABLESPACE x
CREATE TEMP TABLE t (a int); INSERT INTO t SELECT id FROM customers; SELECT * FROM t; DROP TABLE t
SELECT * INTO TEMP t FROM customers
SELECT * INTO t FROM customers
CREATE TABLE t (a int)
CREATE UNLOGGED TABLE t AS SELECT * FROM customers
CREATE VIEW v AS SELECT * FROM customers
CREATE TEMP VIEW v AS SELECT * FROM customers
CREATE RECURSIVE VIEW v (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM v
CREATE MATERIALIZED VIEW m AS SELECT * FROM customers
REFRESH MATERIALIZED VIEW CONCURRENTLY m
CREATE INDEX CONCURRENTLY i ON customers USING btree (lower(email) text_pattern_ops DESC) INCLUDE (id) WHERE id > 5
CREATE FUNCTION f(a int, OUT b int) LANGUAGE sql AS $$ SELECT 1 $$
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END
CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN END'
CREATE TRIGGER t BEFORE INSERT OR UPDATE OF total ON orders FOR EACH ROW WHEN (NEW.total > 1) EXECUTE FUNCTION f()
CREATE RULE r AS ON INSERT TO orders DO INSTEAD SELECT * FROM customers
CREATE TYPE e AS ENUM ('a')
CREATE DOMAIN d AS int CHECK (VALUE > (SELECT 1))
CREATE SCHEMA s CREATE TABLE t (a int)
CREATE SEQUENCE s OWNED BY orders.id
CREATE EXTENSION dblink
CREATE ROLE x SUPERUSER PASSWORD 'y'
CREATE USER MAPPING FOR PUBLIC SERVER s
CREATE POLICY p ON customers USING (true)
CREATE PUBLICATION p FOR ALL TABLES
CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
CREATE CAST (int AS text) WITH INOUT AS IMPLICIT
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)
CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)
CREATE COLLATION c FROM "C"
CREATE STATISTICS s (dependencies) ON region, name FROM customers
CREATE FOREIGN TABLE f (a int) SERVER s
CREATE ACCESS METHOD a TYPE INDEX HANDLER h
CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)
CREATE DATABASE d
CREATE TABLESPACE t LOCATION '/x'
ALTER TABLE customers ADD COLUMN x int, DROP COLUMN password_hash, ALTER name SET DEFAULT 'x'
ALTER TABLE orders DISABLE ROW LEVEL SECURITY
ALTER TABLE IF EXISTS orders RENAME TO o
ALTER ROLE bot SUPERUSER
ALTER DATABASE real SET search_path = x
ALTER SYSTEM SET log_statement = 'all'
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO bot
ALTER FUNCTION secret_function() SECURITY DEFINER
ALTER SEQUENCE orders_id_seq RESTART
ALTER TYPE status ADD VALUE 'x'
DROP TABLE orders CASCADE
DROP TABLE IF EXISTS t, u
DROP VIEW order_summary
DROP OWNED BY bot
REASSIGN OWNED BY bot TO postgres
TRUNCATE orders
TRUNCATE TABLE ONLY orders, tickets RESTART IDENTITY CASCADE
GRANT ALL ON customers TO PUBLIC
GRANT postgres TO bot WITH ADMIN OPTION
REVOKE SELECT (email) ON customers FROM bot
COMMENT ON TABLE orders IS 'x'
SECURITY LABEL ON TABLE orders IS 'x'
LOCK TABLE orders IN ACCESS EXCLUSIVE MODE NOWAIT
VACUUM (FULL, ANALYZE) orders
ANALYZE customers (email)
CLUSTER orders USING orders_pkey
REINDEX TABLE CONCURRENTLY orders
CHECKPOINT
LOAD 'x'
DO $$ BEGIN PERFORM 1; END $$
DO LANGUAGE plpython3u 'x'
CALL p(1, a => 2)
LISTEN x
NOTIFY x, 'y'
UNLISTEN *
IMPORT FOREIGN SCHEMA s FROM SERVER x INTO public
COMMIT; DROP TABLE customers
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;
SELECT 1; SELECT * FROM payroll
BEGIN; SELECT * FROM customers; COMMIT
SELECT FROM WHERE
SELECT * FROM customers WHERE
SELECT 'unterminated
SELECT "unterminated
SELECT /* unterminated
SELECT $a$ unterminated
SELEC 1
)
SELECT (((((((((((((((((((((1)))))))))))))))))))))
SELECT 1 +
\d customers
SELECT 99999999999999999999999999999999999999999999, 1e400
SELECT * FROM customers, nosuch
SELECT nosuch FROM customers
SELECT nosuch(1)
SELECT c.id FROM customers
SELECT a.b.c.d.e FROM a.b.c.d
SELECT * FROM a.b.c.d
SELECT x.* FROM customers
SELECT * WHERE true
SELECT count(*) FROM customers HAVING 1 < 2
