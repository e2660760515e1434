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
import { listField, nameList, stringField, treeField } from './tree-access.ts';

const BOOL = 16;

/** The query's answer to the level around it: outer relations it reads, and whether it may raise because of them. */
function correlation(query: QueryInfo, scope: Scope): ExpressionInfo {
  const guards = [...query.outerGuards];
  noteOuterGuards(scope, guards);
  return { ...NOTHING_READ, guards, leakproof: !query.leakyOuter, constant: false };
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

export function subLink(content: Tree, scope: Scope, context: Context, _node: Tree): ExpressionInfo {
  const kind = stringField(content, 'subLinkType') ?? 'EXISTS_SUBLINK';
  const select =
    treeField(treeField(content, 'subselect') ?? {}, 'SelectStmt') ??
    refuse('not_supported', { subject: 'a sub-query' });
  const tested = walkField(content, 'testexpr', scope, context);
  const query = processQuery(select, scope, context, { level: 'nested' });
  const outer = correlation(query, scope);
  if (kind === 'EXISTS_SUBLINK') return { ...outer, typeOid: BOOL };
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
    return {
      ...both,
      leakproof: leakproof && both.leakproof && query.columns.every((c) => c.leakproof),
      typeOid: BOOL,
      constant: false,
    };
  }
  if (kind === 'EXPR_SUBLINK' || kind === 'ARRAY_SUBLINK') {
    return { ...outer, leakproof: false, typeOid: kind === 'EXPR_SUBLINK' ? query.columns[0]?.typeOid : undefined };
  }
  return refuse('not_supported', { subject: kind });
}
