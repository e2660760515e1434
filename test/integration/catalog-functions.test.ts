/** The function lists against pg_proc of real servers: no entry without a function, nothing dangerous by its own declaration. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCatalog } from '#catalog/read-catalog.ts';
import { ALLOWED_FUNCTIONS } from '#sql/builtin-functions.ts';
import type { Access } from '#sql/access.ts';
import { calledFunction } from '#sql/called-function.ts';
import { type CatalogFunction, type CatalogSnapshot, indexCatalog } from '#sql/catalog.ts';
import { functionRule, judgeFunctionCall, judgeOperator, matchesArity } from '#sql/functions.ts';
import { OID_FUNCTIONS } from '#sql/oid-function-list.ts';
import { isPostgresInstalled, type PostgresServer, startPostgres } from '#test/postgres.ts';

const versions = ([18, 15] as const).filter(isPostgresInstalled);
const servers: PostgresServer[] = [];
const snapshots: CatalogSnapshot[] = [];

/** Printed by the grammar as keywords, or existing only in versions that are not installed here. */
const NOT_IN_PG_PROC = new Set(['current_catalog', 'current_role', 'user']);

/** Volatile, and yet harmless: randomness, the clock, and what asyncpg and PostgreSQL's own tools call. */
const HARMLESS_VOLATILE = new Set(
  `random random_normal gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle clock_timestamp timeofday pg_is_in_recovery
   pg_jit_available pg_advisory_unlock_all`.split(/\s+/),
);

beforeAll(async () => {
  for (const version of versions) {
    const server = await startPostgres({ version });
    servers.push(server);
    const client = new pg.Client({ connectionString: server.adminUrl() });
    await client.connect();
    await client.query('CREATE EXTENSION IF NOT EXISTS citext').catch(() => undefined);
    await client.query(`CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'`);
    await client.query(
      `CREATE FUNCTION public.own(integer, integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
    );
    await client
      .query(`CREATE OPERATOR public.+ (leftarg = point, rightarg = text, function = pg_catalog.textcat)`)
      .catch(async () => {
        await client.query(`CREATE FUNCTION public.pt(point, text) RETURNS text LANGUAGE sql AS 'SELECT $2'`);
        await client.query('CREATE OPERATOR public.+ (leftarg = point, rightarg = text, function = public.pt)');
      });
    const query = async (sql: string): Promise<(string | null)[][]> =>
      (await client.query({ text: sql, rowMode: 'array', types: { getTypeParser: () => String } })).rows;
    snapshots.push(indexCatalog(await readCatalog(query)));
    await client.end();
  }
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

const grants = { functions: new Set<string>(), operators: new Set<string>(), extensions: new Set<string>() };

function builtins(snapshot: CatalogSnapshot): readonly CatalogFunction[] {
  return snapshot.functions.filter((candidate) => candidate.schema === 'pg_catalog');
}

function arities(candidate: CatalogFunction): readonly number[] {
  const count = candidate.argumentTypeOids.length;
  const result = Array.from({ length: candidate.defaultCount + 1 }, (_, index) => count - index);
  return candidate.variadicTypeOid === 0 ? result : [...result, count - 1, count + 1, count + 5].filter((n) => n >= 0);
}

describe('the list of allowed functions', () => {
  test('names only functions that some server has with that number of arguments', () => {
    const entries = Object.values(ALLOWED_FUNCTIONS).flatMap((group) => group.trim().split(/\s+/));
    const missing = entries.flatMap((entry) => {
      const [name = '', list = ''] = entry.split('/');
      const wanted = list.replace('+', '').split(',').map(Number);
      return wanted
        .filter(
          (arity) =>
            !snapshots.some((s) => s.functionsByName.get(name)?.some((f) => matchesArity(f, arity, false)) === true),
        )
        .map((arity) => `${name}/${arity}`);
    });
    const wrong = missing.filter((entry) => {
      const name = entry.split('/')[0] ?? '';
      return !NOT_IN_PG_PROC.has(name) && name !== 'mode' && !name.startsWith('percentile_');
    });
    expect(wrong).toEqual([]);
  });

  test('holds no volatile function but those judged harmless', () => {
    const volatile = snapshots.flatMap((snapshot) =>
      builtins(snapshot)
        .filter((f) => f.volatility === 'v' && !HARMLESS_VOLATILE.has(f.name))
        .filter((f) => arities(f).some((arity) => functionRule(f.name, arity).kind === 'allowed'))
        .map((f) => f.name),
    );
    expect(volatile).toEqual([]);
  });

  test('holds no function that takes an OID or alias type, except pure ones', () => {
    const oidTypes = new Set([26, 24, 2202, 2203, 2204, 2205, 2206, 4089, 4096]);
    const pure = new Set([
      'max',
      'min',
      'oideq',
      'oidne',
      'hashoid',
      'nameconcatoid',
      'oid',
      'int8',
      'int4',
      'text',
      'ts_parse',
      'ts_token_type',
    ]);
    pure.add('pg_indexam_has_property');
    const taking = snapshots.flatMap((snapshot) =>
      builtins(snapshot)
        .filter((f) => f.argumentTypeOids.some((type) => oidTypes.has(type)) && !pure.has(f.name))
        .filter((f) => arities(f).some((arity) => functionRule(f.name, arity).kind === 'allowed'))
        .map((f) => `${f.name}(${f.argumentTypeOids.join(',')})`),
    );
    expect(taking).toEqual([]);
  });

  test('every function that takes objects exists with these arguments and types', () => {
    const wrong = Object.entries(OID_FUNCTIONS).flatMap(([name, rules]) =>
      Object.keys(rules)
        .map(Number)
        .filter(
          (arity) =>
            !snapshots.some((s) => s.functionsByName.get(name)?.some((f) => matchesArity(f, arity, false)) === true),
        )
        .map((arity) => `${name}/${arity}`),
    );
    expect(wrong).toEqual([]);
  });

  test.each([
    'pg_read_file/1',
    'pg_sleep/1',
    'query_to_xml/4',
    'ts_stat/1',
    'ts_rewrite/2',
    'lo_get/1',
    'current_query/0',
    'pg_notify/2',
    'pg_advisory_lock/1',
    'txid_current/0',
    'pg_current_xact_id/0',
    'pg_stat_get_live_tuples/1',
    'pg_show_all_settings/0',
    'pg_prepared_statement/0',
    'pg_cursor/0',
    'setval/2',
    'setseed/1',
    'pg_ls_dir/1',
    'pg_terminate_backend/2',
    'pg_input_is_valid/2',
    'pg_identify_object/3',
    'has_column_privilege/4',
    'database_to_xml/3',
    'currtid2/2',
    'pg_get_multixact_members/1',
    'table_to_xmlschema/4',
    'cursor_to_xml/5',
    'dblink/1',
    '__proto__/1',
    'constructor/1',
    'toString/0',
  ])('%s is refused', (entry) => {
    const [name = '', arity = ''] = entry.split('/');
    expect(functionRule(name, Number(arity)).kind).toBe('refused');
  });
});

describe('a call is judged by every candidate', () => {
  const judge = (
    name: string,
    arity: number,
    schema?: string,
    schemas: readonly string[] = ['public'],
    hasVariadic = false,
  ) =>
    snapshots.map((catalog) => judgeFunctionCall({ schema, name, arity, hasVariadic, catalog, grants, schemas }).kind);
  const all = (kind: string): readonly string[] => versions.map(() => kind);

  test.each([
    ['upper', 1, 'allowed'],
    ['lower', 1, 'refused'],
    ['own', 1, 'refused'],
    ['own', 2, 'refused'],
    ['nothing_like_it', 1, 'attribute'],
    ['nothing_like_it', 2, 'refused'],
    ['uuid', 1, 'cast'],
    ['regclass', 1, 'regCast'],
    ['regtype', 1, 'regCast'],
    ['int4', 1, 'allowed'],
    ['jsonb', 1, 'cast'],
    ['nextval', 1, 'sequence'],
    ['set_config', 3, 'setting'],
    ['current_setting', 1, 'setting'],
    ['pg_get_indexdef', 1, 'oid'],
    ['col_description', 2, 'columnDescription'],
    ['to_regclass', 1, 'regName'],
    ['concat', 7, 'allowed'],
    ['unnest', 3, 'allowed'],
    ['percentile_cont', 2, 'allowed'],
    ['rank', 4, 'allowed'],
    ['count', 0, 'allowed'],
    ['mode', 1, 'allowed'],
    ['format', 0, 'refused'],
    ['upper', 2, 'refused'],
  ] as const)('%s with %i arguments: %s', (name, arity, kind) => {
    expect(judge(name, arity)).toEqual(all(kind));
  });

  test('what the grammar prints is covered', () => {
    for (const [name, arity] of [
      ['position', 2],
      ['overlay', 4],
      ['substring', 3],
      ['btrim', 1],
      ['ltrim', 2],
      ['rtrim', 1],
      ['extract', 2],
      ['timezone', 2],
      ['overlaps', 4],
      ['normalize', 1],
      ['is_normalized', 1],
      ['pg_collation_for', 1],
      ['like_escape', 2],
      ['similar_to_escape', 1],
      ['xmlexists', 2],
    ] as const) {
      expect([name, ...judge(name, arity, 'pg_catalog')]).toEqual([name, ...all('allowed')]);
    }
  });

  test('with the schema written only that schema counts', () => {
    expect(judge('lower', 1, 'pg_catalog')).toEqual(all('allowed'));
    expect(judge('lower', 1, 'public')).toEqual(all('refused'));
    expect(judge('lower', 1, undefined, [])).toEqual(all('allowed'));
  });

  test('VARIADIC needs a candidate that is called with the array itself', () => {
    expect(judge('concat', 1, undefined, ['public'], true)).toEqual(all('allowed'));
    expect(judge('concat', 3, undefined, ['public'], true)).toEqual(all('refused'));
  });

  test('a granted function may stand beside an allowed one', () => {
    const some = { ...grants, functions: new Set(['public\0lower']) };
    for (const catalog of snapshots) {
      expect(
        judgeFunctionCall({ name: 'lower', arity: 1, hasVariadic: false, catalog, grants: some, schemas: ['public'] })
          .kind,
      ).toBe('granted');
    }
  });

  test('what is remembered of a call holds for one policy and one catalog', () => {
    const call = { schema: undefined, name: 'lower', arity: 1, hasVariadic: false } as const;
    const under = (functions: readonly string[], schemas: readonly string[]): Access => ({
      views: new Map(),
      governedOids: new Set(),
      functions: { ...grants, functions: new Set(functions) },
      allowedCommands: new Set(),
      deniedCommands: new Set(),
      schemas,
      defaultSearchPath: ['public'],
      chosenKeys: 'Allow',
      grantsWrite: false,
    });
    const accesses = [under(['public\0lower'], ['public']), under([], ['public']), under([], [])];
    for (const catalog of snapshots) {
      const kinds = (): readonly string[] =>
        accesses.map((access) => calledFunction(call, catalog, access).judgement.kind);
      expect(kinds()).toEqual(['granted', 'refused', 'allowed']);
      expect(kinds()).toEqual(['granted', 'refused', 'allowed']);
    }
  });

  test('a user operator counts where the operand types let the server choose it', () => {
    for (const catalog of snapshots) {
      const use = { name: '+', catalog, grants, schemas: ['public'] };
      expect(judgeOperator(use).kind).toBe('refused');
      expect(judgeOperator({ ...use, leftTypeOid: 23, rightTypeOid: 23 }).kind).toBe('allowed');
      expect(judgeOperator({ ...use, leftTypeOid: 23 }).kind).toBe('allowed');
      expect(judgeOperator({ ...use, leftTypeOid: 600 }).kind).toBe('refused');
      expect(judgeOperator({ ...use, schemas: [] }).kind).toBe('allowed');
      expect(judgeOperator({ ...use, schema: 'pg_catalog' }).kind).toBe('allowed');
      expect(judgeOperator({ ...use, name: '<<>>' }).kind).toBe('refused');
    }
  });
});
