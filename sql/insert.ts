/** INSERT: the visible column list, new rows inside the filter, ON CONFLICT without an oracle about hidden rows. */
import { walkExpression } from './walk.ts';
import { processQuery, type QueryInfo } from './query-info.ts';
import { CLAUSE_END, clauseRange, nameRange, textRange } from './extents.ts';
import { quoteIdentifier } from './identifiers.ts';
import { parseExpression, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { endOf, lastToken, processReturning, type WriteInfo } from './returning.ts';
import { newScope, type Scope } from './scope.ts';
import { walkIndirection, walkSetList } from './set-list.ts';
import { surroundText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, stringField, treeField } from './tree-access.ts';
import { refuseUnknown, writeScope } from './update.ts';
import { wrapNode } from './wrap-node.ts';
import { foreignKeyChecks, noteInsert, raisingText, rowCheck } from './write-check.ts';
import { columnRules, refuseSentinel, requireColumn, requireSettable, type ColumnRule } from './write-columns.ts';
import {
  newRowItem,
  requireAction,
  resolveTarget,
  targetItem,
  type GrantedTarget,
  type WriteTarget,
} from './write-target.ts';

const FIELDS: ReadonlySet<string> = new Set([
  'relation',
  'cols',
  'selectStmt',
  'onConflictClause',
  'returningClause',
  'withClause',
  'override',
]);

/** The rows of a VALUES source, or the targets of a plain SELECT as its only row; each a list of wrapped expressions. */
function literalRows(select: Tree | undefined): readonly (readonly Tree[])[] {
  if (select === undefined) return [];
  const values = listField(select, 'valuesLists');
  if (values.length > 0) return values.map((row) => listField(asNode(row, 'List') ?? {}, 'items'));
  const targets = listField(select, 'targetList').map((target) => treeField(asNode(target, 'ResTarget') ?? {}, 'val'));
  return targets.every((target) => target !== undefined) ? [targets.filter((target) => target !== undefined)] : [];
}

/** Number of columns that a source gives; `undefined` where the gate cannot tell. */
function width(select: Tree, query: QueryInfo): number | undefined {
  const [row] = listField(select, 'valuesLists');
  if (row !== undefined) return listField(asNode(row, 'List') ?? {}, 'items').length;
  return query.complete ? query.columns.length : undefined;
}

/** Writes the visible columns behind the target's name (and alias), as many as the source fills. */
function addColumnList(content: Tree, target: GrantedTarget, names: readonly string[], context: Context): void {
  const { source } = context;
  let { last } = nameRange(source, locationOf(target.rangeVar));
  if (target.hasAlias) last += source.tokens[last + 1]?.word === 'AS' ? 2 : 1;
  const end = endOf(last, context);
  context.deferred.push(() => {
    surroundText(context, { start: end, end }, '', ` (${names.map(quoteIdentifier).join(', ')})`);
    content['cols'] = names.map((name) => ({ ResTarget: { name } }));
  });
}

interface Column {
  readonly name: string;
  readonly location: number | undefined;
}

function namedColumns(content: Tree, scope: Scope, context: Context): readonly Column[] {
  return listField(content, 'cols').map((element) => {
    const column = asNode(element, 'ResTarget') ?? refuse('not_supported', { subject: 'INSERT' });
    walkIndirection(column, scope, context);
    return { name: stringField(column, 'name') ?? '', location: locationOf(column) };
  });
}

/** Judges the columns of an INSERT. Answers those that get a value other than their default. */
export function judgeInserted(
  target: WriteTarget,
  columns: readonly Column[],
  rows: readonly (readonly Tree[])[],
  rules: readonly ColumnRule[],
  context: Context,
): ReadonlySet<string> {
  const set = new Set<string>();
  columns.forEach(({ name, location }, i) => {
    const isDefault = rows.length > 0 && rows.every((row) => asNode(row[i], 'SetToDefault') !== undefined);
    if (isDefault) return requireColumn(target, name, location);
    requireSettable(target, name, location, rules, context);
    for (const row of rows) refuseSentinel(target, name, row[i], context);
    set.add(name);
  });
  return set;
}

/** The columns that an INSERT without a list means: the visible ones, as many as the source fills. */
export function impliedColumns(target: WriteTarget, count: number | undefined): readonly Column[] {
  const names = target.kind === 'granted' ? target.view.columns.map((column) => column.name) : [];
  return names.slice(0, count ?? names.length).map((name) => ({ name, location: undefined }));
}

export function processInsert(
  content: Tree,
  parent: Scope | undefined,
  context: Context,
  level: 'top' | 'nested',
): WriteInfo {
  refuseUnknown(content, FIELDS, 'INSERT');
  const scope = writeScope(content, parent, context);
  const target = resolveTarget(content, ['Insert'], context);
  const rules = target.kind === 'granted' ? columnRules(target, context) : [];
  const named = namedColumns(content, scope, context);
  const source = treeField(content, 'selectStmt');
  const select =
    source === undefined
      ? undefined
      : (treeField(source, 'SelectStmt') ?? refuse('not_supported', { subject: 'INSERT' }));
  const rows = literalRows(select);
  let columns: readonly Column[] = [];
  if (select !== undefined) {
    const query = processQuery(select, scope, context, { level: 'nested' });
    columns = named.length > 0 ? named : impliedColumns(target, width(select, query));
    if (named.length === 0 && target.kind === 'granted' && !target.view.isWhole)
      addColumnList(
        content,
        target,
        columns.map((column) => column.name),
        context,
      );
  }
  const set = new Set(judgeInserted(target, columns, rows, rules, context));
  if (target.kind === 'granted') noteInsert(target, context);
  const own: Scope = { ...newScope(parent), ctes: scope.ctes };
  for (const name of onConflict(content, target, rules, own, context)) set.add(name);
  const check =
    target.kind === 'granted'
      ? rowCheck(target, target.filter !== undefined, foreignKeyChecks(rules, set, true, context))
      : undefined;
  const returningScope: Scope = { ...newScope(parent), ctes: scope.ctes };
  return processReturning(
    content,
    { target, scope: returningScope, others: [], targetLast: false, check, level },
    context,
  );
}

const ARBITER = { opening: new Set(['WHERE']), ending: CLAUSE_END };

/** Walks ON CONFLICT; answers the columns that DO UPDATE sets. */
function onConflict(
  content: Tree,
  target: WriteTarget,
  rules: readonly ColumnRule[],
  scope: Scope,
  context: Context,
): ReadonlySet<string> {
  const clause = treeField(content, 'onConflictClause');
  if (clause === undefined) return new Set();
  const row = targetItem(target, scope);
  // The existing row is judged as a whole before anything else of it is read: nothing here needs a guard of its own.
  const open = { ...row, allGuards: [], columns: row.columns.map((column) => ({ ...column, guards: [] })) };
  const arbiter: Scope = { ...newScope(scope.parent), ctes: scope.ctes, items: [open] };
  const infer = treeField(clause, 'infer');
  if (infer !== undefined) walkArbiter(infer, target, arbiter, context);
  if (stringField(clause, 'action') !== 'ONCONFLICT_UPDATE') return new Set();
  requireAction(target, 'Update');
  const level: Scope = {
    ...newScope(scope.parent),
    ctes: scope.ctes,
    items: [open, newRowItem(target, 'excluded')],
  };
  const set = walkSetList(listField(clause, 'targetList'), target, rules, level, context);
  const where = treeField(clause, 'whereClause');
  if (where !== undefined) walkExpression(where, level, context);
  if (target.kind === 'granted' && target.filter !== undefined) guardConflict(content, clause, where, target, context);
  return set;
}

function walkArbiter(infer: Tree, target: WriteTarget, scope: Scope, context: Context): void {
  for (const element of listField(infer, 'indexElems')) {
    const index = asNode(element, 'IndexElem') ?? refuse('not_supported', { subject: 'ON CONFLICT' });
    const name = stringField(index, 'name');
    if (name !== undefined) walkExpression({ ColumnRef: { fields: [{ String: { sval: name } }] } }, scope, context);
    const expression = treeField(index, 'expr');
    if (expression !== undefined) walkExpression(expression, scope, context);
  }
  const predicate = treeField(infer, 'whereClause');
  if (predicate !== undefined) walkExpression(predicate, scope, context);
  const name = stringField(infer, 'conname');
  if (name === undefined || target.kind === 'temporary') return;
  const rule = columnRules(target, context).find((each) => each.name === name);
  if (rule !== undefined && rule.columns.every((column) => isOpen(target, column))) return;
  refuse('undefined_object', {
    subject: `constraint "${name}" for table "${target.relation.name}" does not exist`,
    sqlstate: '42704',
    location: locationOf(infer),
  });
}

function isOpen(target: GrantedTarget, column: string): boolean {
  return target.view.columns.some((each) => each.name === column && each.mask === undefined);
}

/** A row outside of the filter that holds the key fails as a duplicate key does; nothing else of the clause runs on it. */
function guardConflict(
  content: Tree,
  clause: Tree,
  where: Tree | undefined,
  target: GrantedTarget,
  context: Context,
): void {
  const { source } = context;
  const last = lastTokenOfClause(content, target, context);
  const range =
    where === undefined ? undefined : textRange(source, clauseRange(source, where, ARBITER.opening, ARBITER.ending));
  context.deferred.push(() => {
    const raising = raisingText(
      context,
      '23505',
      'unique_violated',
      'duplicate key value violates a unique constraint',
    );
    const print = (inner: string): string =>
      `CASE WHEN ${target.filter ?? 'true'} IS TRUE THEN ${inner} ELSE CAST(${raising} AS pg_catalog.bool) END`;
    if (where !== undefined && range !== undefined) {
      wrapNode(where, range, (inner) => print(`(${inner})`), context);
      return;
    }
    const sql = print('true');
    const end = endOf(last, context);
    surroundText(context, { start: end, end }, '', ` WHERE ${sql}`);
    clause['whereClause'] = parseExpression(sql);
  });
}

/** The last token before RETURNING, or of the statement. */
function lastTokenOfClause(content: Tree, target: GrantedTarget, context: Context): number {
  const last = lastToken(target, context);
  const returning = treeField(content, 'returningClause');
  if (returning === undefined) return last;
  const { source } = context;
  let index = last;
  while (index > 0 && !(source.tokens[index]?.word === 'RETURNING')) {
    index -= 1;
    if (source.tokens[index]?.kind === 'close') index = source.partner[index] ?? index;
  }
  return index - 1;
}

/** Trees of a column list. */
export function columnTargets(names: readonly string[]): readonly Tree[] {
  return names.map((name) => ({ ResTarget: { name } }));
}
