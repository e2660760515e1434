/**
 * The statements that read the catalog of PostgreSQL 13 to 18. Each returns one row per object, every value as text.
 * They need no privilege beyond CONNECT, and run under an empty search_path so that printed definitions are qualified.
 */

/** Schemas that exist for other sessions' temporary objects and for TOAST never take part in name resolution here. */
const SCHEMA_IS_ORDINARY = "(n.nspname !~ '^pg_' OR n.nspname = 'pg_catalog')";

export const BEGIN_READ = 'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY';
export const EMPTY_SEARCH_PATH = "SELECT pg_catalog.set_config('search_path', '', true)";

export const DATABASE = `SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database(), current_user`;

export const SCHEMAS = `SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n WHERE ${SCHEMA_IS_ORDINARY} ORDER BY n.oid`;

/** Views of the system are not expanded by the gate, so their definitions are not printed. */
export const RELATIONS = `
SELECT c.oid, c.relnamespace, c.relname, c.relkind, c.reltype, c.relispartition,
  EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
    OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN'),
  CASE WHEN c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    THEN pg_catalog.pg_get_viewdef(c.oid) END,
  (SELECT pg_catalog.string_agg(o, ',') FROM pg_catalog.unnest(c.reloptions) AS o WHERE o ~ '^security_')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ${SCHEMA_IS_ORDINARY}
ORDER BY c.oid`;

export const COLUMNS = `
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity, a.atthasdef
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ${SCHEMA_IS_ORDINARY}
ORDER BY a.attrelid, a.attnum`;

/** What a generated column's expression reads: recorded for the column (13, 14) or for its pg_attrdef row (15 on). */
export const GENERATED_FROM = `
SELECT d.objid, d.objsubid, d.refobjsubid
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.objid AND a.attnum = d.objsubid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
  AND d.refobjid = d.objid AND d.refobjsubid > 0 AND d.refobjsubid <> d.objsubid AND a.attgenerated <> ''
UNION
SELECT f.adrelid, f.adnum, d.refobjsubid
FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = f.adrelid AND d.refobjsubid > 0
WHERE a.attgenerated <> '' AND d.refobjsubid <> f.adnum`;

/** What a default or generation expression names besides its own relation; recorded as GENERATED_FROM is. */
export const DEFAULT_USES = `
SELECT f.adrelid, f.adnum, d.refobjid
FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid
WHERE d.refobjid >= 16384 AND d.refobjid <> f.adrelid AND d.deptype <> 'e'
UNION
SELECT f.adrelid, f.adnum, d.refobjid
FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = f.adrelid AND d.objsubid = f.adnum
WHERE d.refobjid >= 16384 AND d.refobjid <> f.adrelid AND d.refclassid IN
  ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)`;

export const OWNED_SEQUENCES = `
SELECT d.refobjid, d.refobjsubid, d.objid
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
  AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')`;

export const CONSTRAINTS = `
SELECT k.oid, k.conrelid, k.conname, k.contype, k.conkey, k.confrelid, k.confkey, k.confmatchtype, k.conindid
FROM pg_catalog.pg_constraint k WHERE k.conrelid <> 0 AND k.contype IN ('p', 'u', 'f', 'c', 'x') ORDER BY k.oid`;

/** The last two columns: an expression or the predicate reads the row as a whole; there is one at all. */
export const INDEXES = `
SELECT i.indexrelid, i.indrelid, c.relname, i.indisunique, i.indisprimary, i.indkey,
  (SELECT pg_catalog.string_agg(d.refobjsubid::pg_catalog.text, ' ') FROM pg_catalog.pg_depend d
   WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
     AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0),
  COALESCE(i.indexprs::pg_catalog.text, '') || COALESCE(i.indpred::pg_catalog.text, '') ~ ':varattno 0 ',
  i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE ${SCHEMA_IS_ORDINARY} ORDER BY i.indexrelid`;

/** What the expressions of CHECK constraints and indexes name besides their own relation: functions, operators, types, relations of users. */
export const EXPRESSION_USES = `
SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_catalog.pg_index i ON d.classid = 'pg_catalog.pg_class'::regclass AND i.indexrelid = d.objid
WHERE d.refobjid >= 16384 AND (k.contype IN ('c', 'x') AND k.conrelid <> 0 AND d.refobjid <> k.conrelid OR d.refobjid <> i.indrelid)
  AND d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass,
    'pg_catalog.pg_class'::regclass) AND d.deptype IN ('n', 'a')`;

export const INHERITANCE = `SELECT h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits h ORDER BY h.inhparent, h.inhseqno, h.inhrelid`;

export const VIEW_READS = `
SELECT DISTINCT w.ev_class, d.refobjid
FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> w.ev_class
JOIN pg_catalog.pg_class c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE w.rulename = '_RETURN' AND n.nspname NOT IN ('pg_catalog', 'information_schema')`;

export const TYPES = `
SELECT t.oid, t.typnamespace, t.typname, t.typtype, t.typcategory, t.typelem, t.typarray, t.typbasetype, t.typtypmod,
  t.typnotnull, t.typrelid
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE ${SCHEMA_IS_ORDINARY} ORDER BY t.oid`;

export const DOMAIN_CHECKS = `
SELECT k.contypid, pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k
WHERE k.contypid <> 0 AND k.contype = 'c' ORDER BY k.contypid, k.conname`;

/** Types with a default operator class for btree or hash. */
export const EQUALITY_TYPES = `
SELECT DISTINCT o.opcintype FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
WHERE o.opcdefault AND m.amname IN ('btree', 'hash')`;

export const FUNCTIONS = `
SELECT p.oid, p.pronamespace, p.proname, p.prokind, p.proargtypes, p.pronargdefaults, p.provariadic, p.prorettype, p.proretset,
  p.provolatile, p.proleakproof, p.prosecdef
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE ${SCHEMA_IS_ORDINARY} ORDER BY p.oid`;

export const OPERATORS = `
SELECT o.oid, o.oprnamespace, o.oprname, o.oprleft, o.oprright, o.oprresult, o.oprcode::pg_catalog.oid,
  COALESCE(p.proleakproof, false)
FROM pg_catalog.pg_operator o LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE ${SCHEMA_IS_ORDINARY} ORDER BY o.oid`;

export const CASTS = `
SELECT k.castsource, k.casttarget, k.castcontext, k.castfunc, k.castmethod, COALESCE(p.proleakproof, false)
FROM pg_catalog.pg_cast k LEFT JOIN pg_catalog.pg_proc p ON p.oid = k.castfunc ORDER BY k.oid`;

/** Members of extensions that a policy can name as `extension:NAME`: types, functions, operators. */
export const EXTENSION_MEMBERS = `
SELECT d.classid, d.objid, e.extname
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e' AND d.classid IN
  ('pg_catalog.pg_type'::regclass, 'pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)`;
