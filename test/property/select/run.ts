/**
 * `node test/property/select/run.ts [--count 3000] [--seed 1] [--version 18]`: random SELECTs outside of the test runner. Prints what is wrong,
 * not shrunk, and how often each feature occurs.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { startSelectBench } from './bench.ts';
import { MANNERS, NUMBERS } from './arbitrary.ts';
import { randomSelect } from './queries.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string' },
    seed: { type: 'string' },
    version: { type: 'string' },
    text: { type: 'string' },
  },
});
const count = Number(values.count ?? '3000');
const seed = Number(values.seed ?? '1');
const bench = await startSelectBench(values.version === '15' ? 15 : 18);
const kinds = { refused: 0, rows: 0, error: 0 };
const features = new Map<string, number>();
let problems = 0;
let planned = 0;
const samples = fc.sample(fc.tuple(NUMBERS, MANNERS), { numRuns: count, seed });
for (const [numbers, manner] of samples) {
  const select = randomSelect(numbers);
  const verdict = await bench.judge(select, manner);
  kinds[verdict.kind] += 1;
  if (verdict.kind === 'rows') for (const one of select.features) features.set(one, (features.get(one) ?? 0) + 1);
  if (verdict.isPlanned) planned += 1;
  if (verdict.problem === undefined) continue;
  problems += 1;
  console.log(`${manner} ${select.text}\n    ${verdict.problem.slice(0, 600)}`);
}
console.log(kinds, Object.fromEntries(features));
console.log(`${count} statements, ${planned} decided by the plan, ${problems} problems`, bench.faults());
await bench.stop();
process.exitCode = problems > 0 ? 1 : 0;
