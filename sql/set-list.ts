/** SET lists of UPDATE, ON CONFLICT DO UPDATE and MERGE, and WHERE behind the target's row filter. */
import { walkExpression } from './walk.ts';
import { CLAUSE_END, clauseEnd, clauseRange, textRange } from './extents.ts';
import { walkConjuncts } from './guard.ts';
import { parseExpression, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { endOf } from './returning.ts';
import type { Scope } from './scope.ts';
import { surroundText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, numberField, stringField, treeField } from './tree-access.ts';
import { wrapNode } from './wrap-node.ts';
import { refuseSentinel, refuseShared, relationTree, requireSettable, type ColumnRule } from './write-columns.ts';
import type { GrantedTarget, WriteTarget } from './write-target.ts';

/** Subscripts and field names between a column's name and its value. */
export function walkIndirection(target: Tree, scope: Scope, context: Context): void {
  for (const step of listField(target, 'indirection')) walkExpression(step, scope, context);
}

/** An assignment to an element or a field keeps the rest of the old value: that reads it. */
function refuseMaskedPart(target: WriteTarget, name: string, location: number): void {
  if (target.kind === 'temporary') return;
  const column = target.view.columns.find((each) => each.name === name);
  if (column?.mask !== undefined)
    refuse('column_not_readable', {
      subject: `${target.relation.schema}.${target.relation.name}.${name}`,
      advice: 'part of a masked column cannot be set',
      location,
    });
}

/** The value for one column of `(a, b) = ...`; the source is one expression for all of them, and is walked once. */
function multiAssigned(
  reference: Tree,
  state: { source: Tree | undefined },
  scope: Scope,
  context: Context,
): Tree | undefined {
  const number = numberField(reference, 'colno') ?? 1;
  if (number === 1) {
    state.source = treeField(reference, 'source') ?? refuse('not_supported', { subject: 'SET' });
    walkExpression(state.source, scope, context);
  } else {
    // The tree holds a copy for each column; changes must reach them all.
    reference['source'] = state.source ?? refuse('rewrite_uncertain');
  }
  const row = asNode(state.source, 'RowExpr');
  return row === undefined ? undefined : listField(row, 'args')[number - 1];
}

/** Walks a SET list. Answers the columns it sets. */
export function walkSetList(
  list: readonly Tree[],
  target: WriteTarget,
  rules: readonly ColumnRule[],
  scope: Scope,
  context: Context,
): ReadonlySet<string> {
  const set = new Set<string>();
  const state: { source: Tree | undefined } = { source: undefined };
  for (const element of list) {
    const assignment = asNode(element, 'ResTarget') ?? refuse('not_supported', { subject: 'SET' });
    const name = stringField(assignment, 'name') ?? '';
    const location = locationOf(assignment);
    const value = treeField(assignment, 'val') ?? refuse('not_supported', { subject: 'SET' });
    const reference = asNode(value, 'MultiAssignRef');
    const single = reference === undefined ? value : multiAssigned(reference, state, scope, context);
    if (reference === undefined) walkExpression(value, scope, context);
    requireSettable(target, name, location, rules, context);
    refuseSentinel(target, name, single, context);
    if (listField(assignment, 'indirection').length > 0) {
      refuseMaskedPart(target, name, location);
      walkIndirection(assignment, scope, context);
    }
    set.add(name);
  }
  refuseShared(target, set, rules);
  return set;
}

/** Whether a row that was inside the filter may lie outside of it once these columns are set. */
export function mayLeaveFilter(target: GrantedTarget, set: ReadonlySet<string>, context: Context): boolean {
  const { rowFilter } = target.view;
  if (rowFilter === undefined) return false;
  if (relationTree(target.relation, context).some((relation) => relation.hasTriggers)) return true;
  const { columns } = target.relation;
  return rowFilter.columns.some((name) => {
    const column = columns.find((each) => each.name === name);
    return column === undefined || set.has(name) || column.generated !== '';
  });
}

const WHERE = { opening: new Set(['WHERE']), ending: CLAUSE_END };
const BEFORE_WHERE: ReadonlySet<string> = new Set(['RETURNING']);

/** `WHERE CURRENT OF`: a cursor that this session declared under the policy now in force, over this table. */
function currentOf(node: Tree, target: WriteTarget, context: Context): void {
  const name = stringField(node, 'cursor_name');
  if (name === undefined) return refuse('not_supported', { subject: 'CURRENT OF a parameter' });
  const cursor = context.input.session.cursors.get(name);
  if (cursor === undefined)
    return refuse('undefined_object', { subject: `cursor "${name}" does not exist`, sqlstate: '34000' });
  if (cursor.generation !== context.input.generation)
    refuse('cursor_not_allowed', {
      subject: name,
      advice: 'the policy has changed since it was declared; close it and declare it again',
    });
  if (target.kind === 'granted' && !cursor.relationOids.includes(target.relation.oid))
    refuse('cursor_not_allowed', { subject: name, advice: 'it does not read the table that is to be written' });
}

/**
 * WHERE of UPDATE and DELETE: behind the row filter, conjuncts that may leak inside of CASE. Answers whether the filter stands there: to
 * `CURRENT OF` nothing can be added, and the row may have left the filter since it was fetched.
 */
export function walkWhere(content: Tree, target: WriteTarget, scope: Scope, context: Context): boolean {
  const where = treeField(content, 'whereClause');
  const filter = target.kind === 'granted' ? target.filter : undefined;
  context.facts.hasWhere = where !== undefined;
  if (where === undefined) {
    if (filter !== undefined) addWhere(content, target, filter, context);
    return true;
  }
  const cursor = asNode(where, 'CurrentOfExpr');
  if (cursor !== undefined) {
    currentOf(cursor, target, context);
    return filter === undefined;
  }
  walkConjuncts(where, scope, context, WHERE);
  if (filter === undefined) return true;
  const range = textRange(context.source, clauseRange(context.source, where, WHERE.opening, WHERE.ending));
  context.deferred.push(() => wrapNode(where, range, (inner) => `${filter} AND (${inner})`, context));
  return true;
}

function addWhere(content: Tree, target: WriteTarget, filter: string, context: Context): void {
  const { source } = context;
  const end = endOf(clauseEnd(source, source.tokenAt(locationOf(target.rangeVar)), BEFORE_WHERE), context);
  context.deferred.push(() => {
    surroundText(context, { start: end, end }, '', ` WHERE ${filter}`);
    content['whereClause'] = parseExpression(filter);
  });
}
