/** How many records a collector takes: real HTTP, real S3 server, everything as it is delivered; by processor time. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestChain } from '#test/s3/chains.ts';
import { startCollectorProcess } from '#test/s3/collector-process.ts';
import { findVersityGateway } from '#test/s3/find-versitygw.ts';
import { startS3 } from '#test/s3/s3-server.ts';
import { sendRecords, TokenIssuer } from '#test/s3/sender.ts';
import type { Figure } from './statistics.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/postern.js', import.meta.url));
const SENDERS = 20;
const RECORDS = 1_000;
const GOAL = 20_000;

/** Undefined: there is no S3 server here. */
export async function measureCollector(rounds: number): Promise<readonly Figure[] | undefined> {
  if (findVersityGateway().kind === 'missing') return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'postern-bench-collector-'));
  const s3 = await startS3();
  try {
    const tokens = await TokenIssuer.open(join(folder, 'jwks.json'));
    const bucket = await s3.makeBucket('bench');
    const where = { folder, bucket, s3Url: s3.url, jwksUri: tokens.jwksUri };
    const collector = await startCollectorProcess({ ...where, program: PROGRAM });
    const senders = await Promise.all(
      Array.from({ length: SENDERS }, async (_, index) => {
        const pod = `pod-${index}`;
        const chain = new TestChain(pod);
        const batches = Array.from({ length: rounds }, () => chain.decisions(RECORDS));
        return { token: await tokens.token(pod), batches };
      }),
    );
    const cpuBefore = collector.cpuSeconds();
    const begunMs = performance.now();
    let records = 0;
    await Promise.all(
      senders.map(async ({ token, batches }) => {
        for (const batch of batches) {
          const { status } = await sendRecords(collector.port, batch, token);
          if (status !== 200) throw new Error(`a batch was answered with ${status}`);
          records += RECORDS;
        }
      }),
    );
    const seconds = (performance.now() - begunMs) / 1_000;
    const cpuSeconds = collector.cpuSeconds() - cpuBefore;
    const peak = collector.peakMebibytes();
    collector.kill('SIGTERM');
    await collector.ended;
    return figures({ records, seconds, cpuSeconds, peak });
  } finally {
    await s3.stop();
    await rm(folder, { recursive: true });
  }
}

interface Measured {
  readonly records: number;
  /** Of the clock: senders and S3 share the machine. */
  readonly seconds: number;
  /** Of the collector's processor time. */
  readonly cpuSeconds: number;
  readonly peak: number;
}

function figures({ records, seconds, cpuSeconds, peak }: Measured): readonly Figure[] {
  const group = 'collector';
  const perCpuSecond = records / cpuSeconds;
  return [
    {
      group,
      name: 'records for each second of processor time',
      value: perCpuSecond,
      unit: '/s',
      goal: { min: GOAL / 2 },
    },
    {
      group,
      name: 'records on two processors, were they its own',
      value: perCpuSecond * 2,
      unit: '/s',
      goal: { min: GOAL },
    },
    { group, name: 'processor time for a record', value: (cpuSeconds / records) * 1e6, unit: 'µs' },
    {
      group,
      name: 'records by the clock, with senders and S3 on the same machine',
      value: records / seconds,
      unit: '/s',
    },
    { group, name: 'largest resident memory', value: peak, unit: 'MiB', goal: { max: 256 } },
  ];
}
