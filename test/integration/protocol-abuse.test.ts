/**
 * What a hostile or broken client may send to the real gate, over raw sockets. The server logs every statement: what was refused must not
 * be there. (Cases that need no policy stand in session-pipeline and session-stream.)
 */
import { mkdtemp, readFile, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openFileSink } from '#audit/file-sink.ts';
import { silentLog } from '#proxy/log.ts';
import { type RunningProxy, startProxy } from '#proxy/start.ts';
import { decodeErrorFields } from '#wire/decode.ts';
import {
  encodeBind,
  encodeCopyData,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '#wire/encode.ts';
import { encodeCancelRequest, encodeGssencRequest, encodeStartup } from '#wire/startup.ts';
import { connectionManifests, policyManifest } from '../manifests.ts';
import { type PostgresServer, startPostgres } from '../postgres.ts';
import { RawSession } from '../raw-session.ts';

let server: PostgresServer;
let admin: pg.Client;
let folder: string;
let proxy: RunningProxy;

const POLICY = policyManifest(`  tables:
    - { name: public.customers, mask: [{ columns: [email], with: { method: Redact } }] }
    - { name: public.notes, actions: [Select, Insert] }`);
const DENIAL =
  'policy data/support does not allow SELECT on public.payroll; use one of: public.customers, public.notes';

beforeAll(async () => {
  server = await startPostgres({ settings: { log_statement: 'all' } });
  admin = new pg.Client({ connectionString: await server.createDatabase('abuse') });
  await admin.connect();
  await admin.query(`CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
    INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com'), (2, 'Bob', 'bob@example.com');
    CREATE TABLE payroll (id int, amount int);
    CREATE TABLE notes (id int, note text);
    CREATE ROLE abuse_agent LOGIN PASSWORD 'agent secret';
    GRANT SELECT ON customers, payroll TO abuse_agent;
    GRANT SELECT, INSERT ON notes TO abuse_agent`);
});

afterAll(async () => {
  await admin.end();
  await server.stop();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-abuse-'));
  const { port } = server;
  const credentials = { username: 'abuse_agent', password: 'agent secret' };
  await writeFile(join(folder, 'connection.yaml'), connectionManifests({ port, database: 'abuse', ...credentials }));
  await writeFile(join(folder, 'policy.yaml'), POLICY);
  proxy = await startProxy({
    manifests: folder,
    connection: { namespace: 'data', name: 'shop' },
    identity: { namespace: 'agents', serviceAccount: 'support-bot', groups: [], claims: {} },
    listen: { host: '127.0.0.1', port: 0 },
    sink: await openFileSink(join(folder, 'audit.ndjson')),
    log: silentLog,
  });
  await proxy.ready();
});

afterEach(async () => {
  await proxy.close(500);
  await rm(folder, { recursive: true });
});

function bind(statement = '', ...values: readonly Buffer[]): Buffer {
  return encodeBind({ portal: '', statement, parameterFormats: [], parameters: values, resultFormats: [] });
}

/** A frame by hand, whatever it holds. */
function frame(tag: string, ...parts: readonly (Buffer | number | string)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(`${part}\0`, 'utf8');
      if (typeof part !== 'number') return part;
      const int16 = Buffer.alloc(2);
      int16.writeInt16BE(part);
      return int16;
    }),
  );
  const header = Buffer.alloc(5);
  header.write(tag, 'latin1');
  header.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([header, body]);
}

/** SQLSTATE and message of each error the session was answered. */
function errors(session: RawSession): string[] {
  return session.messages
    .filter((message) => message.summary.startsWith('E '))
    .map(({ bytes }) => decodeErrorFields(bytes, 0, bytes.length))
    .map((fields) => `${fields.get('C') ?? ''} ${fields.get('M') ?? ''}`);
}

/** The gate still serves others. */
async function expectAlive(): Promise<void> {
  const session = await RawSession.open(proxy.address.port);
  expect(await session.ask(1, encodeQuery('SELECT email FROM customers WHERE id = 1'))).toEqual([
    'T',
    'D',
    'C SELECT 1',
    'Z I',
  ]);
  session.close();
}

/** Resolves when the server runs a statement with that text for the agent. */
async function untilRunning(text: string): Promise<void> {
  const sql =
    "SELECT 1 FROM pg_stat_activity WHERE usename = 'abuse_agent' AND state = 'active' AND position($1 in query) > 0";
  await expect.poll(async () => (await admin.query(sql, [text])).rowCount, { timeout: 5000 }).toBe(1);
}

async function serverLog(): Promise<string> {
  return await readFile(server.logPath, 'utf8');
}

describe('before start-up', () => {
  const length = (bytes: number): Buffer => {
    const header = Buffer.alloc(4);
    header.writeInt32BE(bytes);
    return header;
  };
  test.each([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a query', encodeQuery('SELECT 1')],
    ['a length of 0', Buffer.concat([length(0), Buffer.alloc(8)])],
    ['a negative length', Buffer.concat([length(-1), Buffer.alloc(8)])],
    ['a length of 1 GB', Buffer.concat([length(0x3fffffff), Buffer.alloc(8)])],
    ['protocol 2.0', Buffer.concat([length(12), Buffer.from([0, 2, 0, 0]), Buffer.alloc(4)])],
    ['protocol 4.0', Buffer.concat([length(12), Buffer.from([0, 4, 0, 0]), Buffer.alloc(4)])],
    ['parameters without end', Buffer.concat([length(13), Buffer.from([0, 3, 0, 0]), Buffer.from('user\0')])],
    [
      'user given twice',
      Buffer.concat([length(25), Buffer.from([0, 3, 0, 0]), Buffer.from('user\0a\0user\0b\0\0\0\0')]),
    ],
    ['an ssl request of the wrong length', Buffer.concat([length(12), Buffer.from([4, 210, 22, 47, 0, 0, 0, 0])])],
  ])('%s is 08P01, and the connection closes', async (_, bytes) => {
    const session = new RawSession(proxy.address.port);
    session.send(bytes);
    expect(await session.wait(() => session.isClosed)).toEqual(['E 08P01']);
    await expectAlive();
  });

  test('half a packet and a client that leaves disturb nobody', async () => {
    for (const bytes of [1, 3, 7, 20]) {
      const session = new RawSession(proxy.address.port);
      session.socket.end(
        encodeStartup(
          0,
          new Map([
            ['user', 'somebody'],
            ['database', 'x'],
          ]),
        ).subarray(0, bytes),
      );
      await session.wait(() => session.isClosed);
      expect(session.messages).toEqual([]);
    }
    await expectAlive();
  });

  test('TLS at once, where the gate has no certificate, closes', async () => {
    const session = new RawSession(proxy.address.port);
    session.send(Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]));
    await session.wait(() => session.isClosed);
    // No error: a TLS client could not read one.
    expect(session.messages).toEqual([]);
    await expectAlive();
  });

  test('GSSENCRequest is answered N, and the start-up after it works', async () => {
    const session = new RawSession(proxy.address.port);
    session.socket.removeAllListeners('data');
    const answer = new Promise<Buffer>((resolve) => session.socket.once('data', resolve));
    session.send(encodeGssencRequest());
    expect((await answer).toString('latin1')).toBe('N');
    session.socket.on('data', (chunk: Buffer) => session.push(chunk));
    session.send(encodeStartup(0, new Map([['user', 'bot']])));
    expect((await session.until(1)).at(-1)).toBe('Z I');
    session.close();
  });

  test.each([
    ['true', 'true'],
    ['database', 'database'],
  ])('replication=%s is refused', async (_, value) => {
    const session = new RawSession(proxy.address.port);
    session.send(
      encodeStartup(
        0,
        new Map([
          ['user', 'bot'],
          ['replication', value],
        ]),
      ),
    );
    await session.wait(() => session.isClosed);
    expect(errors(session)).toEqual(['08P01 protocol violation: replication is not offered']);
  });

  test.each([
    [2, ['_pq_.command_tag'], '00000002 1 _pq_.command_tag'],
    [9999, [], '00000002 0 '],
    [9999, ['_pq_.test_protocol_negotiation'], '00000002 1 _pq_.test_protocol_negotiation'],
  ])('protocol 3.%i with options %j is negotiated down, each option named', async (minor, options, expected) => {
    const session = new RawSession(proxy.address.port);
    const parameters = new Map([['user', 'bot'], ...options.map((name): [string, string] => [name, 'on'])]);
    session.send(encodeStartup(minor, parameters));
    await session.until(1);
    const first = session.messages[0];
    expect(first?.summary).toBe('v');
    const body = first?.bytes ?? Buffer.alloc(13);
    const names = body.toString('utf8', 13).split('\0').slice(0, -1);
    expect(
      `${(body.readInt32BE(5) & 0xffff).toString(16).padStart(8, '0')} ${body.readInt32BE(9)} ${names.join(' ')}`,
    ).toBe(expected);
    session.close();
  });
});

describe('frames', () => {
  test.each([
    ['a CopyBoth response', frame('W', Buffer.from([0, 0, 0]))],
    ['a message of the server', frame('D', Buffer.alloc(70_000))],
    ['a FunctionCall of lo_unlink', frame('F', Buffer.from([0, 0, 3, 0xbc]), 0, 0, 0)],
    ['a Bind of 65,535 parameters that are not there', frame('B', '', '', 0, -1)],
    ['a Bind with a value longer than its message', frame('B', '', '', 0, 1, Buffer.from([0x7f, 0xff, 0xff, 0xff]), 0)],
    ['a Bind with a length of -2', frame('B', '', '', 0, 1, Buffer.from([0xff, 0xff, 0xff, 0xfe]), 0)],
    ['a Bind with more formats than bytes', frame('B', '', '', 0x7fff)],
    ['a Bind with bytes after its end', frame('B', '', '', 0, 0, 0, 0)],
    ['a Parse of 65,535 types that are not there', frame('P', '', 'SELECT 1', -1)],
    ['a Parse with a NUL in the text', frame('P', '', 'SELECT 1', 'x', 0)],
    ['a Describe of neither', frame('D', Buffer.from('X'), '')],
    ['a Close of neither', frame('C', Buffer.from('X'), '')],
    ['an Execute without its number', frame('E', '')],
    ['a Sync with a body', frame('S', Buffer.from('x'))],
    ['a second start-up packet', encodeStartup(0, new Map([['user', 'bot']]))],
  ])('%s is 08P01, and the connection closes', async (_, bytes) => {
    const session = await RawSession.open(proxy.address.port);
    session.send(encodeParse('', 'SELECT 1', []));
    session.send(bytes);
    const answer = await session.wait(() => session.isClosed);
    expect(answer.at(-1)).toBe('E 08P01');
    await expectAlive();
  });

  test('half a frame and a client that leaves disturb nobody', async () => {
    for (const bytes of [1, 4, 5, 20]) {
      const session = await RawSession.open(proxy.address.port);
      session.socket.end(encodeQuery('SELECT name FROM customers').subarray(0, bytes));
      await session.wait(() => session.isClosed);
      expect(session.messages).toEqual([]);
    }
    await expectAlive();
  });

  test('Execute without Bind, and Bind without Parse, are the errors of a server', async () => {
    const session = await RawSession.open(proxy.address.port);
    expect(await session.ask(1, encodeExecute('', 0), encodeSync())).toEqual(['E 34000', 'Z I']);
    expect(errors(session)).toEqual(['34000 portal "" does not exist']);
    expect(await session.ask(1, bind('nope'), encodeSync())).toEqual(['E 26000', 'Z I']);
    expect(errors(session)).toEqual(['26000 prepared statement "nope" does not exist']);
    session.close();
  });

  test('a flood of Sync is answered one by one', async () => {
    const session = await RawSession.open(proxy.address.port);
    const answer = await session.ask(10_000, Buffer.concat(Array.from({ length: 10_000 }, () => encodeSync())));
    expect(answer.length).toBe(10_000);
    expect(new Set(answer)).toEqual(new Set(['Z I']));
    session.close();
  });

  test('a pipeline of 1,000 statements with one Sync', async () => {
    const session = await RawSession.open(proxy.address.port);
    const one = [
      encodeParse('', 'SELECT $1::int + id FROM customers WHERE id = 1', []),
      bind('', Buffer.from('1')),
      encodeExecute('', 0),
    ];
    const answer = await session.ask(1, ...Array.from({ length: 1000 }, () => one).flat(), encodeSync());
    expect(answer.filter((summary) => summary === 'C SELECT 1').length).toBe(1000);
    expect(answer.at(-1)).toBe('Z I');
    session.close();
  });

  test.each([
    ['invalid UTF-8', Buffer.from([0x61, 0xff])],
    ['a NUL', Buffer.from([0x61, 0])],
    ['half a surrogate pair', Buffer.from([0xed, 0xa0, 0x80])],
  ])('%s in a parameter is the 22021 of a server, and the session lives', async (_, value) => {
    const session = await RawSession.open(proxy.address.port);
    const answer = await session.ask(1, encodeParse('', 'SELECT $1::text', []), bind('', value), encodeSync());
    expect(answer).toEqual(['1', 'E 22021', 'Z I']);
    expect(await session.ask(1, encodeQuery('SELECT 1'))).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
    session.close();
  });
});

describe('statements', () => {
  test.each([
    [
      'too long',
      `SELECT 'oversized_mark', '${'x'.repeat(300_000)}'`,
      '54000 the statement is too large: the limit is 262144 bytes; send less text, or pass values as parameters',
    ],
    ['10,000 parentheses deep', `SELECT ${'('.repeat(10_000)}'deep_mark'${')'.repeat(10_000)}`, ''],
    ['20,000 operators long', `SELECT 'wide_mark'${" || 'x'".repeat(20_000)}`, ''],
  ])('that are %s are 54000 and the session lives', async (_, text, message) => {
    const session = await RawSession.open(proxy.address.port);
    expect(await session.ask(1, encodeQuery(text))).toEqual(['E 54000', 'Z I']);
    if (message !== '') expect(errors(session)).toEqual([message]);
    expect(await session.ask(1, encodeParse('', text, []), encodeSync())).toEqual(['E 54000', 'Z I']);
    expect(await session.ask(1, encodeQuery('SELECT 1'))).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
    session.close();
    expect(await serverLog()).not.toMatch(/(?:oversized|deep|wide)_mark/);
  });

  test('nothing of a denied statement reaches the server, alone, among others, in a pipeline, in a transaction', async () => {
    const session = await RawSession.open(proxy.address.port);
    const denied = "SELECT 'denied_mark', * FROM payroll";
    expect(await session.ask(1, encodeQuery(`SELECT 'allowed_mark' FROM customers`))).toContain('C SELECT 2');
    expect(await session.ask(1, encodeQuery(denied))).toEqual(['E 42501', 'Z I']);
    expect(errors(session)).toEqual([`42501 ${DENIAL}`]);
    const among = `SELECT 'beside_denied_mark'; ${denied}; INSERT INTO notes VALUES (1, 'denied_mark')`;
    expect(await session.ask(1, encodeQuery(among))).toEqual(['E 42501', 'Z I']);
    const pipeline = [
      encodeParse('', "INSERT INTO notes VALUES (1, 'first_mark')", []),
      bind(),
      encodeExecute('', 0),
      encodeParse('', denied, []),
      bind(),
      encodeExecute('', 0),
      encodeParse('', "INSERT INTO notes VALUES (2, 'skipped_denied_mark')", []),
      bind(),
      encodeExecute('', 0),
      encodeSync(),
    ];
    expect(await session.ask(1, ...pipeline)).toEqual(['1', '2', 'C INSERT 0 1', 'E 42501', 'Z I']);
    expect((await admin.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 0 }]);
    expect(await session.ask(3, encodeQuery('BEGIN'), encodeQuery(denied), encodeQuery('SELECT 1'))).toEqual([
      'C BEGIN',
      'Z T',
      'E 42501',
      'Z E',
      'E 25P02',
      'Z E',
    ]);
    expect(await session.ask(1, encodeQuery('COMMIT'))).toEqual(['C ROLLBACK', 'Z I']);
    session.close();
    const log = await serverLog();
    expect(log).toContain('allowed_mark');
    expect(log).toContain('first_mark');
    expect(log).not.toContain('denied_mark');
  });

  test('a cursor of DECLARE can be described; one of another session cannot', async () => {
    const session = await RawSession.open(proxy.address.port);
    await session.ask(2, encodeQuery('BEGIN'), encodeQuery('DECLARE c CURSOR FOR SELECT email FROM customers'));
    expect(await session.ask(1, encodeDescribe('portal', 'c'), encodeSync())).toEqual(['T', 'Z T']);
    expect(await session.ask(1, encodeDescribe('portal', 'd'), encodeSync())).toEqual(['E 34000', 'Z E']);
    session.close();
  });

  test('a cursor of DECLARE cannot be described under a newer policy', async () => {
    const session = await RawSession.open(proxy.address.port);
    await session.ask(2, encodeQuery('BEGIN'), encodeQuery('DECLARE c CURSOR FOR SELECT email FROM customers'));
    await writeFile(
      join(folder, 'policy.yaml'),
      POLICY.replace('mask: [{ columns: [email], with: { method: Redact } }]', 'hide: [email]'),
    );
    await expect
      .poll(async () => (await session.ask(1, encodeDescribe('portal', 'c'), encodeSync())).join(), { timeout: 5000 })
      .toBe('E 42501,Z E');
    session.close();
  });
});

describe('cancel', () => {
  const SLOW = 'SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b';

  async function sendCancel(processId: number, secret: Buffer): Promise<string[]> {
    const other = new RawSession(proxy.address.port);
    other.send(encodeCancelRequest(processId, secret));
    return await other.wait(() => other.isClosed);
  }

  test('with a wrong key does nothing and says nothing; with the right one cancels', async () => {
    const session = new RawSession(proxy.address.port);
    session.send(encodeStartup(0, new Map([['user', 'bot']])));
    await session.until(1);
    const key = session.messages.find((message) => message.summary === 'K')?.bytes ?? Buffer.alloc(13);
    const processId = key.readInt32BE(5);
    const secret = Buffer.from(key.subarray(9));
    const wrong = Buffer.from(secret);
    wrong[0] = (wrong[0] ?? 0) ^ 1;
    session.messages.length = 0;
    session.send(encodeQuery(SLOW));
    await untilRunning('generate_series(1, 100000) a');
    expect(await sendCancel(processId, wrong)).toEqual([]);
    expect(await sendCancel(processId + 1, secret)).toEqual([]);
    expect(await sendCancel(processId, Buffer.concat([secret, Buffer.alloc(28)]))).toEqual([]);
    await sleep(200);
    expect(session.messages).toEqual([]);
    expect(await sendCancel(processId, secret)).toEqual([]);
    expect(await session.until(1)).toEqual(['T', 'E 57014', 'Z I']);
    session.close();
  });
});

describe('ends', () => {
  async function backends(): Promise<number> {
    const { rows } = await admin.query(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'abuse_agent' AND state IS NOT NULL AND query <> '' AND query !~ 'pg_class|pg_proc'",
    );
    return rows[0].n;
  }

  test('a server process that is killed in the middle of a row ends the connection, and nothing is added to the row', async () => {
    const session = await RawSession.open(proxy.address.port);
    let tail = Buffer.alloc(0);
    session.socket.on('data', (chunk: Buffer) => {
      tail = Buffer.concat([tail, chunk]).subarray(-200);
    });
    session.send(encodeQuery("SELECT repeat('x', 50000000) AS killed_mark"));
    await session.wait(() => session.messages.length === 1);
    session.socket.pause();
    await sleep(100);
    const killed = await admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'abuse_agent' AND query LIKE '%killed_mark%'",
    );
    expect(killed.rowCount).toBe(1);
    session.socket.resume();
    // The row is half written: an error would be read as its value.
    expect(await session.wait(() => session.isClosed)).toEqual(['T']);
    expect(tail.toString('latin1')).toBe('x'.repeat(200));
    await expectAlive();
  });

  test('a client that dies in the middle of COPY leaves nothing behind', async () => {
    const session = await RawSession.open(proxy.address.port);
    session.send(encodeQuery('COPY notes FROM STDIN'));
    await session.wait(() => session.summaries().includes('G'));
    session.send(encodeCopyData(Buffer.from('1\tone\n')), encodeCopyData(Buffer.from('2\ttwo\n3\tth')));
    await sleep(50);
    session.socket.destroy();
    await expect.poll(backends, { timeout: 5000 }).toBe(0);
    expect((await admin.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 0 }]);
    await expectAlive();
  });

  test('a withdrawn policy ends an idle session with 57P01 within 5 s', async () => {
    const session = await RawSession.open(proxy.address.port);
    const started = Date.now();
    await writeFile(join(folder, 'policy.yaml'), POLICY.replace('support-bot', 'other-bot'));
    expect(await session.wait(() => session.isClosed)).toEqual(['E 57P01']);
    expect(Date.now() - started).toBeLessThan(5000);
  });
});

describe('a record that cannot be written', () => {
  test('a full disk refuses with 58030, inside a transaction too, and heals', async () => {
    const session = await RawSession.open(proxy.address.port);
    const file = join(folder, 'audit.ndjson');
    await unlink(file);
    await symlink('/dev/full', file);
    const mark = "SELECT 'unrecorded_mark' FROM customers";
    await sleep(400);
    expect(await session.ask(1, encodeQuery(mark))).toEqual(['E 58030', 'Z I']);
    expect(await session.ask(1, encodeParse('', mark, []), bind(), encodeExecute('', 0), encodeSync())).toContain(
      'E 58030',
    );
    expect(await serverLog()).not.toContain("execute <unnamed>: SELECT 'unrecorded_mark'");
    expect(await serverLog()).not.toContain("statement: SELECT 'unrecorded_mark'");
    await unlink(file);
    await expect
      .poll(async () => (await session.ask(1, encodeQuery('SELECT 1'))).at(-2), { timeout: 5000 })
      .toBe('C SELECT 1');
    session.close();
  });
});
