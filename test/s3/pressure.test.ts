import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BadNetwork, startBadNetwork } from './bad-network.ts';
import { type Batch, decision, TestChain } from './chains.ts';
import { readRecords } from './collector-fixture.ts';
import { type CollectorProcess, startCollectorProcess } from './collector-process.ts';
import { type S3Server, startS3 } from './s3-server.ts';
import { type Answer, sendRecords, TokenIssuer } from './sender.ts';

let s3: S3Server;
let network: BadNetwork;
let tokens: TokenIssuer;
const folder = mkdtempSync(join(tmpdir(), 'postern-pressure-'));

beforeAll(async () => {
  s3 = await startS3();
  network = await startBadNetwork(s3.port);
  tokens = await TokenIssuer.open(join(folder, 'jwks.json'));
});
afterAll(async () => {
  await network.stop();
  await s3.stop();
  rmSync(folder, { recursive: true });
});

async function start(bucket: string, ...flags: readonly string[]): Promise<CollectorProcess> {
  return await startCollectorProcess({ folder, bucket, s3Url: network.url, jwksUri: tokens.jwksUri, flags });
}

/** What of these batches is in S3: `chain/seq`, each once. */
async function stored(bucket: string): Promise<ReadonlySet<string>> {
  const records = await readRecords(s3, bucket);
  return new Set(records.map(({ unmapped: { chain } }) => `${chain.id}/${chain.seq}`));
}

const numbersOf = ({ chainId, first, last }: Batch): readonly string[] =>
  Array.from({ length: last - first + 1 }, (_, index) => `${chainId}/${first + index}`);

describe('a collector', () => {
  test('stays below 256 MiB while 20 sidecars send all they can and S3 is slow', async () => {
    const bucket = await s3.makeBucket('pressure-memory');
    network.faultOf = ({ method }) => (method === 'PUT' ? { kind: 'slow', ms: 3_000 } : undefined);
    const collector = await start(bucket);
    let untilMs = Number.POSITIVE_INFINITY;
    const confirmed: Batch[] = [];
    // Hardly to be packed: half of what is sent has to wait as it is.
    const text = (): string => `SELECT '${randomBytes(1_800).toString('hex')}'`;
    const chains = Array.from({ length: 20 }, (_, index) => {
      const pod = `pod-${index}`;
      const chain = new TestChain(pod);
      const batches = [1, 2].map(() => chain.add(Array.from({ length: 850 }, () => decision(Date.now(), text()))));
      return { pod, batches };
    });
    const sidecar = async (pod: string, batches: readonly Batch[]): Promise<void> => {
      const token = await tokens.token(pod);
      for (const batch of batches) {
        let answer: Answer;
        do {
          answer = await sendRecords(collector.port, batch, token);
          if (answer.status === 200) confirmed.push(batch);
          else await sleep(300);
        } while (answer.status !== 200 && Date.now() < untilMs);
      }
    };
    untilMs = Date.now() + 15_000;
    await Promise.all(chains.map(async ({ pod, batches }) => await sidecar(pod, batches)));
    const peak = collector.peakMebibytes();
    network.faultOf = () => undefined;
    collector.kill('SIGTERM');
    expect(await collector.ended).toBe(0);
    console.log(`peak ${peak.toFixed(0)} MiB, ${confirmed.length} batches of 4 MiB`);
    expect(peak).toBeLessThan(256);
    const kept = await stored(bucket);
    expect(confirmed.flatMap(numbersOf).filter((name) => !kept.has(name))).toEqual([]);
  }, 120_000);

  test('that is full sends batches away with 429 and when to come again, and takes them when there is room', async () => {
    const bucket = await s3.makeBucket('pressure-full');
    network.faultOf = ({ method }) => (method === 'PUT' ? { kind: 'slow', ms: 3_000 } : undefined);
    const collector = await start(bucket, '--max-pending-mebibytes', '1');
    const text = (): string => `SELECT '${randomBytes(1_800).toString('hex')}'`;
    const batches = [0, 1, 2, 3].map((index) =>
      new TestChain(`pod-${index}`).add(Array.from({ length: 400 }, () => decision(Date.now(), text()))),
    );
    const send = async (batch: Batch, index: number): Promise<Answer> =>
      await sendRecords(collector.port, batch, await tokens.token(`pod-${index}`));
    const answers = await Promise.all(batches.map(send));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 429, 429, 429]);
    for (const { body, headers } of answers.filter(({ status }) => status === 429)) {
      expect(body).toEqual({ reason: 'Busy', message: 'too much waits for S3; keep the records and come again' });
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
    for (const [index, batch] of batches.entries()) expect((await send(batch, index)).status).toBe(200);
    collector.kill('SIGTERM');
    expect(await collector.ended).toBe(0);
  });

  test('writes and answers on SIGTERM what it has taken, though S3 is slow, and says to the rest to come again elsewhere', async () => {
    const bucket = await s3.makeBucket('pressure-drain');
    network.faultOf = ({ method }) => (method === 'PUT' ? { kind: 'slow', ms: 1_500 } : undefined);
    const collector = await start(bucket, '--max-delay-ms', '60000');
    const batches = Array.from({ length: 10 }, (_, index) => new TestChain(`pod-${index}`).decisions(50));
    const answers = Promise.all(
      batches.map(async (batch, index) => await sendRecords(collector.port, batch, await tokens.token(`pod-${index}`))),
    );
    await sleep(1_000);
    collector.kill('SIGTERM');
    expect((await answers).map(({ status }) => status)).toEqual(batches.map(() => 200));
    expect((await answers).map(({ headers }) => headers.connection)).toEqual(batches.map(() => 'close'));
    expect(await collector.ended).toBe(0);
    const kept = await stored(bucket);
    expect(batches.flatMap(numbersOf).filter((name) => !kept.has(name))).toEqual([]);
    expect(await s3.keys(bucket, 'digests/')).toHaveLength(1);
  });

  test('that is killed has confirmed nothing that is not in S3; another replica takes what it did not', async () => {
    const bucket = await s3.makeBucket('pressure-replicas');
    network.faultOf = ({ method }) => (method === 'PUT' ? { kind: 'slow', ms: 100 } : undefined);
    const replicas = await Promise.all([start(bucket), start(bucket), start(bucket)]);
    const confirmed: Batch[] = [];
    const all: Batch[] = [];
    const sidecar = async (pod: string, number: number): Promise<void> => {
      const token = await tokens.token(pod);
      const chain = new TestChain(pod);
      for (let round = 0; round < 12; round++) {
        const batch = chain.decisions(20);
        all.push(batch);
        for (let attempt = 0; ; attempt++) {
          const replica = replicas[(number + round + attempt) % 3];
          const answer = await sendRecords(replica?.port ?? 0, batch, token).catch(() => undefined);
          if (answer?.status === 200) break;
          await sleep(50);
        }
        confirmed.push(batch);
      }
    };
    const work = Promise.all(Array.from({ length: 8 }, async (_, index) => await sidecar(`pod-${index}`, index)));
    await sleep(1_200);
    replicas[0]?.kill('SIGKILL');
    await work;
    for (const replica of replicas.slice(1)) replica.kill('SIGTERM');
    expect(await Promise.all(replicas.map(async (replica) => await replica.ended))).toEqual([null, 0, 0]);
    expect(confirmed).toHaveLength(all.length);
    const kept = await stored(bucket);
    expect(all.flatMap(numbersOf).filter((name) => !kept.has(name))).toEqual([]);
  });
});
