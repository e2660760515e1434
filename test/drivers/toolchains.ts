/** What each driver needs before it can run: found, or installed into `.cache/drivers`, or named as missing. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const HERE = new URL('.', import.meta.url).pathname;
const CACHE = new URL('../../.cache/drivers', import.meta.url).pathname;
const INSTALL_TIMEOUT_MS = 8 * 60_000;

/** A toolchain that is ready, as the words of a command line, or the reason why it is not there. */
export type Toolchain =
  | { readonly kind: 'ready'; readonly command: readonly string[] }
  | { readonly kind: 'missing'; readonly reason: string };

/** A program on the PATH or in the given folders; undefined if there is none. */
export function findProgram(name: string, ...folders: readonly string[]): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter);
  return [...folders, ...path].map((folder) => join(folder, name)).find((file) => existsSync(file));
}

/** PostgreSQL's own programs, from Debian's packages. */
export function postgresProgram(name: 'psql' | 'pgbench'): Toolchain {
  // Debian's wrapper in /usr/bin would look for a local cluster; the programs themselves do not.
  const found = findProgram(name, '/usr/lib/postgresql/15/bin');
  if (found !== undefined) return { kind: 'ready', command: [found] };
  const packageName = name === 'psql' ? 'postgresql-client-15' : 'postgresql-15';
  return { kind: 'missing', reason: `${name} is not installed (Debian: ${packageName})` };
}

/** Installs Debian's packages for the programs that are missing; only as root, and at most once a run. */
export async function installPostgresPrograms(): Promise<void> {
  const missing = [
    ...(postgresProgram('psql').kind === 'missing' ? ['postgresql-client-15'] : []),
    ...(postgresProgram('pgbench').kind === 'missing' ? ['postgresql-15'] : []),
  ];
  if (missing.length === 0 || process.getuid?.() !== 0 || findProgram('apt-get') === undefined) return;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await attempt('apt-get', ['update', '-qq'], { env });
  await attempt('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], { env });
}

/** A virtual environment with the pinned packages. */
export async function pythonToolchain(): Promise<Toolchain> {
  const python = findProgram('python3');
  if (python === undefined) return { kind: 'missing', reason: 'python3 is not installed' };
  const folder = join(CACHE, 'python');
  const inside = join(folder, 'bin/python');
  const requirements = join(HERE, 'python/requirements.txt');
  const wanted = await readFile(requirements, 'utf8');
  const stamp = join(folder, 'installed.txt');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === wanted) return { kind: 'ready', command: [inside] };
  await mkdir(CACHE, { recursive: true });
  const problem =
    (await attempt(python, ['-m', 'venv', '--clear', folder])) ??
    (await attempt(inside, ['-m', 'pip', 'install', '--quiet', '-r', requirements]));
  if (problem !== undefined) return { kind: 'missing', reason: problem };
  await writeFile(stamp, wanted);
  return { kind: 'ready', command: [inside] };
}

/** The Go program, built. */
export async function goToolchain(): Promise<Toolchain> {
  const go = findProgram('go', '/usr/local/go/bin');
  if (go === undefined) return { kind: 'missing', reason: 'go is not installed' };
  const program = join(CACHE, 'pgx-check');
  const problem = await attempt(go, ['build', '-mod=readonly', '-o', program, '.'], { cwd: join(HERE, 'pgx') });
  return problem === undefined ? { kind: 'ready', command: [program] } : { kind: 'missing', reason: problem };
}

/** The Java program, compiled, with its class path. */
export async function javaToolchain(): Promise<Toolchain> {
  const [maven, java] = [findProgram('mvn'), findProgram('java')];
  if (maven === undefined || java === undefined) return { kind: 'missing', reason: 'mvn or java is not installed' };
  const folder = join(CACHE, 'jdbc');
  const classPathFile = join(folder, 'classpath.txt');
  const goals = ['compile', 'dependency:build-classpath', `-Dmdep.outputFile=${classPathFile}`];
  const options = ['-q', '-B', `-Dbuild.folder=${folder}`];
  const problem = await attempt(maven, [...options, ...goals], { cwd: join(HERE, 'jdbc') });
  if (problem !== undefined) return { kind: 'missing', reason: problem };
  const classPath = `${join(folder, 'classes')}${delimiter}${(await readFile(classPathFile, 'utf8')).trim()}`;
  return { kind: 'ready', command: [java, '-Xmx256m', '-cp', classPath, 'dev.postern.DriverCheck'] };
}

/** Runs an installation step; what went wrong, in one line, or undefined. */
async function attempt(
  program: string,
  words: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<string | undefined> {
  try {
    await run(program, words, { ...options, timeout: INSTALL_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 });
    return undefined;
  } catch (error) {
    const output: unknown = error instanceof Error && 'stderr' in error ? error.stderr : '';
    const text = `${String(output)}\n${error instanceof Error ? error.message : ''}`.trim();
    return `${program} ${words[0] ?? ''}: ${text.split('\n').slice(0, 5).join(' | ').slice(0, 600)}`;
  }
}
