/** `node test/property/write/run.ts [--count 3000] [--seed 1] [--version 18]`: random writes outside of the test runner; prints what is wrong. */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { NUMBERS } from '../select/arbitrary.ts';
import { startWriteBench } from './bench.ts';
import { randomWrite } from './statements.ts';

const { values } = parseArgs({
  options: { count: { type: 'string' }, seed: { type: 'string' }, version: { type: 'string' } },
});
const bench = await startWriteBench(values.version === '15' ? 15 : 18);
const kinds = { refused: 0, done: 0, error: 0 };
const features = new Map<string, number>();
let problems = 0;
const samples = fc.sample(fc.tuple(NUMBERS, fc.constantFrom('simple', 'extended')), {
  numRuns: Number(values.count ?? '3000'),
  seed: Number(values.seed ?? '1'),
});
for (const [numbers, manner] of samples) {
  const write = randomWrite(numbers);
  const verdict = await bench.judge(write, manner);
  kinds[verdict.kind] += 1;
  if (verdict.kind === 'done') for (const one of write.features) features.set(one, (features.get(one) ?? 0) + 1);
  if (verdict.problem === undefined) continue;
  problems += 1;
  console.log(`${manner} ${write.text}\n    ${verdict.problem.slice(0, 600)}`);
}
console.log(kinds, Object.fromEntries(features));
console.log(`${samples.length} statements, ${problems} problems`, bench.faults());
await bench.stop();
process.exitCode = problems > 0 ? 1 : 0;
