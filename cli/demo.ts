/**
 * `postern demo`: a PostgreSQL with a sample shop, the gate under two identities, and a scripted agent. Shows beside each other what the
 * agent asked and what the database was sent (read from the server's own log), what was decided and why (read from the audit file), and
 * what came back. Runs from a checkout: the database comes from a development dependency.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '#test/postgres.ts';
import type { Client } from 'pg';
import { DEMO_STEPS, type DemoAgent, type DemoStep } from './demo-script.ts';
import { paint, printStep } from './demo-print.ts';
import { APPLICATION_NAME, decisionsOf, sentStatements } from './demo-traces.ts';

const ROOT = new URL('..', import.meta.url).pathname;

interface Gate {
  readonly agent: DemoAgent;
  readonly port: number;
  readonly adminPort: number;
  readonly auditFile: string;
  readonly process: ChildProcess;
}

/** Runs the demo; resolves with the exit code. */
export async function runDemo(options: { readonly once?: boolean }): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-demo-'));
  const gates: Gate[] = [];
  let server: PostgresServer | undefined;
  const interrupted = untilInterrupted();
  try {
    const step = (text: string): void => void process.stdout.write(paint('dim', `${text}\n`));
    step('starting PostgreSQL and loading a sample shop (demo/shop.sql) ...');
    server = await startShop();
    const manifests = await prepareManifests(folder, server);
    step('starting the gate twice: as agents/support-bot and as agents/ops-bot (demo/manifests/) ...');
    for (const agent of ['support-bot', 'ops-bot'] as const) gates.push(await startGate(agent, folder, manifests));
    await Promise.all(gates.map(untilReady));
    const surprises = await playScript(gates, server);
    for (const surprise of surprises) process.stdout.write(`${paint('red', surprise)}\n`);
    const isSound = await verifyRecords(gates, manifests, options.once === true);
    if (options.once !== true) {
      printHowToConnect(gates, manifests);
      await interrupted;
    }
    return isSound && surprises.length === 0 ? 0 : 1;
  } finally {
    await Promise.all(gates.map(stopGate));
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}

async function startShop(): Promise<PostgresServer> {
  const { startPostgres } = await import('#test/postgres.ts').catch((cause: unknown) => {
    throw new Error('the demo runs from a checkout of the sources, after npm ci: npm run demo', { cause });
  });
  // The server writes down every statement it is sent: the demo shows it beside what the agent asked.
  const server = await startPostgres({
    settings: {
      logging_collector: 'on',
      log_destination: 'jsonlog',
      log_directory: 'log',
      log_filename: 'statements.log',
      log_rotation_age: '0',
      log_rotation_size: '0',
    },
  });
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: await server.createDatabase('shop') });
  await client.connect();
  await client.query(await readFile(join(ROOT, 'demo/shop.sql'), 'utf8'));
  await client.query("ALTER ROLE shop_agent SET log_statement = 'all'");
  await client.end();
  return server;
}

/** A copy that may be edited while the demo runs, with the address of this run's server. */
async function prepareManifests(folder: string, server: PostgresServer): Promise<string> {
  const manifests = join(folder, 'manifests');
  await mkdir(manifests);
  for (const name of ['support.yaml', 'ops.yaml']) {
    await copyFile(join(ROOT, 'demo/manifests', name), join(manifests, name));
  }
  const connection = await readFile(join(ROOT, 'demo/manifests/connection.yaml'), 'utf8');
  const addressed = connection
    .replace('host: 127.0.0.1', `host: ${server.host}`)
    .replace('port: 5432', `port: ${server.port}`);
  await writeFile(join(manifests, 'connection.yaml'), addressed, { mode: 0o600 });
  return manifests;
}

async function startGate(agent: DemoAgent, folder: string, manifests: string): Promise<Gate> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const auditFile = join(folder, `audit-${agent}.ndjson`);
  const identity = ['--manifests', manifests, '--connection', 'data/shop', '--as', `agents/${agent}`];
  const addresses = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`, '--audit-file', auditFile];
  // Its own process group: Ctrl-C reaches this process alone, which then stops the gates in order.
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), 'proxy', ...identity, ...addresses], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  process.once('exit', () => child.kill('SIGKILL'));
  child.stderr.resume();
  return { agent, port, adminPort, auditFile, process: child };
}

async function untilReady(gate: Gate): Promise<void> {
  let log = '';
  gate.process.stderr?.on('data', (chunk: Buffer) => {
    log = `${log}${chunk.toString('utf8')}`.slice(-4_000);
  });
  for (let attempt = 0; attempt < 600; attempt++) {
    if (gate.process.exitCode !== null) break;
    const answer = await fetch(`http://127.0.0.1:${gate.adminPort}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(25);
  }
  throw new Error(`the gate of ${gate.agent} did not become ready:\n${log}`);
}

async function stopGate(gate: Gate): Promise<void> {
  if (gate.process.exitCode !== null || gate.process.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => gate.process.once('exit', () => resolve()));
  gate.process.kill('SIGTERM');
  const timer = setTimeout(() => gate.process.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(timer);
}

/** Plays all steps; the answer names those that did not end as the script says. */
async function playScript(gates: readonly Gate[], server: PostgresServer): Promise<readonly string[]> {
  const surprises: string[] = [];
  const { default: pg } = await import('pg');
  for (const gate of gates) {
    // No password: behind this port the gate already knows who asks.
    const client = new pg.Client({
      host: '127.0.0.1',
      port: gate.port,
      database: 'shop',
      user: gate.agent,
      application_name: APPLICATION_NAME,
    });
    client.on('error', () => {});
    await client.connect();
    for (const [index, step] of DEMO_STEPS.entries()) {
      if (step.agent !== gate.agent) continue;
      const sqlstate = await playStep(index + 1, step, { client, gate, server });
      const expected = step.sqlstate ?? '00000';
      if (sqlstate !== expected) surprises.push(`step ${index + 1} ended with ${sqlstate} instead of ${expected}`);
    }
    await client.end();
  }
  return surprises;
}

interface Stage {
  readonly client: Client;
  readonly gate: Gate;
  readonly server: PostgresServer;
}

async function playStep(number: number, step: DemoStep, stage: Stage): Promise<string> {
  const { client, gate, server } = stage;
  const logFile = join(server.socketDirectory, 'data', 'log', 'statements.json');
  const decidedBefore = (await decisionsOf(gate.auditFile)).length;
  const sentBefore = (await sentStatements(logFile)).length;
  const answer = await client
    .query({ text: step.sql, values: step.parameters === undefined ? [] : [...step.parameters], rowMode: 'array' })
    .then(
      (result) => ({
        header: result.fields.map((field) => field.name),
        rows: result.rows.map((row: readonly unknown[]) => row.map(printCell)),
        tag: `${result.command} ${result.rowCount ?? ''}`.trim(),
      }),
      (error: unknown) => ({
        error: error instanceof Error ? error.message : 'unknown error',
        sqlstate: sqlstateOf(error),
      }),
    );
  const decisions = (await decisionsOf(gate.auditFile)).slice(decidedBefore);
  // The server's log is written by a process of its own: give it a moment, also to show that nothing came.
  let sent: readonly string[] = [];
  for (let attempt = 0; attempt < 10 && sent.length === 0; attempt++) {
    await sleep(20);
    sent = (await sentStatements(logFile)).slice(sentBefore);
  }
  printStep({ number, step, decisions, sent, answer });
  return 'error' in answer ? answer.sqlstate : '00000';
}

function printCell(value: unknown): string {
  if (value === null) return '∅';
  if (value instanceof Date) return value.toISOString().replace(/T00:00:00\.000Z$/, '');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function sqlstateOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'none';
}

/** Checks the records of both gates with the program's own command. */
async function verifyRecords(gates: readonly Gate[], manifests: string, isOnce: boolean): Promise<boolean> {
  let isSound = true;
  for (const gate of gates) {
    // Gates that are to stay up have open chains.
    if (isOnce) await stopGate(gate);
    const checked = await runSelf(['verify', gate.auditFile, ...(isOnce ? [] : ['--open'])]);
    isSound &&= checked.code === 0;
    process.stdout.write(`${paint('bold', `postern verify (${gate.agent})`)}  ${checked.output.trim()}\n`);
  }
  const sql = 'SELECT salary FROM employees';
  const identity = ['--manifests', manifests, '--connection', 'data/shop', '--as', 'agents/support-bot'];
  const checked = await runSelf(['check', ...identity, sql]);
  process.stdout.write(`${paint('bold', `postern check "${sql}"`)}  exit ${checked.code}\n\n`);
  return isSound && checked.code === 3;
}

function runSelf(commandLine: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...commandLine], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8');
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code: code ?? 1, output })));
}

function printHowToConnect(gates: readonly Gate[], manifests: string): void {
  const lines = [
    paint('bold', 'Try it yourself'),
    ...gates.map((gate) => `  psql "host=127.0.0.1 port=${gate.port} dbname=shop user=${gate.agent}"`),
    '  (no password: the gate knows who is behind each port, and has the database password to itself)',
    '',
    `  policies    ${manifests} (edit them: open sessions follow with the next statement)`,
    ...gates.map((gate) => `  records     ${gate.auditFile}`),
    ...gates.map((gate) => `  metrics     http://127.0.0.1:${gate.adminPort}/metrics (${gate.agent})`),
    '',
    paint('bold', 'Ctrl-C ends the demo and removes all of it.'),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no free port on 127.0.0.1');
  return address.port;
}
