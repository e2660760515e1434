/**
 * Random SELECTs through the gate. Each is refused, or gives exactly what the same text gives on a database that really holds only the view; and
 * two databases that differ only in what the policy hides give the same, errors included. By hand, longer: `node test/property/select/run.ts`.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { MANNERS, NUMBERS } from './select/arbitrary.ts';
import { type SelectBench, startSelectBench } from './select/bench.ts';
import { randomSelect } from './select/queries.ts';

/** Set to repeat a run: fast-check prints it with a failure. */
const SEED = Number(process.env['POSTERN_SELECT_SEED'] ?? Date.now() % 1_000_000);

/** What must have given rows at least once, or the run shows nothing about it. */
const FEATURES =
  'JOIN|LEFT JOIN|RIGHT JOIN|FULL JOIN|CROSS JOIN|LATERAL|USING|NATURAL|VALUES|CTE|CTE that hides a table|WITH RECURSIVE|sub-select in FROM|scalar sub-select|EXISTS|IN|ANY|outer reference|GROUP BY|GROUP BY a key|HAVING|ROLLUP|FILTER|window|UNION|EXCEPT|DISTINCT|DISTINCT ON|LIMIT|CASE|row comparison|whole row|row as output|column aliases|ONLY|TABLESAMPLE|*|t.*'.split(
    '|',
  );

describe.each(
  ([18, 15] as const)
    .filter((version) => isPostgresInstalled(version))
    .map((version) => [version, version === 18 ? 1_500 : 800] as const),
)('PostgreSQL %i', (version, count) => {
  let bench: SelectBench;

  beforeAll(async () => {
    bench = await startSelectBench(version);
  });

  afterAll(async () => {
    await bench.stop();
  });

  test(`${count} random SELECTs are refused or answered as on the honest view, and tell nothing of what is hidden`, async () => {
    const kinds = { refused: 0, rows: 0, error: 0 };
    const features = new Set<string>();
    let planned = 0;
    let total = 0;
    console.info(`random SELECTs on ${version}: seed ${SEED}`);
    await fc.assert(
      fc.asyncProperty(NUMBERS, MANNERS, async (numbers, manner) => {
        const select = randomSelect(numbers);
        const verdict = await bench.judge(select, manner);
        total += 1;
        kinds[verdict.kind] += 1;
        if (verdict.isPlanned) planned += 1;
        if (verdict.kind === 'rows') for (const feature of select.features) features.add(feature);
        expect(verdict.problem, `${manner}: ${select.text}`).toBeUndefined();
      }),
      // On a machine under load fewer of them, rather than none.
      { numRuns: count, seed: SEED, interruptAfterTimeLimit: 150_000 },
    );
    expect(bench.faults()).toEqual([]);
    expect(kinds.rows / total).toBeGreaterThan(0.8);
    expect(kinds.error).toBeGreaterThan(0);
    expect(kinds.refused / total).toBeLessThan(0.05);
    expect(planned / total).toBeLessThan(0.01);
    expect(FEATURES.filter((feature) => !features.has(feature))).toEqual([]);
  }, 300_000);
});
