import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import { silentLog } from '#proxy/log.ts';
import { ManifestError, type ProxyOptions, type RunningProxy, startProxy } from '#proxy/start.ts';
import { connectionManifests, policyManifest } from '../manifests.ts';

const database = 'proxy_test';
let admin: pg.Client;
let serverUrl: URL;
let folder: string;
let proxy: RunningProxy;
const events: AuditEvent[] = [];

const sink: AuditSink = {
  append: (batch) => {
    events.push(...batch);
    return true;
  },
  writable: true,
  lastSeq: 0,
  close: async () => undefined,
};

function connection(spec = ''): string {
  const credentials = { username: 'proxy_agent', password: 'agent secret' };
  return connectionManifests({ port: serverUrl.port, database, ...credentials, spec });
}

function policy(table: string, more = ''): string {
  return policyManifest(`  tables:\n    - ${table}\n${more}`);
}

const masked = '{ name: public.customers, mask: [{ columns: [email], with: { method: Redact } }] }';
const hidden = '{ name: public.customers, hide: [email] }';

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
}

function options(changes: Partial<ProxyOptions> = {}): ProxyOptions {
  return {
    manifests: folder,
    connection: { namespace: 'data', name: 'shop' },
    identity: { namespace: 'agents', serviceAccount: 'support-bot', groups: [], claims: {} },
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    sink,
    log: silentLog,
    ...changes,
  };
}

async function agent(): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: proxy.address.port,
    user: 'anybody',
    database: 'any',
    password: 'any',
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function get(path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${proxy.adminAddress?.port ?? 0}${path}`);
  return `${response.status} ${await response.text()}`;
}

beforeAll(async () => {
  serverUrl = new URL(inject('sharedPostgresUrl'));
  const root = new pg.Client({ connectionString: serverUrl.href });
  await root.connect();
  await root.query(`DROP DATABASE IF EXISTS ${database}`);
  await root.query(`CREATE DATABASE ${database}`);
  await root.query('DROP ROLE IF EXISTS proxy_agent');
  await root.query("CREATE ROLE proxy_agent LOGIN PASSWORD 'agent secret'");
  await root.end();
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  await admin.query(`CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
    INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com'), (2, 'Bob', 'bob@example.com');
    GRANT SELECT ON customers TO proxy_agent`);
  folder = await mkdtemp(join(tmpdir(), 'postern-proxy-'));
});

afterAll(async () => {
  await admin.end();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  events.length = 0;
  await write({ 'connection.yaml': connection(), 'policy.yaml': policy(masked) });
  proxy = await startProxy(options());
  await proxy.ready();
  return async () => {
    await proxy.close(1000);
  };
});

describe('a session', () => {
  test('sees the view of its policy, and its own words in errors', async () => {
    const client = await agent();
    const result = await client.query('SELECT * FROM customers ORDER BY id');
    expect(result.rows).toEqual([
      { id: 1, name: 'Ann', email: '[redacted]' },
      { id: 2, name: 'Bob', email: '[redacted]' },
    ]);
    await expect(client.query('SELECT * FROM payroll')).rejects.toMatchObject({
      code: '42501',
      routine: 'postern:relation_not_granted',
    });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  test('explains the plan of a statement whose parameters nobody gives', async () => {
    const client = await agent();
    const result = await client.query('EXPLAIN (GENERIC_PLAN, VERBOSE) SELECT * FROM customers WHERE id = $1');
    expect(result.rows).toEqual([{ 'QUERY PLAN': 'Index Scan using customers_pkey on customers' }]);
    await expect(client.query('EXPLAIN (ANALYZE, GENERIC_PLAN) SELECT * FROM customers')).rejects.toMatchObject({
      code: '22023',
      message: 'invalid parameter value',
    });
    await client.end();
  });

  test('starts with the pins, whatever user and database it asked for', async () => {
    const client = await agent();
    expect((await client.query('SHOW search_path')).rows).toEqual([{ search_path: 'public, pg_temp' }]);
    expect((await client.query('SHOW default_transaction_read_only')).rows).toEqual([
      { default_transaction_read_only: 'on' },
    ]);
    await client.query('RESET ALL');
    expect((await client.query('SHOW search_path')).rows).toEqual([{ search_path: 'public, pg_temp' }]);
    await client.end();
  });

  test('may not start with a setting that is pinned', async () => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: proxy.address.port,
      user: 'x',
      options: '-c role=postgres',
    });
    await expect(client.connect()).rejects.toMatchObject({
      code: '42501',
      message: 'setting role cannot be changed or read this way through the gate; it must stay none',
    });
  });
});

describe('health and metrics', () => {
  test('tell that the gate is ready, and count', async () => {
    expect(await get('/readyz')).toBe('200 ok\n');
    const client = await agent();
    await client.query('SELECT 1');
    expect(await get('/metrics')).toContain('\npostern_sessions 1\n');
    await client.end();
    expect(await get('/metrics')).toContain('postern_statements_total{');
  });

  test('records say when the process and its policies began and ended', async () => {
    await proxy.close(1000);
    const seen = events.map((event) => ('reason' in event ? `${event.phase} ${event.reason}` : event.phase));
    expect(seen[0]).toBe('session process_start');
    expect(seen).toContain('policy loaded');
    expect(seen.at(-1)).toBe('session process_end');
  });
});

describe('edited manifests', () => {
  test('take effect on the next statement, also of a prepared one', async () => {
    const client = await agent();
    const prepared = { name: 'all', text: 'SELECT * FROM customers WHERE id = 1' };
    expect((await client.query(prepared)).rows).toEqual([{ id: 1, name: 'Ann', email: '[redacted]' }]);
    await write({ 'policy.yaml': policy('{ name: public.customers, columns: [id] }') });
    await expect
      .poll(async () => (await client.query('SELECT * FROM customers WHERE id = 1')).rows, { timeout: 5000 })
      .toEqual([{ id: 1 }]);
    const again = await client.query(prepared).then(
      (result) => JSON.stringify(result.rows),
      (error: unknown) => String(error),
    );
    expect(again).not.toContain('Ann');
    await client.end();
  });

  test('that are broken leave the last good ones in force, and say so', async () => {
    const client = await agent();
    await write({ 'policy.yaml': policy(masked.replace('Redact', 'Redakt')) });
    await expect
      .poll(() => events.some((event) => event.phase === 'policy' && event.reason === 'rejected'), { timeout: 5000 })
      .toBe(true);
    const rejected = events.find((event) => event.phase === 'policy' && event.reason === 'rejected');
    expect(JSON.stringify(rejected)).toContain('policy.yaml');
    expect((await client.query('SELECT email FROM customers WHERE id = 1')).rows).toEqual([{ email: '[redacted]' }]);
    expect(await get('/readyz')).toBe('200 ok\n');
    expect(await get('/metrics')).toContain('\npostern_bundle_rejected_total{connection="data/shop"} 1\n');
    await client.end();
  });

  test('whose mask does not fit the column are refused as a whole', async () => {
    await write({
      'policy.yaml': policy('{ name: public.customers, mask: [{ columns: [id], with: { method: Hash } }] }'),
    });
    await expect
      .poll(() => events.some((event) => event.phase === 'policy' && event.reason === 'rejected'), { timeout: 5000 })
      .toBe(true);
    const client = await agent();
    expect((await client.query('SELECT email FROM customers WHERE id = 1')).rows).toEqual([{ email: '[redacted]' }]);
    await client.end();
  });

  test('that name nobody any more end the sessions with 57P01 and refuse new ones with 28000', async () => {
    const client = await agent();
    const ended = new Promise<string>((resolve) =>
      client.once('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message)),
    );
    await write({ 'policy.yaml': policy(hidden).replace('support-bot', 'other-bot') });
    expect(await ended).toBe('57P01');
    await expect(agent()).rejects.toMatchObject({ code: '28000' });
  });

  test('that take the connection away do the same', async () => {
    const client = await agent();
    const ended = new Promise<string>((resolve) =>
      client.once('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message)),
    );
    await write({ 'connection.yaml': connection().replace('name: shop,', 'name: other,') });
    expect(await ended).toBe('57P01');
    await expect(agent()).rejects.toMatchObject({ code: '28000' });
    expect(events.some((event) => event.phase === 'policy' && event.reason === 'withdrawn')).toBe(true);
  });
});

describe('the database', () => {
  test('a new table is known soon after a statement named it', async () => {
    await write({ 'policy.yaml': policy('{ name: "public.*" }') });
    const client = await agent();
    await expect(client.query('SELECT * FROM fresh')).rejects.toMatchObject({ code: '42501' });
    await admin.query('CREATE TABLE IF NOT EXISTS fresh (a int); GRANT SELECT ON fresh TO proxy_agent');
    try {
      const read = (): Promise<string> =>
        client.query('SELECT * FROM fresh').then(
          () => 'read',
          () => 'refused',
        );
      await expect.poll(read, { timeout: 10_000, interval: 200 }).toBe('read');
    } finally {
      await admin.query('DROP TABLE fresh');
      await client.end();
    }
  });

  test('that is away is 57P03 until it comes, and the reason stands in /readyz', async () => {
    await proxy.close(100);
    await write({ 'connection.yaml': connection().replace(`port: ${serverUrl.port}`, 'port: 1') });
    proxy = await startProxy(options());
    await expect.poll(() => get('/readyz'), { timeout: 3000 }).toBe('503 not ready: the database cannot be reached\n');
    await expect(agent()).rejects.toMatchObject({ code: '57P03' });
    await write({ 'connection.yaml': connection() });
    await proxy.ready();
    const client = await agent();
    expect((await client.query('SELECT id FROM customers ORDER BY id')).rows).toEqual([{ id: 1 }, { id: 2 }]);
    await client.end();
  });
});

test('policies that do not fit the database let nobody in, and /readyz says why', async () => {
  await proxy.close(100);
  await write({
    'policy.yaml': policy('{ name: public.customers, mask: [{ columns: [id], with: { method: Hash } }] }'),
  });
  proxy = await startProxy(options());
  const expected = '503 not ready: the policies do not fit the database\n';
  await expect.poll(() => get('/readyz'), { timeout: 3000 }).toBe(expected);
  await expect(agent()).rejects.toMatchObject({ code: '57P03' });
  const rejected = events.find((event) => event.phase === 'policy' && event.reason === 'rejected');
  expect(JSON.stringify(rejected)).toContain('data/support: spec.tables[0]');
  await write({ 'policy.yaml': policy(masked) });
  await expect.poll(() => get('/readyz'), { timeout: 5000 }).toBe('200 ok\n');
});

describe('what does not start', () => {
  test('manifests with faults, each named', async () => {
    await write({ 'policy.yaml': policy(masked, '  limitz: {}') });
    const attempt = startProxy(options());
    await expect(attempt).rejects.toThrow(ManifestError);
    await expect(attempt).rejects.toThrow(
      /policy\.yaml:\d+: DatabaseAccessPolicy data\/support: spec\.limitz: unknown field/,
    );
  });

  test('a port open to the network without a token', async () => {
    await expect(startProxy(options({ listen: { host: '0.0.0.0', port: 0 } }))).rejects.toThrow(
      '--listen 0.0.0.0: with clientAuth.mode Workload only a loopback address may be used, such as 127.0.0.1',
    );
  });

  test('a port that is taken', async () => {
    await expect(
      startProxy(options({ listen: { host: '127.0.0.1', port: proxy.address.port } })),
    ).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

test('draining lets a transaction end, then says 57P01', async () => {
  const client = await agent();
  await client.query('BEGIN');
  const ended = new Promise<string>((resolve) =>
    client.once('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message)),
  );
  const closing = proxy.close(5000);
  expect((await client.query('SELECT count(*)::int AS n FROM customers')).rows).toEqual([{ n: 2 }]);
  await client.query('COMMIT');
  expect(await ended).toBe('57P01');
  await closing;
});
