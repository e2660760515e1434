/** The partition ancestors of a granted table show only where all of them are granted. */
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
GRANT SELECT ON lonely, root, leaf TO bot`;
const POLICY = '  tables: [{ name: public.lonely }, { name: public.root }, { name: public.leaf }]\n';

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
