/** What a query offers to the level around it, and what that level may ask of it: a flag in its output, a fence, guarded outputs. */
import { TARGETS_END, clauseEnd, enclosingParenthesis, firstToken, keywordBefore, textRange } from './extents.ts';
import { flagSql, requestConditions } from './guard.ts';
import { quoteIdentifier } from './identifiers.ts';
import { parseExpression, parseTargets, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Guard, Scope, ScopeColumn } from './scope.ts';
import { freshName, newFacts, replaceText, surroundText, type Context } from './statement-context.ts';
import { asNode, listField, stringField, treeField } from './tree-access.ts';
import { wrapNode } from './wrap-node.ts';

/** What a query offers to the level around it. */
export interface QueryInfo {
  readonly select: Tree;
  readonly scope: Scope;
  /** Output columns; their guards belong to this query's own level or to levels outside. */
  readonly columns: readonly ScopeColumn[];
  readonly complete: boolean;
  /** The planner may merge it into the query around it: a plain SELECT without grouping, DISTINCT, LIMIT, set operation. */
  readonly simple: boolean;
  readonly leakyOuter: boolean;
  /** Something inside may raise: the query must not run for a hidden row of the level around it. */
  readonly raises: boolean;
  readonly outerGuards: readonly Guard[];
  readonly state: { fenced: boolean; readonly exports: Map<string, string>; readonly wrapped: Set<Tree> };
}

export interface QueryOptions {
  readonly level: 'top' | 'nested';
  /** Common table expressions of a surrounding statement (INSERT, UPDATE ...) that already has a scope. */
  readonly scope?: Scope;
  /** Hears of the first arm of a set operation before the second is walked (the first term of a recursive query). */
  readonly onFirstArm?: (arm: QueryInfo) => void;
}

/** UTF-16 offset behind the last token of a SELECT's target list. */
function targetsEnd(select: Tree, context: Context): number {
  const { source } = context;
  const first = listField(select, 'targetList')[0];
  const start = keywordBefore(source, firstToken(source, first) + 1, new Set(['SELECT', 'TABLE']));
  const last = clauseEnd(source, start + 1, TARGETS_END);
  return source.tokens[last]?.end ?? refuse('rewrite_uncertain');
}

/** Adds a flag (its SQL) to a simple query's output, so that the level above can test it. Gives the output's name. */
export function exportFlag(query: QueryInfo, flag: string, context: Context): string {
  const known = query.state.exports.get(flag);
  if (known !== undefined) return known;
  const name = freshName(context, 'flag');
  query.state.exports.set(flag, name);
  const end = targetsEnd(query.select, context);
  context.deferred.push(() => {
    const text = `${flag} AS ${quoteIdentifier(name)}`;
    surroundText(context, { start: end, end }, '', `, ${text}`);
    query.select['targetList'] = [...listField(query.select, 'targetList'), ...parseTargets(text)];
  });
  return name;
}

/** Keeps the planner from merging a query or pushing conditions into it: OFFSET 0, where it has no limit yet. */
export function fenceQuery(query: QueryInfo, context: Context): void {
  if (query.state.fenced) return;
  query.state.fenced = true;
  const { select } = query;
  if (select['limitCount'] !== undefined || select['limitOffset'] !== undefined) return;
  if (listField(select, 'lockingClause').length > 0)
    refuse('not_supported', { subject: 'FOR UPDATE in a sub-query under a row filter' });
  const close = enclosingParenthesis(context.source, select).last;
  const at = context.source.tokens[close]?.start ?? refuse('rewrite_uncertain');
  context.deferred.push(() => {
    replaceText(context, { start: at, end: at }, ' OFFSET 0');
    select['limitOffset'] = parseExpression('0');
    select['limitOption'] = 'LIMIT_OPTION_COUNT';
  });
}

/** What a level learns of a query inside it: what that reads of outer levels, and whether it may raise. */
export function inheritTraits(scope: Scope, query: QueryInfo): void {
  for (const guard of query.outerGuards) if (guard.scope !== scope) scope.outerGuards.set(guard.key, guard);
  if (query.leakyOuter) scope.leakyOuter = true;
  if (query.raises) scope.raises = true;
}

/** Puts the output expressions of a simple query behind the flags of what they read. */
export function wrapTargets(query: QueryInfo, context: Context): void {
  const targets = listField(query.select, 'targetList');
  query.columns.forEach((column, i) => {
    const target = asNode(targets[i], 'ResTarget');
    const value = target === undefined ? undefined : treeField(target, 'val');
    if (column.guards.length === 0 || column.leakproof) return;
    if (
      target === undefined ||
      value === undefined ||
      targets.length !== query.columns.length ||
      stringField(target, 'name') !== undefined
    ) {
      fenceQuery(query, context);
      return;
    }
    if (query.state.wrapped.has(value)) return;
    query.state.wrapped.add(value);
    const first = firstToken(context.source, { location: target['location'] });
    const range = { first, last: clauseEnd(context.source, first, TARGETS_END, true) };
    wrapTarget(value, range, column.guards, query.scope, context);
  });
}

function wrapTarget(
  value: Tree,
  range: { first: number; last: number },
  guards: readonly Guard[],
  scope: Scope,
  context: Context,
): void {
  const conditions = requestConditions(guards, scope);
  if (conditions.length === 0) return;
  context.deferred.push(() => {
    wrapNode(
      value,
      textRange(context.source, range),
      (inner) => `CASE WHEN ${conditions.join(' AND ')} THEN (${inner}) END`,
      context,
    );
  });
}

/** Facts of a statement nested in another one (a data-modifying CTE, the subject of EXPLAIN): guardrails see each on its own. */
export function withNestedFacts<T>(context: Context, command: string, walk: () => T): T {
  const outer = context.facts;
  const own = newFacts(command);
  context.facts = own;
  const result = walk();
  context.nested.push(own);
  context.facts = outer;
  for (const key of ['relations', 'columns', 'functions'] as const) for (const value of own[key]) outer[key].add(value);
  return result;
}

/**
 * Guards of a derived table's column as the level that refers to it must ask for them: through a flag added to the derived table's
 * output, or, where the planner could only push conditions in, by a fence.
 */
export function derivedGuards(query: QueryInfo, columnIndex: number, scope: Scope, context: Context): readonly Guard[] {
  const guards = query.columns[columnIndex]?.guards ?? [];
  const own = guards.filter((guard) => isInside(guard.scope, query.scope));
  // What belongs to a level around both can be asked there as it is.
  const outer = guards.filter((guard) => !own.includes(guard));
  if (own.length === 0) return outer;
  const fence = (): void => fenceQuery(query, context);
  if (!query.simple) {
    const request = (): undefined => {
      fence();
      return undefined;
    };
    return [...outer, { scope, key: query.state, request, fence }];
  }
  const exported = own.map(
    (guard): Guard => ({
      scope,
      key: guard.key,
      request: (from) => {
        const condition = guard.request(from);
        if (condition === undefined) return undefined;
        if (condition.kind === 'filter') return condition;
        return { kind: 'flag', name: exportFlag(query, flagSql(condition), context) };
      },
      fence,
    }),
  );
  return [...outer, ...exported];
}

/** The guard's level is this query's own or inside of it, not around it. */
function isInside(level: Scope, query: Scope): boolean {
  if (level === query) return true;
  for (let outer = query.parent; outer !== undefined; outer = outer.parent) if (outer === level) return false;
  return true;
}

/** Walks one SelectStmt (its bare fields). `parent` is the level around it. Throws RefusalError. */
export function processQuery(
  select: Tree,
  parent: Scope | undefined,
  context: Context,
  options: QueryOptions,
): QueryInfo {
  return context.walkers.query(select, parent, context, options);
}
