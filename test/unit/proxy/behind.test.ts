import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BehindTracker, MAX_BEHIND_MS } from '#proxy/behind.ts';

describe('being behind', () => {
  test('begins when a number is named first, not when it is named again', () => {
    const tracker = new BehindTracker();
    tracker.name(3, 100);
    tracker.name(3, 9000);
    expect(tracker.deadlineMs()).toBe(100 + MAX_BEHIND_MS);
  });

  test('ends when the number, or a later one, comes into force', () => {
    const tracker = new BehindTracker();
    tracker.name(3, 100);
    tracker.apply(4);
    expect(tracker.deadlineMs()).toBeUndefined();
    tracker.name(4, 200);
    expect(tracker.deadlineMs()).toBeUndefined();
  });

  test('goes on from the next number that is missing', () => {
    const tracker = new BehindTracker();
    tracker.name(3, 100);
    tracker.name(5, 700);
    tracker.apply(3);
    expect(tracker.deadlineMs()).toBe(700 + MAX_BEHIND_MS);
  });

  test('the deadline is that of the oldest number named and not reached, whatever comes', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('name', 'apply'), fc.integer({ min: 0, max: 9 })), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(steps, (list) => {
        const tracker = new BehindTracker();
        let inForce = 0;
        const firstNamed = new Map<number, number>();
        for (const [now, [kind, value]] of list.entries()) {
          if (kind === 'apply') {
            inForce = Math.max(inForce, value);
            tracker.apply(value);
          } else {
            // A number counts from when it, or a later one, was named.
            for (let each = inForce + 1; each <= value; each++) if (!firstNamed.has(each)) firstNamed.set(each, now);
            tracker.name(value, now);
          }
          const missing = [...firstNamed].filter(([each]) => each > inForce).map(([, since]) => since);
          const expected = missing.length === 0 ? undefined : Math.min(...missing) + MAX_BEHIND_MS;
          expect(tracker.deadlineMs()).toBe(expected);
        }
      }),
    );
  });
});
