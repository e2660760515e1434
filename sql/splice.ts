/**
 * Edits → text, and the proof that the text reads as intended: it is parsed again and its tree compared with the one the walk built.
 * The agent's own text is never printed from a tree.
 */
import type { TextPiece } from './analysis.ts';
import { parseSql, type ParsedStatement, type Tree } from './parser.ts';
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

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((element, i) => sameTree(element, b[i]));
}

function sameFields(a: Tree, b: Tree): boolean {
  let count = 0;
  for (const key in a) {
    if (POSITIONS.has(key) || a[key] === undefined) continue;
    count += 1;
    if (!sameTree(a[key], b[key])) return false;
  }
  for (const key in b) if (!POSITIONS.has(key) && b[key] !== undefined) count -= 1;
  return count === 0;
}

/** Equal but for positions in the text. */
export function sameTree(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && sameList(flattened(a), flattened(b));
  if (!isTree(a) || !isTree(b)) return false;
  if (a['boolop'] !== undefined && a['boolop'] === b['boolop'] && a['boolop'] !== 'NOT_EXPR') {
    return sameList(booleanArguments(a, a['boolop']), booleanArguments(b, b['boolop']));
  }
  return sameFields(a, b);
}

/** Refuses unless the text parses to exactly the intended statements. */
export function verifyText(text: string, intended: readonly Tree[]): void {
  let parsed: readonly ParsedStatement[];
  try {
    parsed = parseSql(text);
  } catch {
    return refuse('rewrite_uncertain');
  }
  const same =
    parsed.length === intended.length && parsed.every((statement, i) => sameTree(intended[i], statement.stmt));
  if (!same) refuse('rewrite_uncertain');
}
