/** ColumnRef: names resolved level by level, schema-qualified ones shortened where a sub-select took the relation's place. */
import { judgeAttribute } from './attribute.ts';
import type { ExpressionInfo } from './walk.ts';
import { nameRange, textRange } from './extents.ts';
import { displayName, displayQualified, quoteIdentifier } from './identifiers.ts';
import { parseExpression, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import {
  resolveColumn,
  resolveItem,
  resolveQualified,
  type Found,
  type FoundItem,
  type FromItem,
  type Guard,
  type Scope,
  type ScopeColumn,
} from './scope.ts';
import { become, replaceText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, nameList } from './tree-access.ts';

/** Marks every query between a reference and the level that it reads. */
function noteCorrelation(from: Scope, found: Scope): void {
  for (let level: Scope | undefined = from; level !== undefined && level !== found; level = level.parent)
    if (level.traits !== found.traits) level.traits.correlated = true;
}

/** Remembers guards that belong to levels outside of this one, for the sub-select's own answer. */
export function noteOuterGuards(scope: Scope, guards: readonly Guard[]): void {
  for (const guard of guards) if (guard.scope !== scope) scope.outerGuards.set(guard.key, guard);
}

/** Facts of reading a column: its name, and that a mask stood in. */
export function noteColumn(context: Context, item: FromItem | undefined, column: ScopeColumn): void {
  item?.used?.add(column.name);
  if (column.fact === undefined) return;
  context.facts.columns.add(column.fact);
  if (item?.view?.columns.some((c) => c.name === column.name && c.mask !== undefined) === true)
    context.masked.add(column.fact);
}

/** As the server says it of a name that nothing in scope has. */
function refuseMissing(names: readonly string[], location: number): never {
  const subject =
    names.length > 1
      ? `column ${names.slice(-2).map(displayName).join('.')} does not exist`
      : `column "${names[0] ?? ''}" does not exist`;
  return refuse('undefined_object', { subject, sqlstate: '42703', location });
}

/** As the server says it of an alias that nothing in scope has. */
export function refuseMissingTable(name: string, location: number): never {
  const subject = `missing FROM-clause entry for table "${name}"`;
  return refuse('undefined_object', { subject, sqlstate: '42P01', location });
}

function unreadable(
  column: ScopeColumn,
  item: FromItem | undefined,
  names: readonly string[],
  location: number,
): never {
  if (column.unreadable === 'hidden') refuseMissing(names, location);
  if (column.unreadable === 'ungranted' && item?.relation !== undefined) {
    refuse('action_not_granted', {
      subject: displayQualified(item.relation.schema, item.relation.name),
      action: 'SELECT',
      location,
    });
  }
  const relation = item?.relation === undefined ? '' : `${item.relation.schema}.${item.relation.name}.`;
  return refuse('column_not_readable', {
    subject: `${relation}${column.name}`,
    advice: 'a masked column cannot be read in a write',
    location,
  });
}

/** What stands in the place of a target's masked column names one table, so that the server would not see that the name has two. */
function refuseAmbiguous({ column, scope }: Extract<Found, { kind: 'column' }>, location: number): void {
  const isAmbiguous = scope.items.some(
    (item) =>
      item.isTarget !== true &&
      item.columns.some(({ name, unreadable }) => name === column.name && unreadable === undefined),
  );
  if (!isAmbiguous) return;
  const subject = `column reference "${column.name}" is ambiguous`;
  refuse('undefined_object', { subject, sqlstate: '42702', location });
}

function foundColumn(
  found: Extract<Found, { kind: 'column' }>,
  scope: Scope,
  context: Context,
  location: number,
  names: readonly string[],
  node: Tree,
): ExpressionInfo {
  const { column, item } = found;
  if (column.unreadable !== undefined) unreadable(column, item, names, location);
  noteColumn(context, item, column);
  if (column.replacement !== undefined) {
    if (names.length === 1) refuseAmbiguous(found, location);
    // Inside a sub-query an unnamed output must keep the column's name: a scalar sub-select takes it from its own output.
    const isNested = found.scope !== scope;
    const named = `(SELECT ${column.replacement} AS ${quoteIdentifier(column.name)})`;
    replaceColumn(isNested ? named : column.replacement, node, location, context);
  }
  const level = found.scope;
  noteCorrelation(scope, level);
  const owner = item ?? column.owner;
  if (level.ungrouped !== undefined && level.aggregateDepth === 0 && owner !== undefined) {
    level.ungrouped.push({ item: owner, name: column.name, location });
  }
  noteOuterGuards(scope, column.guards);
  return {
    guards: column.guards,
    leakproof: column.leakproof,
    typeOid: column.typeOid,
    aggregate: false,
    constant: false,
  };
}

/** RETURNING: what stands in the place of a masked column of the target. */
function replaceColumn(replacement: string, node: Tree, location: number, context: Context): void {
  context.deferred.push(() => {
    replaceText(context, textRange(context.source, nameRange(context.source, location)), replacement);
    become(node, parseExpression(replacement));
  });
}

/** `(c).name` of a row in FROM: the column `name`, if the row has one. `undefined`: something else. */
export function readField(reference: Tree, field: string, scope: Scope, context: Context): ExpressionInfo | undefined {
  const names = nameList(reference, 'fields');
  const [name] = names;
  if (names.length !== 1 || name === undefined || listField(reference, 'fields').length !== 1) return undefined;
  const found = resolveColumn(scope, name);
  if (found.kind !== 'item' || found.item.isTarget === true) return undefined;
  const column = found.item.columns.find((one) => one.name === field);
  if (column === undefined) return undefined;
  const asColumn = { kind: 'column', column, item: found.item, scope: found.scope } as const;
  return foundColumn(asColumn, scope, context, locationOf(reference), [name, field], reference);
}

/** The names of a row's fields: a table's row has those of the table, whatever the alias calls its columns. */
function rowNames(item: FromItem): readonly string[] {
  const isTable = item.replaced && item.view !== undefined && item.isTarget !== true;
  return (isTable ? (item.view?.columns ?? []) : item.columns).map(({ name }) => name);
}

/** A reference to a whole row; rebuilt from the visible columns where columns of ours were added to the item. */
function wholeRow(found: FoundItem, scope: Scope, context: Context, node: Tree, location: number): ExpressionInfo {
  const { item, scope: level } = found;
  noteCorrelation(scope, level);
  if (level.ungrouped !== undefined && level.aggregateDepth === 0) {
    level.ungrouped.push({ item, name: undefined, location });
  }
  const concealed = item.columns.some((c) => c.unreadable !== undefined || c.replacement !== undefined);
  if (item.isTarget === true && (concealed || (item.absent?.size ?? 0) > 0)) {
    refuse('column_not_readable', {
      subject: `${item.alias ?? ''}.*`,
      advice: 'name the columns you may read',
      location,
    });
  }
  for (const column of item.columns) noteColumn(context, item, column);
  noteOuterGuards(scope, item.allGuards);
  context.deferred.push(() => {
    const [extra] = item.extras();
    const names = rowNames(item);
    const isRenamed = item.columns.some((column, index) => column.name !== names[index]);
    if ((extra === undefined && !isRenamed) || item.alias === undefined) return;
    const alias = quoteIdentifier(item.alias);
    const columns = item.columns.map((column, index) => {
      const read = `${alias}.${quoteIdentifier(column.name)}`;
      return column.name === names[index] ? read : `${read} AS ${quoteIdentifier(names[index] ?? '')}`;
    });
    const isThere =
      extra === undefined ? `${alias} IS DISTINCT FROM NULL` : `${alias}.${quoteIdentifier(extra)} IS NOT NULL`;
    const text = `(CASE WHEN ${isThere} THEN (SELECT ${alias} FROM (SELECT ${columns.join(', ')}) AS ${alias}) END)`;
    replaceText(context, textRange(context.source, nameRange(context.source, location)), text);
    become(node, parseExpression(text));
  });
  return {
    guards: item.allGuards,
    leakproof: item.columns.every((column) => column.leakproof),
    typeOid: undefined,
    aggregate: false,
    constant: false,
  };
}

function dropSchema(
  found: Extract<Found, { kind: 'column' | 'item' }>,
  content: Tree,
  names: readonly string[],
  context: Context,
  star: boolean,
): void {
  if (!found.item?.replaced || found.item.alias === undefined) return;
  const range = textRange(context.source, nameRange(context.source, locationOf(content)));
  const kept = names.slice(star ? -1 : -2);
  replaceText(context, range, `${kept.map(quoteIdentifier).join('.')}${star ? '.*' : ''}`);
  const fields = listField(content, 'fields');
  content['fields'] = fields.slice(star ? -2 : -2);
}

function databaseOf(names: readonly string[], context: Context, location: number): readonly string[] {
  if (names.length < 4) return names;
  if (names[0] !== context.input.catalog.databaseName)
    refuse('not_supported', { subject: 'a reference to another database', location });
  return names.slice(1);
}

/** Walks a ColumnRef node inside an expression. */
export function columnReference(content: Tree, scope: Scope, context: Context, node: Tree): ExpressionInfo {
  const location = locationOf(content);
  const star = listField(content, 'fields').some((field) => asNode(field, 'A_Star') !== undefined);
  const names = databaseOf(nameList(content, 'fields'), context, location);
  if (star) return starReference(content, names, scope, context, node);
  const [first = '', second, third] = names;
  const found =
    third !== undefined
      ? resolveQualified(scope, second ?? '', third, first)
      : second !== undefined
        ? resolveQualified(scope, first, second)
        : resolveColumn(scope, first);
  if (found.kind === 'column') {
    // An unqualified name that two items have: the server has to see both, and says so (42702).
    if (second === undefined) for (const item of found.scope.items) item.used?.add(first);
    if (third !== undefined) dropSchema(found, content, names, context, false);
    return foundColumn(found, scope, context, location, names, node);
  }
  if (found.kind === 'item') {
    return wholeRow(found, scope, context, node, location);
  }
  if (
    second !== undefined &&
    resolveItem(scope, names.at(-2) ?? '', third === undefined ? undefined : first) === undefined
  )
    refuseMissingTable(names.at(-2) ?? '', location);
  if (!found.exists) refuseMissing(names, location);
  if (second !== undefined) judgeAttribute(names.at(-1) ?? '', location, context);
  context.hasUnresolved = true;
  noteOuterGuards(scope, found.guards);
  return { guards: found.guards, leakproof: false, typeOid: undefined, aggregate: false, constant: false };
}

/** `alias.*` among the values of ROW(...): its columns one by one. `undefined`: something else. */
export function starInRow(element: Tree, scope: Scope, context: Context): ExpressionInfo | undefined {
  const content = asNode(element, 'ColumnRef');
  const names = content === undefined ? [] : nameList(content, 'fields');
  const name = names.at(-1);
  const isStar = listField(content ?? {}, 'fields').length === names.length + 1;
  const found = !isStar || name === undefined || names.length > 1 ? undefined : resolveItem(scope, name);
  if (content === undefined || found === undefined || found.item.isTarget === true || !found.item.complete)
    return undefined;
  const { item } = found;
  noteCorrelation(scope, found.scope);
  noteOuterGuards(scope, item.allGuards);
  for (const column of item.columns) noteColumn(context, item, column);
  context.deferred.push(() => {
    if (item.extras().length === 0) return;
    const columns = item.columns.map((column) => `${quoteIdentifier(name ?? '')}.${quoteIdentifier(column.name)}`);
    replaceText(context, textRange(context.source, nameRange(context.source, locationOf(content))), columns.join(', '));
    become(element, { PosternTargets: { targets: columns.map(parseExpression) } });
  });
  return {
    guards: item.allGuards,
    leakproof: item.columns.every((column) => column.leakproof),
    typeOid: undefined,
    aggregate: false,
    constant: false,
  };
}

/** `alias.*` inside an expression: an argument (whole row). */
function starReference(
  content: Tree,
  names: readonly string[],
  scope: Scope,
  context: Context,
  node: Tree,
): ExpressionInfo {
  const location = locationOf(content);
  const name = names.at(-1);
  context.hasUnresolved = true;
  if (name === undefined) return refuse('not_supported', { subject: '* in an expression', location });
  const found = resolveItem(scope, name, names.length > 1 ? names[0] : undefined);
  if (found === undefined) return refuseMissingTable(name, location);
  if (names.length > 1) dropSchema(found, content, names, context, true);
  return wholeRow(found, scope, context, node, location);
}
