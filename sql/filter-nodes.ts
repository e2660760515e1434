/** What a row filter may hold: every node, operator, function and type, as data. */
import { type FilterPart, type IdentityReference, reject } from './filter-identity.ts';
import type { Tree } from './parser.ts';
import { tokenize } from './tokens.ts';
import { asNode, isTree, listField, locationOf, nameList, stringField, treeField, unwrap } from './tree-access.ts';

/** A piece of the filter's text [start, end) in UTF-16 units, and what stands in its place. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly part: FilterPart;
}

/** What the walk over the tree is given, and what it gathers. */
export interface Walk {
  readonly text: string;
  readonly bytes: Buffer;
  readonly references: ReadonlyMap<string, IdentityReference>;
  readonly used: Set<string>;
  readonly edits: Edit[];
  readonly columns: Set<string>;
  readonly bare: Set<string>;
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

/** Checks a node and all below it, and gathers the edits of its text. */
export function walkNode(node: Tree, walk: Walk, underCast: boolean): void {
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

function utf16Offset(walk: Walk, location: number): number {
  return walk.bytes.subarray(0, Math.max(0, location - LOCATION_SHIFT)).toString().length;
}

function tokenRange(walk: Walk, location: number): { readonly start: number; readonly end: number } {
  const start = utf16Offset(walk, location);
  const token = tokenize(walk.text.slice(start))[0];
  if (token === undefined || token.start !== 0) reject('cannot be rewritten with certainty; write it more simply');
  return { start, end: start + (token?.end ?? 0) };
}
