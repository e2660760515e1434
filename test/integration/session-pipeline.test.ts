import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { UpstreamTarget } from '#proxy/upstream.ts';
import { loadRedaction } from '#session/result-redaction.ts';
import { decodeErrorFields } from '#wire/decode.ts';
import {
  encodeBind,
  encodeClose,
  encodeCopyData,
  encodeCopyDone,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '#wire/encode.ts';
import { freshTarget, type ProtocolGate, startProtocolGate, testPolicy } from '../protocol-gate.ts';
import { RawSession } from '../raw-session.ts';

let target: UpstreamTarget;
let gate: ProtocolGate;

beforeAll(async () => {
  target = await freshTarget(inject('sharedPostgresUrl'), 'session_pipeline');
  gate = await startProtocolGate({
    target,
    rules: [
      {
        when: /returning_nothing/,
        accepted: { shape: { strippedColumns: 1, hidesRows: true } },
        replace: { pattern: /returning_nothing/g, by: 'RETURNING 1' },
      },
      {
        when: /stripped/,
        accepted: { shape: { strippedColumns: 2, hidesRows: false } },
        replace: { pattern: /stripped/g, by: ', 8, 9' },
      },
      {
        when: /masked/,
        accepted: { governed: true },
        replace: { pattern: /masked/g, by: "(SELECT 'xxxxxxxxxx'::text AS v) AS m" },
      },
      {
        when: /checked/,
        accepted: {
          checks: [
            {
              token: 'c0ffee-1',
              sqlstate: '42501',
              slug: 'row_filter_violated',
              message: 'new row violates the row filter',
            },
          ],
        },
        replace: { pattern: /checked/g, by: "('c0ffee-1'::text)::int" },
      },
    ],
  });
});

afterAll(async () => {
  await gate.close();
});

function bind(portal: string, statement: string, resultFormats: readonly number[] = []): Buffer {
  return encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats });
}

/** Parse, Bind, Execute of the unnamed statement. */
function run(text: string): Buffer[] {
  return [encodeParse('', text, []), bind('', ''), encodeExecute('', 0)];
}

describe('pipelines', () => {
  test('a denial in the middle skips to Sync, in its place', async () => {
    const session = await RawSession.open(gate.port);
    const answer = await session.ask(
      2,
      ...run('SELECT 1'),
      ...run('SELECT * FROM secret'),
      ...run('SELECT 3'),
      encodeSync(),
      ...run('SELECT 4'),
      encodeSync(),
    );
    expect(answer).toEqual(['1', '2', 'D', 'C SELECT 1', 'E 42501', 'Z I', '1', '2', 'D', 'C SELECT 1', 'Z I']);
    session.close();
  });

  test('a denial undoes the implicit transaction it stands in, as an error of the server would', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('CREATE TABLE implicit (id int)'));
    await session.ask(1, ...run('INSERT INTO implicit VALUES (1)'), ...run('SELECT secret'), encodeSync());
    expect(await session.ask(1, encodeQuery('SELECT * FROM implicit'))).toEqual(['T', 'C SELECT 0', 'Z I']);
    session.close();
  });

  test('an error of the server skips the rest and undoes what was parsed behind it', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeParse('s', 'SELECT 1', []), encodeSync());
    const answer = await session.ask(
      1,
      ...run('SELECT 1/0'),
      encodeClose('statement', 's'),
      encodeParse('s', 'SELECT 2, 3', []),
      encodeSync(),
    );
    // The division is folded when the plan is made, at Bind.
    expect(answer).toEqual(['1', 'E 22012', 'Z I']);
    expect(
      await session.ask(1, bind('', 's'), encodeDescribe('portal', ''), encodeExecute('', 0), encodeSync()),
    ).toEqual(['2', 'T', 'D', 'C SELECT 1', 'Z I']);
    session.close();
  });

  test('what fails takes back only its own change, not that of a later message', async () => {
    const session = await RawSession.open(gate.port);
    const answer = await session.ask(
      2,
      encodeParse('', 'SELECT nope', []),
      encodeSync(),
      encodeParse('', 'SELECT 1', []),
      encodeSync(),
    );
    expect(answer).toEqual(['E 42703', 'Z I', '1', 'Z I']);
    expect(await session.ask(1, encodeDescribe('statement', ''), encodeSync())).toEqual(['t', 'T', 'Z I']);
    session.close();
  });

  test('several simple queries in one write, one denied inside a block', async () => {
    const session = await RawSession.open(gate.port);
    const answer = await session.ask(
      4,
      encodeQuery('BEGIN'),
      encodeQuery('SELECT secret'),
      encodeQuery('SELECT 1'),
      encodeQuery('ROLLBACK'),
    );
    expect(answer).toEqual(['C BEGIN', 'Z T', 'E 42501', 'Z E', 'E 25P02', 'Z E', 'C ROLLBACK', 'Z I']);
    session.close();
  });

  test('what is not there is answered as the server would', async () => {
    const session = await RawSession.open(gate.port);
    expect(await session.ask(1, bind('', 'nope'), encodeSync())).toEqual(['E 26000', 'Z I']);
    expect(await session.ask(1, encodeExecute('nope', 0), encodeSync())).toEqual(['E 34000', 'Z I']);
    expect(await session.ask(1, encodeDescribe('portal', 'nope'), encodeSync())).toEqual(['E 34000', 'Z I']);
    expect(await session.ask(1, encodeClose('statement', 'nope'), encodeSync())).toEqual(['3', 'Z I']);
    session.close();
  });

  test('Flush brings the replies without Sync; portals are suspended and resumed', async () => {
    const session = await RawSession.open(gate.port);
    session.send(
      encodeParse('', 'SELECT generate_series(1, 5)', []),
      bind('p', ''),
      encodeExecute('p', 2),
      encodeFlush(),
    );
    expect(await session.wait(() => session.messages.some((message) => message.summary === 's'))).toEqual([
      '1',
      '2',
      'D',
      'D',
      's',
    ]);
    expect(await session.ask(1, encodeExecute('p', 2), encodeExecute('p', 2), encodeSync())).toEqual([
      'D',
      'D',
      's',
      'D',
      'C SELECT 1',
      'Z I',
    ]);
    session.close();
  });
});

describe('COPY', () => {
  test('in, simple', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('CREATE TABLE copied (id int, t text)'));
    session.messages.length = 0;
    session.send(encodeQuery('COPY copied FROM STDIN'));
    await session.wait(() => session.messages.length > 0);
    expect(await session.ask(1, encodeCopyData(Buffer.from('1\ta\n2\tb\n')), encodeCopyDone())).toEqual([
      'C COPY 2',
      'Z I',
    ]);
    session.close();
  });

  test('in, extended, with a Sync before and after the data', async () => {
    const session = await RawSession.open(gate.port);
    session.send(...run('COPY copied FROM STDIN'), encodeSync());
    await session.wait(() => session.messages.some((message) => message.summary === 'G'));
    expect(await session.ask(1, encodeCopyData(Buffer.from('3\tc\n')), encodeCopyDone(), encodeSync())).toEqual([
      'C COPY 1',
      'Z I',
    ]);
    expect(await session.ask(1, encodeQuery('SELECT 1'))).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
    session.close();
  });

  test('in, failed by the client and by bad data', async () => {
    const session = await RawSession.open(gate.port);
    session.send(encodeQuery('COPY copied FROM STDIN'));
    await session.wait(() => session.messages.length > 0);
    expect(await session.ask(1, encodeCopyFail('changed my mind'))).toEqual(['E 57014', 'Z I']);
    session.messages.length = 0;
    session.send(...run('COPY copied FROM STDIN'), encodeSync());
    await session.wait(() => session.messages.some((message) => message.summary === 'G'));
    const answer = await session.ask(1, encodeCopyData(Buffer.from('x\tc\n')), encodeCopyDone(), encodeSync());
    expect(answer).toEqual(['E 22P02', 'Z I']);
    session.close();
  });

  test('out, simple and extended', async () => {
    const session = await RawSession.open(gate.port);
    const simple = await session.ask(1, encodeQuery('COPY (SELECT generate_series(1, 3)) TO STDOUT'));
    expect(simple).toEqual(['H', 'd', 'd', 'd', 'c', 'C COPY 3', 'Z I']);
    const extended = await session.ask(1, ...run('COPY (SELECT generate_series(1, 3)) TO STDOUT'), encodeSync());
    expect(extended).toEqual(['1', '2', 'H', 'd', 'd', 'd', 'c', 'C COPY 3', 'Z I']);
    session.close();
  });
});

describe('results and errors of rewritten statements', () => {
  test('added columns are stripped, in both protocols and with a list of formats', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('SELECT 1, 2 stripped'));
    const row = session.messages.find((message) => message.summary === 'D');
    expect(row?.bytes.readInt16BE(5)).toBe(2);
    expect(session.messages[0]?.bytes.readInt16BE(5)).toBe(2);
    const answer = await session.ask(
      1,
      encodeParse('', 'SELECT 1, 2 stripped', []),
      encodeDescribe('statement', ''),
      bind('', '', [1, 0]),
      encodeExecute('', 0),
      encodeSync(),
    );
    expect(answer).toEqual(['1', 't', 'T', '2', 'D', 'C SELECT 1', 'Z I']);
    expect(session.messages[4]?.bytes.readInt16BE(5)).toBe(2);
    session.close();
  });

  test('a statement that returns nothing has no rows although the gate added some', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('CREATE TABLE hidden_rows (id int)'));
    expect(await session.ask(1, encodeQuery('INSERT INTO hidden_rows VALUES (1) returning_nothing'))).toEqual([
      'C INSERT 0 1',
      'Z I',
    ]);
    const answer = await session.ask(
      1,
      encodeParse('', 'INSERT INTO hidden_rows VALUES (2), (3) returning_nothing', []),
      bind('', ''),
      encodeDescribe('portal', ''),
      encodeExecute('', 0),
      encodeSync(),
    );
    expect(answer).toEqual(['1', '2', 'n', 'C INSERT 0 2', 'Z I']);
    session.close();
  });

  test('positions refer to the text of the agent, in characters', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery("SELECT 'é€😀', * FROM masked, nowhere"));
    const error = session.messages[0];
    if (error === undefined) throw new Error('no answer');
    const fields = decodeErrorFields(error.bytes, 0, error.bytes.length);
    expect(fields.get('C')).toBe('42P01');
    expect(
      Array.from("SELECT 'é€😀', * FROM masked, nowhere")
        .slice(Number(fields.get('P')) - 1)
        .join(''),
    ).toBe('nowhere');
    session.close();
  });

  test('errors about governed relations hold no value', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('SELECT v::int FROM masked'));
    const error = session.messages.find((message) => message.summary.startsWith('E'));
    if (error === undefined) throw new Error('no error');
    const fields = decodeErrorFields(error.bytes, 0, error.bytes.length);
    expect(fields.get('C')).toBe('22P02');
    expect(JSON.stringify([...fields])).not.toContain('xxxxxxxxxx');
    session.close();
  });

  test('a check added by the gate answers in its own words', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('SELECT checked'));
    const error = session.messages[0];
    if (error === undefined) throw new Error('no answer');
    const fields = decodeErrorFields(error.bytes, 0, error.bytes.length);
    expect([fields.get('C'), fields.get('M')]).toEqual(['42501', 'new row violates the row filter']);
    expect(fields.get('R')).toBe('postern:row_filter_violated');
    session.close();
  });
});

describe('broken protocol', () => {
  test.each([
    ['a FunctionCall', Buffer.from([0x46, 0, 0, 0, 4])],
    ['an unknown tag', Buffer.from([0x21, 0, 0, 0, 4])],
    ['a length of 1 GB', Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff])],
    ['a length of 3', Buffer.from([0x51, 0, 0, 0, 3])],
    ['a text without end', Buffer.from([0x51, 0, 0, 0, 5, 0x41])],
    ['a NUL in the text', encodeQuery('SELECT 1 ').fill(0, 8, 9)],
  ])('%s is refused with 08P01 and closes', async (_, bytes) => {
    const session = await RawSession.open(gate.port);
    session.send(bytes);
    expect(await session.wait(() => session.isClosed)).toEqual(['E 08P01']);
  });

  test('text that is not UTF-8 is refused, and the session lives', async () => {
    const session = await RawSession.open(gate.port);
    const text = encodeQuery("SELECT 'xx'");
    text[13] = 0xc0;
    expect(await session.ask(1, text)).toEqual(['E 42601', 'Z I']);
    expect(await session.ask(1, encodeQuery('SELECT 1'))).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
    session.close();
  });
});

describe('decisions made elsewhere', () => {
  test('messages wait their turn', async () => {
    const slow = await startProtocolGate({ target, asynchronous: true });
    const session = await RawSession.open(slow.port);
    const answer = await session.ask(
      3,
      encodeQuery('SELECT 1'),
      encodeQuery('SELECT secret'),
      ...run('SELECT 2'),
      encodeSync(),
    );
    expect(answer).toEqual(['T', 'D', 'C SELECT 1', 'Z I', 'E 42501', 'Z I', '1', '2', 'D', 'C SELECT 1', 'Z I']);
    session.close();
    await slow.close();
  });
});

describe('content redaction', () => {
  const redaction = {
    detectors: ['EmailAddress'],
    patterns: [{ name: 'badge', regex: 'B-[0-9]{6}' }],
    maxRowBytes: 100_000,
  };

  test('rows in text and binary and COPY data are redacted, also without a Describe', async () => {
    await loadRedaction();
    const own = await startProtocolGate({ target, policy: testPolicy({ redaction }) });
    const session = await RawSession.open(own.port);
    const cells = (): string => session.messages.map((message) => message.bytes.toString('latin1')).join('');
    await session.ask(1, encodeQuery("SELECT 'write to ada@example.com', 7"));
    expect(cells()).not.toContain('ada@');
    expect(cells()).toContain('[redacted');
    const answer = await session.ask(
      1,
      encodeParse('', "SELECT 'B-123456'::text, 7", []),
      bind('', '', [1]),
      encodeExecute('', 0),
      encodeSync(),
    );
    expect(answer).toEqual(['1', '2', 'D', 'C SELECT 1', 'Z I']);
    expect(cells()).not.toContain('B-123456');
    await session.ask(1, encodeQuery("COPY (SELECT 'ada@example.com', 'x') TO STDOUT (FORMAT csv)"));
    expect(cells()).not.toContain('ada@');
    expect(cells()).toContain(',x\n');
    session.close();
    await own.close();
  });
});
