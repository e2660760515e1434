/** Rows that content redaction looks into are held whole: what may be held is bounded, and what is larger ends its statement. */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { UpstreamTarget } from '#proxy/upstream.ts';
import { loadRedaction } from '#session/result-redaction.ts';
import { decodeErrorFields } from '#wire/decode.ts';
import { encodeBind, encodeExecute, encodeParse, encodeQuery, encodeSync } from '#wire/encode.ts';
import { freshTarget, type ProtocolGate, startProtocolGate, testPolicy } from '../protocol-gate.ts';
import { RawSession } from '../raw-session.ts';

const LIMIT = 1_000_000;
const redaction = { detectors: ['EmailAddress'], patterns: [], maxRowBytes: LIMIT };
const MESSAGE = `a row of the result has more than ${LIMIT} bytes, too many to look into; select fewer columns, or parts of long values with substr()`;
const LARGE = "SELECT repeat('x', 60000000)";

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let target: UpstreamTarget;
let gate: ProtocolGate;

beforeAll(async () => {
  await loadRedaction();
  target = await freshTarget(inject('sharedPostgresUrl'), 'session_redaction_limit');
  gate = await startProtocolGate({ target, policy: testPolicy({ redaction }) });
});

afterAll(async () => {
  await gate.close();
});

function errorOf(session: RawSession): readonly (string | undefined)[] {
  const found = session.messages.find(({ summary }) => summary.startsWith('E '));
  if (found === undefined) return [];
  const fields = decodeErrorFields(found.bytes, 0, found.bytes.length);
  return [fields.get('C'), fields.get('M'), fields.get('R')];
}

const extended = (text: string): readonly Buffer[] => [
  encodeParse('', text, []),
  encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
  encodeExecute('', 0),
  encodeSync(),
];

describe('a row that is too large to be looked into', () => {
  test.each([
    ['a simple query', [encodeQuery(LARGE)]],
    ['the extended protocol, which describes nothing', extended(LARGE)],
    ['COPY', [encodeQuery(`COPY (${LARGE}) TO STDOUT`)]],
    [
      'a row behind small ones',
      [encodeQuery("SELECT repeat('x', 60000000 * (i / 3)) FROM generate_series(1, 5) AS i")],
    ],
    ['a column that needs no look', [encodeQuery("SELECT 'a', decode(repeat('00', 30000000), 'hex')")]],
  ])('ends its statement and not the session: %s', async (_, messages) => {
    const session = await RawSession.open(gate.port);
    // The session knows what the rows of an Execute are like by a Describe.
    await session.ask(1, encodeQuery("SELECT 'small'"));
    await session.ask(1, ...messages);
    expect(errorOf(session)).toEqual(['54000', MESSAGE, 'postern:row_too_large']);
    expect(session.messages.every(({ bytes }) => bytes.length < 1000)).toBe(true);
    expect(await session.ask(1, encodeQuery('SELECT 1'))).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
    session.close();
  });

  test('a transaction block is aborted by it', async () => {
    const session = await RawSession.open(gate.port);
    await session.ask(1, encodeQuery('BEGIN'));
    await session.ask(1, encodeQuery(LARGE));
    expect(session.messages.at(-1)?.summary).toBe('Z E');
    session.close();
  });

  test('one below the limit is redacted whole', async () => {
    const session = await RawSession.open(gate.port);
    const answer = await session.ask(1, encodeQuery("SELECT repeat('x ', 490000) || 'ada@example.com'"));
    expect(answer).toEqual(['T', 'D', 'C SELECT 1', 'Z I']);
    const row = session.messages.find(({ summary }) => summary === 'D')?.bytes.toString('latin1');
    expect(row?.endsWith('x [redacted:EmailAddress]')).toBe(true);
    session.close();
  });

  test.each([
    ['is never in memory', "SELECT repeat('x', 60000000)", 0.5],
    [
      'nor are more than a few that a client does not read',
      "SELECT repeat('x', 400000) FROM generate_series(1, 2000)",
      1.5,
    ],
  ])('%s', async (_, text, most) => {
    const session = await RawSession.open(gate.port);
    session.socket.pause();
    await sleep(50);
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    session.send(encodeQuery(text));
    let held: number[] = [];
    for (let look = 0; look < 40; look++) {
      await sleep(25);
      collectGarbage();
      held.push((process.memoryUsage().arrayBuffers - before) / LIMIT);
    }
    // Freed buffers may be counted for a moment longer.
    held = held.toSorted((a, b) => a - b);
    expect(held[35]).toBeLessThan(most);
    session.socket.destroy();
  });
});
