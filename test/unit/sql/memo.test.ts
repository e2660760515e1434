import { describe, expect, test } from 'vitest';
import { Memo } from '#sql/memo.ts';

describe('a memo', () => {
  test('works an answer out once, also one that is false or zero', () => {
    const memo = new Memo<number | boolean>();
    let count = 0;
    const zero = (): number => {
      count++;
      return 0;
    };
    expect([memo.get('a', zero), memo.get('a', zero), count]).toEqual([0, 0, 1]);
    expect([memo.get('b', () => false), memo.get('b', () => true)]).toEqual([false, false]);
  });

  test('keeps nothing of what failed', () => {
    const memo = new Memo<number>();
    const fail = (): number => {
      throw new Error('no');
    };
    expect(() => memo.get('a', fail)).toThrow('no');
    expect(memo.get('a', () => 1)).toBe(1);
  });

  test('holds no more than its limit: past it all are worked out again', () => {
    const memo = new Memo<number>(2);
    for (const [index, key] of ['a', 'b', 'c'].entries()) memo.get(key, () => index);
    expect([memo.get('c', () => 9), memo.get('a', () => 9)]).toEqual([2, 9]);
  });
});
