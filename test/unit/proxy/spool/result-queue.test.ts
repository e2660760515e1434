import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { RecordedResult } from '#audit/event.ts';
import { ResultQueue } from '#proxy/spool/result-queue.ts';

const result = (session: string, value: string): RecordedResult => ({
  session,
  statement: 's',
  part: 1,
  rows: [[value]],
  time: 1,
});

type Answer = 'taken' | 'refused' | 'failed';

function open(answers: Answer[]) {
  const sent: [session: string, values: string[]][] = [];
  const logged: string[] = [];
  const say = (_fields: object, message: string): void => void logged.push(message);
  const queue = new ResultQueue({
    send: async (session, lines) => {
      const results = lines.toString('utf8').trimEnd().split('\n');
      sent.push([session, results.map((line) => (JSON.parse(line) as RecordedResult).rows[0]?.[0] ?? '')]);
      return await Promise.resolve(answers.shift() ?? 'taken');
    },
    log: { info: say, warn: say, error: say },
    gatherMs: 5,
    retryMs: 20,
  });
  return { queue, sent, logged };
}

describe('recorded results on their way to the collector', () => {
  test('go session by session, in order', async () => {
    const { queue, sent } = open([]);
    for (const [session, value] of [
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
    ] as const)
      queue.add(result(session, value));
    await sleep(40);
    expect(sent).toEqual([
      ['a', ['1', '3']],
      ['b', ['2']],
    ]);
    await queue.close(100);
  });

  test('are sent again until they are taken', async () => {
    const { queue, sent } = open(['failed', 'failed']);
    queue.add(result('a', '1'));
    await sleep(150);
    expect(sent).toEqual([
      ['a', ['1']],
      ['a', ['1']],
      ['a', ['1']],
    ]);
    await queue.close(100);
  });

  test('are given up where they are refused, and the log says so', async () => {
    const { queue, sent, logged } = open(['refused']);
    queue.add(result('a', '1'));
    await sleep(40);
    queue.add(result('a', '2'));
    await queue.close(100);
    expect(sent).toEqual([
      ['a', ['1']],
      ['a', ['2']],
    ]);
    expect(logged).toEqual(['the collector does not take recorded results of a session; they are given up']);
  });

  test('are bounded in memory: what has no room is dropped and counted', async () => {
    const { queue, sent, logged } = open([]);
    const large = 'x'.repeat(1024 * 1024 - 200);
    for (let count = 0; count < 7; count++) queue.add(result('a', large));
    await queue.close(1_000);
    expect(sent.flatMap(([, values]) => values)).toHaveLength(4);
    expect(logged[0]).toBe('recorded results were dropped: the collector does not keep up');
  });

  test('leave with the process', async () => {
    const { queue, sent } = open([]);
    queue.add(result('a', '1'));
    await queue.close(100);
    expect(sent).toHaveLength(1);
  });
});
