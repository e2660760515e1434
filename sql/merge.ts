/** MERGE: the target's row filter in the join, on every branch that acts on rows without a source, and on the new rows. */
import { markSensitive, walkExpression } from './walk.ts';
import { CLAUSE_END, THEN_END, clauseEnd, clauseRange, textRange, type TokenRange } from './extents.ts';
import { processFromClause } from './from-clause.ts';
import { walkConjuncts } from './guard.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from './identifiers.ts';
import { columnTargets, impliedColumns, judgeInserted } from './insert.ts';
import { parseExpression, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { endOf, processReturning, type WriteInfo } from './returning.ts';
import { newScope, type Scope } from './scope.ts';
import { mayLeaveFilter, walkIndirection, walkSetList } from './set-list.ts';
import { surroundText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, stringField, treeField } from './tree-access.ts';
import { refuseUnknown, writeScope } from './update.ts';
import { wrapNode } from './wrap-node.ts';
import {
  foreignKeyChecks,
  noteInsert,
  raisingCondition,
  rowCheck,
  type ForeignKeyCheck,
  type RowCheck,
} from './write-check.ts';
import { columnRules, constantValue, relationTree, type ColumnRule } from './write-columns.ts';
import { printExpression, type TableAction } from './relation-view.ts';
import {
  requireAction,
  resolveTarget,
  targetItem,
  targetName,
  type GrantedTarget,
  type WriteTarget,
} from './write-target.ts';

const FIELDS: ReadonlySet<string> = new Set([
  'relation',
  'sourceRelation',
  'joinCondition',
  'mergeWhenClauses',
  'returningClause',
  'withClause',
]);
const ON = { opening: new Set(['ON']), ending: CLAUSE_END };
const ACTION_END: ReadonlySet<string> = new Set(['WHEN', 'RETURNING']);

const ACTIONS: ReadonlyMap<string, TableAction> = new Map<string, TableAction>([
  ['CMD_INSERT', 'Insert'],
  ['CMD_UPDATE', 'Update'],
  ['CMD_DELETE', 'Delete'],
]);

/** Where the parts of one WHEN clause stand, as token indexes. */
interface WhenPlace {
  /** Last token before AND or THEN. */
  readonly head: number;
  readonly condition: TokenRange | undefined;
  /** First token of the action. */
  readonly action: number;
}

/** Reads the WHEN clauses token by token, from the first WHEN on; the tree holds no place for most of them. */
function whenPlaces(first: number, count: number, context: Context): readonly WhenPlace[] {
  const { source } = context;
  const word = (index: number): string => source.tokens[index]?.word ?? '';
  const places: WhenPlace[] = [];
  let i = first;
  for (let k = 0; k < count; k++) {
    if (word(i) !== 'WHEN') return refuse('rewrite_uncertain');
    let head = i + 1;
    if (word(head) === 'NOT') head += 1;
    if (word(head + 1) === 'BY') head += 2;
    const hasCondition = word(head + 1) === 'AND';
    const last = hasCondition ? clauseEnd(source, head + 2, THEN_END) : head;
    if (word(last + 1) !== 'THEN') return refuse('rewrite_uncertain');
    places.push({ head, condition: hasCondition ? { first: head + 2, last } : undefined, action: last + 2 });
    i = clauseEnd(source, last + 2, ACTION_END) + 1;
  }
  return places;
}

interface Merge {
  readonly target: WriteTarget;
  readonly rules: readonly ColumnRule[];
  /** Sees the source alone. */
  readonly sourceScope: Scope;
  /** Sees source and target. */
  readonly scope: Scope;
  readonly context: Context;
  readonly foreignKeys: ForeignKeyCheck[];
  /** Branches that make rows of a filtered table. */
  readonly insertions: Insertion[];
  /** An UPDATE may move rows out of the filter. */
  needsCheck: boolean;
}

interface Insertion {
  readonly clause: Tree;
  readonly place: WhenPlace;
  readonly columns: readonly string[];
  readonly values: readonly Tree[];
}

export function processMerge(
  content: Tree,
  parent: Scope | undefined,
  context: Context,
  level: 'top' | 'nested',
): WriteInfo {
  refuseUnknown(content, FIELDS, 'MERGE');
  const sourceScope = writeScope(content, parent, context);
  const clauses = listField(content, 'mergeWhenClauses').map(
    (element) => asNode(element, 'MergeWhenClause') ?? refuse('not_supported', { subject: 'MERGE' }),
  );
  const actions = clauses.flatMap((clause) => ACTIONS.get(stringField(clause, 'commandType') ?? '') ?? []);
  const target = resolveTarget(content, [...new Set(actions)], context);
  if (actions.length === 0) requireAction(target, 'Select');
  const source = treeField(content, 'sourceRelation') ?? refuse('not_supported', { subject: 'MERGE' });
  processFromClause({ fromClause: [source] }, sourceScope, context);
  const others = [...sourceScope.items];
  const scope: Scope = { ...sourceScope, items: [], merged: new Map(sourceScope.merged) };
  scope.items.push(...others, targetItem(target, scope));
  const rules = target.kind === 'granted' ? columnRules(target, context) : [];
  const merge: Merge = {
    target,
    rules,
    sourceScope,
    scope,
    context,
    foreignKeys: [],
    insertions: [],
    needsCheck: false,
  };
  const condition = treeField(content, 'joinCondition') ?? refuse('not_supported', { subject: 'MERGE' });
  const on = clauseRange(context.source, condition, ON.opening, ON.ending);
  const places = whenPlaces(on.last + 1, clauses.length, context);
  joinCondition(condition, on, merge);
  clauses.forEach((clause, i) => walkWhen(clause, places[i] ?? refuse('rewrite_uncertain'), merge));
  const check = target.kind === 'granted' ? newRowCheck(target, merge) : undefined;
  return processReturning(content, { target, scope, others, targetLast: true, check, level }, context);
}

/** The check of new rows: a column of RETURNING, or before PostgreSQL 17, which has none here, conditions over constants. */
function newRowCheck(target: GrantedTarget, merge: Merge): RowCheck | undefined {
  const { context, insertions, foreignKeys } = merge;
  const check = rowCheck(target, merge.needsCheck || insertions.length > 0, foreignKeys);
  if (check === undefined || context.input.catalog.serverVersionNum >= 170_000) return check;
  const filters = insertions.map((insertion) => filterOverConstants(target, insertion, context));
  if (merge.needsCheck || foreignKeys.length > 0 || filters.includes(undefined)) {
    refuse('not_supported', {
      subject: `MERGE that makes new rows under the row filter that concerns ${targetName(target)}`,
      advice: `before PostgreSQL 17 write plain literals for ${target.view.rowFilter?.columns.join(', ') ?? 'its columns'}, or use INSERT ... ON CONFLICT or UPDATE`,
      location: locationOf(target.rangeVar),
    });
  }
  insertions.forEach((insertion, i) => requireFilter(target, insertion, filters[i] ?? 'false', context));
  return undefined;
}

/**
 * The row filter with the literals that the branch inserts in the place of the columns. `undefined`: another row may result, since a value
 * is no plain literal, the column's type changes it (a length, a scale), or a trigger may.
 */
function filterOverConstants(target: GrantedTarget, insertion: Insertion, context: Context): string | undefined {
  const { rowFilter } = target.view;
  if (rowFilter === undefined || relationTree(target.relation, context).some(({ hasTriggers }) => hasTriggers)) return;
  const literals = new Map<string, string>();
  for (const name of rowFilter.columns) {
    const column = target.relation.columns.find((each) => each.name === name);
    const type = context.input.catalog.typeByOid.get(column?.typeOid ?? 0);
    const value = insertion.values[insertion.columns.indexOf(name)];
    const text = asNode(value, 'A_Const') === undefined ? undefined : constantValue(value);
    if (type === undefined || text === undefined || column?.typmod !== -1) return undefined;
    markSensitive(context, value);
    literals.set(name, `(${quoteLiteral(text)}::${quoteQualified(type.schema, type.name)})`);
  }
  return printExpression(rowFilter.expression, (name) => literals.get(name) ?? 'NULL');
}

/** The branch raises where it would insert a row outside of the filter. */
function requireFilter(target: GrantedTarget, insertion: Insertion, filter: string, context: Context): void {
  const { clause, place } = insertion;
  const sql = raisingCondition(target, filter, context);
  const condition = treeField(clause, 'condition');
  if (condition === undefined || place.condition === undefined) return addCondition(clause, place, sql, context);
  const range = textRange(context.source, place.condition);
  context.deferred.push(() =>
    wrapNode(condition, range, (inner) => `CASE WHEN (${inner}) THEN ${sql} ELSE false END`, context),
  );
}

function addCondition(clause: Tree, place: WhenPlace, sql: string, context: Context): void {
  const end = endOf(place.head, context);
  context.deferred.push(() => {
    surroundText(context, { start: end, end }, '', ` AND ${sql}`);
    clause['condition'] = parseExpression(sql);
  });
}

function joinCondition(condition: Tree, on: TokenRange, merge: Merge): void {
  const { target, scope, context } = merge;
  walkConjuncts(condition, scope, context, ON);
  const filter = target.kind === 'granted' ? target.filter : undefined;
  if (filter === undefined) return;
  const range = textRange(context.source, on);
  context.deferred.push(() => wrapNode(condition, range, (inner) => `${filter} AND (${inner})`, context));
}

/** Rows that a source row has matched are inside the filter; those without one are all rows of the table. */
function walkWhen(clause: Tree, place: WhenPlace, merge: Merge): void {
  const { target, sourceScope, scope, context } = merge;
  const kind = stringField(clause, 'matchKind');
  const seesTarget = kind !== 'MERGE_WHEN_NOT_MATCHED_BY_TARGET';
  const condition = treeField(clause, 'condition');
  if (condition !== undefined) walkExpression(condition, seesTarget ? scope : sourceScope, context);
  const filter = target.kind === 'granted' ? target.filter : undefined;
  if (filter !== undefined && kind === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE') addFilter(clause, place, filter, context);
  if (kind !== 'MERGE_WHEN_MATCHED' && kind !== 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' && seesTarget)
    refuse('not_supported', { subject: kind ?? 'MERGE' });
  walkAction(clause, place, merge);
}

function addFilter(clause: Tree, place: WhenPlace, filter: string, context: Context): void {
  const condition = treeField(clause, 'condition');
  if (condition === undefined || place.condition === undefined) return addCondition(clause, place, filter, context);
  const range = textRange(context.source, place.condition);
  context.deferred.push(() =>
    wrapNode(condition, range, (inner) => `CASE WHEN ${filter} IS TRUE THEN (${inner}) ELSE false END`, context),
  );
}

function walkAction(clause: Tree, place: WhenPlace, merge: Merge): void {
  const { target, rules, scope, context } = merge;
  switch (stringField(clause, 'commandType')) {
    case 'CMD_NOTHING':
    case 'CMD_DELETE':
      return;
    case 'CMD_UPDATE': {
      const set = walkSetList(listField(clause, 'targetList'), target, rules, scope, context);
      if (target.kind === 'temporary') return;
      merge.needsCheck ||= mayLeaveFilter(target, set, context);
      merge.foreignKeys.push(...foreignKeyChecks(rules, set, false, context, ['UPDATE']));
      return;
    }
    case 'CMD_INSERT':
      return walkInsert(clause, place, merge);
    default:
      return refuse('not_supported', { subject: stringField(clause, 'commandType') ?? 'MERGE' });
  }
}

function walkInsert(clause: Tree, place: WhenPlace, merge: Merge): void {
  const { target, rules, sourceScope, context } = merge;
  const values = listField(clause, 'values');
  for (const value of values) walkExpression(value, sourceScope, context);
  const named = listField(clause, 'targetList').map((element) => {
    const column = asNode(element, 'ResTarget') ?? refuse('not_supported', { subject: 'MERGE' });
    walkIndirection(column, newScope(undefined), context);
    return { name: stringField(column, 'name') ?? '', location: locationOf(column) };
  });
  const implied = named.length === 0 && values.length > 0;
  const columns = implied ? impliedColumns(target, values.length) : named;
  const set = judgeInserted(target, columns, values.length > 0 ? [values] : [], rules, context);
  if (target.kind === 'temporary') return;
  noteInsert(target, context);
  if (target.filter !== undefined) {
    merge.insertions.push({ clause, place, columns: columns.map((column) => column.name), values });
  }
  merge.foreignKeys.push(...foreignKeyChecks(rules, set, true, context, ['INSERT']));
  if (!implied || target.view.isWhole) return;
  const end = endOf(place.action, context);
  const names = columns.map((column) => column.name);
  context.deferred.push(() => {
    surroundText(context, { start: end, end }, '', ` (${names.map(quoteIdentifier).join(', ')})`);
    clause['targetList'] = columnTargets(names);
  });
}
