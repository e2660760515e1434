/**
 * Nothing that a policy hides shows in any catalog relation an agent may read: a database full of objects whose names hold `zzhidden` is swept,
 * every row of every allowed relation as text, under a superuser (who sees everything) and under an ordinary role.
 */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCatalog } from '#catalog/read-catalog.ts';
import { type CatalogSnapshot, indexCatalog, isSystemSchema, qualifiedKey } from '#sql/catalog.ts';
import { quoteLiteral } from '#sql/identifiers.ts';
import { visibleRegLiteral, wrapArgument, wrapColumnDescription, wrapRegCast } from '#sql/oid-functions.ts';
import { OID_FUNCTIONS } from '#sql/oid-function-list.ts';
import { systemRelationView } from '#sql/system-catalogs.ts';
import { visibleObjects, type VisibleObjects } from '#sql/visible-objects.ts';
import { accessTo, SWEEP_SCHEMA } from '#test/integration/catalog-fixture.ts';
import { isPostgresInstalled, type PostgresServer, startPostgres } from '#test/postgres.ts';

interface Bench {
  readonly version: number;
  readonly admin: pg.Client;
  readonly reader: pg.Client;
  readonly catalog: CatalogSnapshot;
  readonly visible: VisibleObjects;
}

const versions = ([18, 15] as const).filter(isPostgresInstalled);
const servers: PostgresServer[] = [];
const benches: Bench[] = [];

function rows(client: pg.Client): (sql: string) => Promise<(string | null)[][]> {
  return async (sql) =>
    (await client.query({ text: sql, rowMode: 'array', types: { getTypeParser: () => String } })).rows;
}

beforeAll(async () => {
  for (const version of versions) {
    const server = await startPostgres({ version });
    servers.push(server);
    const admin = new pg.Client({ connectionString: server.adminUrl() });
    await admin.connect();
    await admin.query(SWEEP_SCHEMA);
    const reader = new pg.Client({
      host: server.host,
      port: server.port,
      user: 'reader',
      password: 'reader',
      database: 'postgres',
    });
    await reader.connect();
    const catalog = indexCatalog(await readCatalog(rows(reader)));
    benches.push({ version, admin, reader, catalog, visible: visibleObjects(accessTo(catalog), catalog) });
  }
});

afterAll(async () => {
  await Promise.all(benches.flatMap(({ admin, reader }) => [admin.end(), reader.end()]));
  await Promise.all(servers.map((server) => server.stop()));
});

async function hiddenOids(bench: Bench): Promise<readonly string[]> {
  const [row] = await rows(bench.admin)(`
    SELECT array_agg(oid) FROM (
      SELECT oid FROM pg_class WHERE relname LIKE '%zzhidden%' UNION SELECT oid FROM pg_type WHERE typname LIKE '%zzhidden%'
      UNION SELECT oid FROM pg_proc WHERE proname LIKE 'zzhidden%' UNION SELECT oid FROM pg_namespace WHERE nspname LIKE 'zzhidden%'
      UNION SELECT oid FROM pg_authid WHERE rolname LIKE 'zzhidden%' UNION SELECT oid FROM pg_operator WHERE oprname = '<+>'
      UNION SELECT oid FROM pg_constraint WHERE conname LIKE '%zzhidden%') AS h`);
  // The owner of a visible table shows as a number, as any role's would.
  const owner = await rows(bench.admin)("SELECT oid::text FROM pg_authid WHERE rolname = 'zzhidden_role'");
  return (row?.[0] ?? '')
    .replace(/[{}]/g, '')
    .split(',')
    .filter((oid) => oid !== owner[0]?.[0]);
}

function systemRelations(bench: Bench): readonly { readonly name: string; readonly sql: string }[] {
  return bench.catalog.relations.flatMap((relation) => {
    if (!isSystemSchema(relation.schema)) return [];
    const view = systemRelationView(relation, bench.visible);
    if (view.kind === 'refused') return [];
    const name = `${relation.schema}.${relation.name}`;
    return [{ name, sql: view.kind === 'whole' ? `SELECT * FROM ${name}` : view.sql }];
  });
}

describe.each(versions.map((version, index) => [version, index] as const))('on PostgreSQL %i', (_, index) => {
  const bench = (): Bench => {
    const found = benches[index];
    if (found === undefined) throw new Error('no server');
    return found;
  };

  test.each(['admin', 'reader'] as const)(
    'no allowed catalog relation shows a hidden name, value or OID (as %s)',
    async (who) => {
      const client = bench()[who];
      const oids = new Set(await hiddenOids(bench()));
      const found: string[] = [];
      const slow: string[] = [];
      let total = 0;
      for (const { name, sql } of systemRelations(bench())) {
        const started = performance.now();
        const answer = await rows(client)(`SELECT v::text FROM (${sql}) AS v`).catch((error: unknown) => {
          throw new Error(`${name}: ${String(error)}\n${sql}`);
        });
        total += answer.length;
        // Views over every function or role pair take longest; more would hold a client up at its start.
        const milliseconds = Math.round(performance.now() - started);
        if (milliseconds > 3_000) slow.push(`${name}: ${milliseconds} ms`);
        for (const [text] of answer) {
          const numbers = text?.match(/\d+/g) ?? [];
          const hit =
            text?.includes('zzhidden') === true ||
            numbers.some((number) => oids.has(number)) ||
            /424242|434343/.test(text ?? '');
          if (hit) found.push(`${name}: ${String(text)}`);
        }
      }
      expect(found).toEqual([]);
      expect(slow).toEqual([]);
      expect(total).toBeGreaterThan(5_000);
    },
  );

  test('every filtered relation keeps its columns, their order and their types', async () => {
    for (const relation of bench().catalog.relations.filter((one) => isSystemSchema(one.schema))) {
      const view = systemRelationView(relation, bench().visible, {
        systemColumns: relation.kind === 'r' ? ['tableoid', 'ctid'] : [],
      });
      if (view.kind !== 'filtered') continue;
      const answer = await bench().reader.query({ text: `SELECT * FROM (${view.sql}) AS v LIMIT 0`, rowMode: 'array' });
      const expected = relation.columns.map((column) => [column.name, column.typeOid]);
      if (relation.kind === 'r') expected.push(['tableoid', 26], ['ctid', 27]);
      const pseudo = new Set(
        bench()
          .catalog.types.filter((type) => type.kind === 'p')
          .map((type) => type.oid),
      );
      // The protocol reports a domain as its base type.
      const base = (oid: number): number => bench().catalog.typeByOid.get(oid)?.domainBaseOid || oid;
      const got = answer.fields.map((field) => [field.name, base(field.dataTypeID)]);
      const wanted = expected.map(([name, oid], i) => [
        name,
        pseudo.has(Number(oid)) ? got[i]?.[1] : base(Number(oid)),
      ]);
      expect([relation.name, got]).toEqual([relation.name, wanted]);
    }
  });

  test('what the identity may use is there', async () => {
    const read = async (name: string, rest: string, client = bench().reader): Promise<unknown> => {
      const [schema = '', bare = ''] = name.split('.');
      const relation = bench().catalog.relationByName.get(qualifiedKey(schema, bare));
      if (relation === undefined) throw new Error(name);
      const view = systemRelationView(relation, bench().visible);
      if (view.kind !== 'filtered') throw new Error(`${name} is ${view.kind}`);
      return (await rows(client)(rest.replace('$FROM', `(${view.sql}) AS v`))).map((row) => row.join(' '));
    };
    expect(
      await read('pg_catalog.pg_tables', "SELECT tablename FROM $FROM WHERE schemaname = 'shop' ORDER BY 1"),
    ).toEqual(['customers', 'events', 'events_1', 'orders', 'whole']);
    expect(
      await read(
        'information_schema.columns',
        "SELECT column_name FROM $FROM WHERE table_name = 'customers' ORDER BY ordinal_position",
      ),
    ).toEqual(['id', 'name', 'email', 'feeling', 'home', 'tags', 'cost', 'other', 'counter', 'parent_id', 'late']);
    expect(
      await read(
        'information_schema.tables',
        "SELECT table_name, table_type FROM $FROM WHERE table_schema = 'shop' ORDER BY 1",
      ),
    ).toEqual([
      'customers BASE TABLE',
      'events BASE TABLE',
      'events_1 BASE TABLE',
      'orders BASE TABLE',
      'visible_view VIEW',
      'whole BASE TABLE',
    ]);
    expect(
      await read('pg_catalog.pg_class', 'SELECT relname, relkind FROM $FROM WHERE oid >= 16384 ORDER BY 1'),
    ).toEqual(
      expect.arrayContaining([
        'customers r',
        'customers_id_seq S',
        'customers_name i',
        'customers_pkey i',
        'visible_view v',
        'address c',
      ]),
    );
    expect(
      await read(
        'pg_catalog.pg_class',
        "SELECT relname, reltuples FROM $FROM WHERE relname IN ('whole', 'orders') ORDER BY 1",
      ),
    ).toEqual(['orders -1', 'whole 777']);
    expect(
      await read(
        'pg_catalog.pg_constraint',
        "SELECT conname FROM $FROM WHERE conrelid <> 0 AND contype <> 'n' AND oid >= 16384 ORDER BY 1",
      ),
    ).toEqual([
      'customers_email_key',
      'customers_name_check',
      'customers_pkey',
      'orders_customer_id_fkey',
      'orders_pkey',
      'orders_region_excl',
      'whole_pkey',
    ]);
    expect(await read('pg_catalog.pg_enum', 'SELECT enumlabel FROM $FROM ORDER BY enumsortorder')).toEqual([
      'glad',
      'sad',
    ]);
    expect(await read('pg_catalog.pg_proc', 'SELECT proname, prosrc FROM $FROM WHERE oid >= 16384 ORDER BY 1')).toEqual(
      ['granted '],
    );
    expect(await read('pg_catalog.pg_namespace', 'SELECT nspname FROM $FROM ORDER BY 1')).toEqual([
      'information_schema',
      'pg_catalog',
      'shop',
    ]);
    expect(await read('pg_catalog.pg_roles', 'SELECT rolname FROM $FROM')).toEqual(['reader']);
    expect(await read('pg_catalog.pg_database', 'SELECT datname FROM $FROM')).toEqual(['postgres']);
    expect(
      await read('pg_catalog.pg_description', 'SELECT description FROM $FROM WHERE objoid >= 16384 ORDER BY 1'),
    ).toEqual(['people', 'the name']);
    expect(await read('pg_catalog.pg_attrdef', 'SELECT pg_get_expr(adbin, adrelid) FROM $FROM ORDER BY 1')).toEqual([
      "'glad'::shop.mood",
      "'late'::text",
    ]);
    expect(
      await read(
        'information_schema.key_column_usage',
        "SELECT constraint_name, column_name FROM $FROM WHERE table_schema = 'shop' ORDER BY 1, 2",
      ),
    ).toEqual([
      'customers_email_key email',
      'customers_pkey id',
      'orders_customer_id_fkey customer_id',
      'orders_pkey id',
      'whole_pkey id',
    ]);
    expect(
      await read(
        'information_schema.referential_constraints',
        'SELECT constraint_name, unique_constraint_name FROM $FROM',
        bench().admin,
      ),
    ).toEqual(['orders_customer_id_fkey customers_pkey']);
    expect(
      await read(
        'pg_catalog.pg_settings',
        "SELECT setting FROM $FROM WHERE name IN ('server_encoding', 'data_directory', 'hba_file')",
      ),
    ).toEqual(['UTF8']);
  });

  test("the session's own temporary table shows", async () => {
    const { reader, catalog, visible } = bench();
    await bench().admin.query('GRANT TEMPORARY ON DATABASE postgres TO reader');
    await reader.query('CREATE TEMPORARY TABLE mine (a int PRIMARY KEY, b text)');
    const view = (name: string): string => {
      const relation = catalog.relationByName.get(qualifiedKey('pg_catalog', name));
      const found = relation === undefined ? undefined : systemRelationView(relation, visible);
      return found?.kind === 'filtered' ? `(${found.sql})` : 'none';
    };
    const sql = `SELECT a.attname FROM ${view('pg_class')} c JOIN ${view('pg_attribute')} a ON a.attrelid = c.oid JOIN ${view('pg_namespace')} n ON n.oid = c.relnamespace WHERE c.relname = 'mine' AND a.attnum > 0 ORDER BY a.attnum`;
    expect(await rows(reader)(sql)).toEqual([['a'], ['b']]);
    expect(await rows(bench().admin)(sql)).toEqual([]);
    await reader.query('DROP TABLE mine');
  });

  test('no function of an object tells a hidden one from a missing one, over every number', async () => {
    const { reader, catalog, visible } = bench();
    const oids = await hiddenOids(bench());
    const numbers = [...oids, '987654321'].join(',');
    const found: string[] = [];
    for (const [name, rules] of Object.entries(OID_FUNCTIONS)) {
      for (const [arity, list] of Object.entries(rules)) {
        const candidate = catalog.functionsByName
          .get(name)
          ?.find(
            (one) =>
              one.argumentTypeOids.length === Number(arity) &&
              list.every((rule) => one.argumentTypeOids[rule.index] !== 19 && one.argumentTypeOids[rule.index] !== 25),
          );
        if (candidate === undefined) continue;
        const fillers: Readonly<Record<number, string>> = {
          16: 'true',
          19: "'pg_class'",
          23: '1',
          21: '1::int2',
          25: name.includes('privilege') || name === 'pg_has_role' ? "'USAGE'" : "'x'",
          194: 'NULL::pg_node_tree',
        };
        const args = candidate.argumentTypeOids.map((type, i) => {
          const rule = list.find((one) => one.index === i);
          if (rule === undefined)
            return name.includes('table_p') || name.includes('column_p')
              ? "'SELECT'"
              : name.includes('function_p')
                ? "'EXECUTE'"
                : name.includes('database_p')
                  ? "'CONNECT'"
                  : (fillers[type] ?? 'NULL');
          return wrapArgument(
            rule.objectClass === 'role' && list.length > 1 && i === 0 ? 'current_user' : 'g.o',
            rule,
            visible,
          );
        });
        const call = `pg_catalog.${name}(${args.join(', ')})`;
        const answered = candidate.returnsSet ? `(SELECT string_agg(r::text, ',') FROM ${call} AS r)` : `${call}::text`;
        const sql = `SELECT count(DISTINCT coalesce(${answered}, '<null>')) FROM unnest('{${numbers}}'::oid[]) AS g(o)`;
        const answer = await rows(reader)(sql).catch((error: unknown) => [[`${String(error)} ${sql}`]]);
        if (answer[0]?.[0] !== '1') found.push(`${name}/${arity}: ${String(answer[0]?.[0])}`);
      }
    }
    expect(found).toEqual([]);
  });

  test('functions of visible objects answer as ever', async () => {
    const { reader, visible } = bench();
    const customers = String(visible.catalog.relationByName.get(qualifiedKey('shop', 'customers'))?.oid);
    const ask = async (name: string, args: readonly string[]): Promise<unknown> => {
      const list = OID_FUNCTIONS[name]?.[args.length] ?? [];
      const wrapped = args.map((text, i) => {
        const rule = list.find((one) => one.index === i);
        return rule === undefined ? text : wrapArgument(text, rule, visible);
      });
      return (await rows(reader)(`SELECT pg_catalog.${name}(${wrapped.join(', ')})`))[0]?.[0];
    };
    expect(await ask('pg_table_is_visible', [customers])).toBe('f');
    expect(await ask('obj_description', [customers, "'pg_class'"])).toBe('people');
    expect(await ask('format_type', ['1043', '24'])).toBe('character varying(20)');
    expect(await ask('has_table_privilege', ["'shop.customers'", "'SELECT'"])).toBe('t');
    expect(await ask('has_table_privilege', ['current_user', `${customers}::oid`, "'SELECT'"])).toBe('t');
    expect(await ask('has_table_privilege', ["'shop.zzhidden_table'", "'SELECT'"])).toBe(null);
    expect(await ask('has_table_privilege', ["'shop.nothing'", "'SELECT'"])).toBe(null);
    expect(await ask('has_schema_privilege', ["'shop'", "'USAGE'"])).toBe('t');
    expect(await ask('has_database_privilege', ['current_database()', "'CONNECT'"])).toBe('t');
    expect(await ask('pg_get_userbyid', ['(SELECT oid FROM pg_roles WHERE rolname = current_user)'])).toBe('reader');
    const { before, after } = wrapColumnDescription(visible);
    expect(
      await rows(reader)(`SELECT ${before}${customers}::oid, 2${after}, ${before}${customers}::oid, 4${after}`),
    ).toEqual([['the name', null]]);
  });

  test('an expression of another relation does not print the hidden column that has its number', async () => {
    const { reader, visible } = bench();
    await bench().admin.query('GRANT TEMPORARY ON DATABASE postgres TO reader');
    await reader.query(
      'CREATE TEMPORARY TABLE probe (a int, b int, c int, d text CONSTRAINT probing CHECK (d > $$x$$))',
    );
    const customers = String(visible.catalog.relationByName.get(qualifiedKey('shop', 'customers'))?.oid);
    const ask = async (oid: string): Promise<string> => {
      const rule = OID_FUNCTIONS['pg_get_expr']?.[2]?.[0];
      const wrapped = rule === undefined ? 'none' : wrapArgument(oid, rule, visible);
      return (
        await rows(reader)(
          `SELECT pg_catalog.pg_get_expr(conbin, ${wrapped}) FROM pg_constraint WHERE conname = 'probing'`,
        )
      )
        .map(String)
        .join();
    };
    // Without the wrapping the server names the fourth column.
    expect(
      await rows(reader)(`SELECT pg_get_expr(conbin, ${customers}) FROM pg_constraint WHERE conname = 'probing'`),
    ).toEqual([["(zzhidden_ssn > 'x'::text)"]]);
    await expect(ask(customers)).rejects.toThrow(/expression contains variables|bogus varno/);
    expect(await ask("'probe'::regclass")).toBe("(d > 'x'::text)");
    expect(await ask('987654321')).toBe('');
    await reader.query('DROP TABLE probe');
  });

  test('casts to reg* types list no hidden name', async () => {
    const { reader, visible } = bench();
    for (const regType of [
      'regclass',
      'regtype',
      'regproc',
      'regprocedure',
      'regnamespace',
      'regrole',
      'regoper',
      'regoperator',
      'regcollation',
    ]) {
      const answer = await rows(reader)(
        `SELECT string_agg(${wrapRegCast('g', regType, visible)}::text, ' ') FROM generate_series(1, 20000) AS g`,
      );
      expect(String(answer[0]?.[0])).not.toContain('zzhidden');
    }
    const names =
      "unnest(ARRAY['shop.zzhidden_table', 'shop.nothing', 'nowhere.t', 'shop.whole', '\"shop\".\"whole\"', 'pg_class', 'a b c'])";
    expect(
      await rows(reader)(
        `SELECT ${wrapRegCast('g.t', 'regclass', visible)}::oid::regclass::text FROM ${names} AS g(t)`,
      ),
    ).toEqual([[null], [null], [null], ['shop.whole'], ['shop.whole'], ['pg_class'], [null]]);
    expect(
      await rows(reader)(
        `SELECT ${wrapRegCast("'shop.customers'::regclass", 'regclass', visible)}, ${wrapRegCast("'integer'::regtype", 'regtype', visible)}, ${wrapRegCast('0', 'regclass', visible)}`,
      ),
    ).toEqual([['shop.customers', 'integer', '-']]);
  });

  test.each([
    ['regclass', 'shop.whole', true],
    ['regclass', 'whole', true],
    ['regclass', '"whole"', true],
    ['regclass', 'WHOLE', true],
    ['regclass', '"WHOLE"', false],
    ['regclass', 'shop.zzhidden_table', false],
    ['regclass', 'zzhidden_table', false],
    ['regclass', 'shop.nothing', false],
    ['regclass', 'customers_pkey', true],
    ['regclass', 'customers_zzhidden_index', false],
    ['regclass', 'customers_id_seq', true],
    ['regclass', 'zzhidden_sequence', false],
    ['regclass', 'pg_class', true],
    ['regclass', '1259', true],
    ['regclass', 'a.b.c.d', false],
    ['regtype', 'int4', true],
    ['regtype', 'timestamp with time zone', true],
    ['regtype', 'shop.mood', true],
    ['regtype', 'mood[]', true],
    ['regtype', 'shop.zzhidden_enum', false],
    ['regtype', 'zzhidden_table', false],
    ['regtype', 'numeric(10,2)', true],
    ['regtype', 'customers', true],
    ['regproc', 'now', true],
    ['regproc', 'shop.granted', true],
    ['regproc', 'shop.zzhidden_function', false],
    ['regprocedure', 'lower(text)', true],
    ['regprocedure', 'lower(shop.zzhidden_enum)', false],
    ['regnamespace', 'shop', true],
    ['regnamespace', 'zzhidden_schema', false],
    ['regrole', 'reader', true],
    ['regrole', 'zzhidden_role', false],
    ['regoper', '+', true],
    ['regoper', '<+>', false],
    ['regconfig', 'english', true],
    ['regdatabase', 'postgres', false],
  ] as const)("'%s' literal %s: %s", (regType, text, isVisible) => {
    const { catalog, visible } = bench();
    const verdict = visibleRegLiteral(regType, text, catalog, ['shop'], visible);
    expect(verdict.kind).toBe(isVisible ? 'visible' : 'refused');
    if (verdict.kind === 'refused') expect(verdict.message).toContain(regType === 'regdatabase' ? regType : text);
    expect(quoteLiteral(text)).toContain("'");
  });

  test.each([
    'pg_stats',
    'pg_statistic',
    'pg_stats_ext',
    'pg_statistic_ext_data',
    'pg_authid',
    'pg_shadow',
    'pg_stat_activity',
    'pg_prepared_statements',
    'pg_cursors',
    'pg_locks',
    'pg_file_settings',
    'pg_hba_file_rules',
    'pg_largeobject',
    'pg_replication_slots',
    'pg_stat_user_tables',
    'pg_config',
    'pg_prepared_xacts',
  ])('%s is refused', (name) => {
    const relation = bench().catalog.relationByName.get(qualifiedKey('pg_catalog', name));
    if (relation === undefined) throw new Error(name);
    expect(systemRelationView(relation, bench().visible).kind).toBe('refused');
  });
});
