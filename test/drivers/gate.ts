/** A real PostgreSQL with the sample shop, and a real `postern proxy` before it, for one run of the drivers. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const HERE = new URL('.', import.meta.url).pathname;
const run = promisify(execFile);

export interface DriverGate {
  readonly port: number;
  /** The audit file, one JSON object a line. */
  readonly auditFile: string;
  readonly server: PostgresServer;
  readonly stop: () => Promise<void>;
}

/** Starts both; with pgbench's program, its tables are made too. Rejects with the gate's log where it does not become ready. */
export async function startDriverGate(version: 18 | 15, pgbench: string | undefined): Promise<DriverGate> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-drivers-'));
  const server = await startPostgres({ version });
  try {
    await loadDatabase(server, pgbench);
    await writeManifests(folder, server);
    const [port, adminPort] = [await freePort(), await freePort()];
    const auditFile = join(folder, 'audit.ndjson');
    const child = startProxyProcess({ folder, port, adminPort, auditFile });
    await untilReady(child, adminPort);
    const stop = async (): Promise<void> => {
      await stopProcess(child);
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    };
    return { port, auditFile, server, stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function loadDatabase(server: PostgresServer, pgbench: string | undefined): Promise<void> {
  const client = new pg.Client({ connectionString: await server.createDatabase('shop') });
  await client.connect();
  await client.query(await readFile(join(ROOT, 'demo/shop.sql'), 'utf8'));
  await client.query(await readFile(join(HERE, 'setup.sql'), 'utf8'));
  if (pgbench !== undefined) {
    await run(pgbench, ['--initialize', '--quiet', '--scale=1', server.adminUrl('shop')], { encoding: 'utf8' });
    const tables = 'pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history';
    await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${tables} TO driver_agent`);
  }
  await client.end();
}

async function writeManifests(folder: string, server: PostgresServer): Promise<void> {
  const policy = await readFile(join(HERE, 'policy.yaml'), 'utf8');
  const connection = `
apiVersion: postern.dev/v1alpha1
kind: DatabaseConnection
metadata: { name: shop, namespace: data }
spec:
  engine: Postgres
  host: ${server.host}
  port: ${server.port}
  database: shop
  tls: { mode: Disable }
  credentials: { secretRef: { name: shop-agent } }
---
apiVersion: v1
kind: Secret
metadata: { name: shop-agent, namespace: data, labels: { postern.dev/connection: shop } }
stringData: { username: driver_agent, password: drivers-only }
`;
  await writeFile(join(folder, 'policy.yaml'), policy);
  await writeFile(join(folder, 'connection.yaml'), connection, { mode: 0o600 });
}

interface ProcessInput {
  readonly folder: string;
  readonly port: number;
  readonly adminPort: number;
  readonly auditFile: string;
}

function startProxyProcess({ folder, port, adminPort, auditFile }: ProcessInput): ChildProcess {
  const identity = ['--manifests', folder, '--connection', 'data/shop', '--as', 'agents/driver-bot'];
  const addresses = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`, '--audit-file', auditFile];
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), 'proxy', ...identity, ...addresses], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

async function untilReady(child: ChildProcess, adminPort: number): Promise<void> {
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log = `${log}${chunk.toString('utf8')}`.slice(-8_000);
  });
  for (let attempt = 0; attempt < 800 && child.exitCode === null; attempt++) {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(25);
  }
  child.kill('SIGKILL');
  throw new Error(`the gate did not become ready:\n${log}`);
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
