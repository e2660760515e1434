import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { AuditEvent } from '#audit/event.ts';
import { LineScan } from '#audit/line-scan.ts';
import { readLink } from '#audit/link.ts';
import { ChainSet, type Verdict } from '#audit/verify.ts';
import { chainLines, edge, POD, sessionOf, START_MS, statement } from '#test/record-folder.ts';

const session = sessionOf('01998877-1111-7abc-8def-001122334455');
const statements = (count: number): readonly AuditEvent[] =>
  Array.from({ length: count }, (_, index) =>
    statement(session, `u${index}`, `SELECT ${index}`, START_MS + index),
  ).flat();

/** Objects → verdict, as the command does it: scan each, join, read again what is wanted. */
function verify(objects: readonly (readonly Buffer[])[], { isOpen = false, isLog = false } = {}): Verdict {
  const chains = new ChainSet({ isRepeatFinding: isLog });
  for (const [index, lines] of objects.entries()) {
    const scan = new LineScan(`o${index}`);
    scan.add(Buffer.concat(lines));
    chains.add(scan.finish(), `o${index}`);
  }
  chains.settle();
  for (const [index, lines] of objects.entries()) {
    for (const [at, line] of lines.entries()) {
      const link = readLink(line, 0, line.length - 1);
      if (link !== undefined) chains.compare(link.chainId, link.seq, link.hash, `o${index}`, at + 1);
    }
  }
  return chains.finish(isOpen);
}

const said = ({ findings }: Verdict): readonly string[] => findings.map(({ kind, message }) => `${kind}: ${message}`);

/** The line with another statement, its own hash made right again: what somebody without the rest of the chain can make. */
async function forged(seq: number): Promise<readonly Buffer[]> {
  const events = [edge('process_start', START_MS), ...statements(10), edge('process_end', START_MS + 100)];
  const at = seq - 1;
  const other = events.map((event, index) =>
    index === at && event.phase === 'decision' ? { ...event, queryString: 'SELECT forged' } : event,
  );
  return await chainLines(other);
}

let one: readonly Buffer[];
let two: readonly Buffer[];

beforeAll(async () => {
  const events = [edge('process_start', START_MS), ...statements(10), edge('process_end', START_MS + 100)];
  one = await chainLines(events);
  two = await chainLines(events);
});

/** Cuts a list at any places; the parts may hold copies of what stands before and behind them. */
const cuts = (length: number): fc.Arbitrary<readonly (readonly [number, number])[]> =>
  fc.array(fc.tuple(fc.nat(length - 1), fc.integer({ min: 1, max: length })), { maxLength: 8 }).map((copies) => {
    const ranges = copies.map(([from, count]) => [from, Math.min(length, from + count)] as const);
    return ranges;
  });

describe('objects of collectors', () => {
  test('hold in any order, with any copies, interleaved with other chains', () => {
    fc.assert(
      fc.property(
        cuts(one.length),
        fc.integer({ min: 1, max: one.length - 1 }),
        fc.func(fc.nat()),
        (copies, cut, place) => {
          const parts = [one.slice(0, cut), one.slice(cut), two, ...copies.map(([from, to]) => one.slice(from, to))];
          const order = parts.map((part, index) => ({ part, at: place(index) })).toSorted((a, b) => a.at - b.at);
          expect(said(verify(order.map(({ part }) => part)))).toEqual([]);
          const merged = one.flatMap((line, index) => [line, two[index] ?? Buffer.alloc(0)]);
          expect(said(verify([merged, ...order.map(({ part }) => part)]))).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('a batch that stands twice in one object is a copy', () => {
    expect(said(verify([[...one.slice(0, 8), ...one.slice(3)]]))).toEqual([]);
    expect(said(verify([[...one, ...one.slice(3, 9)]]))).toEqual([]);
  });

  test.each([
    ['a dropped line', () => [[...one.slice(0, 4), ...one.slice(5)]], ['missing: record 5 is missing']],
    ['dropped lines', () => [one.slice(0, 4), one.slice(9)], ['missing: records 5 to 9 are missing']],
    ['the start of a chain', () => [one.slice(3)], ['missing: records 1 to 3 are missing']],
    [
      'a cut-off tail',
      () => [one.slice(0, 20)],
      ['unclosed: the chain is unclosed after record 20: what came later, if anything, is lost'],
    ],
    [
      'two lines that changed places',
      () => [[...one.slice(0, 4), one.slice(5, 6), one.slice(4, 5), ...one.slice(6)].flat()],
      ['reordered: record 5 stands behind record 22'],
    ],
    ['half a line', () => [[...one, (two[0] ?? Buffer.alloc(0)).subarray(0, 90)]], ['cut_off: the line is cut off']],
    [
      'a foreign line',
      () => [[...one, Buffer.from('{"a":1}\n')]],
      ['unreadable: no record of a chain: it was not written by Postern'],
    ],
    [
      'the head of another chain in front of a tail',
      () => [[...two.slice(0, 4)], one],
      ['unclosed: the chain is unclosed after record 4: what came later, if anything, is lost'],
    ],
  ])('%s is found', (_, objects, expected) => {
    expect(said(verify(objects()))).toEqual(expected);
  });

  test('any bit that is flipped in any copy is found', () => {
    const copies = [one.slice(0, 12), one.slice(5)];
    fc.assert(
      fc.property(fc.nat(copies.length - 1), fc.nat(), fc.nat(), fc.nat(7), (object, line, at, bit) => {
        const changed = copies.map((lines, index) => {
          if (index !== object) return lines;
          const chosen = line % lines.length;
          return lines.map((bytes, number) => {
            if (number !== chosen) return bytes;
            const flipped = Buffer.from(bytes);
            flipped[at % bytes.length] = (flipped[at % bytes.length] ?? 0) ^ (1 << bit);
            return flipped;
          });
        });
        expect(said(verify(changed))).not.toEqual([]);
      }),
      { numRuns: 600 },
    );
  });

  test('any line that is left out, or any end that is cut, is found where no copy holds it', () => {
    fc.assert(
      fc.property(fc.nat(one.length - 1), fc.integer({ min: 1, max: 5 }), fc.nat(one.length), (from, count, cut) => {
        const rest = one.toSpliced(from, count);
        expect(said(verify([rest.slice(cut), rest.slice(0, cut)]))).not.toEqual([]);
      }),
    );
  });

  test('a copy that was rewritten with all its hashes is found, wherever it ends', async () => {
    const id = readLink(one[0] ?? Buffer.alloc(0), 0, (one[0]?.length ?? 1) - 1)?.chainId ?? '';
    const others = await forged(6);
    const otherId = readLink(others[0] ?? Buffer.alloc(0), 0, (others[0]?.length ?? 1) - 1)?.chainId ?? '';
    // The same chain by name: hashes are made anew over it.
    const renamed = rehash(others.map((line) => line.toString('latin1').replace(otherId, id)));
    expect(said(verify([renamed]))).toEqual([]);
    for (let end = 7; end <= renamed.length; end++) {
      expect(said(verify([one, renamed.slice(0, end)])).join('; '), `to ${end}`).toMatch(/stands in two forms/);
      expect(said(verify([renamed.slice(0, end), one])).join('; '), `to ${end}`).toMatch(/stands in two forms/);
    }
  });
});

function rehash(lines: readonly string[]): readonly Buffer[] {
  let prev = '0'.repeat(64);
  return lines.map((line) => {
    const renewed = Buffer.from(
      line.trimEnd().replace(/"prev":"sha256:[0-9a-f]{64}"/, `"prev":"sha256:${prev}"`),
      'latin1',
    );
    const link = readLink(renewed, 0, renewed.length);
    prev = link?.computed ?? '';
    return Buffer.from(`${renewed.toString('latin1').replace(link?.hash ?? '?', prev)}\n`, 'latin1');
  });
}

describe('an audit file', () => {
  test('holds each line once', () => {
    expect(said(verify([[...one, ...one.slice(3, 5)]], { isLog: true }))).toEqual([
      'repeated: records 4 to 5 occur again',
    ]);
    expect(said(verify([one], { isLog: true }))).toEqual([]);
  });

  test('a process that still runs is accepted by --open only', () => {
    expect(said(verify([one.slice(0, 5)], { isOpen: true, isLog: true }))).toEqual([]);
    expect(verify([one.slice(0, 5)], { isLog: true }).findings).toMatchObject([{ kind: 'unclosed', seq: 5, line: 5 }]);
  });

  test('a silence longer than any heartbeat is named', async () => {
    const lines = await chainLines([
      edge('process_start', START_MS),
      { phase: 'heartbeat', timeMs: START_MS + 40_000, sessions: 0 },
      edge('process_end', START_MS + 81_000),
    ]);
    expect(said(verify([lines]))).toEqual(['silent: no heartbeat for 41 s before record 3']);
    expect(said(verify([lines.slice(2), lines.slice(0, 2)]))).toEqual([
      'silent: no heartbeat for 41 s before record 3',
    ]);
  });
});

describe('a chain that goes on from one whose process was killed', () => {
  const resumed = async (seq: number, pod = POD): Promise<readonly Buffer[]> => {
    const chain = readLink(one[0] ?? Buffer.alloc(0), 0, (one[0]?.length ?? 1) - 1)?.chainId ?? '';
    const gap: AuditEvent = { phase: 'gap', timeMs: START_MS + 2, reason: 'resumed', after: { chain, seq } };
    return await chainLines([edge('process_start', START_MS), gap, edge('process_end', START_MS + 3)], pod);
  };

  test('closes it where nothing is missing', async () => {
    const verdict = verify([await resumed(9), one.slice(0, 9)]);
    expect(said(verdict)).toEqual([]);
    expect(verdict.resumed).toMatchObject([{ after: { seq: 9 } }]);
  });

  test('shows what is missing behind it', async () => {
    expect(said(verify([one.slice(0, 9), await resumed(12)])).join()).toMatch(
      /^missing: records 10 to 12 are missing: chain [0-9a-f-]{36} goes on after record 12$/,
    );
    expect(said(verify([await resumed(12)])).join()).toMatch(/^missing: the whole chain is missing/);
  });

  test('has no say over another pod', async () => {
    expect(verify([one.slice(0, 9), await resumed(9, 'another')]).findings).toMatchObject([
      { kind: 'unclosed', seq: 9 },
    ]);
  });
});
