/**
 * Where the parts of a parsed statement begin and end in the text. The tree gives starts, these find ends by tokens.
 * A wrong answer cannot pass: the spliced text is parsed again and compared (splice.ts).
 */
import { refuse } from './refusal.ts';
import type { SourceText } from './source-text.ts';
import type { Token } from './tokens.ts';

/** Inclusive token index range. */
export interface TokenRange {
  readonly first: number;
  readonly last: number;
}

interface Bounds {
  low: number;
  high: number;
}

function visit(value: unknown, bounds: Bounds): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const element of value) visit(element, bounds);
    return;
  }
  for (const [key, child] of Object.entries(value)) {
    if (key === 'location') {
      if (typeof child === 'number' && child >= 0) {
        if (child < bounds.low) bounds.low = child;
        if (child > bounds.high) bounds.high = child;
      }
    } else visit(child, bounds);
  }
}

/** Lowest and highest byte location in a subtree; `undefined` if it holds none. libpg-query leaves a location of 0 out. */
export function locationBounds(tree: unknown): { readonly low: number; readonly high: number } | undefined {
  const bounds: Bounds = { low: Number.MAX_SAFE_INTEGER, high: -1 };
  visit(tree, bounds);
  return bounds.high < 0 ? undefined : bounds;
}

/** Token index at which a subtree's first located token stands. */
export function firstToken(source: SourceText, tree: unknown): number {
  const bounds = locationBounds(tree);
  if (bounds === undefined) return refuse('rewrite_uncertain');
  return source.tokenAt(bounds.low);
}

function token(source: SourceText, index: number): Token | undefined {
  return source.tokens[index];
}

/** A word token that stands for itself: not a label after a dot or AS. */
export function isKeyword(source: SourceText, index: number, word: string): boolean {
  const here = token(source, index);
  if (here?.kind !== 'word' || here.word !== word) return false;
  const before = token(source, index - 1);
  return before?.kind !== 'dot' && !(before?.kind === 'word' && before.word === 'AS');
}

/** Walks back from a token to the nearest keyword among `words`, at any depth of opening parentheses. */
export function keywordBefore(source: SourceText, from: number, words: ReadonlySet<string>): number {
  for (let i = from - 1; i >= 0; i--) {
    const here = token(source, i);
    if (here?.kind === 'word' && words.has(here.word) && isKeyword(source, i, here.word)) return i;
    if (here?.kind === 'close') i = source.partner[i] ?? i;
  }
  return refuse('rewrite_uncertain');
}

/** Index of the next token at the same depth, stepping over parenthesised groups. */
function nextAtDepth(source: SourceText, index: number): number {
  if (token(source, index)?.kind === 'open') {
    const close = source.partner[index] ?? -1;
    return close < 0 ? source.tokens.length : close + 1;
  }
  return index + 1;
}

const QUERY_END = [
  'GROUP',
  'HAVING',
  'WINDOW',
  'UNION',
  'INTERSECT',
  'EXCEPT',
  'ORDER',
  'LIMIT',
  'OFFSET',
  'FETCH',
  'FOR',
  'RETURNING',
];

/** Words that end a WHERE, HAVING or GROUP BY clause. */
export const CLAUSE_END: ReadonlySet<string> = new Set([...QUERY_END, 'DO', 'WHEN', 'ON']);
/** Words that end a target list. */
export const TARGETS_END: ReadonlySet<string> = new Set([...QUERY_END, 'FROM', 'INTO', 'WHERE']);
/** Words that end a JOIN's ON clause. */
export const ON_END: ReadonlySet<string> = new Set([
  ...QUERY_END,
  'WHERE',
  'JOIN',
  'LEFT',
  'RIGHT',
  'FULL',
  'INNER',
  'CROSS',
  'NATURAL',
  'ON',
  'USING',
  'SET',
  'WHEN',
  'DO',
  'TABLESAMPLE',
]);
/** Words that end an expression in MERGE ... WHEN ... AND. */
export const THEN_END: ReadonlySet<string> = new Set(['THEN']);
/** Words that end a whole query without its trailing clauses. */
export const NOTHING: ReadonlySet<string> = new Set();

function endsHere(source: SourceText, index: number, words: ReadonlySet<string>): boolean {
  const here = token(source, index);
  if (here === undefined || here.kind === 'close' || here.kind === 'semicolon') return true;
  if (here.kind !== 'word' || !words.has(here.word) || !isKeyword(source, index, here.word)) return false;
  const before = token(source, index - 1)?.word ?? '';
  if (here.word === 'FROM' && before === 'DISTINCT') {
    const isTest = token(source, index - 2)?.word;
    return isTest !== 'IS' && isTest !== 'NOT';
  }
  if (here.word === 'GROUP' && before === 'WITHIN') return false;
  if (here.word === 'LEFT' || here.word === 'RIGHT') return token(source, index + 1)?.word !== '(';
  return true;
}

/** Last token before a clause ends, scanning from its first token at that token's depth; CASE ... END is stepped over whole. */
export function clauseEnd(source: SourceText, from: number, words: ReadonlySet<string>, stopAtComma = false): number {
  let cases = 0;
  let i = from;
  while (i < source.tokens.length) {
    if (cases === 0 && endsHere(source, i, words)) break;
    if (cases === 0 && stopAtComma && token(source, i)?.kind === 'comma') break;
    if (token(source, i) === undefined || token(source, i)?.kind === 'close') break;
    if (isKeyword(source, i, 'CASE')) cases += 1;
    else if (cases > 0 && isKeyword(source, i, 'END')) cases -= 1;
    i = nextAtDepth(source, i);
  }
  return i - 1;
}

/** Drops parentheses at either end whose partner lies outside of the range. */
export function balanced(source: SourceText, range: TokenRange): TokenRange {
  let { first, last } = range;
  const inside = (index: number): boolean => index >= first && index <= last;
  for (;;) {
    const head = token(source, first);
    const tail = token(source, last);
    if (head?.kind === 'open' && !inside(source.partner[first] ?? -1)) first += 1;
    else if (tail?.kind === 'close' && !inside(source.partner[last] ?? -1)) last -= 1;
    else break;
  }
  return { first, last };
}

const AND_WORD: ReadonlySet<string> = new Set(['AND']);

/** Token ranges of the arguments of a flattened AND list inside a clause. */
export function conjunctRanges(
  source: SourceText,
  args: readonly unknown[],
  clause: TokenRange,
): readonly TokenRange[] {
  const separators = args.slice(1).map((arg) => keywordBefore(source, firstToken(source, arg), AND_WORD));
  return args.map((_, i) =>
    balanced(source, {
      first: i === 0 ? clause.first : (separators[i - 1] ?? 0) + 1,
      last: (separators[i] ?? clause.last + 1) - 1,
    }),
  );
}

/** The clause that a keyword opens: its token range without the keyword, from any located token of its expression. */
export function clauseRange(
  source: SourceText,
  tree: unknown,
  opening: ReadonlySet<string>,
  ending: ReadonlySet<string>,
): TokenRange {
  const keyword = keywordBefore(source, firstToken(source, tree), opening);
  return { first: keyword + 1, last: clauseEnd(source, keyword + 1, ending) };
}

/** UTF-16 range of a token range. */
export function textRange(source: SourceText, range: TokenRange): { readonly start: number; readonly end: number } {
  const start = token(source, range.first)?.start;
  const end = token(source, range.last)?.end;
  if (start === undefined || end === undefined || end < start) return refuse('rewrite_uncertain');
  return { start, end };
}

/** The dotted name that starts at a byte location: its token range (`public.customers`, `c.*`). */
export function nameRange(source: SourceText, byteLocation: number): TokenRange {
  const first = source.tokenAt(byteLocation);
  let last = first;
  while (token(source, last + 1)?.kind === 'dot') last += 2;
  return { first, last };
}

/** The innermost parenthesis that encloses a subtree: token indexes of `(` and `)`. */
export function enclosingParenthesis(source: SourceText, tree: unknown): TokenRange {
  const bounds = locationBounds(tree);
  if (bounds === undefined) return refuse('rewrite_uncertain');
  const low = source.tokenAt(bounds.low);
  const high = source.tokenAt(bounds.high);
  for (let i = low - 1; i >= 0; i--) {
    const here = token(source, i);
    if (here?.kind === 'close') i = source.partner[i] ?? i;
    else if (here?.kind === 'open') {
      const close = source.partner[i] ?? -1;
      if (close >= high) return { first: i, last: close };
    }
  }
  return refuse('rewrite_uncertain');
}

/** Arguments of a parenthesised list, by its commas. */
export function argumentRanges(source: SourceText, parenthesis: TokenRange): readonly TokenRange[] {
  const ranges: { first: number; last: number }[] = [];
  let first = parenthesis.first + 1;
  for (let i = first; i <= parenthesis.last; i = nextAtDepth(source, i)) {
    if (token(source, i)?.kind === 'comma' || i === parenthesis.last) {
      if (i > first) ranges.push({ first, last: i - 1 });
      first = i + 1;
    }
  }
  return ranges;
}
