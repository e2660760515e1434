/** SELECT, VALUES, TABLE and set operations at every level: scopes, FROM, clauses, and the columns that the level above sees. */
import {
  LITERAL_UNKNOWN_TYPE,
  NOTHING_READ,
  combine,
  type ExpressionInfo,
  walkExpression,
  walkList,
  walkWindow,
} from './walk.ts';
import { noteOuterGuards } from './column-reference.ts';
import { CLAUSE_END, TARGETS_END, clauseEnd } from './extents.ts';
import { processFromClause } from './from-clause.ts';
import { groupByPrimaryKey } from './group-by.ts';
import { noteLeakyOuter, walkConjuncts } from './guard.ts';
import { quoteIdentifier } from './identifiers.ts';
import { processLocking } from './locking.ts';
import { columnName } from './output-name.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { hasColumn, newScope, withoutSiblings, type Scope, type ScopeColumn } from './scope.ts';
import { expandStars } from './star.ts';
import { surroundText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, stringField, treeField, unwrap, withFirst } from './tree-access.ts';
import { inheritTraits, processQuery, type QueryInfo, type QueryOptions } from './query-info.ts';
import type { Oid } from './catalog.ts';
import { isRegOid, refuseUntypedBesideReg } from './type-cast.ts';
import { processWith } from './with-clause.ts';

const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  'distinctClause',
  'intoClause',
  'targetList',
  'fromClause',
  'whereClause',
  'groupClause',
  'groupDistinct',
  'groupAll',
  'havingClause',
  'windowClause',
  'valuesLists',
  'sortClause',
  'limitOffset',
  'limitCount',
  'limitOption',
  'lockingClause',
  'withClause',
  'op',
  'all',
  'larg',
  'rarg',
]);

function refuseUnknownFields(select: Tree): void {
  for (const key of Object.keys(select))
    if (!KNOWN_FIELDS.has(key)) refuse('not_supported', { subject: `SELECT with ${key}` });
}

/** Walks one SelectStmt (its bare fields). `parent` is the level around it. */
export function walkQuery(select: Tree, parent: Scope | undefined, context: Context, options: QueryOptions): QueryInfo {
  refuseUnknownFields(select);
  if (treeField(select, 'intoClause') !== undefined && options.level !== 'top')
    refuse('not_supported', { subject: 'SELECT INTO' });
  context.depth += 1;
  if (context.depth > 400) refuse('too_complex');
  const scope = newScope(parent);
  const withClause = treeField(select, 'withClause');
  if (withClause !== undefined) processWith(withClause, scope, context);
  const operation = stringField(select, 'op') ?? 'SETOP_NONE';
  const info =
    operation !== 'SETOP_NONE'
      ? processSetOperation(select, scope, context, options)
      : listField(select, 'valuesLists').length > 0
        ? processValues(select, scope, context)
        : processPlainSelect(select, scope, context);
  context.depth -= 1;
  return info;
}

function finish(
  select: Tree,
  scope: Scope,
  columns: readonly ScopeColumn[],
  complete: boolean,
  simple: boolean,
): QueryInfo {
  const state = { fenced: false, exports: new Map<string, string>(), wrapped: new Set<Tree>() };
  return {
    select,
    scope,
    columns,
    complete,
    simple,
    state,
    leakyOuter: scope.leakyOuter,
    raises: scope.raises,
    outerGuards: [...scope.outerGuards.values()].filter((guard) => guard.scope !== scope),
  };
}

/** LIMIT and OFFSET see outer levels only; a negative number raises, so they count as raising unless constant. */
function walkLimit(select: Tree, scope: Scope, context: Context): void {
  for (const key of ['limitOffset', 'limitCount']) {
    const node = treeField(select, key);
    if (node === undefined || asNode(node, 'A_Const') !== undefined || asNode(node, 'ParamRef') !== undefined) continue;
    const info = walkExpression(node, withoutSiblings(scope), context);
    noteOuterGuards(scope, info.guards);
    noteLeakyOuter(scope, { ...info, leakproof: false });
  }
}

/** ORDER BY of a set operation names output columns or positions only. */
function processSetOperation(select: Tree, scope: Scope, context: Context, options: QueryOptions): QueryInfo {
  const left = treeField(select, 'larg') ?? refuse('not_supported', { subject: 'set operation' });
  const right = treeField(select, 'rarg') ?? refuse('not_supported', { subject: 'set operation' });
  const arms = [left, right].map((arm, i) => {
    const info = processQuery(asNode(arm, 'SelectStmt') ?? arm, scope, context, { level: 'nested' });
    if (i === 0) options.onFirstArm?.(info);
    return info;
  });
  for (const arm of arms) inheritTraits(scope, arm);
  const [first, second] = arms;
  const columns = (first?.columns ?? []).map((column, i) => {
    const other = second?.columns[i];
    if (other !== undefined && column.typeOid !== other.typeOid)
      refuseUnionOfReg([column.typeOid, other.typeOid], context);
    return {
      name: column.name,
      typeOid: column.typeOid === other?.typeOid ? column.typeOid : undefined,
      guards: [...column.guards, ...(other?.guards ?? [])],
      leakproof: column.leakproof && other?.leakproof === true && column.typeOid === other.typeOid,
    };
  });
  const output = newScope(scope.parent);
  output.items.push({
    alias: undefined,
    columns: columns.map((c) => ({ ...c, guards: [] })),
    complete: first?.complete === true,
    replaced: false,
    extras: () => [],
    allGuards: [],
  });
  for (const [key, value] of scope.ctes) output.ctes.set(key, value);
  for (const sort of listField(select, 'sortClause')) markOrdinal(asNode(sort, 'SortBy'), context);
  for (const info of walkList(select, 'sortClause', output, context)) noteLeakyOuter(scope, info);
  walkLimit(select, scope, context);
  if (listField(select, 'lockingClause').length > 0)
    refuse('not_supported', { subject: 'FOR UPDATE with a set operation' });
  return finish(
    select,
    scope,
    columns,
    arms.every((arm) => arm.complete),
    false,
  );
}

/** A literal arm may have been typed as text here already; any other type beside a reg* would be an error of the server's. */
function refuseUnionOfReg(types: readonly (Oid | undefined)[], context: Context): void {
  const asLiteral = types.map((typeOid) => ({
    ...NOTHING_READ,
    typeOid: isRegOid(typeOid, context) ? typeOid : LITERAL_UNKNOWN_TYPE,
  }));
  refuseUntypedBesideReg(asLiteral, context);
}

function processValues(select: Tree, scope: Scope, context: Context): QueryInfo {
  const rows = listField(select, 'valuesLists').map((row) =>
    listField(asNode(row, 'List') ?? {}, 'items').map((item) => walkExpression(item, scope, context)),
  );
  for (const row of rows) for (const info of row) noteLeakyOuter(scope, info);
  const width = rows[0]?.length ?? 0;
  const columns = Array.from({ length: width }, (_, i) => {
    const infos = rows.map((row) => row[i] ?? NOTHING_READ);
    refuseUntypedBesideReg(infos, context);
    // NULL and untyped literals take the type of the others.
    const types = new Set(infos.map((info) => info.typeOid).filter((typeOid) => typeOid !== LITERAL_UNKNOWN_TYPE));
    const typeOid = types.size === 0 ? LITERAL_UNKNOWN_TYPE : types.size === 1 ? [...types][0] : undefined;
    const all = combine(infos);
    return {
      name: `column${i + 1}`,
      typeOid: typeOid === LITERAL_UNKNOWN_TYPE ? 25 : typeOid,
      guards: all.guards,
      leakproof: all.leakproof && typeOid !== undefined,
    };
  });
  for (const info of walkList(select, 'sortClause', scope, context)) noteLeakyOuter(scope, info);
  walkLimit(select, scope, context);
  return finish(select, scope, columns, true, false);
}

/** `ORDER BY 1`, `GROUP BY 1`: the integer is a position, so the answer depends on it. */
function markOrdinal(content: Tree | undefined, context: Context): void {
  const node = content === undefined ? undefined : treeField(content, 'node');
  const constant = asNode(node, 'A_Const');
  const location = constant?.['location'];
  if (typeof location === 'number') context.sensitiveLiterals.add(context.source.at(location));
}

const WHERE = { opening: new Set(['WHERE']), ending: CLAUSE_END };
const HAVING = { opening: new Set(['HAVING']), ending: CLAUSE_END };

function processPlainSelect(select: Tree, scope: Scope, context: Context): QueryInfo {
  processFromClause(select, scope, context);
  const where = treeField(select, 'whereClause');
  if (where !== undefined) noteLeakyOuter(scope, walkConjuncts(where, scope, context, WHERE));
  const grouped = listField(select, 'groupClause').length > 0;
  if (grouped) scope.ungrouped = [];
  const targets = processTargets(select, scope, context);
  const outputNames = new Set(targets.columns.map((column) => column.name));
  for (const key of ['distinctClause', 'sortClause']) {
    for (const element of listField(select, key)) {
      markOrdinal(asNode(element, 'SortBy'), context);
      if (Object.keys(element).length > 0) noteLeakyOuter(scope, walkSortKey(element, outputNames, scope, context));
    }
  }
  const having = treeField(select, 'havingClause');
  if (having !== undefined) noteLeakyOuter(scope, walkConjuncts(having, scope, context, HAVING));
  for (const window of listField(select, 'windowClause'))
    for (const info of walkWindow(window, scope, context)) noteLeakyOuter(scope, info);
  const ungrouped = scope.ungrouped;
  scope.ungrouped = undefined;
  if (grouped) groupBy(select, scope, context, ungrouped ?? [], outputNames);
  walkLimit(select, scope, context);
  processLocking(select, scope);
  const simple =
    !grouped &&
    having === undefined &&
    !targets.aggregate &&
    targets.complete &&
    hasTargetList(select) &&
    ['distinctClause', 'limitOffset', 'limitCount', 'lockingClause'].every((key) => select[key] === undefined);
  return finish(select, scope, targets.columns, targets.complete, simple);
}

function bareName(node: Tree | undefined): string | undefined {
  const fields = listField(asNode(node, 'ColumnRef') ?? {}, 'fields');
  return fields.length === 1 ? stringField(asNode(fields[0], 'String') ?? {}, 'sval') : undefined;
}

/** ORDER BY and DISTINCT ON: a bare name that is an output column means that column, not one of FROM. */
function walkSortKey(element: Tree, outputNames: ReadonlySet<string>, scope: Scope, context: Context): ExpressionInfo {
  const sort = asNode(element, 'SortBy');
  const name = bareName(sort === undefined ? element : treeField(sort, 'node'));
  const isOutput = name !== undefined && outputNames.has(name);
  if (isOutput && listField(sort ?? {}, 'useOp').length === 0) return NOTHING_READ;
  return walkExpression(element, scope, context);
}

function groupBy(
  select: Tree,
  scope: Scope,
  context: Context,
  ungrouped: NonNullable<Scope['ungrouped']>,
  outputNames: ReadonlySet<string>,
): void {
  const keys = listField(select, 'groupClause');
  for (const key of keys) {
    markOrdinal({ node: key }, context);
    noteLeakyOuter(scope, walkGroupKey(key, outputNames, scope, context));
  }
  groupByPrimaryKey(select, scope, context, ungrouped);
}

/** GROUP BY prefers columns of FROM, falls back to output names; lists stand inside GROUPING SETS. */
function walkGroupKey(node: Tree, outputNames: ReadonlySet<string>, scope: Scope, context: Context): ExpressionInfo {
  const [tag, content] = unwrap(node);
  const isList = tag === 'GroupingSet' || tag === 'RowExpr';
  if (isList) {
    const key = tag === 'RowExpr' ? 'args' : 'content';
    return combine(listField(content, key).map((child) => walkGroupKey(child, outputNames, scope, context)));
  }
  if (tag === 'A_Const') {
    markOrdinal({ node }, context);
    return NOTHING_READ;
  }
  const name = bareName(node);
  if (name !== undefined && outputNames.has(name) && !hasColumn(scope, name)) return NOTHING_READ;
  return walkExpression(node, scope, context);
}

interface Targets {
  readonly columns: readonly ScopeColumn[];
  readonly complete: boolean;
  readonly aggregate: boolean;
}

function processTargets(select: Tree, scope: Scope, context: Context): Targets {
  const columns: ScopeColumn[] = [];
  let complete = true;
  let aggregate = false;
  for (const element of listField(select, 'targetList')) {
    const target = asNode(element, 'ResTarget') ?? refuse('not_supported', { subject: 'a target' });
    const star = expandStars(element, scope, context);
    if (star !== undefined) {
      columns.push(...star.columns);
      complete &&= star.complete;
      continue;
    }
    const value = treeField(target, 'val') ?? refuse('not_supported', { subject: 'a target' });
    const info = walkExpression(value, scope, context);
    keepName(element, target, value, context);
    noteLeakyOuter(scope, info);
    aggregate ||= info.aggregate || context.setReturning.has(value);
    // The value of an aggregate, a window function or a set-returning call is made below every condition on it: the planner pushes none past.
    const isMade = info.aggregate || context.setReturning.has(value);
    columns.push({
      name: stringField(target, 'name') ?? columnName(value),
      typeOid: info.typeOid,
      guards: isMade ? [] : info.guards,
      leakproof: isMade || info.leakproof,
    });
  }
  return { columns, complete, aggregate };
}

/** What stands in an expression's place must not change the name of its column. */
function keepName(element: Tree, target: Tree, value: Tree, context: Context): void {
  if (stringField(target, 'name') !== undefined) return;
  const name = columnName(value);
  const location = locationOf(target);
  context.deferred.push(() => {
    if (stringField(target, 'name') !== undefined || columnName(value) === name) return;
    const last = clauseEnd(context.source, context.source.tokenAt(location), TARGETS_END, true);
    const end = context.source.tokens[last]?.end ?? refuse('rewrite_uncertain');
    surroundText(context, { start: end, end }, '', ` AS ${quoteIdentifier(name)}`);
    element['ResTarget'] = withFirst(target, 'name', name);
  });
}

/** `TABLE t` has a star without a place in the text: nothing can be added to its list. */
function hasTargetList(select: Tree): boolean {
  const targets = listField(select, 'targetList');
  return targets.length > 0 && targets.every((target) => locationOf(asNode(target, 'ResTarget') ?? {}) > 0);
}
