/**
 * Edits → text, and the proof that the text reads as intended: it is parsed again and its tree compared with the one the walk built.
 * The agent's own text is never printed from a tree.
 */
import type { TextPiece } from './analysis.ts';
import { printSql, readPrint, type ParsedStatement, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Edit } from './statement-context.ts';
import { isTree, listField } from './tree-access.ts';

const RANK = { after: 0, before: 1, replace: 2 } as const;

/** At one place: what ends there first (inner before outer), then what begins there (outer before inner), then replacements. */
function compareEdits(a: Edit, b: Edit): number {
  if (a.start !== b.start) return a.start - b.start;
  if (a.kind !== b.kind) return RANK[a.kind] - RANK[b.kind];
  return a.kind === 'before' ? b.order - a.order : a.order - b.order;
}

/** Turns edits of [start, end) into pieces: ranges of the source and inserted text, in order. Overlapping edits are refused. */
export function piecesOf(edits: readonly Edit[], start: number, end: number): readonly TextPiece[] {
  const pieces: TextPiece[] = [];
  let at = start;
  for (const edit of edits.toSorted(compareEdits)) {
    if (edit.start < at || edit.end > end) refuse('rewrite_uncertain');
    if (edit.start > at) pieces.push({ start: at, end: edit.start });
    if (edit.text !== '') pieces.push({ insert: edit.text });
    at = edit.end;
  }
  if (end > at) pieces.push({ start: at, end });
  return pieces;
}

/** The text that is parsed again: as the pieces print it, with fragments that were parsed by themselves left short. */
export function printProof(edits: readonly Edit[], source: string, start: number, end: number): string {
  const shortened = edits.map((edit) => (edit.proof === undefined ? edit : { ...edit, text: edit.proof }));
  return printPieces(piecesOf(shortened, start, end), source);
}

/** The text of pieces over a source. */
export function printPieces(pieces: readonly TextPiece[], source: string): string {
  let text = '';
  for (const piece of pieces) text += 'insert' in piece ? piece.insert : source.slice(piece.start, piece.end);
  return text;
}

const POSITIONS: ReadonlySet<string> = new Set([
  'location',
  'name_location',
  'rexpr_list_start',
  'rexpr_list_end',
  'list_start',
  'list_end',
  'stmt_location',
  'stmt_len',
]);

/** Lists written out in the place of `*` are flattened into the list around them. */
function flattened(list: readonly unknown[]): readonly unknown[] {
  if (!list.some((element) => isTree(element) && 'PosternTargets' in element)) return list;
  return list.flatMap((element): readonly unknown[] => {
    const targets = isTree(element) ? element['PosternTargets'] : undefined;
    return isTree(targets) ? listField(targets, 'targets') : [element];
  });
}

/** The arguments of nested ANDs (or ORs) in order: the grammar flattens them only on the left. */
function booleanArguments(node: Tree, operation: unknown): readonly unknown[] {
  return listField(node, 'args').flatMap((arg) => {
    const inner = arg['BoolExpr'];
    return isTree(inner) && inner['boolop'] === operation && operation !== 'NOT_EXPR'
      ? booleanArguments(inner, operation)
      : [arg];
  });
}

function sameElements(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!sameTree(a[i], b[i])) return false;
  return true;
}

/** Lists are seldom written out: only where they differ as they are. */
function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (sameElements(a, b)) return true;
  const [left, right] = [flattened(a), flattened(b)];
  return (left !== a || right !== b) && sameElements(left, right);
}

/** Positions are numbers: only those are looked up. */
function isLeftOut(key: string, value: unknown): boolean {
  return value === undefined || (typeof value === 'number' && POSITIONS.has(key));
}

function sameFields(a: Tree, b: Tree): boolean {
  let count = 0;
  for (const key in a) {
    const value = a[key];
    if (isLeftOut(key, value)) continue;
    count += 1;
    const other = b[key];
    if (value === other) continue;
    if (typeof value !== 'object' || !(key === 'BoolExpr' ? sameBoolean(value, other) : sameTree(value, other)))
      return false;
  }
  for (const key in b) if (!isLeftOut(key, b[key])) count -= 1;
  return count === 0;
}

/** AND and OR by their arguments in order, however they are nested. */
function sameBoolean(a: unknown, b: unknown): boolean {
  if (!isTree(a) || !isTree(b) || a['boolop'] !== b['boolop']) return false;
  if (a['boolop'] === 'NOT_EXPR') return sameFields(a, b);
  return sameList(booleanArguments(a, a['boolop']), booleanArguments(b, b['boolop']));
}

/** Equal but for positions in the text. */
export function sameTree(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && sameList(a, b);
  return isTree(a) && isTree(b) && sameFields(a, b);
}

/** A position that is not the first field of its node; the few that are make two prints differ, and the trees are compared. */
const PRINTED_POSITION = /,"(?:(?:name_|stmt_)?location|(?:rexpr_)?list_(?:start|end)|stmt_len)":-?\d+/g;

const HEAD = /^\{"version":\d+,"stmts":/;

/**
 * The quick answer: the intended trees, printed, against what the grammar printed, both without positions; what it prints need not be read.
 * A key is followed by a colon and a quote inside a string is escaped, so nothing else is cut out. Equal texts are equal trees. Trees that
 * differ in print (lists written out, nested ANDs, an escape printed otherwise) are compared field by field.
 */
function samePrint(intended: readonly Tree[], print: string): boolean {
  const head = HEAD.exec(print)?.[0];
  if (head === undefined) return false;
  const wanted = `${head}${JSON.stringify(intended.map((stmt) => ({ stmt })))}}`;
  // The grammar's printer escapes these, JSON.stringify does not; a backslash of the text itself is doubled in both.
  const escaped = wanted.replaceAll('<', String.raw`\u003c`).replaceAll('>', String.raw`\u003e`);
  return escaped.replace(PRINTED_POSITION, '') === print.replace(PRINTED_POSITION, '');
}

function sameStatements(intended: readonly Tree[], parsed: readonly ParsedStatement[]): boolean {
  return parsed.length === intended.length && parsed.every((statement, i) => sameTree(intended[i], statement.stmt));
}

/** Refuses unless the text parses to exactly the intended statements. */
export function verifyText(text: string, intended: readonly Tree[]): void {
  let same: boolean;
  try {
    const print = printSql(text);
    same = samePrint(intended, print) || sameStatements(intended, readPrint(print));
  } catch {
    return refuse('rewrite_uncertain');
  }
  if (!same) refuse('rewrite_uncertain');
}
