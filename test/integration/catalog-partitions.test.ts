/** The partitions around a granted table show only where all of them are granted. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CorpusGate, startCorpusGate } from '#test/corpus/gate.ts';
import { observe } from '#test/corpus/observer.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';

const SCHEMA = `CREATE ROLE bot LOGIN;
CREATE TABLE hidden_root (id int) PARTITION BY RANGE (id);
CREATE TABLE lonely PARTITION OF hidden_root FOR VALUES FROM (1) TO (10);
CREATE TABLE root (id int) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (1) TO (10);
CREATE TABLE torn (id int) PARTITION BY RANGE (id);
CREATE TABLE torn_1 PARTITION OF torn FOR VALUES FROM (1) TO (10);
CREATE TABLE torn_hidden PARTITION OF torn FOR VALUES FROM (10) TO (4711);
CREATE TABLE masked (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE masked_1 PARTITION OF masked FOR VALUES FROM (1) TO (4711);
CREATE TABLE key_masked (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE key_masked_1 PARTITION OF key_masked FOR VALUES FROM (1) TO (4711);
CREATE TABLE filtered (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE filtered_1 PARTITION OF filtered FOR VALUES FROM (1) TO (4711);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO bot`;
const MASKED_NOTE = 'mask: [{ columns: [note], with: { method: Redact } }]';
const MASKED_KEY = 'mask: [{ columns: [id], with: { method: SetNull } }]';
const POLICY = `
  tables:
    - { name: public.lonely }
    - { name: public.root }
    - { name: public.leaf }
    - { name: public.torn }
    - { name: public.torn_1 }
    - { name: public.masked, ${MASKED_NOTE} }
    - { name: public.masked_1, ${MASKED_NOTE} }
    - { name: public.key_masked, ${MASKED_KEY} }
    - { name: public.key_masked_1, ${MASKED_KEY} }
    - { name: public.filtered, rowFilter: "note = 'a'" }
    - { name: public.filtered_1, rowFilter: "note = 'a'" }
`;

let server: PostgresServer;
let gate: CorpusGate;

beforeAll(async () => {
  server = await startPostgres({ hba: ['local all all trust', 'host all all 127.0.0.1/32 trust'] });
  const client = new pg.Client({ connectionString: await server.createDatabase('shop') });
  await client.connect();
  await client.query(SCHEMA);
  await client.end();
  gate = await startCorpusGate({
    serverPort: server.port,
    database: 'shop',
    user: 'bot',
    password: 'none',
    policySpec: POLICY,
  });
});

afterAll(async () => {
  await gate.close();
  await server.stop();
});

async function ancestors(name: string): Promise<string> {
  const oid = `(SELECT oid FROM pg_class WHERE relname = '${name}')`;
  const seen = await observe(gate.port, [`SELECT relid::text FROM pg_partition_ancestors(${oid})`]);
  return seen.filter((line) => !line.startsWith('T ')).join(' ');
}

test('a partition of a granted table shows it', async () => {
  expect(await ancestors('leaf')).toBe(String.raw`D \x0\x1\x0\x0\x0\x4leaf D \x0\x1\x0\x0\x0\x4root C SELECT 2\x0 Z I`);
});

test('a partition of a hidden table shows nothing', async () => {
  expect(await ancestors('lonely')).toBe(String.raw`C SELECT 0\x0 Z I`);
});

async function cells(sql: string): Promise<readonly string[]> {
  const seen = await observe(gate.port, [sql]);
  return seen
    .filter((line) => /^[DE] /.test(line))
    .map((line) => line.replace(/^D \\x0\\x1/, '').replace(/^(\\x[0-9a-f]+|.){4}/, ''));
}

test.each([
  ['root', ['root', 'leaf']],
  ['leaf', ['leaf']],
  ['torn', []],
  ['torn_1', ['torn_1']],
  ['lonely', []],
  ['hidden_root', []],
])('the partition tree of %s', async (name, shown) => {
  const oid = `(SELECT oid FROM pg_class WHERE relname = '${name}')`;
  expect(await cells(`SELECT relid::text FROM pg_partition_tree(${oid})`)).toEqual(shown);
});

test.each([
  ['leaf', 'FOR VALUES FROM (1) TO (10)'],
  ['masked_1', 'FOR VALUES FROM (1) TO (4711)'],
  ['key_masked_1', undefined],
  ['filtered_1', undefined],
])('the bounds of %s', async (name, shown) => {
  const bound = 'coalesce(pg_get_expr(relpartbound, oid), $$nothing$$)';
  expect(await cells(`SELECT ${bound} FROM pg_class WHERE relname = '${name}'`)).toEqual([shown ?? 'nothing']);
});

test.each(['pg_database_size(current_database())', 'pg_tablespace_size($$pg_default$$)', 'pg_tablespace_size(1663)'])(
  '%s is NULL: sizes tell of hidden rows',
  async (call) => {
    expect(await cells(`SELECT coalesce(${call}::text, $$nothing$$)`)).toEqual(['nothing']);
  },
);
