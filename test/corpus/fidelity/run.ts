/** `node test/corpus/fidelity/run.ts [15|18] [filter]`: the corpus outside of the test runner, with what differs. */
import { FIDELITY_CORPUS } from './corpus.ts';
import { startFidelityBench } from './runner.ts';

const version = process.argv[2] === '15' ? 15 : 18;
const filter = process.argv[3] ?? '';
const bench = await startFidelityBench(version);
const chosen = FIDELITY_CORPUS.filter((entry) => `${entry.from} ${JSON.stringify(entry.steps)}`.includes(filter));
let equal = 0;
let failing = 0;
for (const entry of chosen) {
  const verdict = await bench.judge(entry);
  if (verdict.kind === 'equal') {
    equal++;
    if (verdict.error === undefined) continue;
    failing++;
    console.log(`ERROR ON BOTH SIDES ${entry.from}: ${JSON.stringify(entry.steps).slice(0, 160)}\n    ${verdict.error}`);
    continue;
  }
  console.log(`DIFFERENT ${entry.from}: ${JSON.stringify(entry.steps).slice(0, 600)}`);
  for (const text of verdict.honest) console.log(`    honest ${text.slice(0, 500)}`);
  for (const text of verdict.gate) console.log(`    gate   ${text.slice(0, 500)}`);
}
console.log(`${chosen.length} sessions: ${equal} equal, ${failing} of them with an error on both sides`);
console.log(bench.faults());
await bench.stop();
