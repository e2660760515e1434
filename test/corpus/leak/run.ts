/** `node test/corpus/leak/run.ts [15|18] [filter]`: the corpus outside of the test runner, with what was seen. */
import { LEAK_CORPUS } from './corpus.ts';
import { startLeakBench } from './runner.ts';

const version = process.argv[2] === '15' ? 15 : 18;
const filter = process.argv[3] ?? '';
const bench = await startLeakBench(version);
let held = 0;
let refused = 0;
for (const payload of LEAK_CORPUS.filter(({ line, title }) => `${line} ${title}`.includes(filter))) {
  const verdict = await bench.judge(payload);
  if (verdict.kind === 'held') {
    held++;
    if (verdict.refused) refused++;
    if (filter === '') continue;
  }
  console.log(`${verdict.kind} ${payload.line} ${payload.title}`);
  if (verdict.kind === 'leaked') console.log(verdict.differences.map((text) => `    ${text.slice(0, 600)}`).join('\n'));
  else if (verdict.kind === 'recorded') console.log(verdict.found);
  else console.log(verdict.seen.map((text) => `    ${text.slice(0, 300)}`).join('\n'));
}
console.log(`${LEAK_CORPUS.length} payloads: ${held} held, ${refused} of them with a refusal`);
console.log(bench.faults());
await bench.stop();
