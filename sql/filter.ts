import { quoteIdentifier, quoteLiteral } from './identifiers.ts';
import { parseSql, type Tree } from './parser.ts';
import { RefusalError } from './refusal.ts';
import type { ExpressionPieces } from './relation-view.ts';
import { blankComments } from './source-text.ts';
import { tokenize } from './tokens.ts';
import { asNode, isTree, listField, locationOf, nameList, stringField, treeField, unwrap } from './tree-access.ts';

/**
 * The rowFilter language: a boolean SQL expression over the table's own columns, literals and `{{ identity.* }}` values, read by
 * PostgreSQL's grammar and held to an allow-list of nodes, operators, functions and types.
 *
 * Nothing is printed from the tree. The policy's own text is kept, cut at the column references, with identity values put in as
 * quoted literals; the result is parsed again and must read as intended.
 *
 * Names: calls are written out as `pg_catalog.f`, and casts name built-in types. Operators stay as written: pg_catalog is
 * always searched (first, unless the path names it, which the gate does not let it do later), and policy/view.ts lets a column
 * of a type from elsewhere into a filter only under a cast to a built-in type, so every operand is of a type that pg_catalog's
 * operators take. A session's search path therefore cannot change what a filter means.
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

export type FilterPart =
  | string
  | { readonly column: string }
  | { readonly identity: IdentityReference; readonly placeholder: string };

export type IdentityReference =
  | { readonly kind: 'serviceAccount' | 'namespace' | 'groups' }
  | { readonly kind: 'claim'; readonly name: string };

/** What a filter may know of who asks (policy/identity.ts). */
export interface FilterIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly groups: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
}

export type CompiledFilter =
  | { readonly kind: 'compiled'; readonly template: RowFilterTemplate }
  | { readonly kind: 'invalid'; readonly problem: string };

export type BoundFilter =
  | { readonly kind: 'bound'; readonly expression: ExpressionPieces; readonly columns: readonly string[] }
  /** The identity has no such value, or not one that a filter can use: `claims.department`. */
  | { readonly kind: 'missing'; readonly value: string };

class FilterProblem extends Error {}

function reject(problem: string): never {
  throw new FilterProblem(problem);
}

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

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly part: FilterPart;
}

interface Walk {
  readonly text: string;
  readonly bytes: Buffer;
  readonly references: ReadonlyMap<string, IdentityReference>;
  readonly used: Set<string>;
  readonly edits: Edit[];
  readonly columns: Set<string>;
  readonly bare: Set<string>;
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

/** A parenthesised literal for an identity's value; `undefined` where it is absent, null, or not a scalar. */
function identityLiteral(reference: IdentityReference, identity: FilterIdentity): string | undefined {
  if (reference.kind === 'groups') return arrayLiteral(identity.groups);
  if (reference.kind !== 'claim') return scalarLiteral(identity[reference.kind]);
  return Object.hasOwn(identity.claims, reference.name) ? scalarLiteral(identity.claims[reference.name]) : undefined;
}

function isQuotable(value: string): boolean {
  return !value.includes('\0') && value.isWellFormed();
}

function scalarLiteral(value: unknown): string | undefined {
  if (typeof value === 'string') return isQuotable(value) ? `(${quoteLiteral(value)}::pg_catalog.text)` : undefined;
  if (typeof value === 'boolean') return `('${value}'::pg_catalog.bool)`;
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  return Number.isSafeInteger(value) ? `('${value}'::pg_catalog.int8)` : `('${value}'::pg_catalog."numeric")`;
}

function arrayLiteral(values: readonly string[]): string | undefined {
  if (!values.every(isQuotable)) return undefined;
  const elements = values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  return `(${quoteLiteral(`{${elements.join(',')}}`)}::pg_catalog.text[])`;
}

// --- placeholders ---

const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** Replaces each `{{ identity.x }}` by a quoted name of its own, so that it is read as one operand. */
function extractPlaceholders(source: string): {
  readonly text: string;
  readonly references: ReadonlyMap<string, IdentityReference>;
} {
  const references = new Map<string, IdentityReference>();
  const text = source.replaceAll(PLACEHOLDER, (_, inner: string) => {
    const name = `{{${references.size}}}`;
    references.set(name, identityReference(inner));
    return ` "${name}" `;
  });
  if (text.replaceAll(/"\{\{\d+\}\}"/g, '').includes('{{')) reject('holds {{ without its }}');
  return { text, references };
}

function identityReference(inner: string): IdentityReference {
  const match = /^identity\.(serviceAccount|namespace|groups|claims\.([A-Za-z0-9_:/.-]{1,256}))$/.exec(inner);
  const known = match?.[1];
  if (known === 'serviceAccount' || known === 'namespace' || known === 'groups') return { kind: known };
  const claim = match?.[2];
  if (claim !== undefined) return { kind: 'claim', name: claim };
  return reject(
    `{{ ${inner} }} is not known; use identity.serviceAccount, identity.namespace, identity.groups or identity.claims.NAME`,
  );
}

// --- reading and allow-list ---

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

/** `SELECT (` stands before the text that locations count from. */
const LOCATION_SHIFT = Buffer.byteLength('SELECT (');

const OPERATORS = new Set(
  '= <> != < <= > >= + - * / % ^ || ~ ~* !~ !~* ~~ ~~* !~~ !~~* @> <@ && -> ->> #> #>> ?'.split(' '),
);

const EXPRESSION_KINDS = new Set([
  'AEXPR_OP',
  'AEXPR_OP_ANY',
  'AEXPR_OP_ALL',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
  'AEXPR_NULLIF',
  'AEXPR_IN',
  'AEXPR_LIKE',
  'AEXPR_ILIKE',
  'AEXPR_SIMILAR',
  'AEXPR_BETWEEN',
  'AEXPR_NOT_BETWEEN',
  'AEXPR_BETWEEN_SYM',
  'AEXPR_NOT_BETWEEN_SYM',
]);

/** Immutable or stable built-ins that read nothing but their arguments, the clock and the time zone. */
const FUNCTIONS = new Set(
  (
    'lower upper length char_length character_length octet_length btrim ltrim rtrim substr substring left right strpos position replace ' +
    'split_part starts_with reverse translate abs ceil ceiling floor round trunc mod div sign now statement_timestamp transaction_timestamp ' +
    'date_trunc date_part extract age make_date timezone isfinite justify_days array_length cardinality string_to_array ' +
    'jsonb_extract_path_text json_extract_path_text jsonb_array_length like_escape similar_to_escape'
  ).split(' '),
);

const TYPES = new Set(
  (
    'bool int2 int4 int8 numeric float4 float8 text varchar bpchar name uuid date time timetz timestamp timestamptz interval ' +
    'json jsonb inet cidr macaddr bytea bit varbit'
  ).split(' '),
);

const VALUE_FUNCTIONS = new Set(
  (
    'SVFOP_CURRENT_DATE SVFOP_CURRENT_TIME SVFOP_CURRENT_TIME_N SVFOP_CURRENT_TIMESTAMP SVFOP_CURRENT_TIMESTAMP_N SVFOP_LOCALTIME ' +
    'SVFOP_LOCALTIME_N SVFOP_LOCALTIMESTAMP SVFOP_LOCALTIMESTAMP_N'
  ).split(' '),
);

/** What stands in the way, in words that a policy's author knows. */
const REFUSED_NODES: Readonly<Record<string, string>> = {
  SubLink: 'a sub-select is not allowed: a row filter may use only the columns of its own table',
  ParamRef: 'parameters ($1) are not allowed',
  A_Indirection: 'subscripts and field selection are not allowed',
  RowExpr: 'rows are not allowed; compare the columns one by one',
  CollateClause: 'COLLATE is not allowed',
};

type NodeRule = (node: Tree, walk: Walk, underCast: boolean) => void;

const each =
  (...fields: readonly string[]): NodeRule =>
  (node, walk) => {
    for (const field of fields) {
      const value = node[field];
      if (Array.isArray(value)) for (const element of listField(node, field)) walkNode(element, walk, false);
      else if (isTree(value)) walkNode(value, walk, false);
    }
  };

/** Every node that a row filter may hold. */
const RULES: Readonly<Record<string, NodeRule>> = {
  ColumnRef: walkColumn,
  A_Const: walkConstant,
  A_Expr: walkExpression,
  BoolExpr: each('args'),
  NullTest: each('arg'),
  BooleanTest: each('arg'),
  CaseExpr: each('arg', 'args', 'defresult'),
  CaseWhen: each('expr', 'result'),
  CoalesceExpr: each('args'),
  MinMaxExpr: each('args'),
  A_ArrayExpr: each('elements'),
  List: each('items'),
  FuncCall: walkCall,
  TypeCast: walkCast,
  SQLValueFunction: (node) => {
    const op = stringField(node, 'op') ?? '';
    if (!VALUE_FUNCTIONS.has(op))
      reject(`${op.replace('SVFOP_', '').toLowerCase()} is not allowed: it names the database's user, not who asks`);
  },
};

function walkNode(node: Tree, walk: Walk, underCast: boolean): void {
  const [tag, content] = unwrap(node);
  const rule = Object.hasOwn(RULES, tag) ? RULES[tag] : undefined;
  if (rule === undefined)
    reject(Object.hasOwn(REFUSED_NODES, tag) ? (REFUSED_NODES[tag] ?? tag) : `${tag} is not allowed`);
  else rule(content, walk, underCast);
}

function walkColumn(node: Tree, walk: Walk, underCast: boolean): void {
  const fields = listField(node, 'fields');
  const [name] = nameList(node, 'fields');
  if (fields.length !== 1 || name === undefined)
    reject("write a column by its bare name: a row filter reads its own table's columns only");
  else {
    const reference = walk.references.get(name);
    const range = tokenRange(walk, locationOf(node));
    if (reference === undefined) {
      walk.columns.add(name);
      if (!underCast) walk.bare.add(name);
      walk.edits.push({ ...range, part: { column: name } });
    } else {
      walk.used.add(name);
      walk.edits.push({ ...range, part: { identity: reference, placeholder: name } });
    }
  }
}

/** The number forms that every supported server reads alike: no `1_000`, no `0x1F`. */
const PLAIN_NUMBER = /^-?\s*(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])/;

function walkConstant(node: Tree, walk: Walk): void {
  if (isTree(node['bsval'])) reject('bit strings are not allowed');
  if (!isTree(node['ival']) && !isTree(node['fval'])) return;
  const start = utf16Offset(walk, locationOf(node));
  if (!PLAIN_NUMBER.test(walk.text.slice(start, start + 4096))) reject('write numbers in decimal, without underscores');
}

function walkExpression(node: Tree, walk: Walk): void {
  const kind = stringField(node, 'kind') ?? '';
  if (!EXPRESSION_KINDS.has(kind)) reject(`${kind} is not allowed`);
  if (!kind.includes('BETWEEN')) {
    const names = nameList(node, 'name');
    const operator = names.at(-1) ?? '';
    const schemaIsBuiltIn = names.length === 1 || (names.length === 2 && names[0] === 'pg_catalog');
    if (!schemaIsBuiltIn || !OPERATORS.has(operator)) reject(`operator ${names.join('.')} is not allowed`);
  }
  each('lexpr', 'rexpr')(node, walk, false);
}

const CALL_FIELDS = new Set(['funcname', 'args', 'funcformat', 'location']);

function walkCall(node: Tree, walk: Walk): void {
  const names = nameList(node, 'funcname');
  const name = names.at(-1) ?? '';
  const builtIn = names.length === 1 || (names.length === 2 && names[0] === 'pg_catalog');
  if (!builtIn || !FUNCTIONS.has(name)) reject(`function ${names.join('.')} is not allowed in a row filter`);
  const odd = Object.keys(node).find((key) => !CALL_FIELDS.has(key));
  if (odd !== undefined) reject(`function ${name}: only plain arguments are allowed`);
  if (names.length === 1) {
    const { start } = tokenRange(walk, locationOf(node));
    walk.edits.push({ start, end: start, part: 'pg_catalog.' });
  }
  each('args')(node, walk, false);
}

function walkCast(node: Tree, walk: Walk): void {
  const type = treeField(node, 'typeName');
  const names = type === undefined ? [] : nameList(type, 'names');
  const name = names.at(-1) ?? '';
  const builtIn = names.length === 1 || (names.length === 2 && names[0] === 'pg_catalog');
  if (type === undefined || !builtIn || !TYPES.has(name) || type['setof'] === true || type['pct_type'] === true) {
    reject(`a cast to ${names.join('.')} is not allowed; cast to a built-in type`);
  } else {
    for (const modifier of listField(type, 'typmods')) {
      if (asNode(modifier, 'A_Const') === undefined) reject(`${name}: type modifiers must be numbers`);
      walkNode(modifier, walk, false);
    }
    const argument = treeField(node, 'arg');
    if (argument !== undefined) walkNode(argument, walk, true);
  }
}

// --- text ---

function utf16Offset(walk: Walk, location: number): number {
  return walk.bytes.subarray(0, Math.max(0, location - LOCATION_SHIFT)).toString().length;
}

function tokenRange(walk: Walk, location: number): { readonly start: number; readonly end: number } {
  const start = utf16Offset(walk, location);
  const token = tokenize(walk.text.slice(start))[0];
  if (token === undefined || token.start !== 0) reject('cannot be rewritten with certainty; write it more simply');
  return { start, end: start + (token?.end ?? 0) };
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

// --- comparison ---

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
        ? [key, [{ String: { sval: 'pg_catalog' } }, ...child]]
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
