/** Writes by an ordinary client through the running gate: what the added checks look like from outside. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { silentLog } from '#proxy/log.ts';
import { type RunningProxy, startProxy } from '#proxy/start.ts';
import { connectionManifests, policyManifest } from '../manifests.ts';
import { createDatabase } from '../postgres.ts';

const database = 'write_gate';
let admin: pg.Client;
let client: pg.Client;
let proxy: RunningProxy;
let folder: string;

const POLICY = `  tables:
    - { name: public.customers, actions: [Select, Insert, Update, Delete], mask: [{ columns: [email], with: { method: Email } }], rowFilter: "region = 'eu'" }
    - { name: public.orders, actions: [Select, Insert, Update, Delete] }`;

function manifests(port: string): string {
  const connection = connectionManifests({ port, database, username: 'write_agent', password: 'agent' });
  return `${connection}---${policyManifest(POLICY, 'support', 'bot')}`;
}

beforeAll(async () => {
  const url = new URL(inject('sharedPostgresUrl'));
  await createDatabase(url.href, database);
  const root = new pg.Client({ connectionString: url.href });
  await root.connect();
  await root.query('DROP ROLE IF EXISTS write_agent');
  await root.query("CREATE ROLE write_agent LOGIN PASSWORD 'agent'");
  await root.end();
  url.pathname = `/${database}`;
  admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  await admin.query(`CREATE TABLE customers (id int PRIMARY KEY, email text, region text DEFAULT 'eu');
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
    GRANT ALL ON customers, orders TO write_agent`);
  folder = await mkdtemp(join(tmpdir(), 'postern-write-'));
  await writeFile(join(folder, 'all.yaml'), manifests(url.port));
  proxy = await startProxy({
    manifests: folder,
    connection: { namespace: 'data', name: 'shop' },
    identity: { namespace: 'agents', serviceAccount: 'bot', groups: [], claims: {} },
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    sink: { append: () => true, writable: true, lastSeq: 0, close: async () => undefined },
    log: silentLog,
  });
  await proxy.ready();
  client = new pg.Client({
    host: '127.0.0.1',
    port: proxy.address.port,
    user: 'any',
    database: 'any',
    password: 'any',
  });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await proxy.close(1000);
  await admin.end();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  await admin.query(`TRUNCATE customers, orders;
    INSERT INTO customers VALUES (1, 'ann@example.com', 'eu'), (3, 'cid@example.com', 'us')`);
});

const OUTSIDE = { code: '42501', message: 'new row violates the row filter for public.customers' };

test('an INSERT shows no row, in the simple and in the extended protocol', async () => {
  for (const query of [
    { text: 'INSERT INTO customers (id) VALUES (4)' },
    { text: 'INSERT INTO customers (id) VALUES ($1)', values: [5] },
  ]) {
    const result = await client.query(query);
    expect([result.command, result.rowCount, result.rows, result.fields]).toEqual(['INSERT', 1, [], []]);
  }
});

test('RETURNING shows the columns asked for, with masks', async () => {
  const result = await client.query({
    text: 'INSERT INTO customers (id, email) VALUES ($1, $2) RETURNING *',
    values: [4, 'dan@example.com'],
  });
  expect(result.rows).toEqual([{ id: 4, email: 'd***@example.com', region: 'eu' }]);
  expect(result.fields.map((field) => field.name)).toEqual(['id', 'email', 'region']);
});

test('a row outside of the filter is refused, and is not there', async () => {
  await expect(client.query("INSERT INTO customers VALUES (4, 'x', 'us')")).rejects.toMatchObject(OUTSIDE);
  await expect(
    client.query({ text: 'UPDATE customers SET region = $1 WHERE id = 1', values: ['us'] }),
  ).rejects.toMatchObject(OUTSIDE);
  expect((await admin.query("SELECT id FROM customers WHERE region = 'us'")).rows).toEqual([{ id: 3 }]);
});

test('also when it was prepared by name in SQL', async () => {
  await client.query('PREPARE move (int, text) AS UPDATE customers SET region = $2 WHERE id = $1');
  expect(await errorOf("EXECUTE move (1, 'us')")).toMatchObject(OUTSIDE);
  const result = await client.query("EXECUTE move (1, 'eu')");
  expect([result.command, result.rowCount, result.rows]).toEqual(['UPDATE', 1, []]);
  await client.query('DEALLOCATE move');
});

/** Everything that an error shows. */
async function errorOf(text: string): Promise<unknown> {
  const error: unknown = await client.query(text).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof pg.DatabaseError)) throw new Error(`no error: ${text}`);
  const { message, code, detail, hint, constraint, table, column, routine, where } = error;
  return { message, code, detail, hint, constraint, table, column, routine, where };
}

test('a hidden parent and a missing one look the same', async () => {
  const hidden = await errorOf('INSERT INTO orders VALUES (10, 3)');
  expect(hidden).toMatchObject({
    code: '23503',
    message: 'insert or update on table "orders" violates foreign key constraint "orders_customer_id_fkey"',
  });
  expect(await errorOf('INSERT INTO orders VALUES (10, 9)')).toEqual(hidden);
});

test('a key that a hidden row holds fails without name or value', async () => {
  const expected = { code: '23505', message: 'duplicate key value violates a unique constraint', detail: undefined };
  expect(await errorOf('INSERT INTO customers (id) VALUES (3)')).toMatchObject(expected);
  expect(
    await errorOf("INSERT INTO customers (id) VALUES (3) ON CONFLICT (id) DO UPDATE SET email = 'x'"),
  ).toMatchObject(expected);
});

test('EXPLAIN shows neither filter nor check', async () => {
  for (const text of [
    'EXPLAIN ANALYZE UPDATE customers SET email = NULL',
    'EXPLAIN VERBOSE INSERT INTO orders VALUES (1, 1)',
  ]) {
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(text);
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).not.toMatch(/region|postern|concat|Filter|cost/);
  }
});
