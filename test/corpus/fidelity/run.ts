/** `node test/corpus/fidelity/run.ts [15|18]`: the corpus outside of the test runner; prints each difference. */
import { FIDELITY_CORPUS } from './corpus.ts';
import { startFidelityBench } from './runner.ts';

const bench = await startFidelityBench(process.argv[2] === '15' ? 15 : 18);
let equal = 0;
for (const entry of FIDELITY_CORPUS) {
  const verdict = await bench.judge(entry);
  if (verdict.kind === 'equal') {
    equal++;
    continue;
  }
  console.log(`DIFFERENT ${entry.from}: ${JSON.stringify(entry.steps).slice(0, 500)}`);
  for (const text of verdict.honest) console.log(`    honest ${text.slice(0, 400)}`);
  for (const text of verdict.errors) console.log(`    error  ${text.slice(0, 400)}`);
  for (const text of verdict.gate) console.log(`    gate   ${text.slice(0, 400)}`);
}
console.log(`${equal} of ${FIDELITY_CORPUS.length} equal`);
console.log(bench.faults());
await bench.stop();
