import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningCollector } from '#collector/start.ts';
import { MAX_BATCH_BYTES } from '#collector/read-body.ts';
import { type Batch, decision, TestChain } from './chains.ts';
import { type Fixture, openFixture, readRecords } from './collector-fixture.ts';
import { type S3Server, startS3 } from './s3-server.ts';
import { type Answer, ISSUER, post, recordHeaders, sendRecords } from './sender.ts';

const POD = '6c1f2f0e-51b5-4c56-9d55-0a3a4f1f7a10';
const BUCKET = 'wire';
const KEY =
  /^events\/event_date=\d{4}-\d\d-\d\d\/hour=\d\d\/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.ndjson\.zst$/;

let s3: S3Server;
let fixture: Fixture;
let collector: RunningCollector;
let token: string;

beforeAll(async () => {
  s3 = await startS3();
  await s3.makeBucket(BUCKET);
  fixture = await openFixture(s3);
  collector = await fixture.start(BUCKET);
  token = await fixture.tokens.token(POD);
});
afterAll(async () => {
  await fixture.stop();
  await s3.stop();
});

/** Replaces bytes without changing their number. */
function edit(batch: Batch, from: string, to: string): Batch {
  const text = batch.lines.toString('latin1');
  expect(text).toContain(from);
  return { ...batch, lines: Buffer.from(text.replace(from, to), 'latin1') };
}

/** The line with its hash made anew: what an attacker with the program, but not another pod's token, can make. */
function forge(batch: Batch, change: (line: string) => string): Batch {
  const changed = change(batch.lines.toString('utf8').trimEnd());
  const without = changed.replace(/"hash":"sha256:[0-9a-f]{64}",/, '');
  const digest = createHash('sha256').update(without).digest('hex');
  return {
    ...batch,
    lines: Buffer.from(`${changed.replace(/"sha256:[0-9a-f]{64}","id"/, `"sha256:${digest}","id"`)}\n`),
  };
}

const refusal = ({ status, body }: Answer): readonly unknown[] => [status, body['reason'], body['message']];

describe('a batch', () => {
  test('that is sound is confirmed up to its last record, and the object that is named holds it byte by byte', async () => {
    const batch = new TestChain(POD).decisions(20);
    const { status, body } = await sendRecords(collector.port, batch, token);
    expect([status, body['chain'], body['confirmedSeq']]).toEqual([200, batch.chainId, 20]);
    expect(body['object']).toMatch(KEY);
    const stored = zstdDecompressSync(await s3.read(BUCKET, String(body['object'])));
    expect(stored.equals(batch.lines)).toBe(true);
  });

  test('of more than one hour lies in the folder of each of its hours, in UTC', async () => {
    const chain = new TestChain(POD);
    const times = [
      '2026-11-22T23:59:59.999Z',
      '2026-11-23T00:00:00.000Z',
      '2026-11-23T00:59:59.000Z',
      '2026-11-23T01:00:00.000Z',
    ];
    const batch = chain.add(times.map((time) => decision(Date.parse(time))));
    const { status, body } = await sendRecords(collector.port, batch, token);
    expect([status, body['confirmedSeq']]).toEqual([200, 4]);
    const folders = new Map<string, readonly number[]>();
    for (const key of await s3.keys(BUCKET, 'events/event_date=2026-11-2')) {
      const mine = (await readRecords(s3, BUCKET, key)).filter(({ unmapped }) => unmapped.chain.id === chain.chainId);
      if (mine.length > 0)
        folders.set(
          dirname(key).slice('events/'.length),
          mine.map((one) => one.unmapped.chain.seq),
        );
    }
    expect([...folders]).toEqual([
      ['event_date=2026-11-22/hour=23', [1]],
      ['event_date=2026-11-23/hour=00', [2, 3]],
      ['event_date=2026-11-23/hour=01', [4]],
    ]);
  });

  test('of a clock that jumps does not make an object for every record', async () => {
    const chain = new TestChain(POD);
    const batch = chain.add(
      Array.from({ length: 500 }, (_, hour) => decision(Date.UTC(2031, 0, 1) + hour * 3_600_000)),
    );
    const { status } = await sendRecords(collector.port, batch, token);
    expect(status).toBe(200);
    expect(await s3.keys(BUCKET, 'events/event_date=2031')).toHaveLength(48);
    expect((await readRecords(s3, BUCKET, 'events/event_date=2031')).map((one) => one.unmapped.chain.seq)).toHaveLength(
      500,
    );
  });

  test('that is sent again is confirmed again, with the same uids: who reads tells them apart by those', async () => {
    const batch = new TestChain(POD).decisions(3);
    const first = await sendRecords(collector.port, batch, token);
    const second = await sendRecords(collector.port, batch, token);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.body['object']).not.toBe(first.body['object']);
    const mine = (await readRecords(s3, BUCKET)).filter((one) => one.unmapped.chain.id === batch.chainId);
    expect(mine).toHaveLength(6);
    expect(new Set(mine.map(({ metadata }) => metadata.uid)).size).toBe(3);
  });

  test.each<readonly [string, () => Batch, readonly [number, string, string]]>([
    [
      'with a changed record',
      () => edit(new TestChain(POD).decisions(3), 'SELECT id, email', 'SELECT id, nothi'),
      [400, 'ChainBroken', 'record 1 was changed: its hash does not fit'],
    ],
    [
      'without its second record',
      () => {
        const batch = new TestChain(POD).decisions(3);
        const lines = batch.lines.toString('utf8').split('\n');
        return { ...batch, lines: Buffer.from([lines[0], lines[2], ''].join('\n')) };
      },
      [400, 'ChainBroken', 'expected record 2, found 3'],
    ],
    [
      'with a record of another chain in it',
      () => {
        const [one, two] = [new TestChain(POD).decisions(2), new TestChain(POD).decisions(1)];
        return { ...one, lines: Buffer.concat([two.lines, one.lines]) };
      },
      [400, 'ChainBroken', 'record 1 is of another chain'],
    ],
    [
      'whose second record follows another first',
      () => {
        const chain = new TestChain(POD);
        const batch = chain.decisions(2);
        const end = batch.lines.indexOf('\n') + 1;
        const first = forge({ ...batch, lines: batch.lines.subarray(0, end) }, (line) =>
          line.replace('"severity_id":1', '"severity_id":2'),
        );
        return { ...batch, lines: Buffer.concat([first.lines, batch.lines.subarray(end)]) };
      },
      [400, 'ChainBroken', 'record 2 does not follow 1'],
    ],
    [
      'of another pod',
      () => new TestChain('6c1f2f0e-51b5-4c56-9d55-0a3a4f1f7a11').decisions(2),
      [403, 'ForeignRecord', 'record 1 is of another pod'],
    ],
    [
      'that names two pods',
      () =>
        forge(new TestChain('another').decisions(1), (line) =>
          line.replace('"status_code"', `"source":{"src_endpoint":{"instance_uid":"${POD}"}},"status_code"`),
        ),
      [403, 'ForeignRecord', 'record 1 is of another pod'],
    ],
    [
      'with a member twice',
      () =>
        forge(new TestChain('another').decisions(1), (line) =>
          line.replace('"status_code"', `"src_endpoint":{"instance_uid":"${POD}"},"status_code"`),
        ),
      [400, 'Malformed', 'record 1 is not written as Postern writes it'],
    ],
    [
      'of text that is no JSON',
      () => forge(new TestChain(POD).decisions(1), (line) => `}{${line}`),
      [400, 'Malformed', 'record 1 is not written as Postern writes it'],
    ],
    [
      'that is not UTF-8',
      () => edit(new TestChain(POD).decisions(1), 'SELECT', 'SELE\xff\xfe'),
      [400, 'Malformed', 'the body is not UTF-8'],
    ],
    [
      'whose last line is cut off',
      () => {
        const batch = new TestChain(POD).decisions(2);
        return { ...batch, lines: batch.lines.subarray(0, -1) };
      },
      [400, 'Malformed', 'the line of record 2 is cut off'],
    ],
    [
      'whose header names more records than there are',
      () => ({ ...new TestChain(POD).decisions(2), last: 3 }),
      [400, 'Malformed', 'postern-last-seq says 3, the last record is 2'],
    ],
    [
      'whose header names another first record',
      () => ({ ...new TestChain(POD).decisions(2), first: 2 }),
      [400, 'ChainBroken', 'expected record 2, found 1'],
    ],
    [
      'of something else',
      () => ({ ...new TestChain(POD).decisions(1), lines: Buffer.from('{"a":1}\n') }),
      [400, 'Malformed', 'line 1 is no record'],
    ],
    [
      'of nothing',
      () => ({ ...new TestChain(POD).decisions(1), lines: Buffer.alloc(0) }),
      [400, 'Malformed', 'there is no record'],
    ],
    [
      'larger than 4 MiB when unpacked',
      () => new TestChain(POD).add([decision(Date.now(), `SELECT '${'a'.repeat(MAX_BATCH_BYTES)}'`)]),
      [413, 'TooLarge', 'at most 4194304 bytes, unpacked'],
    ],
  ])('%s is refused, and nothing of it is stored', async (_, make, expected) => {
    const batch = make();
    expect(refusal(await sendRecords(collector.port, batch, token))).toEqual(expected);
    expect((await readRecords(s3, BUCKET)).filter((one) => one.unmapped.chain.id === batch.chainId)).toEqual([]);
  });

  test.each([
    ['that is not zstd', { 'content-encoding': 'gzip' }, [415, 'WrongEncoding', 'content-encoding must be zstd']],
    [
      'without its chain',
      { 'postern-chain': 'x' },
      [400, 'Malformed', 'headers postern-chain, postern-first-seq and postern-last-seq are required'],
    ],
    [
      'without its first number',
      { 'postern-first-seq': '0' },
      [400, 'Malformed', 'headers postern-chain, postern-first-seq and postern-last-seq are required'],
    ],
  ])('%s is refused by its headers', async (_, headers, expected) => {
    expect(refusal(await sendRecords(collector.port, new TestChain(POD).decisions(1), token, headers))).toEqual(
      expected,
    );
  });

  test('of plain text under the name zstd is refused', async () => {
    const batch = new TestChain(POD).decisions(1);
    expect(refusal(await post(collector.port, '/v1/records', batch.lines, recordHeaders(batch, token)))).toEqual([
      400,
      'Malformed',
      'the body is not zstd',
    ]);
  });

  test('of 12 MiB is answered with 413 though it is refused by its first header', async () => {
    const batch = new TestChain(POD).decisions(1);
    const body = Buffer.alloc(12 * 1024 * 1024, 1);
    expect(
      refusal(
        await post(collector.port, '/v1/records', body, {
          ...recordHeaders(batch, token),
          'content-length': body.length,
        }),
      ),
    ).toEqual([413, 'TooLarge', 'at most 4194304 bytes, unpacked']);
  });

  test.each([
    ['GET', '/v1/records', 405],
    ['POST', '/v1/other', 404],
  ])('is nothing that %s %s takes', async (method, path, status) => {
    const answer = await fetch(`http://127.0.0.1:${collector.port}${path}`, { method });
    expect(answer.status).toBe(status);
  });
});

describe('a token', () => {
  const bodyOf = async (bearer: string): Promise<readonly unknown[]> =>
    refusal(await sendRecords(collector.port, new TestChain(POD).decisions(1), bearer));
  const NOT_VALID = [401, 'TokenRefused', 'the token is not valid for audience postern.dev/collector'];

  test('that is missing is 401', async () => {
    const batch = new TestChain(POD).decisions(1);
    const { authorization: _authorization, ...headers } = recordHeaders(batch, token);
    expect(refusal(await post(collector.port, '/v1/records', zstdCompressSync(batch.lines), headers))).toEqual([
      401,
      'TokenRefused',
      'authorization must be Bearer and the token of the pod',
    ]);
  });

  test.each<readonly [string, () => Promise<string>]>([
    [
      'for another audience',
      async () => await fixture.tokens.token(POD, { audience: 'https://kubernetes.default.svc' }),
    ],
    ['that has expired', async () => await fixture.tokens.token(POD, { expiresIn: -60 })],
    ['of another issuer', async () => await fixture.tokens.token(POD, { issuer: 'https://elsewhere' })],
    ['that is no JWT', async () => await Promise.resolve('abc')],
    ['whose signature is cut off', async () => (await fixture.tokens.token(POD)).slice(0, -4)],
    [
      'signed by another key',
      async () =>
        await new SignJWT({ 'kubernetes.io': { pod: { uid: POD } } })
          .setProtectedHeader({ alg: 'ES256', kid: 'test' })
          .setIssuer(ISSUER)
          .setAudience('postern.dev/collector')
          .setSubject('system:serviceaccount:agents:support-bot')
          .setExpirationTime('1h')
          .sign(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    ],
  ])('%s is 401', async (_, make) => {
    expect(await bodyOf(await make())).toEqual(NOT_VALID);
  });

  test('of no pod is 401', async () => {
    expect(await bodyOf(await fixture.tokens.token(undefined))).toEqual([
      401,
      'TokenRefused',
      'the token is not bound to a pod; only sidecars send records',
    ]);
  });

  test('is checked before anything of the body is awaited', async () => {
    const socket = connect(collector.port, '127.0.0.1');
    const answer = new Promise<string>((resolve) => socket.once('data', (bytes: Buffer) => resolve(bytes.toString())));
    socket.write(
      'POST /v1/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer abc\r\ncontent-length: 1000000\r\n\r\n',
    );
    expect(await answer).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });

  test('that cannot be checked, since the keys cannot be read, is 503: the sender is not to blame', async () => {
    const { byJwks } = await import('#collector/authenticate.ts');
    const other = await fixture.start(BUCKET, { authenticate: byJwks(ISSUER, 'file:///nowhere/jwks.json') });
    const answer = await sendRecords(other.port, new TestChain(POD).decisions(1), token);
    expect(refusal(answer)).toEqual([
      503,
      'Unavailable',
      'tokens cannot be checked now; keep the records and come again',
    ]);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  });
});

describe('recorded results', () => {
  const session = randomUUID();
  const line = (other: object = {}): string =>
    `${JSON.stringify({ session, statement: randomUUID(), part: 1, columns: ['id'], rows: [['1'], [null]], time: Date.now(), ...other })}\n`;
  const send = async (text: string): Promise<Answer> => {
    const headers = { ...recordHeaders(new TestChain(POD).decisions(1), token), 'postern-session': session };
    return await post(collector.port, '/v1/results', zstdCompressSync(Buffer.from(text)), headers);
  };

  test('lie in a folder of their session, and say which pod sent them', async () => {
    const text = line() + line();
    const { status, body } = await send(text);
    expect([status, body['session']]).toEqual([200, session]);
    const date = new Date().toISOString().slice(0, 10);
    expect(body['object']).toMatch(new RegExp(`^results/event_date=${date}/${session}/[0-9a-f-]{36}\\.ndjson\\.zst$`));
    expect(zstdDecompressSync(await s3.read(BUCKET, String(body['object']))).toString()).toBe(text);
    expect((await s3.head(BUCKET, String(body['object']))).Metadata?.['pod']).toBe(POD);
  });

  test.each([
    ['of another session', line() + line({ session: randomUUID() }), 'line 2 is of another session'],
    ['that are cut off', line().slice(0, -1), 'the last line is cut off'],
    ['without rows', line({ rows: undefined }), 'line 1 is no recorded result'],
    ['that are no JSON', 'x\n', 'line 1 is no JSON object'],
  ])('%s are refused', async (_, text, message) => {
    expect(refusal(await send(text))).toEqual([400, 'Malformed', message]);
  });
});

test('a sender that stops in the middle of its body holds no place for long, and others go on', async () => {
  const socket = connect(collector.port, '127.0.0.1');
  const batch = new TestChain(POD).decisions(1);
  const headers = Object.entries({ ...recordHeaders(batch, token), 'content-length': 1_000_000 });
  socket.write(
    `POST /v1/records HTTP/1.1\r\nhost: x\r\n${headers.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\nabc`,
  );
  await sleep(100);
  expect((await sendRecords(collector.port, batch, token)).status).toBe(200);
  const answer = await new Promise<string>((resolve) =>
    socket.once('data', (bytes: Buffer) => resolve(bytes.toString())),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 408 .*"TooSlow"/s);
});
