/** `postern verify`, `replay` and `export` on the bucket that a real collector filled, in a real S3 server. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runExport } from '#cli/export.ts';
import { openSource } from '#cli/record-source.ts';
import { runReplay } from '#cli/replay.ts';
import { type SourceVerdict, verifySource } from '#cli/verify.ts';
import { TestChain } from './chains.ts';
import { type Fixture, openFixture } from './collector-fixture.ts';
import { openClient, REGION, type S3Server, startS3 } from './s3-server.ts';
import { sendRecords } from './sender.ts';

const POD = '6c1f2f0e-51b5-4c56-9d55-0a3a4f1f7a10';
const BUCKET = 'verified';
let s3: S3Server;
let fixture: Fixture;

beforeAll(async () => {
  s3 = await startS3();
  await s3.makeBucket(BUCKET);
  fixture = await openFixture(s3);
  const collector = await fixture.start(BUCKET, { prefix: 'audit/' });
  const token = await fixture.tokens.token(POD);
  const chain = new TestChain(POD);
  for (const batch of [chain.decisions(20), chain.decisions(30)]) {
    expect((await sendRecords(collector.port, batch, token)).status).toBe(200);
    // Its answer was lost.
    expect((await sendRecords(collector.port, batch, token)).status).toBe(200);
  }
  await collector.close(5_000);
});
afterAll(async () => {
  await fixture.stop();
  await s3.stop();
});

const store = (): { readonly endpoint: string; readonly region: string; readonly pathStyle: boolean } => ({
  endpoint: s3.url,
  region: REGION,
  pathStyle: true,
});

async function verify(source = `s3://${BUCKET}/audit`): Promise<SourceVerdict> {
  const opened = await openSource(source, store());
  const verdict = await verifySource(opened, [fixture.digestPublicKey], true);
  opened.close();
  return verdict;
}

test('what the collector wrote holds, copies and all', async () => {
  const { findings, records, chains, digests } = await verify();
  expect(findings).toEqual([]);
  expect([records, chains]).toEqual([100, 1]);
  expect(digests?.digests).toBeGreaterThan(0);
});

test('a folder whose name only begins alike is not read', async () => {
  await expect(verify(`s3://${BUCKET}/aud`)).rejects.toThrow(`s3://${BUCKET}/aud holds no records`);
});

test('a copy in Parquet holds each record once, and a session can be replayed', async () => {
  const parquet = join(mkdtempSync(join(tmpdir(), 'postern-parquet-')), 'copy');
  expect(await runExport(`s3://${BUCKET}/audit/`, { ...store(), parquet })).toBe(0);
  expect(await runReplay(`s3://${BUCKET}/audit/`, { ...store(), speed: '1' })).toBe(0);
});

test('a deleted object is named', async () => {
  const client = openClient(s3.url);
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: 'audit/events/' }));
  const Key = Contents?.[0]?.Key ?? '';
  await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key }));
  client.destroy();
  const { findings } = await verify();
  expect(findings.map(({ kind, file }) => [kind, file])).toContainEqual(['object_missing', Key.replace('audit/', '')]);
});
