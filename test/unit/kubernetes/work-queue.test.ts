import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backOffMs } from '#kubernetes/back-off.ts';
import { WorkQueue } from '#kubernetes/work-queue.ts';

const pause = async (ms: number): Promise<void> => {
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
};

const fast = { firstMs: 2, capMs: 8 };

describe('the work queue', () => {
  test('works once on a key that was added many times while it waited', async () => {
    const worked: string[] = [];
    const queue = new WorkQueue({
      work: async (key) => {
        worked.push(key);
        return await Promise.resolve({});
      },
    });
    for (let i = 0; i < 5; i++) queue.add('a');
    queue.add('b');
    queue.start();
    await pause(10);
    expect(worked).toEqual(['a', 'b']);
    await queue.stop();
  });

  test('never works on one key twice at the same time, and once more after a change during work', async () => {
    let running = 0;
    let most = 0;
    let times = 0;
    const queue = new WorkQueue({
      concurrency: 8,
      work: async () => {
        times++;
        most = Math.max(most, ++running);
        await pause(10);
        running--;
        return {};
      },
    });
    queue.start();
    queue.add('a');
    await pause(3);
    for (let i = 0; i < 5; i++) queue.add('a');
    await pause(60);
    expect(most).toBe(1);
    expect(times).toBe(2);
    await queue.stop();
  });

  test('works on at most as many keys at once as it is told', async () => {
    let running = 0;
    let most = 0;
    let times = 0;
    const queue = new WorkQueue({
      concurrency: 3,
      work: async () => {
        times++;
        most = Math.max(most, ++running);
        await pause(2);
        running--;
        return {};
      },
    });
    for (let i = 0; i < 20; i++) queue.add(`key ${i}`);
    queue.start();
    await pause(80);
    expect(most).toBe(3);
    expect(times).toBe(20);
    await queue.stop();
  });

  test('tries a failed key again, later each time, and forgets the failures after a success', async () => {
    const delays: number[] = [];
    let left = 4;
    const queue = new WorkQueue({
      backOff: fast,
      random: () => 1,
      work: async () => {
        if (left-- > 0) throw new Error('not yet');
        return await Promise.resolve({});
      },
      onFailure: (_key, _error, delayMs) => delays.push(delayMs),
    });
    queue.start();
    queue.add('a');
    await pause(60);
    expect(delays).toEqual([2, 4, 8, 8]);
    left = 1;
    queue.add('a');
    await pause(20);
    expect(delays).toEqual([2, 4, 8, 8, 2]);
    await queue.stop();
  });

  test('adds a key again after the time that the work asks for, unless it comes earlier', async () => {
    const at: number[] = [];
    const begun = performance.now();
    const queue = new WorkQueue({
      work: async () => {
        at.push(performance.now() - begun);
        return await Promise.resolve(at.length === 1 ? { requeueAfterMs: 40 } : {});
      },
    });
    queue.start();
    queue.add('a');
    await pause(120);
    expect(at).toHaveLength(2);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(35);
    queue.addAfter('a', 10_000);
    queue.addAfter('a', 5);
    await pause(40);
    expect(at).toHaveLength(3);
    await queue.stop();
  });

  test('stop waits for what is in work and takes up nothing else', async () => {
    const done: string[] = [];
    const queue = new WorkQueue({
      concurrency: 1,
      work: async (key) => {
        await pause(15);
        done.push(key);
        return {};
      },
    });
    queue.start();
    queue.add('a');
    queue.add('b');
    await pause(2);
    await queue.stop();
    expect(done).toEqual(['a']);
    await pause(30);
    expect(done).toEqual(['a']);
    expect(queue.depth()).toBe(0);
  });
});

test('law: a back-off lies between half of and the whole exponential time, and never above its cap', () => {
  const random = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), random, (failures, value) => {
      const full = Math.min(30_000, 500 * 2 ** Math.min(failures - 1, 30));
      const ms = backOffMs({ firstMs: 500, capMs: 30_000 }, failures, () => value);
      return ms >= full / 2 && ms <= full;
    }),
  );
});
