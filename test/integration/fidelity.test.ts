/** The fidelity corpus: through the gate a client gets what it gets from a database that really holds only the view; at least 99 % are equal. */
import { describe, expect, test } from 'vitest';
import { FIDELITY_CORPUS } from '#test/corpus/fidelity/corpus.ts';
import { startFidelityBench } from '#test/corpus/fidelity/runner.ts';
import { isPostgresInstalled } from '#test/postgres.ts';

test('the corpus holds at least 300 statements', () => {
  expect(new Set(FIDELITY_CORPUS.map(({ steps }) => JSON.stringify(steps))).size).toBeGreaterThanOrEqual(300);
});

const versions = ([18, 15] as const).filter(isPostgresInstalled);

describe.each(versions)('PostgreSQL %i', (version) => {
  test('at least 99 of 100 statements give the same through the gate as on the honest view', async () => {
    const bench = await startFidelityBench(version);
    const different: string[] = [];
    for (const entry of FIDELITY_CORPUS) {
      const verdict = await bench.judge(entry);
      if (verdict.kind === 'equal') continue;
      const why = verdict.errors[0] ?? `${verdict.gate[0] ?? ''} instead of ${verdict.honest[0] ?? ''}`;
      different.push(`${entry.from}: ${JSON.stringify(entry.steps).slice(0, 200)}: ${why.slice(0, 300)}`);
    }
    const faults = bench.faults();
    await bench.stop();
    expect(faults).toEqual([]);
    expect(different.length / FIDELITY_CORPUS.length, different.join('\n')).toBeLessThanOrEqual(0.01);
  }, 120_000);
});
