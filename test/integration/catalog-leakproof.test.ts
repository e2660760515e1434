/** What counts as leak-proof never raises: every such operator and cast runs over the extreme values of its types on real servers. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCatalog } from '#catalog/read-catalog.ts';
import { type CatalogSnapshot, indexCatalog, qualifiedKey } from '#sql/catalog.ts';
import { isLeakproofCast, isLeakproofOperator } from '#sql/leakproof.ts';
import { isPostgresInstalled, type PostgresServer, startPostgres } from '#test/postgres.ts';

const VALUES: Readonly<Record<string, readonly string[]>> = {
  int2: ['-32768', '0', '32767'],
  int4: ['-2147483648', '0', '2147483647'],
  int8: ['-9223372036854775808', '0', '9223372036854775807'],
  float4: ['-Infinity', 'NaN', '1e-45', '3.4e38'],
  float8: ['-Infinity', 'NaN', '5e-324', '1.7e308', '0.1'],
  numeric: ['NaN', '1e1000', '-1e-1000', '0', '99999999999999999999999999.5'],
  oid: ['0', '4294967295'],
  bool: ['t', 'f'],
  text: ['', 'a%b_c', '12', 'not a number', '2020-01-01'],
  varchar: ['', 'x', '%'],
  bpchar: ['', 'x  '],
  name: ['', 'n'],
  bytea: ['', '\\x00ff'],
  uuid: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  date: ['-infinity', '4713-11-24 BC', '5874897-12-31', '2024-02-29'],
  timestamp: ['-infinity', '4713-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999', '2024-02-29 12:00'],
  timestamptz: ['infinity', '4713-11-24 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00', '2024-02-29 12:00+00'],
  time: ['00:00', '24:00'],
  timetz: ['00:00-15:59', '24:00+15:59'],
  interval: ['-178000000 years', '0', '178000000 years'],
  inet: ['0.0.0.0/0', '::1', '255.255.255.255'],
  cidr: ['10.0.0.0/8', '::/0'],
  jsonb: ['null', '{"a": 1e400}', '[]'],
  _int4: ['{}', '{1,NULL}'],
  _text: ['{}', '{a}'],
};

const OPERATORS = ['=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '/', '||', '~', '->', '@>', '&&'];
const versions = ([18, 15] as const).filter(isPostgresInstalled);
const servers: PostgresServer[] = [];
const benches: { readonly client: pg.Client; readonly catalog: CatalogSnapshot; readonly notices: string[] }[] = [];

beforeAll(async () => {
  for (const version of versions) {
    const server = await startPostgres({ version });
    servers.push(server);
    const client = new pg.Client({ connectionString: server.adminUrl() });
    await client.connect();
    await client.query(
      "CREATE TYPE colour AS ENUM ('red', 'green'); CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN word AS text",
    );
    const notices: string[] = [];
    client.on('notice', (notice) => notices.push(String(notice.message)));
    const query = async (sql: string): Promise<(string | null)[][]> =>
      (await client.query({ text: sql, rowMode: 'array', types: { getTypeParser: () => String } })).rows;
    benches.push({ client, catalog: indexCatalog(await readCatalog(query)), notices });
  }
});

afterAll(async () => {
  await Promise.all(benches.map(({ client }) => client.end()));
  await Promise.all(servers.map((server) => server.stop()));
});

function oid(catalog: CatalogSnapshot, name: string): number {
  const schema = catalog.typeByName.has(qualifiedKey('pg_catalog', name)) ? 'pg_catalog' : 'public';
  const type = name === '?' ? undefined : catalog.typeByName.get(qualifiedKey(schema, name));
  return type?.oid ?? 705;
}

function rowsOf(name: string, alias: string): string {
  const list = (VALUES[name] ?? []).map((value) => `('${value}'::pg_catalog."${name}")`).join(', ');
  return `(VALUES ${list}) AS ${alias} (v)`;
}

describe.each(versions.map((version, index) => [version, index] as const))('on PostgreSQL %i', (_, index) => {
  const bench = () => {
    const found = benches[index];
    if (found === undefined) throw new Error('no server');
    return found;
  };

  test('no operator judged leak-proof raises for any pair of extreme values', async () => {
    const { client, catalog, notices } = bench();
    const raised: string[] = [];
    let judged = 0;
    for (const left of Object.keys(VALUES)) {
      for (const right of Object.keys(VALUES)) {
        for (const operator of OPERATORS) {
          if (!isLeakproofOperator(operator, oid(catalog, left), oid(catalog, right), catalog)) continue;
          judged += 1;
          const sql = `SELECT count(a.v ${operator} b.v) FROM ${rowsOf(left, 'a')}, ${rowsOf(right, 'b')}`;
          await client
            .query(sql)
            .catch((error: unknown) => raised.push(`${left} ${operator} ${right}: ${String(error)}`));
        }
      }
    }
    expect(raised).toEqual([]);
    expect(notices).toEqual([]);
    expect(judged).toBeGreaterThan(300);
  });

  test('no cast judged leak-proof raises for any extreme value', async () => {
    const { client, catalog } = bench();
    const raised: string[] = [];
    let judged = 0;
    for (const from of Object.keys(VALUES)) {
      for (const to of Object.keys(VALUES)) {
        if (!isLeakproofCast(oid(catalog, from), oid(catalog, to), catalog, -1)) continue;
        judged += 1;
        await client
          .query(`SELECT count(a.v::pg_catalog."${to}") FROM ${rowsOf(from, 'a')}`)
          .catch((error: unknown) => raised.push(`${from} to ${to}: ${String(error)}`));
      }
    }
    expect(raised).toEqual([]);
    expect(judged).toBeGreaterThan(30);
  });

  test.each([
    ['=', 'int4', '?', true],
    ['=', 'int4', 'int8', true],
    ['=', 'int4', 'numeric', true],
    ['=', 'varchar', '?', true],
    ['=', 'varchar', 'varchar', true],
    ['=', 'varchar', 'text', true],
    ['<', 'numeric', '?', true],
    ['=', 'colour', '?', true],
    ['<', 'colour', 'colour', true],
    ['=', 'word', '?', true],
    ['=', 'positive', 'int8', true],
    ['=', 'date', 'timestamptz', true],
    ['~~', 'text', '?', true],
    ['~~', 'varchar', '?', true],
    ['=', 'uuid', '?', true],
    ['~', 'text', '?', false],
    ['~~*', 'text', '?', false],
    ['=', 'jsonb', '?', false],
    ['=', '_int4', '?', false],
    ['+', 'int4', 'int4', false],
    ['/', 'int4', '?', false],
    ['||', 'text', '?', false],
    ['=', 'float8', 'numeric', false],
    ['=', 'uuid', 'text', false],
    ['->>', 'jsonb', '?', false],
    ['=', '?', '?', false],
    ['=', 'colour', 'text', false],
  ] as const)('%s on %s and %s: %s', (operator, left, right, expected) => {
    const { catalog } = bench();
    expect(isLeakproofOperator(operator, oid(catalog, left), oid(catalog, right), catalog)).toBe(expected);
  });

  test.each([
    ['int4', 'int8', true],
    ['varchar', 'text', true],
    ['int4', 'text', true],
    ['int8', 'int4', false],
    ['text', 'int4', false],
    ['text', 'uuid', false],
    ['int4', 'numeric', false],
    ['numeric', 'numeric', false],
    ['int4', 'positive', false],
    ['text', 'regclass', false],
    ['date', 'timestamp', false],
    ['float8', 'int4', false],
    ['text', 'bytea', false],
  ] as const)('cast of %s to %s without a known length: %s', (from, to, expected) => {
    const { catalog } = bench();
    expect(isLeakproofCast(oid(catalog, from), oid(catalog, to), catalog)).toBe(expected);
  });

  test('an operand of unknown type is never leak-proof', () => {
    const { catalog } = bench();
    expect(isLeakproofOperator('=', undefined, 23, catalog)).toBe(false);
    expect(isLeakproofOperator('=', 23, undefined, catalog)).toBe(false);
  });
});
