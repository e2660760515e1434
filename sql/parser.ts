/**
 * Text → tree, text → comments, by PostgreSQL's own grammar (grammar.ts); what it cannot read is a refusal.
 * Locations in trees and tokens are byte offsets of the UTF-8 text.
 */
import { GrammarError, loadGrammar, printTokens, printTree } from './grammar.ts';
import { Memo } from './memo.ts';
import { RefusalError } from './refusal.ts';

/** A node of the raw parse tree: `{ SelectStmt: {...} }` where wrapped, its bare fields where PostgreSQL's struct embeds it. */
export type Tree = { [key: string]: unknown };

export interface ParsedStatement {
  /** Wrapped statement node, e.g. `{ SelectStmt: {...} }`. */
  readonly stmt: Tree;
  /** Byte range of the statement in the text; a length of 0 means: up to the end. */
  readonly byteStart: number;
  readonly byteLength: number;
}

/** Loads the WASM once; call it at start-up, before the first parse. */
export function loadParser(): Promise<void> {
  return loadGrammar();
}

/** The parser ran out of stack or memory: this instance is not trusted again. */
let exhausted = 0;

/** After how many stack overflows the instance refuses everything (measured: a dozen break it; it fails closed). */
const MAX_EXHAUSTIONS = 8;

/** True once the process should be restarted because the parser instance is worn out. */
export function parserIsWornOut(): boolean {
  return exhausted >= MAX_EXHAUSTIONS;
}

function guarded<T>(run: () => T): T {
  if (parserIsWornOut()) throw new RefusalError({ slug: 'too_complex', advice: 'the parser needs a restart' });
  try {
    return run();
  } catch (error) {
    if (error instanceof GrammarError) {
      if (/stack depth|memory/i.test(error.message)) throw new RefusalError({ slug: 'too_complex' });
      throw new RefusalError({ slug: 'syntax_error', subject: error.message, character: error.position });
    }
    exhausted += 1;
    throw new RefusalError({ slug: 'too_complex' });
  }
}

interface RawStatement {
  readonly stmt?: Tree;
  readonly stmt_location?: number;
  readonly stmt_len?: number;
}

/** The tree of a text as the JSON that the grammar prints. Throws RefusalError (syntax_error, too_complex, invalid_text). */
export function printSql(text: string): string {
  if (text.includes('\0')) throw new RefusalError({ slug: 'invalid_text', subject: 'NUL character' });
  return guarded(() => printTree(text));
}

/** The statements of a printed tree. */
export function readPrint(print: string): readonly ParsedStatement[] {
  const result = guarded((): unknown => JSON.parse(print)) as { readonly stmts?: readonly RawStatement[] };
  return (result.stmts ?? []).map((raw) => ({
    stmt: raw.stmt ?? {},
    byteStart: raw.stmt_location ?? 0,
    byteLength: raw.stmt_len ?? 0,
  }));
}

/** Parses a text into its statements. Throws RefusalError (syntax_error, too_complex, invalid_text). */
export function parseSql(text: string): readonly ParsedStatement[] {
  return text === '' ? [] : readPrint(printSql(text));
}

const fragmentTrees = new Memo<Tree>();

function onlySelect(text: string): Tree {
  const statements = parseSql(text);
  const select = statements[0]?.stmt['SelectStmt'];
  if (statements.length !== 1 || typeof select !== 'object' || select === null) {
    throw new Error(`fragment is not one SELECT: ${text}`);
  }
  return select as Tree;
}

/** Tree of one scalar expression, as a wrapped node. The answer is shared: never change it. */
export function parseExpression(text: string): Tree {
  return fragmentTrees.get(`e ${text}`, () => {
    const targets = onlySelect(`SELECT (${text})`)['targetList'] as readonly { ResTarget: { val: Tree } }[];
    const target = targets[0];
    if (targets.length !== 1 || target === undefined) throw new Error(`not one expression: ${text}`);
    return target.ResTarget.val;
  });
}

/** Tree of one FROM item, as a wrapped node. The answer is shared: never change it. */
export function parseFromItem(text: string): Tree {
  return fragmentTrees.get(`f ${text}`, () => {
    const items = onlySelect(`SELECT FROM ${text}`)['fromClause'] as readonly Tree[];
    const item = items[0];
    if (items.length !== 1 || item === undefined) throw new Error(`not one FROM item: ${text}`);
    return item;
  });
}

/** Tree of a target list, as wrapped ResTarget nodes. The answer is shared: never change it. */
export function parseTargets(text: string): readonly Tree[] {
  const tree = fragmentTrees.get(`t ${text}`, () => ({ list: onlySelect(`SELECT ${text}`)['targetList'] }));
  return tree['list'] as readonly Tree[];
}

interface ScanToken {
  readonly start: number;
  readonly end: number;
  readonly tokenName: string;
}

/** The scanner prints broken JSON for what it cannot read to its end (an open comment or string): a syntax error of the text. */
function scan(text: string): { readonly tokens: readonly ScanToken[] } {
  const print = guarded(() => printTokens(text));
  try {
    return JSON.parse(print) as { readonly tokens: readonly ScanToken[] };
  } catch {
    parseSql(text);
    throw new RefusalError({ slug: 'syntax_error', subject: 'syntax error: a comment or a string is not closed' });
  }
}

/** Byte ranges of the comments in a text, by the server's own scanner. */
export function commentRanges(text: string): readonly { readonly start: number; readonly end: number }[] {
  if (text.includes('\0')) throw new RefusalError({ slug: 'invalid_text', subject: 'NUL character' });
  const result = scan(text);
  return result.tokens
    .filter((token) => token.tokenName === 'C_COMMENT' || token.tokenName === 'SQL_COMMENT')
    .map((token) => ({ start: token.start, end: token.end }));
}
