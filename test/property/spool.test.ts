import { cpSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Spool } from '#proxy/spool/spool.ts';
import type { PeerAnswer } from '#test/collector-peer.ts';
import {
  chainOf,
  edge,
  inOrder,
  linesIn,
  marked,
  segmentsIn,
  seqOf,
  SpoolFixture,
  verify,
} from '#test/unit/proxy/spool/spool-fixture.ts';

const fixture = new SpoolFixture();
beforeAll(async () => {
  await fixture.open();
});
afterAll(async () => {
  await fixture.close();
});

type Step =
  | { readonly kind: 'append'; readonly count: number; readonly size: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'collector'; readonly mood: Mood }
  | { readonly kind: 'kill'; readonly tornBytes: number; readonly confirmed: 'kept' | 'empty' | 'half' }
  | { readonly kind: 'end' };
type Mood = 'takes' | 'busy' | 'drops' | 'confirms_half' | 'takes_and_drops';

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        count: fc.integer({ min: 1, max: 4 }),
        size: fc.nat(900),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(8) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('collector' as const),
        mood: fc.constantFrom<Mood>('takes', 'busy', 'drops', 'confirms_half', 'takes_and_drops'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('kill' as const),
        tornBytes: fc.nat(2000),
        confirmed: fc.constantFrom('kept' as const, 'empty' as const, 'half' as const),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'end' as const }) },
  ),
  { minLength: 5, maxLength: 30 },
);

const busy: PeerAnswer = { status: 503, body: { reason: 'Busy', message: 'a test' } };

/** What a kill, a collector that fails and restarts make of a pod's records. */
class Pod {
  directory = fixture.newDirectory();
  spool: Spool;
  /** Marks that `append` has answered true for. */
  readonly kept: string[] = [];
  ends = 0;
  #count = 0;

  constructor() {
    this.spool = this.#start();
  }

  async do(step: Step): Promise<void> {
    switch (step.kind) {
      case 'append':
        this.append(step.count, step.size);
        return;
      case 'wait':
        await sleep(step.ms);
        return;
      case 'collector':
        setMood(step.mood);
        return;
      case 'kill':
        await this.kill(step.tornBytes, step.confirmed);
        return;
      case 'end':
        await this.end();
        this.spool = this.#start();
    }
  }

  append(count: number, size: number): void {
    const marks = Array.from({ length: count }, () => `m${this.#count++}-${'x'.repeat(size)}`);
    if (this.spool.sink.append(marks.map(marked))) this.kept.push(...marks);
  }

  /** The folder as a kill leaves it: what was answered for is there, what came after it up to any byte. */
  async kill(tornBytes: number, confirmed: 'kept' | 'empty' | 'half'): Promise<void> {
    const next = fixture.newDirectory();
    const before = sizes(this.directory);
    this.spool.sink.append([marked(`torn-${this.#count++}`), marked('torn')]);
    cpSync(this.directory, next, { recursive: true });
    const name = segmentsIn(next).at(-1);
    if (name !== undefined) {
      const { size } = statSync(join(next, name));
      const whole = before.get(name) ?? 0;
      truncateSync(join(next, name), Math.min(size, whole + tornBytes));
    }
    if (confirmed !== 'kept') damageConfirmed(next, confirmed);
    // The rest of the old process is of no concern; what it still sends are repetitions.
    await this.spool.sink.close();
    this.directory = next;
    this.spool = this.#start();
  }

  async end(): Promise<void> {
    if (this.spool.sink.append([edge('process_end')])) this.ends++;
    await this.spool.sink.close();
  }

  /** A process that is given the time to send all. */
  async finish(): Promise<void> {
    await this.end();
    this.spool = this.#start(60_000);
    await this.end();
  }

  /** Mostly the time at the end does not suffice. */
  #start(flushMs = 5): Spool {
    const changes = { limitBytes: 30_000, segmentBytes: 2500, flushMs };
    const spool = fixture.spool(this.directory, changes);
    spool.sink.append([edge('process_start')]);
    fixture.ship(spool);
    return spool;
  }
}

function sizes(directory: string): ReadonlyMap<string, number> {
  return new Map(segmentsIn(directory).map((name) => [name, statSync(join(directory, name)).size]));
}

function damageConfirmed(directory: string, how: 'empty' | 'half'): void {
  for (const chain of readdirSync(directory)) {
    const path = join(directory, chain, 'confirmed');
    if (readdirSync(join(directory, chain)).includes('confirmed')) {
      writeFileSync(path, how === 'empty' ? '' : '1');
    }
  }
}

function chainBefore(line: string): string {
  return /"after":\{"chain":"([^"]+)"/.exec(line)?.[1] ?? '';
}

function setMood(mood: Mood): void {
  const { peer } = fixture;
  peer.afterTaking = mood === 'takes_and_drops' ? () => 'drop' : undefined;
  peer.answer = undefined;
  if (mood === 'busy') peer.answer = () => busy;
  if (mood === 'drops') peer.answer = () => 'drop';
  if (mood === 'confirms_half') peer.maxLines = 2;
  else peer.maxLines = undefined;
}

test('whatever is killed, restarted or not confirmed: each record that was answered for is delivered or in the spool, in its place', async () => {
  let kills = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      fixture.peer.taken.splice(0);
      fixture.logged.splice(0);
      setMood('takes');
      const pod = new Pod();
      for (const step of sequence) {
        if (step.kind === 'kill') kills++;
        await pod.do(step);
        const all = [...fixture.peer.taken.flatMap(({ lines }) => lines), ...linesIn(pod.directory)].join('\n');
        for (const mark of pod.kept) expect(all.includes(mark), mark).toBe(true);
      }
      setMood('takes');
      await pod.finish();
      expect(readdirSync(pod.directory)).toEqual([]);
      const lines = inOrder(fixture.peer.taken.flatMap((batch) => batch.lines));
      const text = lines.join('\n');
      expect(pod.kept.filter((mark) => !text.includes(mark))).toEqual([]);
      // Chains whose end was not written are unclosed behind their last record, and nothing else is found.
      const closed = new Set(lines.filter((line) => line.includes('"reason":"process_end"')).map(chainOf));
      expect(closed.size).toBe(pod.ends);
      // Nothing is missing behind a chain that another one goes on from, without a torn line.
      const resumed = new Set(lines.filter((line) => line.includes('"reason":"resumed"')).map(chainBefore));
      const open = [...new Set(lines.map(chainOf))].filter((chain) => !closed.has(chain) && !resumed.has(chain));
      const lastOf = (chain: string): number => Math.max(...lines.filter((line) => chainOf(line) === chain).map(seqOf));
      expect(verify(lines).map(({ kind, chain, seq }) => [kind, chain, seq])).toEqual(
        open.map((chain) => ['unclosed', chain, lastOf(chain)]),
      );
      await fixture.closeSpools();
    }),
    { numRuns: 40 },
  );
  expect(kills).toBeGreaterThan(10);
}, 300_000);
