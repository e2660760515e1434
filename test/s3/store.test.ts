import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteObjectCommand, GetObjectRetentionCommand } from '@aws-sdk/client-s3';
import { compactVerify } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOfText, FIRST_PREVIOUS, readDigest } from '#audit/digest.ts';
import { ObjectStore } from '#collector/object-store.ts';
import { type BadNetwork, type Fault, startBadNetwork } from './bad-network.ts';
import { TestChain } from './chains.ts';
import { type Fixture, openFixture, readRecords } from './collector-fixture.ts';
import { REGION, type S3Server, SECRET_KEY, startS3 } from './s3-server.ts';
import { sendRecords } from './sender.ts';

const POD = '6c1f2f0e-51b5-4c56-9d55-0a3a4f1f7a10';

let s3: S3Server;
let network: BadNetwork;
let fixture: Fixture;
let token: string;
let bucket = '';
let count = 0;

beforeAll(async () => {
  s3 = await startS3();
  network = await startBadNetwork(s3.port);
  fixture = await openFixture(s3);
  token = await fixture.tokens.token(POD);
});
beforeEach(async () => {
  bucket = await s3.makeBucket(`store-${count++}`);
  network.faultOf = () => undefined;
  network.seen.length = 0;
});
afterAll(async () => {
  await fixture.stop();
  await network.stop();
  await s3.stop();
});

function openStore(more: Partial<ConstructorParameters<typeof ObjectStore>[0]> = {}): ObjectStore {
  const standard = { bucket, endpoint: network.url, region: REGION, forcePathStyle: true };
  return new ObjectStore({ ...standard, kmsKeyId: undefined, lock: undefined, ...more });
}

/** The fault for the first so many writes of events. */
function faults(kind: Fault, times: number): void {
  let left = times;
  network.faultOf = ({ method, path }) =>
    method === 'PUT' && path.includes('/events/') && left-- > 0 ? kind : undefined;
}

describe('an object', () => {
  test('is written once: other bytes under its key are refused, and it stays as it was', async () => {
    const store = openStore();
    await store.put('events/a', Buffer.from('first'), 'text/plain');
    const second = store.put('events/a', Buffer.from('second'), 'text/plain');
    await expect(second).rejects.toThrow(
      'S3 answered 412 PreconditionFailed: another object lies under this key; it is left as it is',
    );
    await expect(second).rejects.toMatchObject({ outcome: 'refused' });
    expect((await s3.read(bucket, 'events/a')).toString()).toBe('first');
  });

  test('whose answer was lost is found to be our own, not a conflict', async () => {
    faults({ kind: 'cut_answer' }, 1);
    await openStore().put('events/a', Buffer.from('one'), 'text/plain');
    expect(network.seen.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'HEAD']);
    expect((await s3.read(bucket, 'events/a')).toString()).toBe('one');
  });

  test.each<readonly [string, Fault]>([
    ['the request is cut off twice', { kind: 'cut_request' }],
    ['S3 says SlowDown twice', { kind: 'fail' }],
  ])('is written when %s', async (_, fault) => {
    faults(fault, 2);
    await openStore().put('events/a', Buffer.from('one'), 'text/plain');
    expect(network.seen.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT']);
  });

  test('that S3 never answers for is unknown: it may be there', async () => {
    network.faultOf = () => ({ kind: 'cut_answer' });
    await expect(openStore().put('events/a', Buffer.from('one'), 'text/plain')).rejects.toMatchObject({
      name: 'PutError',
      outcome: 'unknown',
    });
    expect((await s3.read(bucket, 'events/a')).toString()).toBe('one');
  });

  test('is locked for as long as asked: its version cannot be deleted, nor the lock be shortened', async () => {
    const locked = await s3.makeBucket('store-locked', { lock: true });
    const store = openStore({ bucket: locked, lock: { mode: 'COMPLIANCE', days: 30 } });
    await store.put('events/a', Buffer.from('one'), 'text/plain');
    const head = await s3.head(locked, 'events/a');
    const days = ((head.ObjectLockRetainUntilDate?.getTime() ?? 0) - Date.now()) / 86_400_000;
    expect(head.ObjectLockMode).toBe('COMPLIANCE');
    expect(days).toBeGreaterThan(29.9);
    expect(days).toBeLessThan(30.1);
    const version = { Bucket: locked, Key: 'events/a', VersionId: head.VersionId };
    await expect(s3.client.send(new DeleteObjectCommand(version))).rejects.toMatchObject({
      $metadata: { httpStatusCode: 403 },
    });
    const { Retention: retention } = await s3.client.send(new GetObjectRetentionCommand(version));
    expect(retention?.Mode).toBe('COMPLIANCE');
    expect(await store.doubts()).toEqual([]);
  });

  test('is asked to be encrypted with the key that is named, and carries its hash', async () => {
    const store = openStore({ kmsKeyId: 'arn:aws:kms:eu-central-1:111122223333:key/postern' });
    await store.put('events/a', Buffer.from('one'), 'text/plain').catch(() => undefined);
    const headers: Readonly<Record<string, unknown>> = network.seen[0]?.headers ?? {};
    expect(headers['x-amz-server-side-encryption']).toBe('aws:kms');
    expect(headers['x-amz-server-side-encryption-aws-kms-key-id']).toBe(
      'arn:aws:kms:eu-central-1:111122223333:key/postern',
    );
    expect(headers['if-none-match']).toBe('*');
    expect(headers['x-amz-meta-sha256']).toBe(createHash('sha256').update('one').digest('hex'));
    expect(headers['x-amz-checksum-sha256'] ?? headers['x-amz-trailer']).toMatch(/./);
  });

  test('in a bucket without Object Lock, or that is not there, is written with a doubt or not at all', async () => {
    expect(await openStore().doubts()).toEqual([expect.stringMatching(/Object Lock (?:is off|.*not known)/)]);
    await expect(openStore({ bucket: 'store-nowhere' }).put('a', Buffer.from('x'), 'text/plain')).rejects.toThrow(
      'S3 answered 404 NoSuchBucket: make the bucket, or name another',
    );
  });
});

describe('a batch', () => {
  test('is answered only when S3 has acknowledged its object', async () => {
    const collector = await fixture.start(bucket, { store: { endpoint: network.url } });
    faults({ kind: 'slow', ms: 1_500 }, 1);
    const begunMs = Date.now();
    let answered = false;
    const sent = sendRecords(collector.port, new TestChain(POD).decisions(2), token).finally(() => {
      answered = true;
    });
    await sleep(700);
    expect(answered).toBe(false);
    expect(await s3.keys(bucket)).toEqual([]);
    const { status, body } = await sent;
    expect(status).toBe(200);
    expect(Date.now() - begunMs).toBeGreaterThan(1_400);
    expect(await s3.keys(bucket)).toEqual([body['object']]);
  });

  test('is 503 with Retry-After, and nothing confirmed, while the secret is wrong', async () => {
    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
    const messages: string[] = [];
    const log = {
      info: () => undefined,
      warn: () => undefined,
      error: (fields: object) => void messages.push('error' in fields ? String(fields.error) : ''),
    };
    const collector = await fixture.start(bucket, { log });
    const answer = await sendRecords(collector.port, new TestChain(POD).decisions(2), token);
    process.env['AWS_SECRET_ACCESS_KEY'] = SECRET_KEY;
    expect([answer.status, answer.body]).toEqual([
      503,
      { reason: 'Unavailable', message: 'the collector cannot take records now; keep them and come again' },
    ]);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(messages).toEqual(['S3 answered 403 SignatureDoesNotMatch: the secret key is wrong']);
    expect(await s3.keys(bucket)).toEqual([]);
  });

  test('is 503 while S3 is killed, and confirmed when it is back', async () => {
    const collector = await fixture.start(bucket);
    const batch = new TestChain(POD).decisions(5);
    await s3.kill();
    const away = await sendRecords(collector.port, batch, token);
    await s3.restart();
    const back = await sendRecords(collector.port, batch, token);
    expect([away.status, back.status]).toEqual([503, 200]);
    expect((await readRecords(s3, bucket)).map((one) => one.unmapped.chain.seq)).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('digests', () => {
  async function readDigests(): Promise<
    readonly { readonly key: string; readonly text: string; readonly digest: Digest }[]
  > {
    const keys = await s3.keys(bucket, 'digests/');
    return await Promise.all(
      keys.map(async (key) => {
        const text = (await s3.read(bucket, key)).toString('utf8');
        const { payload, protectedHeader } = await compactVerify(text, fixture.digestPublicKey, {
          algorithms: ['EdDSA'],
        });
        expect(protectedHeader).toMatchObject({ alg: 'EdDSA', typ: 'postern-digest' });
        const digest = readDigest(JSON.parse(Buffer.from(payload).toString('utf8')));
        if (digest === undefined) throw new Error(`${key} is no digest`);
        return { key, text, digest };
      }),
    );
  }

  test('name every object with its hash and size, each the digest before it, and the last one says so', async () => {
    const collector = await fixture.start(bucket, { digestIntervalMs: 300 });
    for (let round = 0; round < 3; round++) {
      expect((await sendRecords(collector.port, new TestChain(POD).decisions(4), token)).status).toBe(200);
      await sleep(400);
    }
    await collector.close(0);
    const digests = await readDigests();
    expect(digests.map(({ digest }) => digest.number)).toEqual(digests.map((_, index) => index + 1));
    expect(digests.map(({ digest }) => digest.previous)).toEqual([
      FIRST_PREVIOUS,
      ...digests.slice(0, -1).map(({ text }) => digestOfText(text)),
    ]);
    expect(digests.map(({ digest }) => digest.last)).toEqual(digests.map((_, index) => index === digests.length - 1));
    expect(new Set(digests.map(({ digest }) => digest.collector)).size).toBe(1);
    const named = digests.flatMap(({ digest }) => digest.objects);
    expect(named.map(({ key }) => key).toSorted()).toEqual(await s3.keys(bucket, 'events/'));
    for (const { key, sha256, bytes, records } of named) {
      const body = await s3.read(bucket, key);
      expect([createHash('sha256').update(body).digest('hex'), body.length, records]).toEqual([sha256, bytes, 4]);
    }
  });

  test('contradict a bucket from which an object was taken, or in which one was replaced', async () => {
    const collector = await fixture.start(bucket);
    for (let round = 0; round < 2; round++) await sendRecords(collector.port, new TestChain(POD).decisions(1), token);
    await collector.close(0);
    const [first, second] = (await readDigests()).flatMap(({ digest }) => digest.objects);
    await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: first?.key }));
    await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: second?.key }));
    await openStore().put(second?.key ?? '', Buffer.from('another'), 'application/zstd');
    const store = openStore();
    expect(await store.holds(first?.key ?? '', first?.sha256 ?? '')).toBe(false);
    expect(await store.holds(second?.key ?? '', second?.sha256 ?? '')).toBe(false);
  });

  test('name an object whose answers were all lost, as soon as it is seen to be there', async () => {
    const collector = await fixture.start(bucket, { store: { endpoint: network.url }, digestIntervalMs: 200 });
    network.faultOf = ({ path }) => (path.includes('/events/') ? { kind: 'cut_answer' } : undefined);
    const batch = new TestChain(POD).decisions(1);
    expect((await sendRecords(collector.port, batch, token)).status).toBe(503);
    network.faultOf = () => undefined;
    expect((await sendRecords(collector.port, batch, token)).status).toBe(200);
    await collector.close(0);
    const named = (await readDigests()).flatMap(({ digest }) => digest.objects.map(({ key }) => key));
    expect(named.toSorted()).toEqual(await s3.keys(bucket, 'events/'));
    expect(named).toHaveLength(2);
  });

  test('that S3 did not acknowledge are written again as they were: no number occurs twice', async () => {
    const collector = await fixture.start(bucket, { store: { endpoint: network.url }, digestIntervalMs: 100 });
    network.faultOf = ({ path }) => (path.includes('/digests/') ? { kind: 'cut_answer' } : undefined);
    expect((await sendRecords(collector.port, new TestChain(POD).decisions(1), token)).status).toBe(200);
    await sleep(600);
    network.faultOf = () => undefined;
    expect((await sendRecords(collector.port, new TestChain(POD).decisions(1), token)).status).toBe(200);
    await collector.close(0);
    const digests = await readDigests();
    expect(digests.map(({ digest }) => digest.number)).toEqual(digests.map((_, index) => index + 1));
    expect(digests.flatMap(({ digest }) => digest.objects)).toHaveLength(2);
  });
});
