/**
 * Random writes through the gate. Each is refused, or does exactly what the same text does on a database that really holds only the view; and two
 * databases that differ only in what the policy hides give the same, errors included. By hand, longer: `node test/property/write/run.ts`.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { NUMBERS } from './select/arbitrary.ts';
import { startWriteBench, type WriteBench } from './write/bench.ts';
import { randomWrite } from './write/statements.ts';

/** Set to repeat a run: fast-check prints it with a failure. */
const SEED = Number(process.env['POSTERN_WRITE_SEED'] ?? Date.now() % 1_000_000);

/** What must have been done at least once, or the run shows nothing about it. */
const FEATURES =
  'INSERT VALUES|INSERT SELECT|INSERT of rows that are there|ON CONFLICT DO NOTHING|ON CONFLICT DO UPDATE|UPDATE|UPDATE FROM|SET of a row|SET of a sub-select|DELETE|DELETE USING|MERGE|MERGE that inserts|RETURNING|RETURNING *|ONLY|write in a CTE|whole row|scalar sub-select'.split(
    '|',
  );
/** Before 17 a MERGE that inserts under a filter is refused. */
const SINCE_17: readonly string[] = ['MERGE that inserts'];

describe.each(
  ([18, 15] as const)
    .filter((version) => isPostgresInstalled(version))
    .map((version) => [version, version === 18 ? 1_500 : 1_000] as const),
)('PostgreSQL %i', (version, count) => {
  let bench: WriteBench;

  beforeAll(async () => {
    bench = await startWriteBench(version);
  });

  afterAll(async () => {
    await bench.stop();
  });

  test(`${count} random writes are refused or do what they do on the honest view, and tell nothing of what is hidden`, async () => {
    const kinds = { refused: 0, done: 0, error: 0 };
    const features = new Set<string>();
    let total = 0;
    console.info(`random writes on ${version}: seed ${SEED}`);
    await fc.assert(
      fc.asyncProperty(NUMBERS, fc.constantFrom('simple', 'extended'), async (numbers, manner) => {
        const write = randomWrite(numbers);
        const verdict = await bench.judge(write, manner);
        total += 1;
        kinds[verdict.kind] += 1;
        if (verdict.kind === 'done') for (const feature of write.features) features.add(feature);
        expect(verdict.problem, `${manner}: ${write.text}`).toBeUndefined();
      }),
      // Made smaller by hand where that is needed: each step costs three databases.
      { numRuns: count, seed: SEED, endOnFailure: true, interruptAfterTimeLimit: 150_000 },
    );
    expect(bench.faults()).toEqual([]);
    expect(kinds.done / total).toBeGreaterThan(0.4);
    expect(kinds.refused / total).toBeLessThan(version >= 17 ? 0.15 : 0.25);
    const missing = FEATURES.filter((feature) => !features.has(feature));
    expect(missing.filter((feature) => version >= 17 || !SINCE_17.includes(feature))).toEqual([]);
  }, 300_000);
});
