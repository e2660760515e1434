import { appendFileSync, cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { PeerAnswer } from '#test/collector-peer.ts';
import { createAuthority } from '#test/certificates.ts';
import { chainOf, edge, inOrder, linesIn, marked, segmentsIn, seqOf, SpoolFixture, verify } from './spool-fixture.ts';

const fixture = new SpoolFixture();
beforeAll(async () => {
  await fixture.open();
});
afterAll(async () => {
  await fixture.close();
});
afterEach(async () => {
  fixture.peer.answer = undefined;
  await fixture.closeSpools();
});
beforeEach(() => {
  fixture.peer.taken.splice(0);
  fixture.peer.answer = undefined;
  fixture.peer.delayMs = 0;
  fixture.peer.requests = 0;
  fixture.logged.splice(0);
  fixture.results.splice(0);
});

/** A machine with much to do takes its time. */
const eventually = async (holds: () => void): Promise<void> => {
  await vi.waitFor(holds, { timeout: 20_000, interval: 10 });
};
const takenLines = (): readonly string[] => fixture.peer.taken.flatMap(({ lines }) => lines);
const problem = (status: number, headers: Record<string, string> = {}): PeerAnswer => ({
  status,
  headers,
  body: { reason: 'Because', message: 'a test' },
});

describe('the spool', () => {
  test('what is appended comes to the collector in order, and the folder goes with the end of the chain', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory);
    fixture.ship(spool);
    expect(spool.sink.append([edge('process_start')])).toBe(true);
    for (let n = 0; n < 50; n++) {
      expect(spool.sink.append([marked(`m${n}`), marked(`n${n}`)])).toBe(true);
      if (n % 10 === 0) await sleep(3);
    }
    expect(spool.sink.append([edge('process_end')])).toBe(true);
    await spool.sink.close();
    expect(takenLines().map(seqOf)).toEqual(Array.from({ length: 102 }, (_, index) => index + 1));
    expect(verify(takenLines())).toEqual([]);
    expect(fixture.peer.taken[0]?.authorization).toBe('Bearer first token');
    expect(readdirSync(directory)).toEqual([]);
    expect(spool.measure()).toEqual({ spoolBytes: 0, lagSeconds: 0 });
    expect(spool.sink.append([marked('late')])).toBe(false);
  });

  test('segments begin with the number in their name, and go as soon as all of them is confirmed', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { segmentBytes: 2000 });
    for (let n = 0; n < 10; n++) spool.sink.append([marked(`m${n}`)]);
    const names = segmentsIn(directory).map((name) => Number(/\/(\d+)\.ndjson$/.exec(name)?.[1]));
    expect(names).toEqual([1, 5, 9]);
    expect(linesIn(directory).map(seqOf)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    fixture.ship(spool);
    await eventually(() => expect(segmentsIn(directory)).toEqual([]));
    spool.sink.append([marked('m10')]);
    await eventually(() => expect(takenLines().map(seqOf)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
  });

  test('at its limit nothing is taken; confirmed away, it goes on, and the record says that something is missing', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { limitBytes: 20_000 });
    let written = 0;
    while (spool.sink.append([marked(`m${written}`)])) written++;
    expect(written).toBeGreaterThan(20);
    expect(spool.measure().spoolBytes).toBeLessThanOrEqual(20_000);
    expect([spool.sink.append([marked('no')]), spool.sink.writable]).toEqual([false, false]);
    fixture.ship(spool);
    await eventually(() => expect(spool.sink.append([marked('again')])).toBe(true));
    spool.sink.append([edge('process_end')]);
    await spool.sink.close();
    const lines = takenLines();
    expect(verify(lines)).toEqual([]);
    expect(lines[written]).toContain('"phase":"gap","reason":"unwritable"');
    expect(lines[written + 1]).toContain('"reason":"again"');
    expect(lines.join('')).not.toContain('"reason":"no"');
  });

  test('the end of a chain is written where nothing else is', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { limitBytes: 5000, collector: undefined });
    let n = 0;
    while (spool.sink.append([marked(`m${n}`)])) n++;
    expect(spool.sink.append([edge('process_end')])).toBe(true);
    await spool.sink.close();
    expect(verify(linesIn(directory))).toEqual([]);
  });

  test('a record that no request can hold is not taken, since it would never be delivered', async () => {
    const spool = fixture.spool(fixture.newDirectory(), { limitBytes: 50_000_000 });
    fixture.ship(spool);
    expect(spool.sink.append([marked('a'), marked('x'.repeat(4 * 1024 * 1024)), marked('b')])).toBe(false);
    const large = Array.from({ length: 6 }, (_, n) => marked(`${n}${'y'.repeat(1024 * 1024)}`));
    expect(spool.sink.append(large)).toBe(true);
    await eventually(() => expect(takenLines().map(seqOf)).toEqual([1, 2, 3, 4, 5, 6, 7]));
    expect(takenLines()[0]).toContain('"phase":"gap","reason":"unwritable"');
  });

  test('without a collector records stay, and nobody is told that they are confirmed', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { collector: undefined });
    fixture.ship(spool);
    spool.sink.append([edge('process_start'), edge('process_end')]);
    expect(spool.sink.whenConfirmed).toBeUndefined();
    await spool.sink.close();
    expect(linesIn(directory)).toHaveLength(2);
    expect(fixture.peer.requests).toBe(0);
    expect(spool.measure().spoolBytes).toBeGreaterThan(500);
  });

  test('a deleted segment is named with the number of records that went with it', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { collector: undefined });
    spool.sink.append([marked('a'), marked('b'), marked('c')]);
    rmSync(join(directory, segmentsIn(directory)[0] ?? ''));
    await sleep(25);
    expect(spool.sink.append([marked('d')])).toBe(true);
    const lines = linesIn(directory);
    expect(lines.map(seqOf)).toEqual([4, 5]);
    const chain = chainOf(lines[0] ?? '');
    expect(lines[0]).toContain(`"unmapped":{"after":{"chain":"${chain}","seq":0}`);
    expect(lines[0]).toContain('"lost":3,"phase":"gap","reason":"file_replaced"');
  });
});

describe('a spool that an earlier process left', () => {
  const killed = (count: number): { readonly directory: string; readonly chain: string } => {
    const directory = fixture.newDirectory();
    const source = fixture.newDirectory();
    const spool = fixture.spool(source, { collector: undefined });
    spool.sink.append([edge('process_start')]);
    for (let n = 1; n < count; n++) spool.sink.append([marked(`k${n}`)]);
    cpSync(source, directory, { recursive: true });
    return { directory, chain: readdirSync(directory)[0] ?? '' };
  };

  test('is sent first, and the new chain begins with what it goes on from', async () => {
    const { directory, chain } = killed(5);
    const spool = fixture.spool(directory);
    spool.sink.append([edge('process_start')]);
    fixture.ship(spool);
    await eventually(() => expect(takenLines()).toHaveLength(7));
    const lines = takenLines();
    expect(lines.slice(0, 5).map(chainOf)).toEqual(Array(5).fill(chain));
    expect(lines[5]).toContain(`"unmapped":{"after":{"chain":"${chain}","seq":5},"chain":{`);
    expect(lines[5]).toContain('"phase":"gap","reason":"resumed"');
    expect(lines[6]).toContain('"reason":"process_start"');
    await eventually(() => expect(existsSync(join(directory, chain))).toBe(false));
    expect(verify(inOrder(lines)).map(({ kind, chain: id, seq }) => [kind, id, seq])).toEqual([
      ['unclosed', chainOf(lines[6] ?? ''), 2],
    ]);
  });

  test('with a torn last line loses that line only, and says so', async () => {
    const { directory, chain } = killed(4);
    appendFileSync(join(directory, segmentsIn(directory)[0] ?? ''), '{"action_id":1,"acti');
    const spool = fixture.spool(directory);
    spool.sink.append([edge('process_start'), edge('process_end')]);
    fixture.ship(spool);
    await spool.sink.close();
    const lines = takenLines();
    expect(lines[4]).toContain(`"after":{"chain":"${chain}","seq":4}`);
    expect(lines[4]).toContain('"phase":"gap","reason":"torn_line"');
    expect(verify(lines).map(({ kind, chain: id, seq }) => [kind, id, seq])).toEqual([['unclosed', chain, 4]]);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('goes on behind what was confirmed, and sends all where that is not known', async () => {
    for (const [text, first] of [
      ['3\n', 4],
      ['3', 1],
      ['', 1],
    ] as const) {
      fixture.peer.taken.splice(0);
      const { directory, chain } = killed(6);
      writeFileSync(join(directory, chain, 'confirmed'), text);
      const spool = fixture.spool(directory);
      fixture.ship(spool);
      await eventually(() => expect(existsSync(join(directory, chain))).toBe(false));
      expect(takenLines().map(seqOf)[0]).toBe(first);
      expect(takenLines().map(seqOf).at(-1)).toBe(6);
    }
  });

  test('whose clock was ahead is still older than the new chain', async () => {
    const directory = fixture.newDirectory();
    const source = fixture.newDirectory();
    const ahead = fixture.spool(source, { collector: undefined, nowMs: () => Date.now() + 86_400_000 });
    ahead.sink.append([edge('process_start')]);
    cpSync(source, directory, { recursive: true });
    const [chain = ''] = readdirSync(directory);
    const spool = fixture.spool(directory, { collector: undefined });
    spool.sink.append([edge('process_start')]);
    const chains = readdirSync(directory).toSorted();
    expect(chains[0]).toBe(chain);
    expect(linesIn(directory)[1]).toContain(`"after":{"chain":"${chain}","seq":1}`);
  });

  test('a segment that is missing between others is named as lost', async () => {
    const source = fixture.newDirectory();
    const directory = fixture.newDirectory();
    const first = fixture.spool(source, { collector: undefined, segmentBytes: 600 });
    for (let n = 0; n < 6; n++) first.sink.append([marked(`s${n}`)]);
    cpSync(source, directory, { recursive: true });
    const names = segmentsIn(directory);
    expect(names).toHaveLength(6);
    rmSync(join(directory, names[2] ?? ''));
    const spool = fixture.spool(directory);
    spool.sink.append([edge('process_start')]);
    fixture.ship(spool);
    await eventually(() => expect(takenLines().join('')).toContain('"lost":1,"phase":"gap","reason":"file_replaced"'));
    expect(verify(inOrder(takenLines())).map(({ kind, message }) => [kind, message])[0]).toEqual([
      'missing',
      'record 3 is missing',
    ]);
  });
});

describe('a collector that does not take records', () => {
  test.each<[string, () => PeerAnswer | 'drop', string]>([
    ['answers 503', () => problem(503), 'unavailable'],
    ['answers 429', () => problem(429, { 'retry-after': '0' }), 'throttled'],
    ['answers 401', () => problem(401), 'unauthorized'],
    ['answers 403 for us', () => problem(403), 'forbidden'],
    ['goes away in the middle', () => 'drop', 'unreachable'],
    ['says something else', () => ({ status: 200, body: { chain: 'x', confirmedSeq: 3 } }), 'malformed'],
    ['says too much', () => ({ status: 200, body: { chain: 'x', confirmedSeq: '3' } }), 'malformed'],
  ])('%s: the records are kept and sent again', async (_what, answer, result) => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory);
    fixture.peer.answer = answer;
    spool.sink.append([edge('process_start'), marked('a')]);
    fixture.ship(spool);
    await eventually(() => expect(fixture.results.length).toBeGreaterThan(2));
    expect(new Set(fixture.results)).toEqual(new Set([result]));
    expect(linesIn(directory)).toHaveLength(2);
    expect(fixture.logged.filter((line) => line.includes(result))).toHaveLength(1);
    fixture.peer.answer = undefined;
    await eventually(() => expect(takenLines()).toHaveLength(2));
  });

  test('is asked again no sooner than it says', async () => {
    const spool = fixture.spool(fixture.newDirectory());
    fixture.peer.answer = () => problem(503, { 'retry-after': '1' });
    spool.sink.append([marked('a')]);
    fixture.ship(spool);
    await eventually(() => expect(fixture.peer.requests).toBe(1));
    await sleep(700);
    expect(fixture.peer.requests).toBe(1);
    await eventually(() => expect(fixture.peer.requests).toBe(2));
    fixture.peer.answer = undefined;
  });

  test('refuses a batch: it is kept, said loudly, tried again, and what follows is sent', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { timing: { gatherMs: 1, refusedRetryMs: 300 } });
    let refuses = true;
    fixture.peer.answer = (batch) => (refuses && batch.first === 1 ? problem(400) : undefined);
    spool.sink.append([marked('a')]);
    fixture.ship(spool);
    await eventually(() => expect(fixture.results).toEqual(['refused']));
    let confirmed = false;
    spool.sink.append([marked('b')]);
    void spool.sink.whenConfirmed?.(2).then(() => (confirmed = true));
    await eventually(() => expect(takenLines().map(seqOf)).toEqual([2]));
    expect(linesIn(directory).map(seqOf)).toEqual([1, 2]);
    expect(spool.measure().spoolBytes).toBeGreaterThan(0);
    expect(confirmed).toBe(false);
    expect(fixture.logged.join('\n')).toContain('the collector does not take records of this pod; they are kept');
    refuses = false;
    await eventually(() => expect(takenLines().map(seqOf)).toEqual([2, 1]));
    await eventually(() => expect(confirmed).toBe(true));
    expect(spool.measure()).toEqual({ spoolBytes: 0, lagSeconds: 0 });
  });

  test('takes less at once: the batch is halved until it fits', async () => {
    const spool = fixture.spool(fixture.newDirectory());
    fixture.peer.answer = (batch) => (batch.lines.length > 3 ? problem(413) : undefined);
    spool.sink.append(Array.from({ length: 20 }, (_, n) => marked(`m${n}`)));
    fixture.ship(spool);
    await eventually(() => expect(takenLines()).toHaveLength(20));
    expect(takenLines().map(seqOf)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  });

  test('confirms a part: the rest is sent again', async () => {
    const spool = fixture.spool(fixture.newDirectory());
    const parts: number[] = [];
    fixture.peer.answer = (batch) => {
      parts.push(batch.first);
      return batch.first < 4 ? { status: 200, body: { chain: batch.chain, confirmedSeq: batch.first } } : undefined;
    };
    spool.sink.append(Array.from({ length: 6 }, (_, n) => marked(`m${n}`)));
    fixture.ship(spool);
    await eventually(() => expect(takenLines().map(seqOf)).toEqual([4, 5, 6]));
    expect(parts).toEqual([1, 2, 3, 4]);
  });

  test('is not there at the end: the end comes in time, and the records stay', async () => {
    const directory = fixture.newDirectory();
    const spool = fixture.spool(directory, { flushMs: 200 });
    fixture.peer.answer = () => problem(503, { 'retry-after': '30' });
    fixture.ship(spool);
    spool.sink.append([edge('process_start'), edge('process_end')]);
    await eventually(() => expect(fixture.peer.requests).toBeGreaterThan(0));
    const startedMs = performance.now();
    await spool.sink.close();
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(verify(linesIn(directory))).toEqual([]);
  });
});

describe('trust and identity', () => {
  test('nothing is sent before there is a key set, or to a collector that it does not name', async () => {
    const spool = fixture.spool(fixture.newDirectory());
    let authorities: readonly string[] | undefined;
    spool.sink.append([marked('a')]);
    fixture.ship(spool, () => authorities);
    await eventually(() => expect(fixture.results).toContain('without_keys'));
    authorities = [createAuthority().caPem];
    await eventually(() => expect(fixture.results).toContain('unreachable'));
    expect(fixture.peer.requests).toBe(0);
    authorities = [fixture.authority.caPem];
    await eventually(() => expect(takenLines()).toHaveLength(1));
  });

  test('the token is read for every request', async () => {
    const spool = fixture.spool(fixture.newDirectory());
    fixture.ship(spool);
    spool.sink.append([marked('a')]);
    await eventually(() => expect(takenLines()).toHaveLength(1));
    fixture.writeToken('second token');
    spool.sink.append([marked('b')]);
    await eventually(() => expect(takenLines()).toHaveLength(2));
    expect(fixture.peer.taken.at(-1)?.authorization).toBe('Bearer second token');
    rmSync(join(fixture.tokens, 'collector'));
    spool.sink.append([marked('c')]);
    await eventually(() => expect(fixture.logged.join()).toContain('the pod has no token for it yet'));
    fixture.writeToken('first token');
    await eventually(() => expect(takenLines()).toHaveLength(3));
  });

  test('who waits for a record learns of it when the collector has it, and not before', async () => {
    const spool = fixture.spool(fixture.newDirectory(), { timing: { gatherMs: 60_000 } });
    fixture.peer.delayMs = 100;
    fixture.ship(spool);
    spool.sink.append([marked('a'), marked('b')]);
    const seq = spool.sink.lastSeq;
    let confirmed = false;
    const waiting = spool.sink.whenConfirmed?.(seq).then(() => (confirmed = true));
    await eventually(() => expect(fixture.peer.requests).toBe(1));
    expect(confirmed).toBe(false);
    await waiting;
    expect(takenLines().map(seqOf)).toEqual([1, 2]);
    await spool.sink.whenConfirmed?.(1);
  });
});
