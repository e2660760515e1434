/** Sub-queries inside expressions: EXISTS, IN / ANY, ALL, ARRAY(...), scalar. */
import { NOTHING_READ, combine, type ExpressionInfo, walkField } from './walk.ts';
import { fenceQuery, processQuery, type QueryInfo, wrapTargets } from './query-info.ts';
import { isLeakproofOperator } from './leakproof.ts';
import { noteOuterGuards } from './column-reference.ts';
import { judgeOperatorUse } from './operator-use.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { asNode, listField, nameList, stringField, treeField } from './tree-access.ts';

const BOOL = 16;

/** The query's answer to the level around it: outer relations it reads, and whether running it can be seen at all. */
function correlation(query: QueryInfo, scope: Scope): ExpressionInfo {
  const guards = [...query.outerGuards];
  noteOuterGuards(scope, guards);
  if (query.raises) scope.raises = true;
  return { ...NOTHING_READ, guards, leakproof: !query.raises, constant: false };
}

const NOT_JOINED = [
  'withClause',
  'groupClause',
  'havingClause',
  'windowClause',
  'limitCount',
  'limitOffset',
  'lockingClause',
];

/**
 * Whether the planner surely makes a semi-join of EXISTS (source: convert_EXISTS_sublink_to_join): a plain SELECT from relations whose
 * WHERE, and nothing else, reads the level around it. What raises inside then raises only for rows that passed every filter there.
 */
function existsIsJoined(select: Tree, query: QueryInfo, scope: Scope): boolean {
  const isPlain =
    (stringField(select, 'op') ?? 'SETOP_NONE') === 'SETOP_NONE' &&
    treeField(select, 'whereClause') !== undefined &&
    NOT_JOINED.every((key) => select[key] === undefined);
  const from = listField(select, 'fromClause');
  const isRelations = from.length > 0 && from.every((item) => asNode(item, 'RangeVar') !== undefined);
  const targets = listField(select, 'targetList').every((target) => {
    const value = treeField(asNode(target, 'ResTarget') ?? {}, 'val');
    return asNode(value, 'A_Const') !== undefined || asNode(value, 'ColumnRef') !== undefined;
  });
  const readsLevel = query.outerGuards.some((guard) => guard.scope === scope);
  return isPlain && isRelations && targets && readsLevel && !query.scope.traits.volatile && !query.leakyOuter;
}

/**
 * `x = ANY (SELECT ...)` may become a join whose condition the planner copies onto the inner relation (an equivalence class), so
 * the inner expressions must not run on hidden rows: behind their flags, or behind a fence.
 */
function protectComparedColumns(query: QueryInfo, context: Context, operatorIsLeakproof: boolean): void {
  const exposed = query.columns.filter((column) => column.guards.length > 0);
  if (exposed.length === 0 || (operatorIsLeakproof && exposed.every((column) => column.leakproof))) return;
  if (operatorIsLeakproof && query.simple) wrapTargets(query, context);
  else fenceQuery(query, context);
}

/** Whether the planner surely makes a semi-join of `column IN (SELECT ...)` (source: convert_ANY_sublink_to_join): a column of this level. */
function anyIsJoined(content: Tree, tested: ExpressionInfo, query: QueryInfo, scope: Scope): boolean {
  const isColumn = asNode(treeField(content, 'testexpr'), 'ColumnRef') !== undefined;
  return isColumn && !query.scope.traits.correlated && tested.guards.every((guard) => guard.scope === scope);
}

export function subLink(content: Tree, scope: Scope, context: Context, _node: Tree): ExpressionInfo {
  const kind = stringField(content, 'subLinkType') ?? 'EXISTS_SUBLINK';
  const select =
    treeField(treeField(content, 'subselect') ?? {}, 'SelectStmt') ??
    refuse('not_supported', { subject: 'a sub-query' });
  const tested = walkField(content, 'testexpr', scope, context);
  const query = processQuery(select, scope, context, { level: 'nested' });
  const outer = correlation(query, scope);
  if (kind === 'EXISTS_SUBLINK') return { ...outer, typeOid: BOOL, joined: existsIsJoined(select, query, scope) };
  if (kind === 'ANY_SUBLINK' || kind === 'ALL_SUBLINK') {
    const names = nameList(content, 'operName');
    const operator = names.at(-1) ?? '=';
    const columnType = query.columns.length === 1 ? query.columns[0]?.typeOid : undefined;
    judgeOperatorUse(context, {
      schema: names.length > 1 ? names[0] : undefined,
      name: operator,
      leftTypeOid: tested.typeOid,
      rightTypeOid: columnType,
    });
    const isRow = listField(treeField(treeField(content, 'testexpr') ?? {}, 'RowExpr') ?? {}, 'args').length > 0;
    const leakproof =
      !isRow &&
      kind === 'ANY_SUBLINK' &&
      isLeakproofOperator(operator, tested.typeOid, columnType, context.input.catalog);
    protectComparedColumns(query, context, leakproof);
    const both = combine([tested, outer]);
    const compares = leakproof && tested.leakproof && query.columns.every((c) => c.leakproof);
    return {
      ...both,
      leakproof: compares && both.leakproof,
      typeOid: BOOL,
      constant: false,
      joined: compares && anyIsJoined(content, tested, query, scope),
    };
  }
  if (kind === 'EXPR_SUBLINK' || kind === 'ARRAY_SUBLINK') {
    return { ...outer, leakproof: false, typeOid: kind === 'EXPR_SUBLINK' ? query.columns[0]?.typeOid : undefined };
  }
  return refuse('not_supported', { subject: kind });
}
