/** The target of a write: resolved and judged like a relation that is read, but kept in place, since no sub-select can stand there. */
import { displayName, displayQualified, quoteIdentifier } from './identifiers.ts';
import type { CatalogRelation } from './catalog.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { printExpression, type RelationView, type TableAction, type ViewColumn } from './relation-view.ts';
import { qualifyName, refuseRelation, resolveRelation } from './relation-reference.ts';
import { resolveItem, type FromItem, type Guard, type Scope, type ScopeColumn } from './scope.ts';
import type { Context } from './statement-context.ts';
import { locationOf, stringField, treeField } from './tree-access.ts';
import { viewReadsGoverned } from './view-expansion.ts';

export interface GrantedTarget {
  readonly kind: 'granted';
  readonly rangeVar: Tree;
  /** Name by which the statement refers to it. */
  readonly alias: string;
  readonly hasAlias: boolean;
  readonly relation: CatalogRelation;
  readonly view: RelationView;
  /** The row filter over the target's own columns under its alias, in parentheses. */
  readonly filter: string | undefined;
}

export interface TemporaryTarget {
  readonly kind: 'temporary';
  readonly rangeVar: Tree;
  readonly alias: string;
  readonly columns: readonly string[] | undefined;
}

export type WriteTarget = GrantedTarget | TemporaryTarget;

const VERBS: Readonly<Record<TableAction, string>> = {
  Select: 'SELECT',
  Insert: 'INSERT',
  Update: 'UPDATE',
  Delete: 'DELETE',
};

/** `schema.table` as messages show it. */
export function targetName(target: GrantedTarget): string {
  return displayQualified(target.relation.schema, target.relation.name);
}

/** Refuses an action that the view does not grant. */
export function requireAction(target: WriteTarget, action: TableAction): void {
  if (target.kind === 'temporary' || target.view.actions.has(action)) return;
  refuse('action_not_granted', {
    subject: targetName(target),
    action: VERBS[action],
    location: locationOf(target.rangeVar),
  });
}

/** The row filter of a view, in parentheses, under a qualifier that is already quoted. */
export function printFilter(view: RelationView, qualifier: string): string | undefined {
  return view.rowFilter === undefined
    ? undefined
    : `(${printExpression(view.rowFilter.expression, quoteIdentifier, qualifier)})`;
}

/**
 * Resolves and judges the RangeVar that a write names as its `relation`, and plans its schema-qualified name. `actions` are those that the
 * statement surely needs. Throws RefusalError.
 */
export function resolveTarget(write: Tree, actions: readonly TableAction[], context: Context): WriteTarget {
  const rangeVar = treeField(write, 'relation') ?? refuse('not_supported', { subject: 'a write without a target' });
  const verb = VERBS[actions[0] ?? 'Update'];
  const resolved = resolveRelation(rangeVar, context) ?? refuseRelation(rangeVar, context, verb);
  const aliasNode = treeField(rangeVar, 'alias');
  const alias =
    (aliasNode === undefined ? undefined : stringField(aliasNode, 'aliasname')) ??
    stringField(rangeVar, 'relname') ??
    '';
  if (resolved.kind === 'temporary') {
    qualifyName(write, 'relation', 'pg_temp', resolved.name, context);
    return { kind: 'temporary', rangeVar, alias, columns: resolved.columns };
  }
  if (resolved.kind === 'system') {
    refuse('catalog_not_allowed', {
      subject: displayQualified(resolved.relation.schema, resolved.relation.name),
      advice: 'system catalogs cannot be written',
      location: locationOf(rangeVar),
    });
  }
  if (resolved.kind === 'ungoverned') return refuseRelation(rangeVar, context, verb);
  const { relation, view } = resolved;
  const target: GrantedTarget = {
    kind: 'granted',
    rangeVar,
    alias,
    hasAlias: aliasNode !== undefined,
    relation,
    view,
    filter: printFilter(view, quoteIdentifier(alias)),
  };
  for (const action of actions) requireAction(target, action);
  refuseUnwritable(target, verb, context);
  noteWrite(target, context);
  qualifyName(write, 'relation', relation.schema, relation.name, context);
  return target;
}

/** Views that are expanded when read, views with rules of their own, and what cannot hold rows of the agent's. */
function refuseUnwritable(target: GrantedTarget, action: string, context: Context): void {
  const { relation, view } = target;
  const subject = targetName(target);
  const location = locationOf(target.rangeVar);
  if (view.conflict !== undefined) refuse('relation_conflicted', { subject, advice: view.conflict, location });
  if (relation.kind === 'm' || relation.kind === 'S')
    refuse('action_not_granted', { subject, action, advice: 'it cannot be written', location });
  if (relation.kind === 'v' && (!view.isWhole || viewReadsGoverned(relation, context)))
    refuse('action_not_granted', { subject, action, advice: 'write to the tables that the view reads', location });
}

function noteWrite(target: GrantedTarget, context: Context): void {
  const { relation, view } = target;
  const name = `${relation.schema}.${relation.name}`;
  context.facts.relations.add(name);
  context.writtenRelationOids.add(relation.oid);
  context.governed = true;
  if (view.rowFilter !== undefined) context.rowFilters.add(name);
  if (!view.isWhole) context.concealed = true;
}

function fact(target: GrantedTarget, column: string): string {
  return `${target.relation.schema}.${target.relation.name}.${column}`;
}

/** Notes a column that the statement sets. */
export function noteSetColumn(target: GrantedTarget, column: string, context: Context): void {
  context.facts.columns.add(fact(target, column));
}

function systemColumns(target: GrantedTarget): (name: string) => ScopeColumn {
  return (name) => {
    const subject = `${targetName(target)}.${name}`;
    if (target.view.rowFilter !== undefined)
      refuse('system_column_not_allowed', { subject, advice: 'the table has a row filter' });
    if (!['ctid', 'xmin', 'tableoid'].includes(name))
      refuse('system_column_not_allowed', { subject, advice: 'only ctid, xmin and tableoid may be read' });
    return { name, typeOid: name === 'ctid' ? 27 : name === 'xmin' ? 28 : 26, guards: [], leakproof: true };
  };
}

function temporaryItem(target: TemporaryTarget, alias: string): FromItem {
  return {
    alias,
    columns: (target.columns ?? []).map((name) => ({ name, typeOid: undefined, guards: [], leakproof: true })),
    complete: target.columns !== undefined,
    replaced: false,
    temporary: true,
    extras: () => [],
    allGuards: [],
  };
}

function grantedItem(
  target: GrantedTarget,
  alias: string,
  guards: readonly Guard[],
  column: (column: ViewColumn) => Partial<ScopeColumn>,
): FromItem {
  const { relation, view } = target;
  const concealed = [...view.hiddenColumns, ...view.columns.filter((c) => c.mask !== undefined).map((c) => c.name)];
  return {
    alias,
    columns: view.columns.map((each) => ({
      name: each.name,
      typeOid: each.typeOid,
      guards,
      leakproof: true,
      fact: fact(target, each.name),
      ...column(each),
    })),
    complete: true,
    view,
    replaced: false,
    isTarget: true,
    absent: view.hiddenColumns,
    relation: {
      schema: relation.schema,
      name: relation.name,
      oid: relation.oid,
      hasAlias: target.hasAlias || alias !== target.alias,
    },
    systemColumn: systemColumns(target),
    // Whatever the server would show in `*` and must not makes the star be written out.
    extras: () => concealed,
    allGuards: guards,
  };
}

/** What may not be read where the mask cannot stand in. */
function rawColumn(target: GrantedTarget): (column: ViewColumn) => Partial<ScopeColumn> {
  const readable = target.view.actions.has('Select');
  return (column) => {
    if (!readable) return { unreadable: 'ungranted' };
    return column.mask === undefined ? {} : { unreadable: 'masked' };
  };
}

/** The target as WHERE, SET, ON and WHEN read it: raw columns, so that only visible unmasked ones may be named, behind the row filter. */
export function targetItem(target: WriteTarget, scope: Scope): FromItem {
  if (target.kind === 'temporary') return temporaryItem(target, target.alias);
  const { filter, alias } = target;
  const guards: Guard[] = [];
  const item = grantedItem(target, alias, guards, rawColumn(target));
  if (filter !== undefined) {
    guards.push({
      scope,
      key: item,
      request: (from) => {
        if (from === undefined || resolveItem(from, alias)?.item !== item) {
          refuse('not_supported', {
            subject: `a condition on ${displayName(alias)} below another relation of the same name`,
            advice: 'give the inner relation an alias of its own',
          });
        }
        return { kind: 'filter', sql: filter };
      },
    });
  }
  return item;
}

/** A row of the target that is not behind the filter: `excluded` of ON CONFLICT, the row that COPY FROM ... WHERE tests. */
export function newRowItem(target: WriteTarget, alias: string): FromItem {
  return target.kind === 'temporary' ? temporaryItem(target, alias) : grantedItem(target, alias, [], rawColumn(target));
}

/** The target as RETURNING shows it: the view's columns, masks standing in. Rows are inside the filter by then. */
export function returningItem(target: WriteTarget, alias: string): FromItem {
  if (target.kind === 'temporary') return temporaryItem(target, alias);
  const qualifier = quoteIdentifier(alias);
  return grantedItem(target, alias, [], (column) =>
    column.mask === undefined
      ? {}
      : { replacement: `(${printExpression(column.mask.expression, quoteIdentifier, qualifier)})` },
  );
}
