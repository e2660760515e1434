/** What is compared: PostgreSQL itself, PgBouncer in session mode, and Postern, all on free loopback ports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';

export const DATABASE = 'bench';
/** PgBouncer's name for the same database, entered as a role that finds honest views in place of the tables. */
export const VIEW_DATABASE = 'bench_views';

/** Somewhere a client can connect to; Postern and PgBouncer ask for no password on loopback. */
export interface Target {
  readonly name: string;
  readonly port: number;
  readonly database: string;
  /** Process whose memory is of interest. */
  readonly pid?: number;
  readonly stop: () => Promise<void>;
}

const RULES = `
  - name: public.accounts
    mask:
      - { columns: [filler], with: { method: Redact } }
      - { columns: [bid], with: { method: Bucket, size: 10 } }
    rowFilter: "aid > 0"
  - name: public.wide
    mask:
      - { columns: [amount], with: { method: Bucket, size: 10 } }
      - { columns: [note], with: { method: Constant, value: "masked note of the same length as others" } }
    rowFilter: "id > 0"`;

const PLAIN_RULES = `
  - name: public.wide`;

/** What one Postern process is started with. */
export interface GateOptions {
  readonly name: string;
  readonly auditRequired: boolean;
  /** Detectors for content redaction; none: the masking policy. */
  readonly redact?: readonly string[];
}

/** PostgreSQL 18 with 100,000 `accounts` and `wideRows` rows of six columns. */
export async function startDatabase(wideRows: number): Promise<PostgresServer> {
  const server = await startPostgres({
    settings: { shared_buffers: '512MB', autovacuum: 'off', jit: 'off', max_connections: '300' },
    hba: ['local all all trust', 'host all all 127.0.0.1/32 trust'],
  });
  const client = new pg.Client({ connectionString: await server.createDatabase(DATABASE) });
  await client.connect();
  await client.query(`
    CREATE TABLE accounts (aid integer PRIMARY KEY, bid integer NOT NULL, abalance integer NOT NULL, filler text NOT NULL);
    INSERT INTO accounts SELECT i, i % 100, i * 7 % 1000, 'filler ' || md5(i::text) FROM generate_series(1, 100000) AS i;
    CREATE TABLE wide (id integer PRIMARY KEY, amount integer NOT NULL, total bigint NOT NULL, at timestamptz NOT NULL,
      name text NOT NULL, note text NOT NULL);
    INSERT INTO wide SELECT i, i % 1000, i::bigint * 1000003, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second',
      'person number ' || i, 'a note about order ' || lpad((i * 31 % 900001)::text, 7, '0') || ' kept as text'
      FROM generate_series(1, ${wideRows}) AS i;
    CREATE ROLE agent LOGIN;
    GRANT SELECT ON accounts, wide TO agent;
    CREATE SCHEMA honest;
    CREATE VIEW honest.accounts AS
      SELECT aid, (bid / 10) * 10 AS bid, abalance, '[redacted]'::text AS filler FROM public.accounts WHERE aid > 0;
    CREATE VIEW honest.wide AS
      SELECT id, (amount / 10) * 10 AS amount, total, at, name, 'masked note of the same length as others'::text AS note
      FROM public.wide WHERE id > 0;
    CREATE ROLE viewer LOGIN;
    ALTER ROLE viewer SET search_path = honest;
    GRANT USAGE ON SCHEMA honest TO viewer;
    GRANT SELECT ON honest.accounts, honest.wide TO viewer;`);
  await client.query('VACUUM ANALYZE');
  await client.end();
  return server;
}

export function isInstalled(program: 'pgbouncer' | 'pgbench'): boolean {
  return programPath(program) !== undefined;
}

function programPath(program: string): string | undefined {
  return [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/lib/postgresql/15/bin']
    .map((directory) => join(directory, program))
    .find((path) => existsSync(path));
}

/** PgBouncer refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | Record<string, never> {
  if (userInfo().uid !== 0) return {};
  const nobody = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('nobody:'));
  const [, , uid, gid] = nobody?.split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

export async function startPgBouncer(server: PostgresServer): Promise<Target> {
  const program = programPath('pgbouncer');
  if (program === undefined) throw new Error('pgbouncer is not installed');
  const directory = await mkdtemp(join(tmpdir(), 'postern-bouncer-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(
    file,
    `[databases]
${DATABASE} = host=${server.socketDirectory} port=${server.port} dbname=${DATABASE} user=agent
${VIEW_DATABASE} = host=${server.socketDirectory} port=${server.port} dbname=${DATABASE} user=viewer
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 150
max_client_conn = 500
ignore_startup_parameters = extra_float_digits,options
log_connections = 0
log_disconnections = 0
`,
  );
  const child = spawn(program, ['-q', file], { stdio: 'ignore', ...unprivileged() });
  await untilAccepting(port, child);
  return { name: 'PgBouncer', port, database: DATABASE, ...pidOf(child), stop: () => stopChild(child, directory) };
}

export async function startGate(server: PostgresServer, options: GateOptions): Promise<Target> {
  const directory = await mkdtemp(join(tmpdir(), 'postern-bench-'));
  await writeFile(join(directory, 'shop.yaml'), manifests(server, options));
  await mkdir(join(directory, 'audit'));
  const port = await freePort();
  const adminPort = await freePort();
  const child = spawn(process.execPath, gateArguments(directory, port, adminPort), {
    stdio: ['ignore', 'ignore', process.env['BENCH_LOG'] === undefined ? 'ignore' : 'inherit'],
  });
  try {
    await untilReady(adminPort, child);
  } catch (error) {
    await stopChild(child, directory);
    throw error;
  }
  return { name: options.name, port, database: DATABASE, ...pidOf(child), stop: () => stopChild(child, directory) };
}

export function gateArguments(directory: string, port: number, adminPort: number): readonly string[] {
  const bundle = new URL('../../dist/postern.js', import.meta.url).pathname;
  const identity = ['--manifests', join(directory, 'shop.yaml'), '--connection', 'data/shop', '--as', 'agents/bot'];
  const listen = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`];
  return [bundle, 'proxy', ...identity, ...listen, '--audit-file', join(directory, 'audit', 'records.ndjson')];
}

export function manifests(server: PostgresServer, options: GateOptions): string {
  const redact = options.redact === undefined ? '' : `\n  redact: { detectors: [${options.redact.join(', ')}] }`;
  return `apiVersion: postern.dev/v1alpha1
kind: DatabaseConnection
metadata: { name: shop, namespace: data }
spec:
  engine: Postgres
  host: ${server.socketDirectory}
  port: ${server.port}
  database: ${DATABASE}
  tls: { mode: Disable }
  credentials: { secretRef: { name: shop } }
  audit: { required: ${options.auditRequired} }
---
apiVersion: v1
kind: Secret
metadata: { name: shop, namespace: data, labels: { postern.dev/connection: shop } }
stringData: { username: agent, password: not-asked-for }
---
apiVersion: postern.dev/v1alpha1
kind: DatabaseAccessPolicy
metadata: { name: bench, namespace: data }
spec:
  connectionRef: { name: shop }
  subjects: [{ serviceAccount: { namespace: agents, name: bot } }]
  tables: ${options.redact === undefined ? RULES : PLAIN_RULES}${redact}
`;
}

async function untilAccepting(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (child.exitCode !== null) break;
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: DATABASE });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await sleep(25);
    }
  }
  throw new Error(`nothing answers on port ${port}`);
}

export async function untilReady(adminPort: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 800; attempt++) {
    if (child.exitCode !== null) break;
    const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(10);
  }
  throw new Error(`Postern did not become ready (exit code ${child.exitCode}); set BENCH_LOG=1 to see its log`);
}

export async function stopChild(child: ChildProcess, directory: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
  await rm(directory, { recursive: true, force: true });
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port from the operating system');
  return address.port;
}

function pidOf(child: ChildProcess): { readonly pid?: number } {
  return child.pid === undefined ? {} : { pid: child.pid };
}
