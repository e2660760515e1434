/**
 * GROUP BY a primary key: through a sub-select the server no longer knows that the other columns depend on it (42803), so those that the
 * statement uses are added to the list; a column whose type has no equality is read as the one element of an array.
 */
import { CLAUSE_END, clauseEnd, firstToken, keywordBefore, nameRange, textRange } from './extents.ts';
import { quoteIdentifier } from './identifiers.ts';
import { parseExpression, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { resolveColumn, resolveQualified, type FromItem, type Scope } from './scope.ts';
import { become, replaceText, surroundText, type Context } from './statement-context.ts';
import { asNode, listField, nameList } from './tree-access.ts';

function plainKeys(select: Tree, scope: Scope): ReadonlyMap<FromItem, ReadonlySet<string>> {
  const keys = new Map<FromItem, Set<string>>();
  for (const node of listField(select, 'groupClause')) {
    const reference = asNode(node, 'ColumnRef');
    if (reference === undefined) continue;
    const names = nameList(reference, 'fields');
    const [first = '', second, third] = names;
    const found =
      second === undefined
        ? resolveColumn(scope, first)
        : third === undefined
          ? resolveQualified(scope, first, second)
          : resolveQualified(scope, second, third, first);
    const item = found.kind === 'column' ? (found.item ?? found.column.owner) : undefined;
    if (found.kind !== 'column' || item === undefined || found.scope !== scope) continue;
    const set = keys.get(item) ?? new Set();
    set.add(found.column.name);
    keys.set(item, set);
  }
  return keys;
}

function primaryKey(item: FromItem, context: Context): readonly string[] | undefined {
  if (!item.replaced || item.relation === undefined || item.view === undefined) return undefined;
  const relation = context.input.catalog.relationByOid.get(item.relation.oid);
  const key = relation?.constraints.find((constraint) => constraint.kind === 'p');
  if (relation === undefined || key === undefined) return undefined;
  const names = key.columns.map((attnum) => relation.columns.find((column) => column.attnum === attnum)?.name ?? '');
  const visible = (name: string): boolean =>
    item.view?.columns.some((column) => column.name === name && column.mask === undefined) === true;
  return names.every(visible) ? names : undefined;
}

/** Adds expressions at the end of the GROUP BY list: which they are is asked once the whole statement has been walked. */
function appendToGroupBy(select: Tree, expressions: () => readonly string[], context: Context): void {
  const first = listField(select, 'groupClause')[0];
  const { source } = context;
  const by = keywordBefore(source, firstToken(source, first), new Set(['BY']));
  const end = source.tokens[clauseEnd(source, by + 1, CLAUSE_END)]?.end ?? refuse('rewrite_uncertain');
  context.deferred.push(() => {
    for (const sql of expressions()) {
      surroundText(context, { start: end, end }, '', `, ${sql}`);
      select['groupClause'] = [...listField(select, 'groupClause'), parseExpression(sql)];
    }
  });
}

/** Adds one more expression at the end of the GROUP BY list. */
function addToGroupBy(select: Tree, sql: string, context: Context): void {
  appendToGroupBy(select, () => [sql], context);
}

export function groupByPrimaryKey(
  select: Tree,
  scope: Scope,
  context: Context,
  used: NonNullable<Scope['ungrouped']>,
): void {
  const keys = plainKeys(select, scope);
  for (const [item, grouped] of keys) {
    const key = primaryKey(item, context);
    if (key === undefined || !key.every((name) => grouped.has(name)) || item.alias === undefined) continue;
    const alias = quoteIdentifier(item.alias);
    const uses = used.filter((use) => use.item === item);
    const isWhole = uses.some((use) => use.name === undefined);
    const read = isWhole ? item.columns.map(({ name }) => name) : uses.map((use) => use.name ?? '');
    for (const name of new Set(read.filter((one) => !grouped.has(one)))) {
      if (hasEquality(item, name, context)) addToGroupBy(select, `${alias}.${quoteIdentifier(name)}`, context);
      else if (isWhole) refuseWithoutEquality(name, 'inside a whole row');
      else readAsArrayElement(select, item, name, used, context);
    }
    if (isWhole) groupByWholeRow(select, item, alias, context);
  }
}

function hasEquality(item: FromItem, name: string, context: Context): boolean {
  const typeOid = item.columns.find((column) => column.name === name)?.typeOid ?? 0;
  return context.input.catalog.typeByOid.get(typeOid)?.hasEquality !== false;
}

function refuseWithoutEquality(name: string, place: string): never {
  return refuse('not_supported', {
    subject: `GROUP BY with the column ${name}, whose type has no equality, ${place}`,
    advice: 'name the columns',
  });
}

/** The row itself, and the columns of ours that a reference to it may read once it is rebuilt from its columns. */
function groupByWholeRow(select: Tree, item: FromItem, alias: string, context: Context): void {
  const extras = (): readonly string[] => item.extras().map((extra) => `${alias}.${quoteIdentifier(extra)}`);
  appendToGroupBy(select, () => [alias, ...extras()], context);
}

/** `doc` → `(array_agg(doc))[1]`: all rows of the group hold the same value. */
function readAsArrayElement(
  select: Tree,
  item: FromItem,
  name: string,
  used: NonNullable<Scope['ungrouped']>,
  context: Context,
): void {
  const uses = used.filter((use) => use.item === item && use.name === name);
  for (const use of uses) {
    if (use.location === undefined) refuseWithoutEquality(name, 'behind *');
    const { location } = use;
    const node = findReference(select, location) ?? refuse('rewrite_uncertain');
    context.deferred.push(() => {
      const column = `${quoteIdentifier(item.alias ?? '')}.${quoteIdentifier(name)}`;
      const sql = `(pg_catalog.array_agg(${column}))[1]`;
      const named = node.isTarget ? `${sql} AS ${quoteIdentifier(name)}` : sql;
      replaceText(context, textRange(context.source, nameRange(context.source, location)), named);
      become(node.holder, parseExpression(sql));
      if (node.target !== undefined && node.isTarget) node.target['name'] = name;
    });
  }
}

interface Reference {
  readonly holder: Tree;
  readonly target: Tree | undefined;
  /** The reference is the whole of an unnamed target. */
  readonly isTarget: boolean;
}

function findReference(value: unknown, location: number, target?: Tree): Reference | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) {
    for (const element of value) {
      const found = findReference(element, location, undefined);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  const holder = value as Tree;
  const reference = asNode(holder, 'ColumnRef');
  if (reference !== undefined && reference['location'] === location)
    return { holder, target, isTarget: target !== undefined && target['name'] === undefined };
  const resTarget = asNode(holder, 'ResTarget');
  if (resTarget !== undefined) return findReference(resTarget['val'], location, resTarget);
  for (const child of Object.values(holder)) {
    const found = findReference(child, location, undefined);
    if (found !== undefined) return found;
  }
  return undefined;
}
