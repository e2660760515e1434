/** UPDATE and DELETE on the base table, under the identity's row filter. */
import { processFromClause } from './from-clause.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { processReturning, type WriteInfo } from './returning.ts';
import { newScope, type FromItem, type Scope } from './scope.ts';
import { mayLeaveFilter, walkSetList, walkWhere } from './set-list.ts';
import type { Context } from './statement-context.ts';
import { listField, treeField } from './tree-access.ts';
import { processWith } from './with-clause.ts';
import { foreignKeyChecks, rowCheck } from './write-check.ts';
import { columnRules } from './write-columns.ts';
import { resolveTarget, targetItem, type WriteTarget } from './write-target.ts';

/** The level of a write with its common table expressions. */
export function writeScope(content: Tree, parent: Scope | undefined, context: Context): Scope {
  const scope = newScope(parent);
  const withClause = treeField(content, 'withClause');
  if (withClause !== undefined) processWith(withClause, scope, context);
  return scope;
}

const UPDATE_FIELDS: ReadonlySet<string> = new Set([
  'relation',
  'targetList',
  'whereClause',
  'fromClause',
  'returningClause',
  'withClause',
]);
const DELETE_FIELDS: ReadonlySet<string> = new Set([
  'relation',
  'usingClause',
  'whereClause',
  'returningClause',
  'withClause',
]);

/** Refuses a node with fields that are not known here. */
export function refuseUnknown(content: Tree, known: ReadonlySet<string>, command: string): void {
  for (const key of Object.keys(content))
    if (!known.has(key)) refuse('not_supported', { subject: `${command} with ${key}` });
}

/** Walks the other items first: they cannot see the target. */
function enter(content: Tree, key: string, target: WriteTarget, scope: Scope, context: Context): readonly FromItem[] {
  processFromClause(content, scope, context, key);
  const others = [...scope.items];
  scope.items.unshift(targetItem(target, scope));
  return others;
}

export function processUpdate(
  content: Tree,
  parent: Scope | undefined,
  context: Context,
  level: 'top' | 'nested',
): WriteInfo {
  refuseUnknown(content, UPDATE_FIELDS, 'UPDATE');
  const scope = writeScope(content, parent, context);
  const target = resolveTarget(content, ['Update'], context);
  const others = enter(content, 'fromClause', target, scope, context);
  const rules = target.kind === 'granted' ? columnRules(target, context) : [];
  const set = walkSetList(listField(content, 'targetList'), target, rules, scope, context);
  const filtered = walkWhere(content, target, scope, context);
  const check =
    target.kind === 'granted'
      ? rowCheck(
          target,
          !filtered || mayLeaveFilter(target, set, context),
          foreignKeyChecks(rules, set, false, context),
        )
      : undefined;
  return processReturning(content, { target, scope, others, targetLast: false, check, level }, context);
}

export function processDelete(
  content: Tree,
  parent: Scope | undefined,
  context: Context,
  level: 'top' | 'nested',
): WriteInfo {
  refuseUnknown(content, DELETE_FIELDS, 'DELETE');
  const scope = writeScope(content, parent, context);
  const target = resolveTarget(content, ['Delete'], context);
  const others = enter(content, 'usingClause', target, scope, context);
  const filtered = walkWhere(content, target, scope, context);
  const check = target.kind === 'granted' ? rowCheck(target, !filtered, []) : undefined;
  return processReturning(content, { target, scope, others, targetLast: false, check, level }, context);
}
