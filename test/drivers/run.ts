/**
 * `npm run test:drivers -- [--version 18|15] [NAME]...`: real drivers against a real gate. Each driver is one program that prints `ok NAME`
 * or `not ok NAME: why`, a line a check, and `done` at its end; here they are started one after another and counted. Without a version: all
 * of them on PostgreSQL 18, and those that start quickly on 15 as well, where that is installed.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { isPostgresInstalled } from '#test/postgres.ts';
import { type DriverGate, startDriverGate } from './gate.ts';
import {
  goToolchain,
  installPostgresPrograms,
  javaToolchain,
  postgresProgram,
  pythonToolchain,
  type Toolchain,
} from './toolchains.ts';

const PROGRAMS = new URL('./programs/', import.meta.url).pathname;
const PYTHON = new URL('./python/', import.meta.url).pathname;
const DRIVER_TIMEOUT_MS = 3 * 60_000;

interface Driver {
  readonly name: string;
  readonly toolchain: () => Promise<Toolchain>;
  /** Run on 15 too where no version is named. */
  readonly isQuick?: boolean;
}

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly notRun?: string;
}

const DRIVERS: readonly Driver[] = [
  { name: 'psql', toolchain: async () => withProgram('psql', postgresProgram('psql')), isQuick: true },
  { name: 'pgbench', toolchain: async () => withProgram('pgbench', postgresProgram('pgbench')) },
  { name: 'node-postgres', toolchain: async () => nodeProgram('node-postgres'), isQuick: true },
  { name: 'postgres.js', toolchain: async () => nodeProgram('postgres-js'), isQuick: true },
  { name: 'psycopg', toolchain: () => pythonProgram('psycopg_check.py'), isQuick: true },
  { name: 'asyncpg', toolchain: () => pythonProgram('asyncpg_check.py'), isQuick: true },
  { name: 'sqlalchemy', toolchain: () => pythonProgram('sqlalchemy_check.py') },
  { name: 'pgx', toolchain: goToolchain },
  { name: 'jdbc', toolchain: javaToolchain },
];

function nodeProgram(name: string, ...more: readonly string[]): Toolchain {
  return { kind: 'ready', command: [process.execPath, `${PROGRAMS}${name}.ts`, ...more] };
}

function withProgram(name: string, program: Toolchain): Toolchain {
  return program.kind === 'ready' ? nodeProgram(name, ...program.command) : program;
}

async function pythonProgram(file: string): Promise<Toolchain> {
  const python = await pythonToolchain();
  return python.kind === 'ready' ? { kind: 'ready', command: [...python.command, `${PYTHON}${file}`] } : python;
}

async function runDriver(driver: Driver, gate: DriverGate): Promise<Outcome> {
  const toolchain = await driver.toolchain();
  if (toolchain.kind === 'missing') {
    console.log(`not run: ${driver.name}: ${toolchain.reason}`);
    return { passed: 0, failed: 0, notRun: toolchain.reason };
  }
  const { lines, exit } = await runProgram(toolchain.command, gate);
  for (const line of lines) console.log(`${driver.name}: ${line}`);
  const passed = lines.filter((line) => line.startsWith('ok ')).length;
  const failed = lines.filter((line) => line.startsWith('not ok ')).length;
  // A program that broke off has not run the rest of its checks: that is a failure of its own.
  const isComplete = exit === '0' && lines.includes('done') && passed > 0;
  if (isComplete) return { passed, failed };
  console.log(`${driver.name}: not ok the program ends well: exit ${exit}`);
  return { passed, failed: failed + 1 };
}

async function runProgram(
  command: readonly string[],
  gate: DriverGate,
): Promise<{ readonly lines: readonly string[]; readonly exit: string }> {
  const [program = '', ...words] = command;
  const address = { PGHOST: '127.0.0.1', PGPORT: String(gate.port), PGUSER: 'driver-bot', PGDATABASE: 'shop' };
  const child = spawn(program, words, {
    env: {
      ...process.env,
      ...address,
      PGPASSWORD: 'ignored',
      PGCONNECT_TIMEOUT: '10',
      PYTHONDONTWRITEBYTECODE: '1',
      // The server itself, for what must be compared with it.
      POSTERN_DIRECT_URL: gate.server.adminUrl('shop'),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), DRIVER_TIMEOUT_MS);
  const exit = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(String(code ?? signal)));
  });
  clearTimeout(timer);
  const lines = Buffer.concat(chunks).toString('utf8').split('\n');
  return { lines: lines.filter((line) => line !== ''), exit };
}

type Version = 18 | 15;

const { values, positionals: wanted } = parseArgs({
  options: { version: { type: 'string' } },
  allowPositionals: true,
});
const versions: readonly Version[] =
  values.version === '15' ? [15] : values.version === '18' || !isPostgresInstalled(15) ? [18] : [18, 15];

function driversFor(version: Version): readonly Driver[] {
  const named = DRIVERS.filter((driver) => wanted.length === 0 || wanted.includes(driver.name));
  const isSecond = version === 15 && versions.length > 1;
  return isSecond ? named.filter((driver) => driver.isQuick === true || wanted.length > 0) : named;
}

const outcomes = new Map<string, Outcome>();

async function runOn(version: Version): Promise<void> {
  const pgbench = postgresProgram('pgbench');
  const gate = await startDriverGate(version, pgbench.kind === 'ready' ? pgbench.command[0] : undefined);
  try {
    for (const driver of driversFor(version)) {
      console.log(`== ${driver.name} on PostgreSQL ${version}`);
      outcomes.set(`${driver.name} on ${version}`, await runDriver(driver, gate));
    }
  } finally {
    await gate.stop();
  }
}

await installPostgresPrograms();
for (const version of versions) await runOn(version);
if (values.version === undefined && versions.length === 1) console.log('not run on 15: postgresql-15 is not installed');
console.log('');
for (const [name, { passed, failed, notRun }] of outcomes) {
  console.log(notRun === undefined ? `${name}: ${passed} passed, ${failed} failed` : `not run: ${name}: ${notRun}`);
}
const sum = (key: 'passed' | 'failed'): number =>
  [...outcomes.values()].reduce((total, outcome) => total + outcome[key], 0);
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 && sum('passed') > 0 ? 0 : 1;
