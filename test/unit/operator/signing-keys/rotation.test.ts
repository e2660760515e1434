import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type KeyGeneration, nextRotationStep, promote, type RotationRules } from '#operator/signing-keys/rotation.ts';

const rules: RotationRules = { lifetimeMs: 5000, maxAgeMs: 1000, overlapMs: 100, keepPreviousMs: 300 };

function key(
  id: string,
  phase: KeyGeneration['phase'],
  createdAtMs: number,
  phaseSinceMs = createdAtMs,
): KeyGeneration {
  return { id, phase, createdAtMs, phaseSinceMs };
}

test.each([
  ['nothing yet: a current key is made', [], 0, false, { kind: 'make', phase: 'Current' }],
  ['a young key: wait until it is old', [key('a', 'Current', 0)], 400, false, { kind: 'wait', ms: 600 }],
  ['an old key: the next is made', [key('a', 'Current', 0)], 1000, false, { kind: 'make', phase: 'Next' }],
  ['somebody asks: the next is made', [key('a', 'Current', 0)], 1, true, { kind: 'make', phase: 'Next' }],
  ['the next is too new: wait', [key('a', 'Current', 0), key('b', 'Next', 1000)], 1040, true, { kind: 'wait', ms: 60 }],
  ['the overlap is over: promote', [key('a', 'Current', 0), key('b', 'Next', 1000)], 1100, false, { kind: 'promote' }],
  [
    'the current one has expired: promote',
    [key('a', 'Current', 0), key('b', 'Next', 5001)],
    5001,
    false,
    { kind: 'promote' },
  ],
  ['only a next one is left: promote', [key('b', 'Next', 1000)], 1001, false, { kind: 'promote' }],
  [
    'a previous one was kept long enough: forget it',
    [key('a', 'Previous', 0, 1100), key('b', 'Current', 1000, 1100)],
    1400,
    false,
    { kind: 'forget', id: 'a' },
  ],
  [
    'a clock that went back: wait',
    [key('a', 'Previous', 0, 1100), key('b', 'Current', 1000, 1100)],
    500,
    false,
    { kind: 'wait', ms: 900 },
  ],
] as const)('%s', (_name, keys, nowMs, requested, step) => {
  expect(nextRotationStep(keys, rules, nowMs, requested)).toEqual(step);
});

test('law: at any time exactly one key is used, it was known for the overlap before, and it stays known after', () => {
  const ticks = fc.array(fc.record({ passMs: fc.integer({ min: 0, max: 90 }), asked: fc.boolean() }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(ticks, (days) => {
      let keys: readonly KeyGeneration[] = [];
      let nowMs = 0;
      let made = 0;
      let used: string | undefined;
      const knownSince = new Map<string, number>();
      for (const { passMs, asked } of days) {
        nowMs += passMs;
        let request = asked;
        for (let guard = 0; ; guard++) {
          expect(guard).toBeLessThan(10);
          const step = nextRotationStep(keys, rules, nowMs, request);
          if (step.kind === 'wait') break;
          if (step.kind === 'make') {
            request = false;
            const id = `key ${made++}`;
            knownSince.set(id, nowMs);
            keys = [...keys, key(id, step.phase, nowMs)];
          } else if (step.kind === 'promote') keys = promote(keys, nowMs);
          else keys = keys.filter(({ id }) => id !== step.id);
        }
        const current = keys.filter(({ phase }) => phase === 'Current');
        expect(current).toHaveLength(1);
        const id = current[0]?.id ?? '';
        if (used !== undefined && used !== id) {
          expect(nowMs - (knownSince.get(id) ?? Number.NaN)).toBeGreaterThanOrEqual(rules.overlapMs);
          expect(keys.map((one) => one.id)).toContain(used);
        }
        used = id;
      }
    }),
  );
});
