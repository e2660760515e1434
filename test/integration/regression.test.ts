/** Statements that no policy here allows: each is refused by the gate or fails for a reason of the agent's own text; the session and the gate live on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startFidelityBench, type FidelityBench } from '#test/corpus/fidelity/runner.ts';
import { observe } from '#test/corpus/observer.ts';
import { REFUSED_STATEMENTS } from '#test/corpus/regression/utility.ts';

let bench: FidelityBench;

beforeAll(async () => {
  bench = await startFidelityBench(18);
});

afterAll(async () => {
  expect(bench.faults()).toEqual([]);
  await bench.stop();
});

/** Names of columns: the server itself answers as if they were absent. */
const ABSENT = /C=42703/;

describe('a statement that is not allowed', () => {
  test.each(REFUSED_STATEMENTS)('%s', async (text) => {
    const seen = await observe(bench.gatePort, [text, "SELECT 'alive'"], 'real');
    expect(seen[0]).toMatch(/^E /);
    if (!ABSENT.test(seen[0] ?? '')) expect(seen[0]).toMatch(/R=postern:[a-z_]+/);
    expect(seen.slice(1)).toEqual([
      'Z I',
      expect.stringMatching(/^T "/),
      expect.stringContaining('alive'),
      'C SELECT 1\\x0',
      'Z I',
    ]);
  });
});
