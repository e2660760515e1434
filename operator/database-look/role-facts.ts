/** What a role may do that makes a gate in front of it pointless. The statements need no right but CONNECT, and read catalogs only. */
import type { RoleFacts } from './look.ts';

/** One result row: column name → text, number or boolean as `pg` gives it. */
export type Row = Readonly<Record<string, unknown>>;
export type RunQuery = (sql: string) => Promise<readonly Row[]>;

const ROLE = `
SELECT current_user AS role, pg_catalog.current_setting('server_version') AS version,
  (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser`;

/** Every role that the own one is or can become (SET ROLE), with the shortest way there. */
const REACHABLE_ROLES = `
WITH RECURSIVE reachable AS (
  SELECT r.oid, r.rolname, ARRAY[r.rolname::pg_catalog.text] AS path FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
  UNION ALL
  SELECT g.oid, g.rolname, reachable.path || g.rolname::pg_catalog.text
  FROM reachable JOIN pg_catalog.pg_auth_members m ON m.member = reachable.oid JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
  WHERE g.rolname::pg_catalog.text <> ALL (reachable.path)
)
SELECT DISTINCT ON (r.oid) r.rolname AS name, reachable.path AS path, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb,
  r.rolreplication, r.rolname ~ '^pg_' AS predefined
FROM reachable JOIN pg_catalog.pg_roles r ON r.oid = reachable.oid
ORDER BY r.oid, pg_catalog.array_length(reachable.path, 1)`;

const OWNED = `
WITH mine AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER'))
SELECT 'database' AS kind, d.datname::pg_catalog.text AS name FROM pg_catalog.pg_database d
  WHERE d.datname = pg_catalog.current_database() AND d.datdba IN (SELECT oid FROM mine)
UNION ALL
SELECT 'schema', n.nspname FROM pg_catalog.pg_namespace n
  WHERE n.nspowner IN (SELECT oid FROM mine) AND n.nspname !~ '^pg_(temp|toast)'
UNION ALL
(SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
    ELSE 'table' END, n.nspname || '.' || c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relowner IN (SELECT oid FROM mine) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_(temp|toast)'
  ORDER BY 2 LIMIT 1000)
UNION ALL
(SELECT 'function', n.nspname || '.' || p.proname
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.proowner IN (SELECT oid FROM mine) AND n.nspname !~ '^pg_temp' ORDER BY 2 LIMIT 1000)`;

/** Looks; rejects as the queries do. */
export async function readRoleFacts(query: RunQuery): Promise<RoleFacts> {
  const [own] = await query(ROLE);
  const role = textOf(own?.['role']);
  const serverVersion = textOf(own?.['version']).split(' ')[0] ?? '';
  // A superuser is a member of every role and owns whatever it likes: naming all that would say less.
  if (own?.['superuser'] === true) return { role, serverVersion, excess: ['it is a superuser'] };
  const roles = (await query(REACHABLE_ROLES)).flatMap(excessOfRole);
  const owned = excessOfOwnership(await query(OWNED));
  return { role, serverVersion, excess: [...roles, ...owned] };
}

const ATTRIBUTES = [
  ['rolsuper', 'superuser'],
  ['rolbypassrls', 'BYPASSRLS'],
  ['rolcreaterole', 'CREATEROLE'],
  ['rolcreatedb', 'CREATEDB'],
  ['rolreplication', 'REPLICATION'],
] as const;

/** Attributes that it has or can take on, and membership in a predefined role (files, programs, all data ...). */
function excessOfRole(row: Row): readonly string[] {
  const path = Array.isArray(row['path']) ? row['path'].map(textOf) : [];
  const way = path.length > 1 ? ` by way of ${path.slice(1).join(' > ')}` : '';
  const attributes = ATTRIBUTES.filter(([column]) => row[column] === true).map(([, name]) => `${name}${way}`);
  if (row['predefined'] !== true || path.length < 2) return attributes;
  const between = path.slice(1, -1);
  const via = between.length > 0 ? ` by way of ${between.join(' > ')}` : '';
  return [...attributes, `member of ${textOf(row['name'])}${via}`];
}

/** The owner of an object can grant itself anything on it, and is not held by row security. */
function excessOfOwnership(rows: readonly Row[]): readonly string[] {
  const byKind = new Map<string, string[]>();
  for (const row of rows) {
    const kind = textOf(row['kind']);
    byKind.set(kind, [...(byKind.get(kind) ?? []), textOf(row['name'])]);
  }
  return [...byKind].map(([kind, names]) => {
    const shown = names.slice(0, 5).join(', ');
    return `owner of ${kind} ${shown}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`;
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
