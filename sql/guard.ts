/**
 * Row filters that an expression cannot see past: each conjunct that reads a filtered relation and could raise or show something is put
 * behind the relation's flag, `CASE WHEN flag IS NOT FALSE THEN conjunct ELSE false END` (design §2). Leak-proof ones stay as they are,
 * so that indexes keep working.
 */
import { combine, type ExpressionInfo, walkExpression } from './walk.ts';
import { clauseRange, conjunctRanges, textRange, type TokenRange } from './extents.ts';
import { quoteIdentifier } from './identifiers.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Guard, GuardCondition, Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { asNode, listField, stringField } from './tree-access.ts';
import { wrapNode } from './wrap-node.ts';

/** SQL of a condition. A flag may be NULL on the empty side of an outer join: that row is no hidden one. */
export function conditionSql(condition: GuardCondition): string {
  return condition.kind === 'flag' ? `${flagSql(condition)} IS NOT FALSE` : `(${condition.sql}) IS TRUE`;
}

/** The flag column itself. */
export function flagSql(flag: Extract<GuardCondition, { readonly kind: 'flag' }>): string {
  const name = quoteIdentifier(flag.name);
  return flag.qualifier === undefined ? name : `${quoteIdentifier(flag.qualifier)}.${name}`;
}

/** The conditions of several guards, each relation once; empty where all were fenced. */
export function requestConditions(guards: readonly Guard[], from: Scope): readonly string[] {
  const byKey = new Map(guards.map((guard) => [guard.key, guard]));
  const conditions = [...byKey.values()].flatMap((guard) => {
    const condition = guard.request(from);
    if (condition === undefined) return [];
    return condition.kind === 'flag' && isAfterGrouping(guard.scope)
      ? [`pg_catalog.bool_and(${flagSql(condition)}) IS NOT FALSE`]
      : [conditionSql(condition)];
  });
  return [...new Set(conditions)];
}

/**
 * Whether what is walked stands where the level has been grouped (targets, HAVING, ORDER BY): there its flag is no column any more. Asked of all
 * rows of the group it also keeps the planner from moving the condition below the grouping, and no row at all is no hidden one.
 */
function isAfterGrouping(scope: Scope): boolean {
  return scope.ungrouped !== undefined && scope.aggregateDepth === 0;
}

/** A condition that is a sub-query by itself, or NOT EXISTS. */
function isSubQuery(node: Tree): boolean {
  if (asNode(node, 'SubLink') !== undefined) return true;
  const negation = asNode(node, 'BoolExpr') ?? {};
  const inner = asNode(listField(negation, 'args')[0], 'SubLink');
  return (
    negation['boolop'] === 'NOT_EXPR' &&
    inner !== undefined &&
    (inner['subLinkType'] ?? 'EXISTS_SUBLINK') === 'EXISTS_SUBLINK'
  );
}

/** A conjunct needs its guards unless it cannot leak, or runs after aggregation and so after every filter. */
export function needsGuard(info: ExpressionInfo): boolean {
  return info.guards.length > 0 && !info.leakproof && !info.aggregate && info.joined !== true;
}

/** Each relation is fenced off, where no CASE may stand around a condition: a FULL JOIN needs its operators bare. */
export function fenceAll(guards: readonly Guard[]): void {
  for (const guard of guards) {
    if (guard.fence !== undefined) guard.fence();
    else if (guard.request() !== undefined) {
      refuse('not_supported', {
        subject: 'a FULL JOIN on such a condition over a row filter',
        advice: 'use LEFT JOIN',
      });
    }
  }
}

/** Plans the CASE around one node. */
export function wrapCondition(
  node: Tree,
  range: () => TokenRange,
  guards: readonly Guard[],
  scope: Scope,
  context: Context,
): void {
  const conditions = requestConditions(guards, scope);
  if (conditions.length === 0) return;
  const test = conditions.join(' AND ');
  context.deferred.push(() => {
    wrapNode(
      node,
      textRange(context.source, range()),
      (inner) => `CASE WHEN ${test} THEN (${inner}) ELSE false END`,
      context,
    );
  });
}

export interface Clause {
  /** Words one of which opens the clause, and those that end it. */
  readonly opening: ReadonlySet<string>;
  readonly ending: ReadonlySet<string>;
  /** Fences instead of conditions. */
  readonly isFenced?: boolean;
}

/** Walks a boolean clause (WHERE, ON, HAVING, MERGE's conditions), guarding each conjunct that needs it. */
export function walkConjuncts(clauseNode: Tree, scope: Scope, context: Context, clause: Clause): ExpressionInfo {
  const conjunction = asNode(clauseNode, 'BoolExpr');
  const isAnd = conjunction !== undefined && stringField(conjunction, 'boolop') === 'AND_EXPR';
  const args = isAnd ? listField(conjunction, 'args') : [clauseNode];
  if (args.length === 0) refuse('rewrite_uncertain');
  const joins = clause.opening.has('WHERE');
  const infos = args.map((arg) => {
    const info = walkExpression(arg, scope, context);
    return { ...info, joined: joins && isSubQuery(arg) && info.joined === true };
  });
  let ranges: readonly TokenRange[] | undefined;
  const rangesNow = (): readonly TokenRange[] =>
    (ranges ??= conjunctRanges(
      context.source,
      args,
      clauseRange(context.source, clauseNode, clause.opening, clause.ending),
    ));
  infos.forEach((info, i) => {
    const arg = args[i];
    if (arg === undefined || !needsGuard(info)) return;
    if (clause.isFenced === true) return fenceAll(info.guards);
    // Bounds are taken from the untouched tree, before any deferred change.
    const own = rangesNow()[i] ?? refuse('rewrite_uncertain');
    wrapCondition(arg, () => own, info.guards, scope, context);
  });
  if (infos.some((info) => !info.leakproof)) scope.raises = true;
  // What is guarded cannot leak to an outer level; what is not needs no guard.
  const safe = infos.map((info) => (needsGuard(info) ? { ...info, leakproof: true } : info));
  const raising = safe.filter((info) => !info.leakproof);
  return { ...combine(raising), aggregate: infos.some((info) => info.aggregate) };
}

/** Notes an expression outside of the guarded clauses that may raise, and whether that is because of an outer level's hidden row. */
export function noteLeakyOuter(scope: Scope, info: ExpressionInfo): void {
  if (!info.leakproof) scope.raises = true;
  if (!info.leakproof && info.guards.some((guard) => guard.scope !== scope)) scope.leakyOuter = true;
}
