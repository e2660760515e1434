import { describe, expect, test } from 'vitest';
import { CancelKeys } from '#proxy/cancel.ts';
import { newTimedUid } from '#proxy/timed-uid.ts';
import { UsageLimits } from '#session/usage-limits.ts';

describe('cancel keys', () => {
  test('only the own key cancels, and only while the session lives', async () => {
    const keys = new CancelKeys();
    let cancelled = 0;
    const key = keys.issue(0, async () => {
      cancelled++;
    });
    const long = keys.issue(2, async () => {});
    expect([key.secret.length, long.secret.length]).toEqual([4, 32]);
    await keys.request({ processId: key.processId, secret: long.secret });
    await keys.request({
      processId: key.processId,
      secret: Buffer.from(key.secret).fill(key.secret[0] === 0 ? 1 : 0, 0, 1),
    });
    await keys.request({ processId: key.processId + 1, secret: key.secret });
    expect(cancelled).toBe(0);
    await keys.request(key);
    expect(cancelled).toBe(1);
    keys.revoke(key.processId);
    await keys.request(key);
    expect(cancelled).toBe(1);
  });
});

describe('usage of an identity', () => {
  test('connections are counted for each identity', () => {
    const usage = new UsageLimits();
    expect([usage.openConnection('a', 2), usage.openConnection('a', 2), usage.openConnection('a', 2)]).toEqual([
      true,
      true,
      false,
    ]);
    expect(usage.openConnection('b', 1)).toBe(true);
    usage.closeConnection('a');
    expect(usage.openConnection('a', 2)).toBe(true);
  });

  test('statements refill over the minute', () => {
    const usage = new UsageLimits();
    const take = (nowMs: number): boolean => usage.takeStatement('a', 60, nowMs);
    for (let index = 0; index < 60; index++) expect(take(0)).toBe(true);
    expect(take(0)).toBe(false);
    expect(take(1000)).toBe(true);
    expect(take(1000)).toBe(false);
    expect(take(10_000)).toBe(true);
  });
});

test('identifiers are UUIDv7, unique and in order', () => {
  const uids = Array.from({ length: 10_000 }, newTimedUid);
  expect(new Set(uids).size).toBe(uids.length);
  expect([...uids].sort()).toEqual(uids);
  for (const uid of uids) expect(uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
