import {
  extractPlaceholders,
  type FilterIdentity,
  type FilterPart,
  FilterProblem,
  identityLiteral,
  reject,
} from './filter-identity.ts';
import { type Edit, type Walk, walkNode } from './filter-nodes.ts';
import { quoteIdentifier } from './identifiers.ts';
import { parseSql, type Tree } from './parser.ts';
import { RefusalError } from './refusal.ts';
import type { ExpressionPieces } from './relation-view.ts';
import { blankComments } from './source-text.ts';
import { asNode, isTree, listField, nameList, treeField } from './tree-access.ts';

export type { FilterIdentity } from './filter-identity.ts';

/**
 * The rowFilter language: a boolean SQL expression over the table's own columns, literals and `{{ identity.* }}` values, read by
 * PostgreSQL's grammar and held to an allow-list of nodes, operators, functions and types.
 *
 * Nothing is printed from the tree. The policy's own text is kept, cut at the column references, with identity values put in as
 * quoted literals; the result is parsed again and must read as intended.
 *
 * Names: calls are written out as `pg_catalog.f`, and casts name built-in types. Operators stay as written, since
 * `OPERATOR(pg_catalog.=)` binds differently from `=`: pg_catalog is searched first (unless a path names it later), and
 * policy/view.ts lets a column of a type from elsewhere into a filter only under a cast to a built-in type, so every operand is of a
 * type that pg_catalog's own operators take. Only an operator for exactly these built-in types, made by the database's owner in a
 * schema named before pg_catalog, could stand in; agents make no operators.
 */
export interface RowFilterTemplate {
  /** The expression in parentheses; identity values still open. */
  readonly parts: readonly FilterPart[];
  /** Names of the columns read, in order of first use. */
  readonly columns: readonly string[];
  /** Those read other than directly under a cast to a built-in type. */
  readonly bareColumns: readonly string[];
  /** The tree that the parts must read as, without locations; placeholders are column references. */
  readonly tree: unknown;
}

export type CompiledFilter =
  | { readonly kind: 'compiled'; readonly template: RowFilterTemplate }
  | { readonly kind: 'invalid'; readonly problem: string };

export type BoundFilter =
  | { readonly kind: 'bound'; readonly expression: ExpressionPieces; readonly columns: readonly string[] }
  /** The identity has no such value, or not one that a filter can use: `claims.department`. */
  | { readonly kind: 'missing'; readonly value: string };

/** Reads a rowFilter. Needs loadParser(). Never throws for bad input: problems are values. */
export function compileRowFilter(text: string): CompiledFilter {
  try {
    return { kind: 'compiled', template: compile(text) };
  } catch (error) {
    if (error instanceof FilterProblem) return { kind: 'invalid', problem: error.message };
    if (error instanceof RefusalError) {
      const { slug, subject } = error.refusal;
      return {
        kind: 'invalid',
        problem: slug === 'syntax_error' ? `is not an SQL expression: ${subject ?? slug}` : slug.replaceAll('_', ' '),
      };
    }
    if (error instanceof RangeError) return { kind: 'invalid', problem: 'too complex' };
    throw error;
  }
}

function compile(source: string): RowFilterTemplate {
  if (source.includes('\0') || !source.isWellFormed()) reject('holds a character that cannot stand in SQL');
  const { text: withPlaceholders, references } = extractPlaceholders(source);
  const text = blankComments(withPlaceholders);
  const expression = parseCondition(text);
  const walk: Walk = {
    text,
    bytes: Buffer.from(text),
    references,
    used: new Set(),
    edits: [],
    columns: new Set(),
    bare: new Set(),
  };
  walkNode(expression, walk, false);
  if (walk.used.size !== references.size)
    reject('{{ identity.* }} may not stand inside quotes: it is quoted by itself');
  const parts = cut(text, walk.edits);
  const tree = withQualifiedCalls(expression);
  if (!sameTree(stripLocations(parseCondition(printTemplate(parts))), tree))
    reject('cannot be rewritten with certainty; write it more simply');
  return { parts, columns: [...walk.columns], bareColumns: [...walk.bare], tree };
}

/** Puts the identity's values in, as literals. */
export function bindRowFilter(template: RowFilterTemplate, identity: FilterIdentity): BoundFilter {
  const literals = new Map<string, string>();
  for (const part of template.parts) {
    if (typeof part === 'string' || 'column' in part) continue;
    const literal = identityLiteral(part.identity, identity);
    if (literal === undefined)
      return {
        kind: 'missing',
        value: part.identity.kind === 'claim' ? `claims.${part.identity.name}` : part.identity.kind,
      };
    literals.set(part.placeholder, literal);
  }
  const expression = template.parts.map((part) =>
    typeof part === 'string' || 'column' in part ? part : (literals.get(part.placeholder) ?? 'NULL'),
  );
  const printed = expression
    .map((piece) => (typeof piece === 'string' ? piece : quoteIdentifier(piece.column)))
    .join('');
  const expected = substitute(
    template.tree,
    new Map([...literals].map(([name, literal]) => [name, stripLocations(parseCondition(literal))])),
  );
  // INVARIANT: a quoted literal cannot change the shape of the tree around it; were this ever false, nobody gets in.
  if (!sameTree(stripLocations(parseCondition(printed)), expected))
    return { kind: 'missing', value: 'a value that can be quoted' };
  return { kind: 'bound', expression, columns: template.columns };
}

/** Cuts the text at the edits and puts the whole in parentheses. */
function cut(text: string, edits: readonly Edit[]): readonly FilterPart[] {
  const parts: FilterPart[] = ['('];
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    if (edit.start < at) reject('cannot be rewritten with certainty; write it more simply');
    parts.push(text.slice(at, edit.start), edit.part);
    at = edit.end;
  }
  parts.push(text.slice(at).trimEnd(), ')');
  return mergeText(parts);
}

function mergeText(parts: readonly FilterPart[]): readonly FilterPart[] {
  const merged: FilterPart[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (typeof part === 'string' && typeof last === 'string') merged[merged.length - 1] = last + part;
    else if (part !== '') merged.push(part);
  }
  return merged;
}

function printTemplate(parts: readonly FilterPart[]): string {
  return parts
    .map((part) => {
      if (typeof part === 'string') return part;
      return quoteIdentifier('column' in part ? part.column : part.placeholder);
    })
    .join('');
}

const POSITION_FIELDS = new Set(['location', 'rexpr_list_start', 'rexpr_list_end', 'list_start', 'list_end']);

/** A copy without positions. */
function stripLocations(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripLocations);
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !POSITION_FIELDS.has(key))
      .map(([key, child]) => [key, stripLocations(child)]),
  );
}

/** The tree as it must read after calls have been qualified. */
function withQualifiedCalls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withQualifiedCalls);
  if (!isTree(value)) return value;
  const entries = Object.entries(value).filter(([key]) => !POSITION_FIELDS.has(key));
  return Object.fromEntries(
    entries.map(([key, child]) =>
      key === 'funcname' && Array.isArray(child) && child.length === 1
        ? [key, [{ String: { sval: 'pg_catalog' } }, stripLocations(child[0])]]
        : [key, withQualifiedCalls(child)],
    ),
  );
}

/** Replaces the placeholders' column references by the trees of their literals. */
function substitute(value: unknown, literals: ReadonlyMap<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((element) => substitute(element, literals));
  if (!isTree(value)) return value;
  const reference = asNode(value, 'ColumnRef');
  const literal = reference === undefined ? undefined : literals.get(nameList(reference, 'fields')[0] ?? '');
  if (literal !== undefined) return literal;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, substitute(child, literals)]));
}

function sameTree(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

const SELECT_FIELDS = new Set(['targetList', 'limitOption', 'op']);

/** The tree of one expression; the parentheses must hold all of the text. */
function parseCondition(text: string): Tree {
  const statements = parseSql(`SELECT (${text}\n)`);
  const select = asNode(statements[0]?.stmt, 'SelectStmt');
  const targets = select === undefined ? [] : listField(select, 'targetList');
  const target = asNode(targets[0], 'ResTarget');
  const value = target === undefined ? undefined : treeField(target, 'val');
  const plain =
    select !== undefined && Object.keys(select).every((key) => SELECT_FIELDS.has(key)) && select['op'] === 'SETOP_NONE';
  if (
    statements.length !== 1 ||
    targets.length !== 1 ||
    !plain ||
    value === undefined ||
    target?.['name'] !== undefined
  ) {
    return reject('expected one boolean expression');
  }
  return value;
}
