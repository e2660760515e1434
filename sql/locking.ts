/** FOR UPDATE and its like lock base rows through the sub-select; they need the Update action, as PostgreSQL needs the privilege. */
import type { Tree } from './parser.ts';
import { displayQualified } from './identifiers.ts';
import { refuse } from './refusal.ts';
import type { FromItem, Scope } from './scope.ts';
import { asNode, listField, locationOf, stringField } from './tree-access.ts';

function judge(item: FromItem, location: number): void {
  if (item.relation === undefined) return;
  const subject = displayQualified(item.relation.schema, item.relation.name);
  if (item.view === undefined)
    refuse('action_not_granted', { subject, action: 'UPDATE', advice: 'row locks need the Update action', location });
  if (!item.view.actions.has('Update'))
    refuse('action_not_granted', { subject, action: 'UPDATE', advice: 'row locks need the Update action', location });
}

export function processLocking(select: Tree, scope: Scope): void {
  if (listField(select, 'lockingClause').length > 0) scope.locked = true;
  for (const element of listField(select, 'lockingClause')) {
    const locking = asNode(element, 'LockingClause') ?? refuse('not_supported', { subject: 'a locking clause' });
    const named = listField(locking, 'lockedRels').map(
      (relation) => asNode(relation, 'RangeVar') ?? refuse('not_supported', { subject: 'FOR UPDATE OF' }),
    );
    if (named.length === 0) {
      for (const item of scope.items) if (item.temporary !== true) judge(item, 0);
      lockNested(scope);
      continue;
    }
    for (const relation of named) {
      const alias = stringField(relation, 'relname') ?? '';
      const item =
        scope.items.find((candidate) => candidate.alias === alias) ??
        refuse('undefined_object', {
          subject: `relation "${alias}" in FOR UPDATE clause not found in FROM clause`,
          sqlstate: '42P01',
          location: locationOf(relation),
        });
      if (item.temporary !== true) judge(item, locationOf(relation));
      if (item.relation === undefined) lockDerived(item);
    }
  }
}

/** FOR UPDATE reaches into sub-queries of FROM: what stands there must be lockable too. */
function lockDerived(item: FromItem): void {
  if (item.inner !== undefined) item.inner.locked = true;
  for (const inner of item.inner?.items ?? []) {
    if (inner.temporary !== true) judge(inner, 0);
    lockDerived(inner);
  }
}

function lockNested(scope: Scope): void {
  for (const item of scope.items) lockDerived(item);
}
