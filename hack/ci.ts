/** The steps of .ci/run after the installation: each with a time limit, counted together into one closing line. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FoundCluster, findCluster } from '../test/cluster/find-cluster.ts';

/** How a step's passed and failed are counted: by vitest's JSON report, by its own last `N passed, N failed`, or as one. */
type Count = 'vitest' | 'closing-line' | 'one';

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  readonly count: Count;
  readonly timeoutMinutes: number;
  /** Runs on a cluster, which is started from nothing before the first of them. */
  readonly needsCluster?: boolean;
}

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** What failed, a line each: for whoever reads only the end of the log. */
  readonly failures: readonly string[];
}

/** The part of vitest's JSON report that is read here. */
interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

const resultsDirectory = await mkdtemp(join(tmpdir(), 'postern-ci-'));
const reportPath = join(resultsDirectory, 'vitest.json');
const vitestReport = [
  '--reporter=./test/not-run-reporter.ts',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${reportPath}`,
];

const suiteReport = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`];

const STEPS: readonly Step[] = [
  { name: 'types', command: ['npm', 'run', '--silent', 'types'], count: 'one', timeoutMinutes: 5 },
  { name: 'lint', command: ['npm', 'run', '--silent', 'lint'], count: 'one', timeoutMinutes: 5 },
  { name: 'format', command: ['npm', 'run', '--silent', 'format:check'], count: 'one', timeoutMinutes: 5 },
  { name: 'unused code', command: ['npm', 'run', '--silent', 'unused'], count: 'one', timeoutMinutes: 5 },
  { name: 'build', command: ['npm', 'run', '--silent', 'build'], count: 'one', timeoutMinutes: 5 },
  { name: 'bundle', command: ['node', 'dist/postern.js', '--version'], count: 'one', timeoutMinutes: 1 },
  { name: 'tests', command: ['npm', 'test', '--', ...vitestReport], count: 'vitest', timeoutMinutes: 30 },
  { name: 'demo', command: ['npm', 'run', 'demo', '--', '--once'], count: 'one', timeoutMinutes: 3 },
  { name: 'drivers', command: ['npm', 'run', '--silent', 'test:drivers'], count: 'closing-line', timeoutMinutes: 20 },
  {
    name: 'S3',
    command: ['npm', 'run', '--silent', 'test:s3', '--', ...suiteReport],
    count: 'vitest',
    timeoutMinutes: 8,
  },
  {
    name: 'browser',
    command: ['npm', 'run', '--silent', 'test:browser', '--', ...suiteReport],
    count: 'vitest',
    timeoutMinutes: 5,
  },
  {
    name: 'cluster',
    command: ['npm', 'run', '--silent', 'test:cluster', '--', ...suiteReport],
    count: 'vitest',
    timeoutMinutes: 8,
    needsCluster: true,
  },
  {
    name: 'end to end',
    command: ['npm', 'run', '--silent', 'test:e2e', '--', ...suiteReport],
    count: 'vitest',
    timeoutMinutes: 25,
    needsCluster: true,
  },
  {
    name: 'bench',
    command: ['npm', 'run', '--silent', 'bench', '--', '--quick', '--only', 'decide,start,loop'],
    count: 'one',
    timeoutMinutes: 10,
  },
];

async function run(step: Step): Promise<Outcome> {
  console.log(`\n== ${step.name}: ${step.command.slice(0, 4).join(' ')}`);
  const [program = '', ...rest] = step.command;
  await rm(reportPath, { force: true });
  let env = process.env;
  try {
    if (step.needsCluster) env = { ...env, ...clusterEnvironment() };
  } catch (error) {
    return { passed: 0, failed: 1, failures: [`the cluster did not start: ${beginningOf(String(error))}`] };
  }
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'], detached: true, env });
  let tail = '';
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk);
    tail = (tail + chunk.toString('utf8')).slice(-4_000);
  });
  const timer = setTimeout(() => {
    console.log(`${step.name}: stopped after ${step.timeoutMinutes} minutes`);
    // The whole group: npm starts its program in a shell.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, step.timeoutMinutes * 60_000);
  const code = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('close', (exitCode) => resolve(exitCode ?? 1));
  });
  clearTimeout(timer);
  const outcome = await count(step.count, code, tail);
  // A step that failed without a failed test (a crash, a time limit) still counts as failed.
  return code !== 0 && outcome.failed === 0 ? { ...outcome, failed: 1, failures: lastLines(tail) } : outcome;
}

async function count(kind: Count, code: number, tail: string): Promise<Outcome> {
  switch (kind) {
    case 'one':
      return code === 0 ? { passed: 1, failed: 0, failures: [] } : { passed: 0, failed: 1, failures: lastLines(tail) };
    case 'closing-line': {
      const found = [...tail.matchAll(/(\d+) passed, (\d+) failed/g)].at(-1);
      const failed = found === undefined ? 1 : Number(found[2]);
      return { passed: Number(found?.[1] ?? 0), failed, failures: failed === 0 ? [] : lastLines(tail) };
    }
    case 'vitest': {
      const text = await readFile(reportPath, 'utf8').catch(() => undefined);
      if (text === undefined) return { passed: 0, failed: 1, failures: lastLines(tail) };
      const report = JSON.parse(text) as VitestReport;
      return { passed: report.numPassedTests, failed: report.numFailedTests, failures: failuresOf(report) };
    }
  }
}

/** Each failed test with the beginning of why, and each file that did not even load. */
function failuresOf(report: VitestReport): readonly string[] {
  return report.testResults.flatMap(({ message = '', assertionResults }) => {
    const failed = assertionResults
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => `${fullName}: ${beginningOf(failureMessages.join(' '))}`);
    return failed.length === 0 && assertionResults.length === 0 && message !== '' ? [beginningOf(message)] : failed;
  });
}

function beginningOf(message: string): string {
  return message.replaceAll(/\s+/g, ' ').slice(0, 400);
}

function lastLines(tail: string): readonly string[] {
  return tail.trimEnd().split('\n').slice(-15);
}

let cluster: FoundCluster | undefined;

/** Of the cluster, which is started when it is first asked for; where there is none, the suites say how to get one, and fail. */
function clusterEnvironment(): Readonly<Record<string, string>> {
  cluster ??= findCluster({ fresh: true });
  return cluster.kind === 'found' ? cluster.environment : {};
}

const summary: string[] = [];
const failures: string[] = [];
let passed = 0;
let failed = 0;
for (const step of STEPS) {
  const started = Date.now();
  const outcome = await run(step);
  passed += outcome.passed;
  failed += outcome.failed;
  failures.push(...outcome.failures.map((line) => `${step.name}: ${line}`));
  const seconds = ((Date.now() - started) / 1_000).toFixed(0);
  summary.push(
    `${outcome.failed === 0 ? 'ok    ' : 'FAILED'}  ${step.name}: ${outcome.passed} passed, ${outcome.failed} failed (${seconds} s)`,
  );
}
if (cluster?.kind === 'found') cluster.release();
await rm(resultsDirectory, { recursive: true, force: true });
if (failures.length > 0) console.log(`\nWhat failed:\n${failures.join('\n')}`);
console.log(`\n${summary.join('\n')}\n`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
