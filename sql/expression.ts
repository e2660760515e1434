/**
 * The walk over scalar expressions: every node tag is known or refused, every name is resolved, and the answer says what the expression
 * would show if the planner ran it on a row outside a filter (sql/guard.ts uses it).
 */
import type { Oid } from './catalog.ts';
import { columnReference, starInRow } from './column-reference.ts';
import { functionCall } from './function-call.ts';
import {
  jsonAggregate,
  jsonFunction,
  jsonKeyValue,
  leaky,
  typedOutput,
  xmlExpression,
  xmlSerialize,
  type Walk,
} from './json-expression.ts';
import { indirection } from './indirection.ts';
import { isLeakproofOperator } from './leakproof.ts';
import { judgeOperatorUse, operatorResult } from './operator-use.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { subLink } from './sub-link.ts';
import { asNode, isTree, listField, nameList, numberField, stringField, treeField, unwrap } from './tree-access.ts';
import { isRegOid, refuseUntypedBesideReg, typeCast } from './type-cast.ts';
import {
  LITERAL_UNKNOWN_TYPE,
  NOTHING_READ,
  combine,
  jsonValue,
  markSensitive,
  stringLiteral,
  walkExpression,
  walkField,
  walkList,
  type ExpressionInfo,
} from './walk.ts';

const BOOL = 16;
const INT8 = 20;
const INT4 = 23;
const TEXT = 25;
const OID = 26;
const BIT = 1560;
const NUMERIC = 1700;

const MAX_DEPTH = 400;

/** Walks one wrapped expression node. Throws RefusalError. */
export function walkNode(node: Tree, scope: Scope, context: Context): ExpressionInfo {
  context.depth += 1;
  if (context.depth > MAX_DEPTH) refuse('too_complex');
  const [tag, content] = unwrap(node);
  const walk = EXPRESSIONS.get(tag);
  if (walk === undefined) refuse('not_supported', { subject: tag });
  const info = walk(content, scope, context, node);
  context.depth -= 1;
  return info;
}

const constantOf = (typeOid: Oid): ExpressionInfo => ({ ...NOTHING_READ, typeOid });
const CONSTANT = {
  null: { ...constantOf(LITERAL_UNKNOWN_TYPE), isNull: true },
  string: constantOf(LITERAL_UNKNOWN_TYPE),
  boolean: constantOf(BOOL),
  bits: constantOf(BIT),
  integer: constantOf(INT4),
  bigint: constantOf(INT8),
  numeric: constantOf(NUMERIC),
} as const;

function constant(content: Tree, _scope: Scope, context: Context): ExpressionInfo {
  if (content['isnull'] === true) return CONSTANT.null;
  if (isTree(content['sval'])) return CONSTANT.string;
  if (isTree(content['boolval'])) return CONSTANT.boolean;
  if (isTree(content['bsval'])) return CONSTANT.bits;
  const location = numberField(content, 'location') ?? 0;
  if (context.input.catalog.serverVersionNum < 160000 && location > 0) refuseNewNumbers(context, location);
  if (isTree(content['ival'])) return CONSTANT.integer;
  const digits = stringField(treeField(content, 'fval') ?? {}, 'fval') ?? '';
  return /^\d{1,18}$/.test(digits) ? CONSTANT.bigint : CONSTANT.numeric;
}

/** Before version 16 `1_000` and `0x1F` read as a number and an alias. */
function refuseNewNumbers(context: Context, location: number): void {
  const start = context.source.at(location);
  const token = /^[0-9.][0-9a-zA-Z_.]*/.exec(context.source.text.slice(start, start + 80))?.[0] ?? '';
  if (/_|^0[xXoObB]/.test(token)) {
    refuse('not_supported', {
      subject: `the number ${token}`,
      advice: 'this server reads it differently; write plain decimal digits',
      location,
    });
  }
}

/** Type of a parameter: as declared; undeclared and used once, as the other side of its operator has it. */
function parameter(content: Tree, _scope: Scope, context: Context): ExpressionInfo {
  const number = numberField(content, 'number') ?? 0;
  const declared = (context.parameterTypes ?? context.input.parameterTypeOids)[number - 1] ?? 0;
  const uses = context.parameterUses.get(number) ?? 0;
  const typeOid = declared !== 0 ? declared : uses <= 1 ? LITERAL_UNKNOWN_TYPE : undefined;
  return { ...NOTHING_READ, typeOid, constant: false };
}

const COMPARISONS: ReadonlySet<string> = new Set([
  '=',
  '<>',
  '!=',
  '<',
  '>',
  '<=',
  '>=',
  '~~',
  '!~~',
  '~~*',
  '!~~*',
  '~',
  '!~',
  '~*',
  '!~*',
]);

/** LIKE cannot raise with a literal pattern that does not end in an escape. */
function likeIsLeakproof(operator: string, right: Tree | undefined, context: Context): boolean {
  if (operator !== '~~' && operator !== '!~~') return true;
  const pattern = stringLiteral(right);
  if (pattern === undefined) return false;
  markSensitive(context, right);
  return !pattern.endsWith('\\');
}

function operatorIsLeakproof(
  operator: string,
  left: ExpressionInfo,
  right: ExpressionInfo,
  rightNode: Tree | undefined,
  context: Context,
): boolean {
  if (!left.leakproof || !right.leakproof) return false;
  if (!likeIsLeakproof(operator, rightNode, context)) return false;
  return isLeakproofOperator(operator, left.typeOid, right.typeOid, context.input.catalog);
}

const CLOCK_ARITHMETIC: ReadonlySet<string> = new Set(['+', '-']);

function elements(node: Tree | undefined): readonly Tree[] {
  const list = asNode(node, 'List') ?? asNode(node, 'A_ArrayExpr');
  return list === undefined ? [] : listField(list, 'items' in list ? 'items' : 'elements');
}

function isArrayType(info: ExpressionInfo, context: Context): boolean {
  return context.input.catalog.typeByOid.get(info.typeOid ?? 0)?.category === 'A';
}

/** The server has no operators of reg* types of their own: their values are compared as OIDs. */
function comparedAsOid(info: ExpressionInfo, context: Context): ExpressionInfo {
  if (!isRegOid(info.typeOid, context)) return info;
  return {
    ...info,
    typeOid: context.input.catalog.typeByOid.get(info.typeOid ?? 0)?.category === 'A' ? undefined : OID,
  };
}

function aExpr(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const kind = stringField(content, 'kind') ?? '';
  const names = nameList(content, 'name');
  const leftNode = treeField(content, 'lexpr');
  const rightNode = treeField(content, 'rexpr');
  const leftAsIs = walkField(content, 'lexpr', scope, context);
  const isList = asNode(rightNode, 'List') !== undefined;
  const itemsAsTheyAre = isList ? elements(rightNode).map((e) => walkExpression(e, scope, context)) : [];
  const left = comparedAsOid(leftAsIs, context);
  const items = itemsAsTheyAre.map((item) => comparedAsOid(item, context));
  const rightAsIs = isList ? combine(itemsAsTheyAre) : walkField(content, 'rexpr', scope, context);
  const right = isList ? combine(items) : comparedAsOid(rightAsIs, context);
  if (isList) refuseUntypedBesideReg([leftAsIs, ...itemsAsTheyAre], context);
  else if (isArrayType(leftAsIs, context) || isArrayType(rightAsIs, context))
    refuseUntypedBesideReg([leftAsIs, rightAsIs], context);
  const both = combine([left, right]);
  const operators = OPERATORS_OF_KIND.get(kind)?.(names.at(-1) ?? '') ?? refuse('not_supported', { subject: kind });
  const schema = names.length > 1 ? names[0] : undefined;
  const compared = isList ? items : [right];
  for (const operator of operators) {
    for (const item of compared) {
      judgeOperatorUse(context, {
        schema,
        name: operator,
        leftTypeOid: leftNode === undefined ? 0 : left.typeOid,
        rightTypeOid: kind === 'AEXPR_OP_ANY' || kind === 'AEXPR_OP_ALL' ? undefined : item.typeOid,
      });
    }
  }
  const leakproof = operators.every((operator) =>
    expressionIsLeakproof(kind, operator, { left, right, items, leftNode, rightNode, isList }, context),
  );
  const isClock = isClockArithmetic(operators[0] ?? '', left, leftNode, rightNode, context);
  const resultType = COMPARISONS.has(operators[0] ?? '')
    ? BOOL
    : kind === 'AEXPR_NULLIF'
      ? leftAsIs.typeOid
      : operatorResult(operators[0] ?? '', left.typeOid, right.typeOid, context.input.catalog);
  return { ...both, leakproof: leakproof || isClock, typeOid: resultType, constant: false };
}

/** Small enough that no clock leaves the range of timestamps: parts of at most four digits, years and longer of at most three. */
const SMALL_INTERVAL =
  /^ *(?:[+-]?(?:\d{1,3} ?(?:years?|yrs?|y)|\d{1,4} ?(?:months?|mons?|weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)) *|[+-]?\d{1,3}(?::\d\d){0,2}(?!\d) *){1,6}$/i;

function isNumber(node: Tree | undefined): boolean {
  const constant = asNode(node, 'A_Const');
  return constant !== undefined && (constant['ival'] !== undefined || constant['fval'] !== undefined);
}

/** `5 + 1` (worked out, or failing, while planning), `now() - interval '7 days'`, `current_date - 7`: one step from the clock that cannot overflow. */
function isClockArithmetic(
  operator: string,
  left: ExpressionInfo,
  leftNode: Tree | undefined,
  rightNode: Tree | undefined,
  context: Context,
): boolean {
  if (isNumber(leftNode) && isNumber(rightNode)) return CLOCK_ARITHMETIC.has(operator);
  if (!left.constant || leftNode === undefined || !CLOCK_ARITHMETIC.has(operator)) return false;
  const isClock = asNode(leftNode, 'SQLValueFunction') !== undefined || asNode(leftNode, 'FuncCall') !== undefined;
  if (!isClock) return false;
  const cast = asNode(rightNode, 'TypeCast');
  const literal = cast === undefined ? rightNode : treeField(cast, 'arg');
  const isInterval = cast === undefined || nameList(treeField(cast, 'typeName') ?? {}, 'names').at(-1) === 'interval';
  const text = stringLiteral(literal);
  markSensitive(context, literal);
  if (text !== undefined) return isInterval && SMALL_INTERVAL.test(text);
  const number = treeField(asNode(rightNode, 'A_Const') ?? {}, 'ival');
  return number !== undefined && (numberField(number, 'ival') ?? 0) < 1_000_000;
}

interface Sides {
  readonly left: ExpressionInfo;
  readonly right: ExpressionInfo;
  readonly items: readonly ExpressionInfo[];
  readonly leftNode: Tree | undefined;
  readonly rightNode: Tree | undefined;
  readonly isList: boolean;
}

function expressionIsLeakproof(kind: string, operator: string, sides: Sides, context: Context): boolean {
  if (kind === 'AEXPR_OP_ALL') return false;
  if (kind === 'AEXPR_OP_ANY') return anyIsLeakproof(operator, sides, context);
  if (kind === 'AEXPR_SIMILAR' || kind === 'AEXPR_ILIKE') return false;
  if (sides.isList) {
    const nodes = elements(sides.rightNode);
    return sides.items.every((item, i) => operatorIsLeakproof(operator, sides.left, item, nodes[i], context));
  }
  const leftRow = asNode(sides.leftNode, 'RowExpr');
  if (leftRow !== undefined) return false;
  return operatorIsLeakproof(operator, sides.left, sides.right, sides.rightNode, context);
}

/** `= ANY` of a literal array, of ARRAY[...] of leak-proof elements, or of a parameter of array type. */
function anyIsLeakproof(operator: string, sides: Sides, context: Context): boolean {
  if (!sides.left.leakproof || !sides.right.leakproof) return false;
  const { catalog } = context.input;
  const cast = asNode(sides.rightNode, 'TypeCast');
  const literal = stringLiteral(sides.rightNode) !== undefined || asNode(sides.rightNode, 'ParamRef') !== undefined;
  if (literal && sides.right.typeOid === LITERAL_UNKNOWN_TYPE)
    return isLeakproofOperator(operator, sides.left.typeOid, LITERAL_UNKNOWN_TYPE, catalog);
  if (cast !== undefined || literal) {
    const element = catalog.typeByOid.get(sides.right.typeOid ?? 0)?.elementOid ?? 0;
    return element !== 0 && isLeakproofOperator(operator, sides.left.typeOid, element, catalog);
  }
  if (asNode(sides.rightNode, 'A_ArrayExpr') === undefined) return false;
  const element = catalog.typeByOid.get(sides.right.typeOid ?? 0)?.elementOid ?? LITERAL_UNKNOWN_TYPE;
  return isLeakproofOperator(operator, sides.left.typeOid, element, catalog);
}

const OPERATORS_OF_KIND: ReadonlyMap<string, (name: string) => readonly string[]> = new Map<
  string,
  (name: string) => readonly string[]
>([
  ['AEXPR_OP', (name) => [name]],
  ['AEXPR_OP_ANY', (name) => [name]],
  ['AEXPR_OP_ALL', (name) => [name]],
  ['AEXPR_DISTINCT', (name) => [name]],
  ['AEXPR_NOT_DISTINCT', (name) => [name]],
  ['AEXPR_NULLIF', (name) => [name]],
  ['AEXPR_IN', (name) => [name]],
  ['AEXPR_LIKE', (name) => [name]],
  ['AEXPR_ILIKE', (name) => [name]],
  ['AEXPR_SIMILAR', (name) => [name]],
  ['AEXPR_BETWEEN', () => ['>=', '<=']],
  ['AEXPR_NOT_BETWEEN', () => ['<', '>']],
  ['AEXPR_BETWEEN_SYM', () => ['>=', '<=', '<', '>']],
  ['AEXPR_NOT_BETWEEN_SYM', () => ['<', '>', '>=', '<=']],
]);

/** Arms of CASE, COALESCE, GREATEST: of one type and leak-proof, or not leak-proof (a common type may need a cast that raises). */
function oneTyped(infos: readonly ExpressionInfo[], context: Context): ExpressionInfo {
  refuseUntypedBesideReg(infos, context);
  const both = combine(infos);
  const types = new Set(infos.map((info) => info.typeOid).filter((type) => type !== LITERAL_UNKNOWN_TYPE));
  const typeOid = types.size === 1 ? [...types][0] : undefined;
  return { ...both, leakproof: both.leakproof && typeOid !== undefined, typeOid, constant: false };
}

function caseExpr(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const tested = walkField(content, 'arg', scope, context);
  const hasTest = treeField(content, 'arg') !== undefined;
  const arms: ExpressionInfo[] = [];
  const conditions: ExpressionInfo[] = [];
  for (const arm of listField(content, 'args')) {
    const when = asNode(arm, 'CaseWhen') ?? refuse('not_supported', { subject: 'CASE' });
    const condition = walkField(when, 'expr', scope, context);
    if (hasTest)
      judgeOperatorUse(context, {
        schema: undefined,
        name: '=',
        leftTypeOid: tested.typeOid,
        rightTypeOid: condition.typeOid,
      });
    const comparable = !hasTest || isLeakproofOperator('=', tested.typeOid, condition.typeOid, context.input.catalog);
    conditions.push({ ...condition, leakproof: condition.leakproof && comparable });
    arms.push(walkField(when, 'result', scope, context));
  }
  if (treeField(content, 'defresult') !== undefined) arms.push(walkField(content, 'defresult', scope, context));
  const value = oneTyped(arms, context);
  return { ...combine([tested, ...conditions, value]), typeOid: value.typeOid, constant: false };
}

function boolExpr(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const infos = walkList(content, 'args', scope, context);
  const [first] = infos;
  const joined = content['boolop'] === 'NOT_EXPR' && first?.joined === true;
  return { ...combine(infos), typeOid: BOOL, joined };
}

function test(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  return { ...walkField(content, 'arg', scope, context), typeOid: BOOL };
}

function collate(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  return walkField(content, 'arg', scope, context);
}

function arrayExpr(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const info = oneTyped(walkList(content, 'elements', scope, context), context);
  const arrayOid = info.typeOid === undefined ? undefined : context.input.catalog.typeByOid.get(info.typeOid)?.arrayOid;
  return { ...info, typeOid: arrayOid };
}

const CURRENT_OF_CLOCK: ReadonlySet<string> = new Set([
  'SVFOP_CURRENT_DATE',
  'SVFOP_CURRENT_TIMESTAMP',
  'SVFOP_LOCALTIMESTAMP',
  'SVFOP_CURRENT_TIME',
  'SVFOP_LOCALTIME',
]);

function sqlValueFunction(content: Tree): ExpressionInfo {
  const operation = stringField(content, 'op') ?? '';
  const typeOid =
    operation === 'SVFOP_CURRENT_DATE'
      ? 1082
      : operation.startsWith('SVFOP_CURRENT_TIMESTAMP')
        ? 1184
        : operation.startsWith('SVFOP_LOCALTIMESTAMP')
          ? 1114
          : undefined;
  return { ...NOTHING_READ, typeOid, constant: [...CURRENT_OF_CLOCK].some((known) => operation.startsWith(known)) };
}

function sortBy(content: Tree, scope: Scope, context: Context): ExpressionInfo {
  const using = listField(content, 'useOp').map((n) => stringField(asNode(n, 'String') ?? {}, 'sval') ?? '');
  const info = walkField(content, 'node', scope, context);
  if (using.length > 0) {
    judgeOperatorUse(context, {
      schema: using.length > 1 ? using[0] : undefined,
      name: using.at(-1) ?? '',
      leftTypeOid: info.typeOid,
      rightTypeOid: info.typeOid,
    });
  }
  return info;
}

const EXPRESSIONS: ReadonlyMap<string, Walk> = new Map<string, Walk>([
  ['ColumnRef', columnReference],
  ['A_Const', constant],
  ['ParamRef', parameter],
  ['A_Expr', aExpr],
  ['BoolExpr', boolExpr],
  ['NullTest', test],
  ['BooleanTest', test],
  ['TypeCast', typeCast],
  ['FuncCall', functionCall],
  ['SubLink', subLink],
  ['CaseExpr', caseExpr],
  ['CoalesceExpr', (content, scope, context) => oneTyped(walkList(content, 'args', scope, context), context)],
  [
    'MinMaxExpr',
    (content, scope, context) => ({
      ...oneTyped(walkList(content, 'args', scope, context), context),
      leakproof: false,
    }),
  ],
  ['CollateClause', collate],
  ['A_ArrayExpr', arrayExpr],
  ['A_Indirection', indirection],
  ['A_Indices', leaky('lidx', 'uidx')],
  ['String', () => NOTHING_READ],
  ['A_Star', () => NOTHING_READ],
  [
    'RowExpr',
    (content, scope, context) => {
      const infos = listField(content, 'args').map(
        (element) => starInRow(element, scope, context) ?? walkExpression(element, scope, context),
      );
      return { ...combine(infos), constant: false };
    },
  ],
  ['List', (content, scope, context) => combine(walkList(content, 'items', scope, context))],
  ['SQLValueFunction', sqlValueFunction],
  [
    'GroupingFunc',
    (content, scope, context) => ({
      ...combine(walkList(content, 'args', scope, context)),
      aggregate: true,
      leakproof: false,
    }),
  ],
  ['NamedArgExpr', leaky('arg')],
  ['SortBy', sortBy],
  ['SetToDefault', () => NOTHING_READ],
  ['XmlExpr', xmlExpression],
  ['XmlSerialize', xmlSerialize],
  ['MergeSupportFunc', () => ({ ...NOTHING_READ, typeOid: TEXT, constant: false })],
  ['JsonFuncExpr', typedOutput('output', jsonFunction)],
  ['JsonObjectConstructor', typedOutput('output', leaky('exprs'))],
  ['JsonArrayConstructor', typedOutput('output', leaky('exprs'))],
  [
    'JsonArrayQueryConstructor',
    typedOutput('output', (content, scope, context) =>
      subLink({ subLinkType: 'EXPR_SUBLINK', subselect: content['query'] }, scope, context, content),
    ),
  ],
  ['JsonObjectAgg', jsonAggregate],
  ['JsonArrayAgg', jsonAggregate],
  ['JsonKeyValue', jsonKeyValue],
  ['JsonValueExpr', jsonValue],
  [
    'JsonParseExpr',
    typedOutput('output', (content, scope, context) => jsonValue(treeField(content, 'expr') ?? {}, scope, context)),
  ],
  ['JsonScalarExpr', typedOutput('output', leaky('expr'))],
  [
    'JsonSerializeExpr',
    typedOutput('output', (content, scope, context) => jsonValue(treeField(content, 'expr') ?? {}, scope, context)),
  ],
  ['JsonIsPredicate', leaky('expr')],
]);
