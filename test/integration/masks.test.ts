/** Masks against real servers: total over extreme values, type and modifier kept, the hash is HMAC. */
import { createHmac, randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MaskSpec } from '#crds/kinds.ts';
import { maskExpression } from '#policy/mask.ts';
import { maskKeySettings } from '#policy/mask-key.ts';
import { readCatalog } from '#catalog/read-catalog.ts';
import { type CatalogSnapshot, indexCatalog, qualifiedKey } from '#sql/catalog.ts';
import { quoteIdentifier, quoteLiteral } from '#sql/identifiers.ts';
import { printExpression } from '#sql/relation-view.ts';
import { isPostgresInstalled, type PostgresServer, startPostgres } from '#test/postgres.ts';

const MASKS: readonly MaskSpec[] = [
  { method: 'SetNull' },
  { method: 'Redact' },
  { method: 'Partial', keepFirst: 0, keepLast: 4, fill: '*' },
  { method: 'Partial', keepFirst: 2, keepLast: 1, fill: "'" },
  { method: 'Email' },
  { method: 'Hash' },
  { method: 'Bucket', size: 1 },
  { method: 'Bucket', size: 1000 },
  { method: 'Bucket', size: Number.MAX_SAFE_INTEGER },
  { method: 'Bucket', size: 0.3 },
  { method: 'Bucket', size: 1e-9 },
  { method: 'Truncate', to: 'year' },
  { method: 'Truncate', to: 'month' },
  { method: 'Truncate', to: 'day' },
];

const TEXTS = [
  '',
  ' ',
  'a',
  '@',
  'a@',
  '@b',
  'a@b',
  'ann@example.com',
  'a@b@c',
  'ann @x.y',
  'a\t@b',
  '\u{1F600}\u{1F600}@ü.de',
  'ÄÖÜßẞ\u0301',
  "it's",
  '\\',
  '%',
  'x'.repeat(60),
  `${'x'.repeat(400)}@b.c`,
];
const NUMBERS = ['0', '1', '-1', '999', '1000', '-1000', '-1001'];
const int = (min: string, max: string): readonly string[] => [...NUMBERS, min, max];
const INSTANTS = [
  '1970-01-01',
  '2024-02-29 23:59:59.999999',
  'infinity',
  '-infinity',
  '4714-11-24 00:00:00 BC',
  '4714-12-31 BC',
  '4713-06-01 BC',
  '4712-01-01 BC',
  '0001-01-01 BC',
  '294276-12-31 23:59:59.999999',
  '294275-12-31',
];

/** Column type → texts of its values; NULL is added to each. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  text: TEXTS,
  varchar: TEXTS,
  'varchar(9)': TEXTS.map((text) => Array.from(text).slice(0, 9).join('')),
  'varchar(10)': TEXTS.map((text) => Array.from(text).slice(0, 10).join('')),
  'varchar(40)': TEXTS.map((text) => Array.from(text).slice(0, 40).join('')),
  'char(12)': TEXTS.map((text) => Array.from(text).slice(0, 12).join('')),
  bpchar: TEXTS,
  name: TEXTS,
  citext: TEXTS,
  plain_domain: TEXTS,
  checked_domain: ['ann@example.com'],
  int2: int('-32768', '32767'),
  int4: int('-2147483648', '2147483647'),
  int8: int('-9223372036854775808', '9223372036854775807'),
  numeric: [...NUMBERS, 'NaN', '1e-16000', `-${'9'.repeat(131072)}`, '9'.repeat(131072), '-0.000000001'],
  'numeric(3,0)': ['999', '-999', '0', 'NaN'],
  'numeric(10,2)': ['99999999.99', '-99999999.99', '0.01', '-0.01'],
  float4: [...NUMBERS, 'NaN', 'Infinity', '-Infinity', '3.4028235e38', '-3.4028235e38', '1e-45', '-1e-45'],
  float8: [
    ...NUMBERS,
    'NaN',
    'Infinity',
    '-Infinity',
    '1.7976931348623157e308',
    '-1.7976931348623157e308',
    '5e-324',
    '-5e-324',
    '0.1',
  ],
  date: [
    '2024-02-29',
    'infinity',
    '-infinity',
    '4714-11-24 BC',
    '4713-12-31 BC',
    '5874897-12-31',
    '294277-01-01',
    '294276-12-31',
    '0001-12-31 BC',
  ],
  timestamp: INSTANTS,
  'timestamp(0)': INSTANTS.filter((text) => !text.startsWith('294276')),
  timestamptz: INSTANTS,
  'timestamptz(3)': INSTANTS.filter((text) => !text.startsWith('294276')),
  uuid: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  bool: ['true', 'false'],
  'time(2)': ['24:00:00', '00:00:00'],
  'interval(3)': ['1 day', '-178000000 years'],
  'interval day to second': ['1 day'],
  'bit(3)': ['101'],
  jsonb: ['{"a":1}', 'null'],
  'text[]': ['{}', '{a,NULL}'],
  'varchar(5)[]': ['{abc}'],
  mood: ['sad'],
  inet: ['10.0.0.1'],
  bytea: ['\\x00'],
  int4range: ['empty', '[1,2)'],
};

const typeNames = Object.keys(TYPES);
const column = (index: number): string => `c${index}`;
const key = randomBytes(100);

describe.each(([18, 15] as const).filter(isPostgresInstalled))('masks on PostgreSQL %i', (version) => {
  let server: PostgresServer;
  let client: pg.Client;
  let catalog: CatalogSnapshot;

  beforeAll(async () => {
    server = await startPostgres({ version });
    const options = [...maskKeySettings(key)].map(([name, value]) => `-c ${name}=${value}`).join(' ');
    client = new pg.Client({ connectionString: server.adminUrl(), options });
    await client.connect();
    await client.query('CREATE EXTENSION citext');
    await client.query("CREATE TYPE mood AS ENUM ('sad', 'glad')");
    await client.query('CREATE DOMAIN plain_domain AS varchar(64)');
    await client.query("CREATE DOMAIN checked_domain AS text CHECK (VALUE LIKE '%@%')");
    await client.query(
      `CREATE TABLE extremes (id int, ${typeNames.map((name, index) => `${column(index)} ${name}`).join(', ')})`,
    );
    for (const [index, name] of typeNames.entries()) {
      const values = (TYPES[name] ?? []).map((value) => `(${quoteLiteral(value)})`).join(', ');
      await client.query(
        `INSERT INTO extremes (${column(index)}) SELECT v::${name} FROM (VALUES (NULL), ${values}) AS x(v)`,
      );
    }
    const query = async (sql: string): Promise<readonly (string | null)[][]> => {
      const result = await client.query<(string | null)[]>({
        text: sql,
        rowMode: 'array',
        types: { getTypeParser: () => String },
      });
      return result.rows;
    };
    catalog = indexCatalog(await readCatalog(query));
  }, 120_000);

  afterAll(async () => {
    await client.end();
    await server.stop();
  });

  function masked(mask: MaskSpec, columnName: string, table = 'extremes'): string | undefined {
    const found = catalog.relationByName
      .get(qualifiedKey('public', table))
      ?.columns.find((each) => each.name === columnName);
    if (found === undefined) throw new Error(`no column ${columnName}`);
    const result = maskExpression(mask, found, catalog);
    return result.kind === 'unfit' ? undefined : printExpression(result.expression, quoteIdentifier, 'e');
  }

  test.each(typeNames.map((name, index) => [name, index] as const))(
    'every method that fits %s is total and keeps type and modifier',
    async (_, index) => {
      const name = column(index);
      let fitting = 0;
      for (const timeZone of ['UTC', 'Pacific/Kiritimati', 'Etc/GMT+12']) {
        await client.query(`SET TimeZone = '${timeZone}'`);
        for (const mask of MASKS) {
          const expression = masked(mask, name);
          if (expression === undefined) continue;
          fitting += 1;
          // pg_typeof, and a view's column, which has the modifier.
          await client.query(
            `CREATE TEMPORARY VIEW masked AS SELECT ${name} AS raw, ${expression} AS value FROM public.extremes AS e`,
          );
          const types = await client.query<{ type: string }>(
            "SELECT format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = 'masked'::regclass ORDER BY attnum",
          );
          expect([mask, types.rows[1]?.type]).toEqual([mask, types.rows[0]?.type]);
          await client.query('SELECT count(value::text), count(raw) FROM masked');
          const nulls = await client.query<{ changed: number }>(
            'SELECT count(*)::int AS changed FROM masked WHERE raw IS NULL AND value IS NOT NULL',
          );
          if (mask.method !== 'Redact') expect([mask, nulls.rows[0]?.changed]).toEqual([mask, 0]);
          await client.query('DROP VIEW masked');
        }
      }
      expect(fitting).toBeGreaterThan(0);
    },
  );

  test('the hash is the first half of HMAC-SHA-256 in hex, of a uuid a uuid', async () => {
    const hmac = (text: string): string => createHmac('sha256', key).update(text).digest('hex').slice(0, 32);
    const index = typeNames.indexOf('text');
    const rows = await client.query<{ raw: string; value: string }>(
      `SELECT ${column(index)} AS raw, ${masked({ method: 'Hash' }, column(index)) ?? ''} AS value FROM extremes e WHERE ${column(index)} IS NOT NULL`,
    );
    expect(rows.rows.length).toBe(TEXTS.length);
    for (const row of rows.rows) expect(row.value).toBe(hmac(row.raw));
    const uuid = typeNames.indexOf('uuid');
    const uuids = await client.query<{ raw: string; value: string }>(
      `SELECT ${column(uuid)} AS raw, ${masked({ method: 'Hash' }, column(uuid)) ?? ''} AS value FROM extremes e WHERE ${column(uuid)} IS NOT NULL`,
    );
    for (const row of uuids.rows) expect(row.value.replaceAll('-', '')).toBe(hmac(row.raw));
  });

  test.each<readonly [MaskSpec, string, string, string]>([
    [{ method: 'Redact' }, 'text', 'secret', '[redacted]'],
    [{ method: 'Partial', keepFirst: 0, keepLast: 4, fill: '*' }, 'text', '+49 170 1234567', '***********4567'],
    [{ method: 'Partial', keepFirst: 1, keepLast: 1, fill: '#' }, 'text', 'Ünïcødé', 'Ü#####é'],
    [{ method: 'Partial', keepFirst: 2, keepLast: 2, fill: '*' }, 'text', 'abcd', '****'],
    [{ method: 'Partial', keepFirst: 2, keepLast: 2, fill: '*' }, 'text', 'abc', '***'],
    [{ method: 'Email' }, 'text', 'ann@example.com', 'a***@example.com'],
    [{ method: 'Email' }, 'text', 'call me', '[redacted]'],
    [{ method: 'Email' }, 'text', 'a@b@c', '[redacted]'],
    [{ method: 'Email' }, 'text', `${'x'.repeat(400)}@b.c`, '[redacted]'],
    [{ method: 'Partial', keepFirst: 0, keepLast: 0, fill: '*' }, 'text', 'abc', '***'],
    [{ method: 'Truncate', to: 'day' }, 'timestamptz', 'infinity', 'infinity'],
    [{ method: 'Email' }, 'text', 'mail ann@example.com', '[redacted]'],
    [{ method: 'Bucket', size: 1000 }, 'int4', '1999', '1000'],
    [{ method: 'Bucket', size: 1000 }, 'int4', '-1', '-1000'],
    [{ method: 'Bucket', size: 1000 }, 'int4', '-2147483648', '-2147483648'],
    [{ method: 'Bucket', size: 1000 }, 'int8', '9223372036854775807', '9223372036854775000'],
    [{ method: 'Bucket', size: 0.5 }, 'numeric(10,2)', '3.99', '3.50'],
    [{ method: 'Bucket', size: 50_000 }, 'numeric(10,2)', '83250.00', '50000.00'],
    [{ method: 'Bucket', size: 10 }, 'float8', '-0.1', '-10'],
    [{ method: 'Truncate', to: 'year' }, 'date', '1984-06-15', '1984-01-01'],
    [{ method: 'Truncate', to: 'month' }, 'timestamp', '1984-06-15 10:11:12', '1984-06-01 00:00:00'],
    [{ method: 'Truncate', to: 'month' }, 'date', 'infinity', 'infinity'],
    [{ method: 'Constant', value: 7 }, 'int4', '1', '7'],
    [{ method: 'Constant', value: "o'x" }, 'text', '1', "o'x"],
  ])('%o on %s turns %s into %s', async (mask, type, raw, expected) => {
    const index = typeNames.indexOf(type);
    const expression = masked(mask, column(index)) ?? 'NULL';
    const result = await client.query<{ value: string }>(
      `SELECT (${expression})::text AS value FROM (SELECT ${quoteLiteral(raw)}::${type} AS ${column(index)}) AS e`,
    );
    expect(result.rows[0]?.value).toBe(expected);
  });

  test('no user function and no search path changes a mask', async () => {
    const index = typeNames.indexOf('text');
    await client.query(`CREATE SCHEMA evil; CREATE FUNCTION evil.length(text) RETURNS int LANGUAGE sql AS 'SELECT 1/0';
      CREATE FUNCTION evil.repeat(text, int) RETURNS text LANGUAGE sql AS $$SELECT 'leak'$$`);
    await client.query('SET search_path = evil, pg_catalog');
    const expression = masked({ method: 'Partial', keepFirst: 0, keepLast: 2, fill: '*' }, column(index)) ?? '';
    const result = await client.query<{ value: string }>(
      `SELECT ${expression} AS value FROM (SELECT 'abcdef'::text AS ${column(index)}) AS e`,
    );
    await client.query('RESET search_path');
    expect(result.rows[0]?.value).toBe('****ef');
  });

  test('a mask that cannot fit names the methods that do', () => {
    const unfit = (mask: MaskSpec, type: string): string => {
      const name = column(typeNames.indexOf(type));
      const found = catalog.relationByName
        .get(qualifiedKey('public', 'extremes'))
        ?.columns.find((each) => each.name === name);
      const result = found === undefined ? undefined : maskExpression(mask, found, catalog);
      return result?.kind === 'unfit' ? result.problem : 'fits';
    };
    expect(unfit({ method: 'Redact' }, 'varchar(9)')).toBe(
      'Redact does not fit varchar(9): [redacted] has 10 characters; use one of: SetNull, Partial',
    );
    expect(unfit({ method: 'Hash' }, 'varchar(10)')).toBe(
      'Hash does not fit varchar(10): a token has 32 characters; use one of: SetNull, Redact, Partial, Email',
    );
    expect(unfit({ method: 'Hash' }, 'int4')).toBe(
      'Hash does not fit int4: a token is a text of 32 characters or a uuid; use one of: SetNull, Redact, Bucket',
    );
    expect(unfit({ method: 'Bucket', size: 0.3 }, 'int4')).toBe(
      'Bucket does not fit int4: size must be a whole number; use one of: SetNull, Redact, Bucket',
    );
    expect(unfit({ method: 'Email' }, 'checked_domain')).toBe(
      'Email does not fit public.checked_domain: the result may break a CHECK of the domain; use one of: SetNull',
    );
    expect(unfit({ method: 'Constant', value: 40_000 }, 'int2')).toBe(
      'Constant does not fit int2: "40000" is not one of its values; use one of: SetNull, Redact, Bucket',
    );
    expect(unfit({ method: 'Truncate', to: 'year' }, 'text')).toBe(
      'Truncate does not fit text: it truncates dates and timestamps; use one of: SetNull, Redact, Partial, Email, Hash',
    );
    expect(unfit({ method: 'Email' }, 'jsonb')).toBe(
      'Email does not fit jsonb: it reads a text; use one of: SetNull, Redact',
    );
  });
});
