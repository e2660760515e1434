/** A database full of hidden objects, all with `zzhidden` in their names or contents, and the rights of one identity on the rest. */
import type { Access } from '#sql/access.ts';
import { type CatalogSnapshot, qualifiedKey } from '#sql/catalog.ts';
import type { RelationView } from '#sql/relation-view.ts';

/** Run as superuser in an empty database. */
export const SWEEP_SCHEMA = `
CREATE ROLE zzhidden_role; CREATE ROLE reader LOGIN PASSWORD 'reader';
CREATE SCHEMA zzhidden_schema; CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('glad', 'sad'); CREATE TYPE shop.zzhidden_enum AS ENUM ('zzhidden_label');
CREATE TYPE shop.address AS (street text, town text); CREATE TYPE shop.zzhidden_composite AS (zzhidden_field int);
CREATE DOMAIN shop.price AS numeric CHECK (VALUE >= 0); CREATE DOMAIN shop.zzhidden_domain AS int CHECK (VALUE > 4711);
CREATE TYPE shop.zzhidden_range AS RANGE (subtype = float8);
CREATE FUNCTION shop.zzhidden_function(zzhidden_argument int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION shop.granted(a int) RETURNS int LANGUAGE sql AS 'SELECT a /* zzhidden_body */';
CREATE FUNCTION shop.zzhidden_trigger_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE OPERATOR shop.<+> (leftarg = int, rightarg = int, function = int4pl);
CREATE FUNCTION shop.zzhidden_diff(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE TYPE shop.shown_range AS RANGE (subtype = float8, subtype_diff = shop.zzhidden_diff);
CREATE OPERATOR CLASS shop.zzhidden_opclass FOR TYPE int4 USING btree AS OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 btint4cmp(int4, int4);
CREATE COLLATION shop.zzhidden_collation FROM "C"; CREATE TEXT SEARCH CONFIGURATION shop.zzhidden_config (COPY = simple);
CREATE FUNCTION shop.zzhidden_cast(shop.mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; CREATE CAST (shop.mood AS int) WITH FUNCTION shop.zzhidden_cast(shop.mood); CREATE ACCESS METHOD zzhidden_am TYPE TABLE HANDLER heap_tableam_handler;
CREATE AGGREGATE shop.zzhidden_aggregate (int) (sfunc = int4pl, stype = int); CREATE CONVERSION shop.zzhidden_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE SEQUENCE shop.zzhidden_sequence;
CREATE TABLE shop.zzhidden_table (id serial PRIMARY KEY, code text UNIQUE, zzhidden_a int NOT NULL);
COMMENT ON TABLE shop.zzhidden_table IS 'zzhidden_comment';
CREATE TABLE zzhidden_schema.t (id int PRIMARY KEY);
CREATE TABLE shop.customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email text UNIQUE DEFAULT 'zzhidden_default@example.com',
  zzhidden_ssn text NOT NULL DEFAULT 'zzhidden_value', feeling shop.mood DEFAULT 'glad', home shop.address, tags text[], cost shop.price,
  zzhidden_level shop.zzhidden_enum, other int DEFAULT shop.zzhidden_function(), counter bigint DEFAULT nextval('shop.zzhidden_sequence'),
  derived text GENERATED ALWAYS AS (upper(zzhidden_ssn)) STORED,
  CONSTRAINT customers_zzhidden_check CHECK (zzhidden_ssn <> 'x'), CONSTRAINT customers_email_check CHECK (email <> 'zzhidden_literal'),
  CONSTRAINT customers_function_check CHECK (shop.zzhidden_function(other) > 0), CONSTRAINT customers_name_check CHECK (name <> ''),
  zzhidden_parent int REFERENCES shop.zzhidden_table);
ALTER TABLE shop.customers ADD zzhidden_dropped int; ALTER TABLE shop.customers DROP zzhidden_dropped;
ALTER TABLE shop.customers ADD parent_id int CONSTRAINT to_zzhidden REFERENCES shop.zzhidden_table;
ALTER TABLE shop.customers ADD late text DEFAULT 'late';
CREATE INDEX customers_zzhidden_index ON shop.customers (zzhidden_ssn); CREATE INDEX customers_name ON shop.customers (lower(name));
CREATE INDEX customers_mail ON shop.customers (id) WHERE email = 'zzhidden_predicate';
CREATE INDEX customers_function ON shop.customers (shop.zzhidden_function(other));
COMMENT ON COLUMN shop.customers.zzhidden_ssn IS 'zzhidden_column_comment'; COMMENT ON COLUMN shop.customers.name IS 'the name';
COMMENT ON TABLE shop.customers IS 'people'; COMMENT ON CONSTRAINT customers_zzhidden_check ON shop.customers IS 'zzhidden_k';
CREATE TABLE shop.orders (id int PRIMARY KEY, customer_id bigint REFERENCES shop.customers, region text,
  EXCLUDE USING btree (region WITH =));
CREATE TABLE shop.events (id int, zzhidden_key int) PARTITION BY LIST (zzhidden_key);
CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES IN (424242);
CREATE TABLE shop.zzhidden_events_2 PARTITION OF shop.events FOR VALUES IN (434343);
CREATE TABLE shop.whole (id int PRIMARY KEY, note text, span shop.shown_range); INSERT INTO shop.whole SELECT n FROM generate_series(1, 777) n;
INSERT INTO shop.orders SELECT n, NULL, 'r' || n FROM generate_series(1, 555) n;
CREATE VIEW shop.visible_view AS SELECT id, name, zzhidden_ssn FROM shop.customers;
CREATE VIEW shop.zzhidden_view AS SELECT * FROM shop.zzhidden_table;
CREATE MATERIALIZED VIEW shop.zzhidden_matview AS SELECT * FROM shop.zzhidden_table;
CREATE RULE zzhidden_rule AS ON DELETE TO shop.orders DO ALSO NOTHING;
CREATE TRIGGER zzhidden_trigger BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.zzhidden_trigger_function();
CREATE POLICY zzhidden_policy ON shop.orders USING (region = 'zzhidden_region'); ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS shop.zzhidden_statistics ON id, region FROM shop.orders;
CREATE PUBLICATION zzhidden_publication FOR TABLE shop.orders;
CREATE FOREIGN DATA WRAPPER zzhidden_wrapper; CREATE SERVER zzhidden_server FOREIGN DATA WRAPPER zzhidden_wrapper;
CREATE FOREIGN TABLE shop.zzhidden_foreign (id int) SERVER zzhidden_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO zzhidden_role;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO zzhidden_role, reader; GRANT USAGE ON SCHEMA shop, zzhidden_schema TO reader;
GRANT SELECT (name) ON shop.customers TO zzhidden_role;
ALTER TABLE shop.whole OWNER TO zzhidden_role; ALTER ROLE reader SET work_mem = '8MB';
ANALYZE;`;

interface Spec {
  readonly hide?: readonly string[];
  readonly mask?: readonly string[];
  readonly filter?: boolean;
}

const SPECS: Readonly<Record<string, Spec>> = {
  customers: { hide: ['zzhidden_ssn', 'zzhidden_level', 'zzhidden_parent', 'derived'], mask: ['email'] },
  orders: { filter: true },
  events: { hide: ['zzhidden_key'] },
  events_1: { hide: ['zzhidden_key'] },
  whole: {},
  visible_view: { hide: ['zzhidden_ssn'] },
};

/** Rights on the visible part. */
export function accessTo(catalog: CatalogSnapshot): Access {
  const views = Object.entries(SPECS).map(([name, spec]): readonly [number, RelationView] => {
    const relation = catalog.relationByName.get(qualifiedKey('shop', name));
    if (relation === undefined) throw new Error(name);
    const visible = relation.columns.filter((column) => spec.hide?.includes(column.name) !== true);
    return [
      relation.oid,
      {
        relationOid: relation.oid,
        schema: 'shop',
        name,
        actions: new Set(['Select']),
        columns: visible.map(({ name: column, attnum, typeOid, typmod }) => ({
          name: column,
          attnum,
          typeOid,
          typmod,
          ...(spec.mask?.includes(column) === true ? { mask: { method: 'SetNull', expression: ['NULL'] } } : {}),
        })),
        hiddenColumns: new Set(spec.hide ?? []),
        ...(spec.filter === true ? { rowFilter: { expression: ['true'], columns: [] } } : {}),
        isWhole: spec.hide === undefined && spec.mask === undefined && spec.filter !== true,
        policies: ['data/test'],
      },
    ];
  });
  return {
    views: new Map(views),
    governedOids: new Set(views.map(([oid]) => oid)),
    functions: { functions: new Set(['shop\0granted']), operators: new Set(), extensions: new Set() },
    allowedCommands: new Set(),
    deniedCommands: new Set(),
    schemas: ['shop'],
    defaultSearchPath: ['shop'],
    chosenKeys: 'Allow',
    grantsWrite: false,
  };
}
