/** Utility and odd statements in the manner of PostgreSQL's regression suite, none of which an agent's policy allows. */
export const REFUSED_STATEMENTS: readonly string[] = `
CREATE TABLE x (a int)
CREATE UNLOGGED TABLE x (a int)
CREATE TABLE x AS SELECT 1
CREATE VIEW v AS SELECT 1
CREATE OR REPLACE TEMP VIEW v AS SELECT * FROM customers
CREATE MATERIALIZED VIEW m AS SELECT 1
REFRESH MATERIALIZED VIEW m
CREATE INDEX i ON customers (name)
REINDEX TABLE customers
CLUSTER customers
VACUUM FULL customers
ANALYZE customers
CHECKPOINT
TRUNCATE orders
TRUNCATE TABLE ONLY orders RESTART IDENTITY CASCADE
DROP TABLE customers
ALTER TABLE customers ADD COLUMN x int
ALTER TABLE customers RENAME TO c2
ALTER TABLE customers DISABLE ROW LEVEL SECURITY
ALTER TABLE customers OWNER TO bot
ALTER TABLE orders ENABLE TRIGGER ALL
COMMENT ON TABLE customers IS 'x'
SECURITY LABEL ON TABLE customers IS 'x'
GRANT ALL ON customers TO PUBLIC
REVOKE ALL ON customers FROM bot
GRANT postgres TO bot
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC
CREATE ROLE evil SUPERUSER
ALTER ROLE bot SUPERUSER
ALTER ROLE bot SET search_path = x
DROP ROLE bot
CREATE USER u
CREATE DATABASE d
DROP DATABASE real
ALTER DATABASE real SET row_security = off
ALTER SYSTEM SET log_statement = 'all'
CREATE SCHEMA s
CREATE SCHEMA s CREATE TABLE t (a int)
DROP SCHEMA public CASCADE
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN END $$
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END
ALTER FUNCTION lower(text) COST 1
DROP FUNCTION f
CALL p()
DO $$ BEGIN NULL; END $$
CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()
CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()
CREATE RULE r AS ON SELECT TO orders DO INSTEAD NOTHING
CREATE TYPE t AS (a int)
CREATE TYPE e AS ENUM ('a')
ALTER TYPE status ADD VALUE 'x'
CREATE DOMAIN d AS int
CREATE CAST (text AS int) WITH INOUT AS IMPLICIT
CREATE OPERATOR ## (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)
CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)
CREATE COLLATION c (LOCALE = 'C')
CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f
CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)
CREATE LANGUAGE plpython3u
CREATE EXTENSION dblink
CREATE FOREIGN DATA WRAPPER w
CREATE SERVER s FOREIGN DATA WRAPPER w
CREATE USER MAPPING FOR bot SERVER s
IMPORT FOREIGN SCHEMA s FROM SERVER s INTO public
CREATE FOREIGN TABLE f (a int) SERVER s
CREATE POLICY p ON orders USING (true)
CREATE PUBLICATION p FOR ALL TABLES
CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p
CREATE STATISTICS s ON id, total FROM orders
CREATE SEQUENCE s
ALTER SEQUENCE orders_id_seq RESTART
CREATE TABLESPACE t LOCATION '/tmp'
CREATE ACCESS METHOD a TYPE TABLE HANDLER h
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))
LOAD 'auto_explain'
LOCK TABLE customers
LOCK TABLE customers IN ACCESS EXCLUSIVE MODE NOWAIT
NOTIFY c, 'x'
LISTEN c
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
SET row_security = off
SET client_encoding = 'LATIN1'
SET standard_conforming_strings = off
SET default_transaction_read_only = off; SET ROLE postgres
SET session_replication_role = replica
SET search_path = pg_temp, secret
SET LOCAL ROLE postgres
SET postern.mask_key_inner = 'x'
SHOW postern.mask_key_inner
COPY customers FROM PROGRAM 'id'
COPY (SELECT 1) TO PROGRAM 'cat'
COPY (SELECT 1) TO '/tmp/x'
COPY customers FROM '/etc/passwd'
COPY customers FROM STDIN
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
ROLLBACK PREPARED 'x'
SELECT pg_sleep(100)
SELECT pg_terminate_backend(1)
SELECT pg_cancel_backend(pg_backend_pid())
SELECT pg_reload_conf()
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('x'), pg_stat_file('x'), pg_ls_dir('.')
SELECT lo_import('/etc/passwd'), lo_create(1), lo_unlink(1)
SELECT lo_export(1, '/tmp/x')
SELECT dblink('x', 'y')
SELECT query_to_xml('SELECT 1', true, true, '')
SELECT set_config('role', 'postgres', false)
SELECT set_config('search_path'::text, 'secret', false)
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_xact_lock(1)
SELECT pg_notify('a', 'b')
SELECT txid_current(), pg_current_xact_id()
SELECT pg_export_snapshot()
SELECT pg_create_logical_replication_slot('a', 'b')
SELECT pg_switch_wal(), pg_current_wal_lsn()
SELECT pg_stat_get_activity(NULL)
SELECT * FROM pg_stat_activity
SELECT * FROM pg_authid
SELECT * FROM pg_shadow
SELECT * FROM pg_stats
SELECT * FROM pg_statistic
SELECT * FROM pg_largeobject
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_show_all_settings()
SELECT * FROM pg_ls_logdir()
SELECT * FROM payroll
SELECT * FROM public.payroll
SELECT * FROM secret_view
SELECT secret_function()
SELECT (SELECT amount FROM payroll LIMIT 1)
WITH x AS (SELECT * FROM payroll) SELECT 1
SELECT 1 WHERE EXISTS (TABLE payroll)
INSERT INTO orders SELECT id, 1, 'eu', 'paid', 1, now() FROM payroll
UPDATE orders SET total = (SELECT amount FROM payroll LIMIT 1)
UPDATE payroll SET amount = 1
UPDATE customers SET name = 'x'
DELETE FROM customers
INSERT INTO customers (name) VALUES ('x')
MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN DELETE
EXPLAIN ANALYZE DELETE FROM customers
EXPLAIN SELECT * FROM payroll
EXPLAIN (ANALYZE) EXECUTE nothing
DECLARE c CURSOR FOR SELECT * FROM payroll
PREPARE p AS SELECT * FROM payroll
CREATE TEMP TABLE t AS SELECT * FROM payroll
SELECT * FROM payroll FOR UPDATE
TABLE payroll
VALUES ((SELECT count(*) FROM payroll))
SELECT ARRAY(SELECT amount FROM payroll)
SELECT * FROM customers c, LATERAL (SELECT * FROM payroll) p
SELECT * FROM ROWS FROM (pg_ls_dir('.'))
SELECT password_hash FROM customers
SELECT ssn FROM employees`
  .trim()
  .split('\n');
