/** `*` and `alias.*` in target lists: passed through, or written out where columns of ours must not show. */
import { noteColumn, noteOuterGuards, refuseMissingTable } from './column-reference.ts';
import { nameRange, textRange } from './extents.ts';
import { quoteIdentifier } from './identifiers.ts';
import { parseTargets, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { resolveColumn, resolveItem, type FromItem, type Scope, type ScopeColumn, type StarEntry } from './scope.ts';
import { noteLeakyOuter } from './guard.ts';
import { walkExpression } from './walk.ts';
import { become, replaceText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, nameList, treeField } from './tree-access.ts';

export function starOf(item: FromItem): readonly StarEntry[] {
  if (!item.complete) return [{ kind: 'item', item }];
  const prefix = item.alias === undefined ? '' : `${quoteIdentifier(item.alias)}.`;
  return item.columns.map((column) => ({
    kind: 'column',
    sql:
      column.replacement === undefined
        ? `${prefix}${quoteIdentifier(column.name)}`
        : `${column.replacement} AS ${quoteIdentifier(column.name)}`,
    column,
    item,
  }));
}

export interface ExpandedStar {
  readonly columns: readonly ScopeColumn[];
  readonly complete: boolean;
}

function entriesSql(entries: readonly StarEntry[]): string {
  return entries
    .map((entry) =>
      entry.kind === 'column'
        ? entry.sql
        : entry.item.alias === undefined
          ? refuse('rewrite_uncertain')
          : `${quoteIdentifier(entry.item.alias)}.*`,
    )
    .join(', ');
}

function itemsOf(entries: readonly StarEntry[], scope: Scope): readonly FromItem[] {
  const items = entries.map((entry) => entry.item).filter((item) => item !== undefined);
  return entries.some((entry) => entry.item === undefined) ? [...items, ...scope.items] : items;
}

/** Splices a list of targets in the place of one `*` target; nested lists are flattened when the tree is compared. */
function replaceStar(element: Tree, location: number, sql: string, context: Context): void {
  // `TABLE t` has a star without a place in the text; the reference writes `SELECT *` there, and there are no extras to hide.
  if (location <= 0) refuse('not_supported', { subject: 'TABLE with a guarded condition' });
  replaceTargets(element, textRange(context.source, nameRange(context.source, location)), sql, context);
}

function replaceTargets(
  element: Tree,
  range: { readonly start: number; readonly end: number },
  sql: string,
  context: Context,
): void {
  replaceText(context, range, sql);
  become(element, { PosternTargets: { targets: parseTargets(sql) } });
}

/** Reads every column that a star shows. */
function readEntries(
  entries: readonly StarEntry[],
  scope: Scope,
  context: Context,
  location: number,
): readonly ScopeColumn[] {
  const columns = entries.flatMap((entry) =>
    (entry.kind === 'column' ? [entry.column] : entry.item.columns).map((column) => ({ column, item: entry.item })),
  );
  for (const { column, item } of columns) {
    if (column.unreadable !== undefined)
      refuse('column_not_readable', { subject: column.name, advice: 'name the columns you may read', location });
    noteColumn(context, item, column);
    noteOuterGuards(scope, column.guards);
    const owner = item ?? column.owner;
    if (scope.ungrouped !== undefined && scope.aggregateDepth === 0 && owner !== undefined)
      scope.ungrouped.push({ item: owner, name: column.name, location: undefined });
  }
  return columns.map(({ column }) => column);
}

function endsInStar(node: Tree, key: string): boolean {
  return listField(node, key).some((field) => asNode(field, 'A_Star') !== undefined);
}

/** `(c).*`: the columns of a row in FROM; those of any other row are not known. `undefined`: no star. */
function expandFields(element: Tree, fields: Tree, scope: Scope, context: Context): ExpandedStar | undefined {
  if (!endsInStar(fields, 'indirection')) return undefined;
  const reference = asNode(treeField(fields, 'arg'), 'ColumnRef') ?? {};
  const [name] = nameList(reference, 'fields');
  const isName = name !== undefined && listField(reference, 'fields').length === 1;
  const found = isName && listField(fields, 'indirection').length === 1 ? resolveColumn(scope, name) : undefined;
  if (found?.kind !== 'item' || !found.item.complete || found.item.isTarget === true) {
    context.hasUnresolved = true;
    noteLeakyOuter(scope, walkExpression({ A_Indirection: fields }, scope, context));
    return { columns: [], complete: false };
  }
  const { item } = found;
  const entries = starOf(item);
  const columns = readEntries(entries, scope, context, locationOf(reference));
  const { source } = context;
  const start = source.tokenAt(locationOf(asNode(element, 'ResTarget') ?? {}));
  context.deferred.push(() => {
    if (item.extras().length === 0) return;
    const last = (source.partner[start] ?? -3) + 2;
    replaceTargets(element, textRange(source, { first: start, last }), entriesSql(entries), context);
  });
  return { columns, complete: true };
}

/** Handles a star target; `undefined` if the element is none. Throws RefusalError. */
export function expandStars(element: Tree, scope: Scope, context: Context): ExpandedStar | undefined {
  const target = asNode(element, 'ResTarget') ?? {};
  const fields = asNode(treeField(target, 'val'), 'A_Indirection');
  if (fields !== undefined) return expandFields(element, fields, scope, context);
  const reference = asNode(treeField(target, 'val'), 'ColumnRef');
  if (reference === undefined || !endsInStar(reference, 'fields')) return undefined;
  const names = nameList(reference, 'fields');
  const location = locationOf(reference);
  const name = names.at(-1);
  const schema = names.length > 1 ? names.at(-2) : undefined;
  const found = name === undefined ? undefined : resolveItem(scope, name, schema);
  if (name !== undefined && found === undefined) return refuseMissingTable(name, location);
  const entries = found === undefined ? scope.star : starOf(found.item);
  const qualifiedReplaced = schema !== undefined && found?.item.replaced === true;
  const columns = readEntries(entries, scope, context, location);
  context.deferred.push(() => {
    const hasExtras = itemsOf(entries, scope).some((item) => item.extras().length > 0);
    if (hasExtras) replaceStar(element, location, entriesSql(entries), context);
    else if (qualifiedReplaced && name !== undefined)
      replaceStar(element, location, `${quoteIdentifier(name)}.*`, context);
  });
  return { columns, complete: entries.every((entry) => entry.kind === 'column') };
}
