import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import pg from 'pg';
import type { UpstreamTarget } from '#proxy/upstream.ts';
import { encodeQuery, encodeTerminate } from '#wire/encode.ts';
import { freshTarget, type ProtocolGate, startProtocolGate, testPolicy } from '../protocol-gate.ts';
import { RawSession } from '../raw-session.ts';

const ROWS = 60_000;
const QUERY = `SELECT i, md5(i::text) AS h FROM generate_series(1, ${ROWS}) AS i`;
let adminUrl: string;
let target: UpstreamTarget;
let gate: ProtocolGate;

beforeAll(async () => {
  adminUrl = inject('sharedPostgresUrl');
  target = await freshTarget(adminUrl, 'session_stream');
  gate = await startProtocolGate({ target });
});

afterAll(async () => {
  await gate.close();
});

describe('a fault of the gate', () => {
  const FAULTY = {
    when: /faulty/,
    get accepted(): never {
      throw new Error('a fault of the decision');
    },
  };

  /** Sends the faulty statement once that many bytes of the answer to the first one have come; gives all of the answer's end. */
  async function answerAround(
    first: string,
  ): Promise<{ readonly summaries: string[]; readonly tail: string; readonly faults: number }> {
    const faults: unknown[] = [];
    const faulty = await startProtocolGate({ target, rules: [FAULTY], reportFault: (error) => faults.push(error) });
    const session = await RawSession.open(faulty.port);
    let tail = Buffer.alloc(0);
    session.socket.on('data', (chunk: Buffer) => {
      tail = Buffer.concat([tail, chunk]).subarray(-100);
    });
    session.send(encodeQuery(first));
    await session.wait(() => session.messages.length > 0);
    session.socket.pause();
    await sleep(100);
    session.send(encodeQuery('SELECT faulty'));
    await expect.poll(() => faults.length, { timeout: 5_000 }).toBe(1);
    session.socket.resume();
    const summaries = await session.wait(() => session.isClosed);
    await faulty.close();
    return { summaries, tail: tail.toString('latin1'), faults: faults.length };
  }

  test('in the middle of a row closes the connection and adds nothing to the row', async () => {
    const { summaries, tail } = await answerAround("SELECT repeat('x', 50000000)");
    expect(summaries).toEqual(['T']);
    expect(tail).toBe('x'.repeat(100));
  });

  test('between messages is told with its number', async () => {
    const { summaries } = await answerAround('SELECT 1');
    expect(summaries.at(-1)).toBe('E XX000');
  });
});

/** A client that reads in bursts: hash of all bytes up to ReadyForQuery. */
async function readSlowly(port: number): Promise<string> {
  const session = await RawSession.open(port);
  session.socket.removeAllListeners('data');
  const hash = createHash('sha256');
  let isDone = false;
  let bursts = 0;
  session.socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    if (chunk.at(-1) === 0x49 && chunk.at(-6) === 0x5a) isDone = true;
    if (++bursts % 20 === 0) {
      session.socket.pause();
      setTimeout(() => session.socket.resume(), 3);
    }
  });
  session.send(encodeQuery(QUERY));
  while (!isDone) await sleep(10);
  session.close();
  return hash.digest('hex');
}

function expectedHash(): string {
  const hash = createHash('sha256');
  const part = (tag: string, body: Buffer): void => {
    const head = Buffer.alloc(5);
    head.write(tag);
    head.writeInt32BE(body.length + 4, 1);
    hash.update(head).update(body);
  };
  const description = (name: string, typeOid: number, size: number): Buffer => {
    const field = Buffer.alloc(name.length + 19);
    field.write(name);
    field.writeUInt32BE(typeOid, name.length + 7);
    field.writeInt16BE(size, name.length + 11);
    field.writeInt32BE(-1, name.length + 13);
    return field;
  };
  part('T', Buffer.concat([Buffer.from([0, 2]), description('i', 23, 4), description('h', 25, -1)]));
  for (let i = 1; i <= ROWS; i++) {
    const cells = [String(i), createHash('md5').update(String(i)).digest('hex')].map((text) => {
      const cell = Buffer.alloc(4 + text.length);
      cell.writeInt32BE(text.length, 0);
      cell.write(text, 4);
      return cell;
    });
    part('D', Buffer.concat([Buffer.from([0, 2]), ...cells]));
  }
  part('C', Buffer.from(`SELECT ${ROWS}\0`));
  part('Z', Buffer.from('I'));
  return hash.digest('hex');
}

describe('results stream through', () => {
  test('no byte is lost or changed for readers that stop and go', async () => {
    const expected = expectedHash();
    const [first, second] = await Promise.all([readSlowly(gate.port), readSlowly(gate.port)]);
    expect(first).toBe(expected);
    expect(second).toBe(expected);
  });

  test('a client that does not read costs no more than 1 MB', async () => {
    const session = await RawSession.open(gate.port);
    session.socket.pause();
    await sleep(50);
    global.gc?.();
    const before = process.memoryUsage();
    session.send(encodeQuery("SELECT repeat('x', 10000) FROM generate_series(1, 20000)"));
    await sleep(700);
    global.gc?.();
    const after = process.memoryUsage();
    const grown = after.external + after.arrayBuffers - before.external - before.arrayBuffers;
    expect(grown / 2 / 1024 / 1024).toBeLessThan(1);
    session.socket.destroy();
  });
});

describe('ends', () => {
  test('a server that dies in the middle of a result is 08006 or its own 57P01, and the connection closes', async () => {
    const session = await RawSession.open(gate.port);
    const admin = new pg.Client({ connectionString: adminUrl });
    await admin.connect();
    session.send(encodeQuery('SELECT pg_sleep(10)'));
    await sleep(100);
    await admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'session_stream' AND query LIKE '%pg_sleep(10)%' AND pid <> pg_backend_pid()",
    );
    const answer = await session.wait(() => session.isClosed);
    expect(answer.at(-1)).toMatch(/^E (57P01|08006)$/);
    await admin.end();
  });

  test('a client that leaves takes its running statement with it', async () => {
    const session = await RawSession.open(gate.port);
    const admin = new pg.Client({ connectionString: adminUrl });
    await admin.connect();
    session.send(encodeQuery('SELECT pg_sleep(29)'));
    await sleep(100);
    session.socket.destroy();
    await sleep(300);
    const left = await admin.query(
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(29)%' AND state = 'active'",
    );
    expect(left.rowCount).toBe(0);
    await admin.end();
  });

  test('CancelRequest with the own key cancels, in protocol 3.0 and 3.2', async () => {
    for (const minorVersion of [0, 2]) {
      const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'bot', database: 'shop' });
      await client.connect();
      const running = client.query('SELECT pg_sleep(10)').catch((error: { code?: string }) => error.code);
      await sleep(80);
      const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
      const request = Buffer.alloc(16);
      request.writeInt32BE(16, 0);
      request.writeInt32BE(80877102, 4);
      request.writeInt32BE(processID, 8);
      request.writeInt32BE(secretKey, 12);
      const other = new RawSession(gate.port);
      other.send(request);
      expect(await running).toBe('57014');
      await client.end();
      const session = await RawSession.open(gate.port, minorVersion);
      expect(await session.ask(1, encodeQuery('SELECT 1'))).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
      session.close();
    }
  });

  test('draining lets a transaction end', async () => {
    const own = await startProtocolGate({ target, policy: testPolicy() });
    const session = await RawSession.open(own.port);
    await session.ask(1, encodeQuery('BEGIN'));
    const closed = own.close();
    await sleep(50);
    expect(session.isClosed).toBe(false);
    session.messages.length = 0;
    session.send(encodeQuery('COMMIT'));
    expect(await session.wait(() => session.isClosed)).toEqual(['C COMMIT', 'Z I', 'E 57P01']);
    await closed;
  });
});

test('what was asked for before Terminate is done and answered', async () => {
  const session = await RawSession.open(gate.port);
  await session.ask(1, encodeQuery('CREATE TABLE farewell (id int)'));
  session.messages.length = 0;
  session.send(encodeQuery('INSERT INTO farewell VALUES (1)'), encodeTerminate());
  expect(await session.wait(() => session.isClosed)).toEqual(['C INSERT 0 1', 'Z I']);
  const leaving = await RawSession.open(gate.port);
  leaving.socket.end(
    Buffer.concat([encodeQuery('SELECT pg_sleep(0.1); INSERT INTO farewell VALUES (2)'), encodeTerminate()]),
  );
  await sleep(400);
  const reader = await RawSession.open(gate.port);
  expect(await reader.ask(1, encodeQuery('SELECT FROM farewell'))).toEqual(['T', 'D', 'D', 'C SELECT 2', 'Z I']);
  reader.close();
});
