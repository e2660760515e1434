/**
 * `node test/fuzz/leak.ts [--seconds 60] [--seed 1] [--version 18]`: statements made of pieces of the leak corpus, run through the gates of both
 * twins. Any difference is a leak; no answer within 5 s, a fault in the log or a closed connection is a defect too. Exit code 1 on a finding.
 */
import { parseArgs } from 'node:util';
import { LEAK_CORPUS } from '#test/corpus/leak/corpus.ts';
import { startLeakBench } from '#test/corpus/leak/runner.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, seed: { type: 'string' }, version: { type: 'string' } },
});
let state = Number(values.seed ?? '1');

/** mulberry32: the same seed gives the same statements. */
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
}

const TEXTS = LEAK_CORPUS.flatMap(({ steps }) => steps.filter((step) => typeof step === 'string')).filter(
  (text) => !/^(begin|commit|rollback)/i.test(text),
);
/** Words, numbers, strings, operators and white space. */
const cut = (text: string): string[] => text.match(/\w+|'(?:[^']|'')*'|"[^"]*"|\s+|::|[^\w\s]/g) ?? [];
const PIECES = TEXTS.map(cut);

function pick<T>(from: readonly T[]): T {
  const found = from[random(from.length)];
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
}

const COLUMNS =
  'id name email ssn phone salary born profile code qty region tier token tags title digits secret pin secret_note'.split(
    ' ',
  );
const TABLES = 'customers tasks orders notes guesses vip barrier events assets payroll crm.customers'.split(' ');
const CONDITIONS = [
  'code::int > 2',
  '10 / qty > 1',
  'leaky(name)',
  'leaky(title)',
  "ssn LIKE 'S%'",
  'length(ssn) > 9',
  'digits::int < 3',
  'id IN (SELECT qty FROM customers)',
  "name < 'X'",
  'EXISTS (SELECT FROM tasks WHERE digits::int = 2)',
  'salary % 7 = 0',
];
const WRAPS: readonly ((text: string) => string)[] = [
  (text) => `SELECT * FROM (${text}) AS s`,
  (text) => `SELECT count(*) FROM (${text}) AS s`,
  (text) => `WITH w AS (${text}) SELECT w, row_to_json(w) FROM w`,
  (text) => `SELECT EXISTS (${text})`,
  (text) => `SELECT ARRAY(${text})`,
  (text) => `SELECT * FROM orders o, LATERAL (${text}) AS l WHERE o.id < 3`,
  (text) => `(${text}) UNION ALL (${text})`,
  (text) => `(${text}) EXCEPT (${text})`,
  (text) => `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ${text}`,
  (text) => `EXPLAIN ${text}`,
  (text) => `COPY (${text}) TO STDOUT`,
  (text) => `CREATE TEMP TABLE made AS ${text}`,
  (text) => `DECLARE cur CURSOR FOR ${text}`,
  (text) => `${text} LIMIT 3`,
  (text) => `SELECT DISTINCT s.* FROM (${text}) AS s`,
  (text) => `SELECT s FROM (${text}) AS s ORDER BY s`,
];
const PLAIN = PIECES.filter((pieces) => /^(select|table|with|values)$/i.test(pieces[0] ?? ''));

/** Keeps the grammar mostly intact: other columns, tables and conditions, and the whole in another place. */
function reshaped(): string {
  const pieces = pick(PLAIN).map((piece) => {
    if (COLUMNS.includes(piece) && random(4) === 0) return pick(COLUMNS);
    if (TABLES.includes(piece) && random(4) === 0) return pick(TABLES);
    return /^where$/i.test(piece) && random(2) === 0 ? `WHERE ${pick(CONDITIONS)} AND` : piece;
  });
  let text = pieces.join('');
  if (!/where|group|order|limit/i.test(text) && random(2) === 0) text = `${text} WHERE ${pick(CONDITIONS)}`;
  return random(3) === 0 ? text : pick(WRAPS)(text);
}

function torn(): string {
  const pieces = [...pick(PIECES)];
  const at = random(pieces.length + 1);
  const other = pick(PIECES);
  const from = random(other.length);
  const taken = other.slice(from, from + 1 + random(8));
  const kind = random(4);
  if (kind === 0) pieces.splice(at, 1 + random(3));
  else if (kind === 1) pieces.splice(at, 0, ' ', ...taken, ' ');
  else if (kind === 2) pieces.splice(at, taken.length, ...taken);
  else pieces.splice(at, 1, `(${pick(TEXTS)})`);
  return pieces.join('');
}

const mutated = (): string => (random(3) === 0 ? torn() : reshaped());

const deadline = Date.now() + Number(values.seconds ?? '60') * 1000;
const bench = await startLeakBench(values.version === '15' ? 15 : 18);
let runs = 0;
let answered = 0;
let findings = 0;
while (Date.now() < deadline) {
  const text = mutated();
  // Unqualified clocks and random numbers differ from call to call, not from twin to twin.
  if (/random|clock|now|current_time|timeofday|xmin|sleep|setseed|notify|listen|pid/i.test(text)) continue;
  runs++;
  const { differences, seen } = await bench.compare(['BEGIN', text, 'ROLLBACK', 'DISCARD ALL']);
  if (seen.some((line) => line.startsWith('D '))) answered++;
  const isBroken = seen.some((line) => line.startsWith('(connection closed)') || line.startsWith('Error: waited'));
  if (differences.length === 0 && !isBroken) continue;
  findings++;
  console.log(`${differences.length > 0 ? 'LEAK' : 'BROKEN'} ${JSON.stringify(text)}`);
  for (const line of [...differences, ...(isBroken ? seen : [])].slice(0, 3)) console.log(`    ${line.slice(0, 500)}`);
}
console.log(`${runs} statements, ${answered} with rows, ${findings} findings`);
const faults = bench.faults();
if (faults.length > 0) console.log(faults);
await bench.stop();
process.exitCode = findings + faults.length > 0 ? 1 : 0;
