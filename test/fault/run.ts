/**
 * `npm run test:fault [-- --full]`: 20 agents at full speed through real sidecars, while one process after the other is killed, the network
 * is cut, S3 is slow, disks are full and a clock jumps. Afterwards: what the database ran is on record, what was confirmed is in S3, and
 * `verify` names what a kill took and nothing else. Prints the counts; exits 1 where one of them is not as it must be. `--full`: the cut lasts 60 s.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ACCESS_KEY, REGION, SECRET_KEY } from '#test/s3/s3-server.ts';
import { Agents } from './agents.ts';
import { type Chain, type Evidence, marksRun, readEvidence } from './evidence.ts';
import { type FaultPod, type PodSettings, podUid } from './pod.ts';
import { BUCKET, openWorld, type World } from './world.ts';

const isFull = process.argv.includes('--full');
const cutMs = isFull ? 60_000 : 10_000;
const program = new URL('../../cli/main.ts', import.meta.url).pathname;

const KILLED = 0;
const SMALL_SPOOL = 1;
const SMALL_DISK = 2;
const CLOCK = 3;
const DELETED = 4;
const CONFIRMED = 5;
const PODS: readonly PodSettings[] = [
  { number: KILLED, durability: 'Spool', spoolLimitBytes: 50_000_000 },
  { number: SMALL_SPOOL, durability: 'Spool', spoolLimitBytes: 1_000_000 },
  { number: SMALL_DISK, durability: 'Spool', spoolLimitBytes: 50_000_000, diskBytes: 1_000_000 },
  { number: CLOCK, durability: 'Spool', spoolLimitBytes: 50_000_000 },
  { number: DELETED, durability: 'Spool', spoolLimitBytes: 50_000_000 },
  { number: CONFIRMED, durability: 'Confirmed', spoolLimitBytes: 50_000_000 },
];
const AGENTS = [4, 3, 3, 3, 3, 4];

const startedMs = performance.now();
let failures = 0;

function say(text: string): void {
  console.log(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);
}

function check(text: string, holds: boolean): void {
  if (!holds) failures++;
  console.log(`  ${holds ? 'ok    ' : 'FAILED'}  ${text}`);
}

async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(50);
  }
}

function podOf(world: World, number: number): FaultPod {
  const pod = world.pods[number];
  if (pod === undefined) throw new Error(`there is no pod ${number}`);
  return pod;
}

/** Every agent of these pods is answered again. */
async function untilAnswered(agents: Agents, numbers: readonly number[], timeoutMs = 60_000): Promise<void> {
  const before = numbers.map((number) => agents.answers(number));
  await until(
    'the agents are answered',
    () => numbers.every((number, index) => agents.answers(number) > (before[index] ?? 0) + 20),
    timeoutMs,
  );
}

const ALL = PODS.map(({ number }) => number);

async function injectFaults(world: World, agents: Agents): Promise<void> {
  const { collector, network, s3, s3Network } = world;
  await untilAnswered(agents, ALL, 180_000);
  say('all agents are answered; kill -9 of a proxy, its container starts again');
  await sleep(2000);
  await podOf(world, KILLED).kill();
  podOf(world, KILLED).start();
  await untilAnswered(agents, ALL);

  say('kill -9 of the collector, 2 s without it');
  await collector.end('SIGKILL');
  await sleep(2000);
  await collector.start();
  await untilAnswered(agents, ALL);

  say('kill -9 of S3, 2 s without it');
  await s3.kill();
  await sleep(2000);
  await s3.restart();
  await untilAnswered(agents, ALL);

  say('S3 answers after 1.5 s, for 6 s');
  s3Network.faultOf = () => ({ kind: 'slow', ms: 1500 });
  await sleep(6000);
  s3Network.faultOf = () => undefined;
  await untilAnswered(agents, ALL);

  say(`the network between proxies and collector is cut for ${cutMs / 1000} s`);
  network.cut();
  await sleep(cutMs);
  network.mend();
  await untilAnswered(agents, ALL);

  say('the collector is away until a spool and a disk are full');
  const refusals = [SMALL_SPOOL, SMALL_DISK].map((number) => agents.failures(number, '58030'));
  await collector.end('SIGKILL');
  await until('58030', () =>
    [SMALL_SPOOL, SMALL_DISK].every((number, index) => agents.failures(number, '58030') > (refusals[index] ?? 0)),
  );
  await collector.start();
  await untilAnswered(agents, ALL);

  say('a clock jumps an hour ahead, and back');
  podOf(world, CLOCK).jumpClock();
  await sleep(2000);
  podOf(world, CLOCK).jumpClock();
  await untilAnswered(agents, ALL);

  say('with the collector away two pods are killed, and their volumes deleted');
  await collector.end('SIGKILL');
  await sleep(1500);
  for (const number of [DELETED, CONFIRMED]) {
    const pod = podOf(world, number);
    await pod.kill();
    pod.deleteVolume();
    pod.start();
  }
  await collector.start();
  await untilAnswered(agents, ALL);
}

async function endAll(world: World, agents: Agents): Promise<void> {
  say('the agents stop, the spools empty, everything ends');
  await agents.stop();
  await Promise.all(world.pods.map((pod) => pod.untilShipped(40_000)));
  const codes = await Promise.all(world.pods.map((pod) => pod.terminate()));
  check(
    `the proxies end with 0: ${codes.join(' ')}`,
    codes.every((code) => code === 0),
  );
  check('the collector ends with 0', (await world.collector.end('SIGTERM')) === 0);
}

interface Verdict {
  readonly records: number;
  readonly findings: readonly {
    readonly kind: string;
    readonly chain?: string;
    readonly seq?: number;
    readonly message: string;
  }[];
}

/** `postern verify` over the records, each once and in order: what a consumer that drops repetitions has. */
function verify(world: World, { chains }: Evidence): Verdict {
  const folder = join(world.folder, 'records');
  mkdirSync(folder);
  for (const [id, { lines }] of chains) {
    const sorted = [...lines].toSorted(([a], [b]) => a - b).map(([, line]) => `${line}\n`);
    writeFileSync(join(folder, `${id}.ndjson`), sorted.join(''));
  }
  const { stdout, stderr } = spawnSync(process.execPath, [program, 'verify', '--json', folder], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (stdout === '') throw new Error(`verify says nothing: ${stderr}`);
  return JSON.parse(stdout) as Verdict;
}

function judge(world: World, agents: Agents, ran: ReadonlySet<string>, evidence: Evidence, verdict: Verdict): void {
  const podNumber = (chain: string | undefined): number =>
    PODS.findIndex(({ number }) => podUid(number) === evidence.chains.get(chain ?? '')?.podUid);
  const unrecorded = [...ran].filter((mark) => !evidence.decided.has(mark));
  const byPod = ALL.map((number) => unrecorded.filter((mark) => mark.startsWith(`f${number}-`)).length);
  const answered = ALL.reduce((sum, number) => sum + agents.answers(number), 0);

  console.log('\ncounts');
  console.log(`  statements answered to agents     ${answered}`);
  console.log(`  statements the database ran       ${ran.size}`);
  console.log(`  decisions on record for them      ${ran.size - unrecorded.length}`);
  console.log(
    `  records in S3                     ${verdict.records} in ${evidence.chains.size} chains, ${evidence.objects} objects`,
  );
  console.log(`  of them sent more than once       ${evidence.lines - verdict.records}`);
  console.log(
    `  gap records                       ${[...evidence.gaps].map(([reason, count]) => `${reason} ${count}`).join(', ')}`,
  );
  for (const [key, count] of [...agents.failed].toSorted(([a], [b]) => a.localeCompare(b)))
    console.log(`  answers to agents: ${key.padEnd(14)} ${count}`);
  for (const { kind, chain, message } of verdict.findings)
    console.log(`  verify: pod ${podNumber(chain)}: ${kind}: ${message}`);

  console.log('\nwhat must hold');
  for (const number of ALL.filter((each) => each !== DELETED)) {
    check(
      `pod ${number}: every statement that the database ran is on record (${byPod[number]} are not)`,
      byPod[number] === 0,
    );
  }
  check(
    `pod ${DELETED}, durability Spool, its volume gone: what is not on record (${byPod[DELETED]}) came after the last confirmed record of its chain`,
    lostAreLast(unrecorded, evidence, DELETED),
  );
  for (const pod of world.pods) judgeChains(pod, evidence, verdict);
  judgeConfirmed(world.pods, evidence);
  const isRefused = (number: number): boolean => agents.failures(number, '58030') > 0;
  const others = verdict.findings.filter(({ kind, chain }) => !isExpected(kind, podNumber(chain), isRefused));
  check(`verify finds nothing else (${others.length})`, others.length === 0);
  const recorded = [SMALL_SPOOL, SMALL_DISK].map((number) => agents.failures(number, '58030'));
  check(
    `full spool and full disk refused with 58030 (${recorded.join(', ')})`,
    recorded.every((count) => count > 0),
  );
  check(
    'a process that was killed says what it goes on from',
    (evidence.gaps.get('resumed') ?? 0) + (evidence.gaps.get('torn_line') ?? 0) >= 1,
  );
}

/** The clock that jumped; a heartbeat that a full disk or spool did not take, when statements were refused for the same. */
function isExpected(kind: string, pod: number, isRefused: (pod: number) => boolean): boolean {
  if (kind === 'unclosed') return [KILLED, DELETED, CONFIRMED].includes(pod);
  return kind === 'silent' && (pod === CLOCK || isRefused(pod));
}

/** As many chains of a pod are without an end as processes of it were killed. */
function judgeChains(pod: FaultPod, { chains }: Evidence, verdict: Verdict): void {
  const { number } = pod.settings;
  const own = [...chains].filter(([, { podUid: uid }]) => uid === podUid(number));
  const ended = own.filter(([, chain]) => lastLine(chain).includes('"reason":"process_end"'));
  check(
    `pod ${number}: ${own.length} chains, ${ended.length} with an end, ${pod.kills} processes killed`,
    own.length === pod.kills + 1 && ended.length === 1,
  );
  const unclosed = verdict.findings.filter(
    ({ kind, chain }) => kind === 'unclosed' && own.some(([id]) => id === chain),
  );
  if (number === DELETED) {
    const [open] = own.filter(([, chain]) => !lastLine(chain).includes('"reason":"process_end"'));
    const seq = open === undefined ? undefined : lastNumber(open[1]);
    check(`verify names the tail of pod ${number}: unclosed after record ${seq}`, unclosed[0]?.seq === seq);
  }
}

/** What a sidecar had been told is confirmed when it was killed. */
function judgeConfirmed(pods: readonly FaultPod[], { chains }: Evidence): void {
  const told = pods.flatMap(({ confirmed }) => [...confirmed]);
  const absent = told.flatMap(([id, seq]) =>
    Array.from({ length: seq }, (_, index) => index + 1).filter((each) => chains.get(id)?.lines.has(each) !== true),
  );
  const count = told.reduce((sum, [, seq]) => sum + seq, 0);
  check(
    `of ${count} records that killed proxies knew as confirmed, ${absent.length} are not in S3`,
    count > 0 && absent.length === 0,
  );
}

/** The bucket as it is: objects of a collector that was killed may be without a digest, and its digests without an end. */
function verifyBucket({ s3, collector }: World): void {
  const given = ['verify', '--json', `s3://${BUCKET}`, '--endpoint', s3.url, '--region', REGION, '--path-style'];
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [program, ...given, '--digest-key', collector.digestPublicKeyFile],
    {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { PATH: process.env['PATH'], AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY },
    },
  );
  if (stdout === '') throw new Error(`verify of the bucket says nothing: ${stderr}`);
  const { findings } = JSON.parse(stdout) as Verdict;
  const counts = new Map<string, number>();
  for (const { kind } of findings) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const text = [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
  const known = new Set(['unclosed', 'silent', 'digest_unclosed', 'object_undigested']);
  check(
    `verify of the bucket itself: ${text}`,
    [...counts.keys()].every((kind) => known.has(kind)),
  );
}

/** A chain may have more lines than a call can have arguments. */
function lastNumber({ lines }: Chain): number {
  let last = 0;
  for (const number of lines.keys()) last = Math.max(last, number);
  return last;
}

function lastLine(chain: Chain): string {
  return chain.lines.get(lastNumber(chain)) ?? '';
}

/** Marks are given in order by each agent: those that are missing come after all that are on record, until the pod was replaced. */
function lostAreLast(unrecorded: readonly string[], { chains }: Evidence, pod: number): boolean {
  const own = [...chains.values()].filter(({ podUid: uid }) => uid === podUid(pod));
  const killed = own.find((chain) => !lastLine(chain).includes('"reason":"process_end"'));
  const lastOf = new Map<string, number>();
  for (const line of killed?.lines.values() ?? []) {
    for (const [, agent = '', count = ''] of line.matchAll(/'f\d+-(\d+)-(\d+)'/g)) {
      lastOf.set(agent, Math.max(lastOf.get(agent) ?? 0, Number(count)));
    }
  }
  return unrecorded
    .filter((mark) => mark.startsWith(`f${pod}-`))
    .every((mark) => {
      const [, agent = '', count] = mark.split('-');
      return Number(count) > (lastOf.get(agent) ?? 0);
    });
}

say('starting database, S3, collector and six sidecars');
const world = await openWorld(PODS);
try {
  const agents = new Agents();
  await world.collector.start();
  for (const pod of world.pods) pod.start();
  for (const [number, count] of AGENTS.entries()) {
    for (let agent = 0; agent < count; agent++) agents.start(number, agent, podOf(world, number).port);
  }
  if (!podOf(world, SMALL_DISK).hasDisk) say('no disk of its own can be mounted here: the full disk is a full spool');
  try {
    await injectFaults(world, agents);
    await endAll(world, agents);
  } catch (error) {
    for (const pod of world.pods) console.error(`pod ${pod.settings.number}:\n${pod.stderr.slice(-2000)}`);
    console.error(`collector:\n${world.collector.stderr.slice(-4000)}`);
    throw error;
  } finally {
    await agents.stop();
  }
  say('reading what the database ran and what S3 holds');
  const ran = await marksRun(world.postgres.logPath);
  const evidence = await readEvidence(world.s3, BUCKET);
  judge(world, agents, ran, evidence, verify(world, evidence));
  verifyBucket(world);
} finally {
  await world.close();
}
say(failures === 0 ? 'all holds' : `${failures} do not hold`);
process.exitCode = failures === 0 ? 0 : 1;
