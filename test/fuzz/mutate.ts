/**
 * `node test/fuzz/mutate.ts [--seconds 60] [--seed 1]`: the texts of the regression corpus, cut up and put together at random, decided in this
 * process. A throw, a slow decision, an internal fault or a governed table outside of its view is a finding: exit code 1.
 */
import { parseArgs } from 'node:util';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { judgeText, shopPolicy } from '#test/corpus/regression/bench.ts';
import { REGRESSION_CORPUS } from '#test/corpus/regression/corpus.ts';

/** mulberry32: the same seed gives the same texts. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const PIECES = REGRESSION_CORPUS.map((text) => text.match(/\w+|'(?:[^']|'')*'|"[^"]*"|\s+|::|[^\w\s]/g) ?? []);
const WORDS: readonly string[] = [...new Set(PIECES.flat().filter((piece) => /^["\w]/.test(piece)))];
const STRANGE = [
  '\u0000',
  '\ud800',
  'é',
  '\u00a0',
  '\ufeff',
  '😀',
  '$',
  '\\',
  '--',
  '/*',
  "'",
  '"',
  ';',
  '(',
  ')',
  '::',
  '$1',
  'U&"',
  '\r',
];
const WRAPS: readonly ((text: string) => string)[] = [
  (text) => `SELECT * FROM (${text}) AS s`,
  (text) => `WITH w AS (${text}) SELECT w FROM w`,
  (text) => `SELECT (${text})`,
  (text) => `SELECT ARRAY(${text}), EXISTS (${text})`,
  (text) => `(${text}) UNION ALL (${text})`,
  (text) => `EXPLAIN ${text}`,
  (text) => `COPY (${text}) TO STDOUT`,
  (text) => `PREPARE p AS ${text}`,
  (text) => `DECLARE c CURSOR FOR ${text}`,
  (text) => `CREATE TEMP TABLE t AS ${text}`,
  (text) => `INSERT INTO orders ${text}`,
  (text) => `SELECT 1; ${text}; SELECT 2`,
];

/** One text; the corpus cut at the borders of words, so that much of it still parses. */
function mutated(random: (below: number) => number): string {
  const pick = <T>(from: readonly T[], otherwise: T): T => from[random(from.length)] ?? otherwise;
  const pieces = [...pick<readonly string[]>(PIECES, [])];
  for (let i = random(4); i >= 0; i--) {
    const at = random(pieces.length + 1);
    const other = pick<readonly string[]>(PIECES, []);
    const from = random(other.length + 1);
    switch (random(7)) {
      case 0:
        pieces.splice(at, 1);
        break;
      case 1:
        pieces.splice(at, 1, pick(WORDS, 'x'));
        break;
      case 2:
        pieces.splice(at, random(4), ...other.slice(from, from + random(8)));
        break;
      case 3:
        pieces.splice(at, 0, pick(STRANGE, ';'));
        break;
      case 4:
        pieces.splice(at, 0, ...pieces.slice(at, at + random(6)));
        break;
      default: {
        // A name for a name: the text stays whole.
        const names = pieces.flatMap((piece, index) => (/^["a-z]/.test(piece) ? [index] : []));
        pieces.splice(pick(names, 0), 1, pick(WORDS, 'x'));
      }
    }
  }
  const text = pieces.join('');
  return random(4) === 0 ? pick(WRAPS, (inner) => inner)(text) : text;
}

export interface FuzzResult {
  readonly count: number;
  /** How many of them would have been sent. */
  readonly accepted: number;
  /** At most ten. */
  readonly findings: readonly string[];
}

export function fuzz(policy: EffectivePolicy, seed: number, milliseconds: number): FuzzResult {
  const random = generator(seed);
  const findings: string[] = [];
  const end = performance.now() + milliseconds;
  let count = 0;
  let accepted = 0;
  while (performance.now() < end && findings.length < 10) {
    const text = mutated(random);
    const { problem, isAccepted } = judgeText(text, policy);
    count += 1;
    if (isAccepted) accepted += 1;
    if (problem !== undefined) findings.push(`${JSON.stringify(text)}: ${problem}`);
  }
  return { count, accepted, findings };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } });
  const result = fuzz(await shopPolicy(), Number(values.seed ?? '1'), Number(values.seconds ?? '60') * 1_000);
  console.log(`${result.count} texts, ${result.accepted} accepted`);
  for (const finding of result.findings) console.log(finding);
  process.exitCode = result.findings.length > 0 ? 1 : 0;
}
