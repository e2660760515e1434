import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { connectUpstream, type UpstreamTarget } from '#proxy/upstream.ts';
import { ReadBuffer } from '#proxy/read-buffer.ts';
import * as encode from '#wire/encode.ts';
import { freshTarget, type ProtocolGate, startProtocolGate } from '../protocol-gate.ts';
import { MessageLog, RawSession } from '../raw-session.ts';

let target: UpstreamTarget;
let gate: ProtocolGate;

beforeAll(async () => {
  target = await freshTarget(inject('sharedPostgresUrl'), 'session_law');
  gate = await startProtocolGate({ target });
});

afterAll(async () => {
  await gate.close();
});

/** The denied text names a table that does not exist: without the gate the server refuses it in the same place. */
const DENIED_TEXT = 'SELECT * FROM secret';
const TEXTS = [
  'SELECT 1',
  'SELECT generate_series(1, 3)',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  DENIED_TEXT,
  'SELECT nope',
  '',
  'SELECT 1; SELECT 2',
];
const EXTENDED_TEXTS = TEXTS.slice(0, -1);
const NAMES = ['', 'a'];

const text = fc.constantFrom(...TEXTS);
const name = fc.constantFrom(...NAMES);

interface Step {
  readonly label: string;
  readonly bytes: Buffer;
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: text.map((sql) => ({ label: `Q ${sql}`, bytes: encode.encodeQuery(sql) })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(name, fc.constantFrom(...EXTENDED_TEXTS))
      .map(([to, sql]) => ({ label: `P ${to} ${sql}`, bytes: encode.encodeParse(to, sql, []) })),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(name, name).map(([portal, statement]) => ({
      label: `B ${portal} ${statement}`,
      bytes: encode.encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats: [] }),
    })),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(name, fc.constantFrom(0, 0, 1))
      .map(([portal, max]) => ({ label: `E ${portal} ${max}`, bytes: encode.encodeExecute(portal, max) })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('statement' as const, 'portal' as const), name)
      .map(([kind, of]) => ({ label: `D ${kind} ${of}`, bytes: encode.encodeDescribe(kind, of) })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('statement' as const, 'portal' as const), name)
      .map(([kind, of]) => ({ label: `C ${kind} ${of}`, bytes: encode.encodeClose(kind, of) })),
  },
  { weight: 3, arbitrary: fc.constant({ label: 'S', bytes: encode.encodeSync() }) },
);

const scenario = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 14 }),
  cuts: fc.array(fc.nat(), { maxLength: 4 }),
});

const END = [
  encode.encodeSync(),
  encode.encodeQuery('ROLLBACK'),
  encode.encodeQuery("SELECT 'the end' AS end_of_test"),
];

async function writePieces(write: (bytes: Buffer) => void, stream: Buffer, cuts: readonly number[]): Promise<void> {
  const places = [...new Set(cuts.map((cut) => cut % stream.length))].sort((left, right) => left - right);
  for (const [index, end] of [...places, stream.length].entries()) {
    const piece = stream.subarray(index === 0 ? 0 : places[index - 1], end);
    if (piece.length > 0) write(piece);
    if (end < stream.length) await sleep(1);
  }
}

/** The last ReadyForQuery follows the row that says so. */
function isOver(log: MessageLog): boolean {
  const last = log.messages.at(-1);
  return last?.summary === 'Z I' && log.messages.some((message) => message.bytes.includes('end_of_test'));
}

async function direct(stream: Buffer): Promise<string[]> {
  const reader = new ReadBuffer({ sizeBytes: 65_536 });
  const upstream = await connectUpstream(target, new Map(), reader);
  const log = new MessageLog();
  reader.receive = (chunk) => {
    log.push(chunk);
    return true;
  };
  upstream.socket.resume();
  upstream.socket.write(stream);
  await log.wait(() => isOver(log));
  upstream.socket.destroy();
  return log.summaries();
}

async function throughGate(stream: Buffer, cuts: readonly number[]): Promise<string[]> {
  const session = await RawSession.open(gate.port);
  await writePieces((bytes) => session.socket.write(bytes), stream, cuts);
  await session.wait(() => isOver(session));
  session.socket.destroy();
  return session.summaries();
}

describe('the law of the session', () => {
  test('for any sequence of messages, cut anywhere, the gate answers as the server would, with the denial in its place', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ steps, cuts }) => {
        const stream = Buffer.concat([...steps.map(({ bytes }) => bytes), ...END]);
        const [expected, actual] = await Promise.all([direct(stream), throughGate(stream, cuts)]);
        // In a failed transaction the server does not look at the text; the gate still says why it would be refused.
        const denied = expected.map((summary, index) =>
          summary === 'E 42P01' || (summary === 'E 25P02' && actual[index] === 'E 42501') ? 'E 42501' : summary,
        );
        expect(actual, steps.map(({ label }) => label).join(' | ')).toEqual(denied);
      }),
      { numRuns: 150, endOnFailure: true },
    );
  });
});
