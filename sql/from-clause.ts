/** FROM: relations, sub-selects, joins, functions, XMLTABLE and JSON_TABLE, each turned into what the level can name. */
import { starOf } from './star.ts';
import {
  combine,
  jsonValue,
  markLiteralsIn,
  type ExpressionInfo,
  walkExpression,
  walkField,
  walkList,
} from './walk.ts';
import { derivedGuards, inheritTraits, processQuery } from './query-info.ts';
import { ON_END } from './extents.ts';
import { noteLeakyOuter, walkConjuncts } from './guard.ts';
import { quoteIdentifier } from './identifiers.ts';
import { isLeakproofOperator } from './leakproof.ts';
import { columnName } from './output-name.ts';
import type { Tree } from './parser.ts';
import { referenceRelation, sampleRange } from './relation-reference.ts';
import { refuse } from './refusal.ts';
import {
  newScope,
  withoutSiblings,
  type FromItem,
  type Guard,
  type Scope,
  type ScopeColumn,
  type StarEntry,
} from './scope.ts';
import type { Context } from './statement-context.ts';
import { asNode, booleanField, listField, nameList, stringField, treeField, unwrap } from './tree-access.ts';
import { resolveTypeName } from './type-cast.ts';

/** One node of FROM: the items it brings into scope and its columns in `*` order. */
export interface FromNode {
  readonly items: readonly FromItem[];
  readonly star: readonly StarEntry[];
  readonly merged: ReadonlyMap<string, ScopeColumn>;
}

function single(item: FromItem): FromNode {
  return { items: [item], star: starOf(item), merged: new Map() };
}

/** Walks the FROM clause, filling the level from left to right (LATERAL sees what stands before it). */
export function processFromClause(select: Tree, scope: Scope, context: Context, key = 'fromClause'): void {
  const star: StarEntry[] = [...scope.star];
  for (const element of listField(select, key)) {
    const node = processFromItem(element, scope, context);
    addToScope(scope, node);
    star.push(...node.star);
  }
  scope.star = star;
}

function addToScope(scope: Scope, node: FromNode): void {
  for (const item of node.items) if (!scope.items.includes(item)) scope.items.push(item);
  for (const [name, column] of node.merged) scope.merged.set(name, column);
}

function processFromItem(element: Tree, scope: Scope, context: Context): FromNode {
  context.depth += 1;
  if (context.depth > 400) refuse('too_complex');
  const [tag, content] = unwrap(element);
  const walk = FROM_NODES.get(tag) ?? refuse('not_supported', { subject: tag });
  const node = walk(content, scope, context, element);
  context.depth -= 1;
  return node;
}

function aliasOf(content: Tree): { readonly name: string | undefined; readonly columns: readonly string[] } {
  const alias = treeField(content, 'alias');
  return {
    name: alias === undefined ? undefined : stringField(alias, 'aliasname'),
    columns: alias === undefined ? [] : nameList(alias, 'colnames'),
  };
}

function subselect(content: Tree, scope: Scope, context: Context): FromNode {
  const select =
    treeField(treeField(content, 'subquery') ?? {}, 'SelectStmt') ??
    refuse('not_supported', { subject: 'a sub-query in FROM' });
  const lateral = booleanField(content, 'lateral');
  const query = processQuery(select, lateral ? scope : withoutSiblings(scope), context, { level: 'nested' });
  inheritTraits(scope, query);
  const alias = aliasOf(content);
  const columns = query.columns.map((column, i) => ({
    ...column,
    name: alias.columns[i] ?? column.name,
    guards: derivedGuards(query, i, scope, context),
  }));
  return single({
    alias: alias.name,
    columns,
    complete: query.complete,
    replaced: false,
    inner: query.scope,
    extras: () => [...query.state.exports.values()],
    allGuards: columns.flatMap((column) => column.guards),
  });
}

const ON = { opening: new Set(['ON']), ending: ON_END };
const FULL_JOIN_ON = { ...ON, isFenced: true };

function join(content: Tree, scope: Scope, context: Context): FromNode {
  const left = processFromItem(treeField(content, 'larg') ?? {}, scope, context);
  addToScope(scope, left);
  const right = processFromItem(treeField(content, 'rarg') ?? {}, scope, context);
  const using = joinColumns(content, left, right, context);
  const merged = new Map([...left.merged, ...right.merged]);
  const star =
    using.length === 0 ? [...left.star, ...right.star] : mergeStar(left, right, using, merged, content, context);
  const items = [...left.items, ...right.items];
  const quals = treeField(content, 'quals');
  if (quals !== undefined) {
    const level: Scope = {
      ...withoutSiblings(scope),
      items: [...items],
      merged: new Map(merged),
      outerGuards: scope.outerGuards,
    };
    noteLeakyOuter(
      scope,
      walkConjuncts(quals, level, context, content['jointype'] === 'JOIN_FULL' ? FULL_JOIN_ON : ON),
    );
    if (level.leakyOuter) scope.leakyOuter = true;
    if (level.raises) scope.raises = true;
  }
  const usingAlias = stringField(treeField(content, 'join_using_alias') ?? {}, 'aliasname');
  const named =
    usingAlias === undefined
      ? []
      : [
          joinItem(
            usingAlias,
            using.map((name) => merged.get(name)).filter((c) => c !== undefined),
          ),
        ];
  const alias = aliasOf(content);
  if (alias.name === undefined) return { items: [...items, ...named], star, merged };
  return aliasedJoin(alias.name, alias.columns, items, star, scope);
}

function joinItem(alias: string, columns: readonly ScopeColumn[]): FromItem {
  return {
    alias,
    columns,
    complete: true,
    replaced: false,
    extras: () => [],
    allGuards: columns.flatMap((c) => c.guards),
  };
}

/** `(a JOIN b ...) AS j`: only `j` is visible; filtered relations inside cannot lend their flags, so they are fenced on demand. */
function aliasedJoin(
  alias: string,
  names: readonly string[],
  items: readonly FromItem[],
  star: readonly StarEntry[],
  scope: Scope,
): FromNode {
  const fenced = (guard: Guard): Guard => ({
    scope: guard.scope,
    key: guard.key,
    request: () => {
      if (guard.fence === undefined)
        refuse('not_supported', { subject: 'an alias for a join of a table with a row filter' });
      guard.fence();
      return undefined;
    },
  });
  const complete = star.every((entry) => entry.kind === 'column');
  const columns = star
    .flatMap((entry) => (entry.kind === 'column' ? [entry.column] : entry.item.columns))
    .map((column, i) => ({ ...column, name: names[i] ?? column.name, guards: column.guards.map(fenced) }));
  // What is read through the alias is read of the items behind it.
  for (const item of items) for (const column of item.columns) item.used?.add(column.name);
  // Items leave the level's scope: the server hides them behind the alias.
  for (const item of items) {
    const at = scope.items.indexOf(item);
    if (at >= 0) scope.items.splice(at, 1);
  }
  return single({
    alias,
    columns,
    complete,
    replaced: false,
    extras: () => {
      if (items.some((item) => item.extras().length > 0))
        refuse('not_supported', { subject: 'system columns inside a join with an alias' });
      return [];
    },
    allGuards: columns.flatMap((column) => column.guards),
  });
}

function columnsOf(node: FromNode): readonly string[] {
  return node.star.flatMap((entry) =>
    entry.kind === 'column' ? [entry.column.name] : entry.item.columns.map((c) => c.name),
  );
}

function joinColumns(content: Tree, left: FromNode, right: FromNode, context: Context): readonly string[] {
  if (!booleanField(content, 'isNatural')) return nameList(content, 'usingClause');
  if ([...left.items, ...right.items].some((item) => !item.complete)) {
    refuse('not_supported', {
      subject: 'NATURAL JOIN with columns that the gate does not know',
      advice: 'use JOIN ... USING',
    });
  }
  context.natural = true;
  const rightNames = new Set(columnsOf(right));
  return columnsOf(left).filter((name) => rightNames.has(name));
}

function sideColumn(node: FromNode, name: string): ScopeColumn | undefined {
  const merged = node.merged.get(name);
  if (merged !== undefined) return merged;
  const owner = node.items.find((item) => item.columns.some((column) => column.name === name));
  const column = owner?.columns.find((one) => one.name === name);
  return owner === undefined || column === undefined ? column : { ...column, owner };
}

/** The side whose column a merged one is; in a FULL JOIN it is neither's. Source: buildMergedJoinVar in PostgreSQL's parse_clause.c. */
function ownerSide(
  jointype: unknown,
  left: ScopeColumn | undefined,
  right: ScopeColumn | undefined,
): FromItem | undefined {
  if (jointype === 'JOIN_FULL') return undefined;
  return jointype === 'JOIN_RIGHT' ? right?.owner : left?.owner;
}

/** A merged column as `*` shows it: by its owner, since a table joined further on may have the name too. */
function mergedSql({ owner, typeOid, name }: ScopeColumn): string {
  const isOwned = owner?.alias !== undefined && typeOid !== undefined;
  return `${isOwned ? `${quoteIdentifier(owner.alias ?? '')}.` : ''}${quoteIdentifier(name)}`;
}

/** Columns of USING come first in `*`, then the rest of either side. The comparison itself must not see hidden rows. */
function mergeStar(
  left: FromNode,
  right: FromNode,
  using: readonly string[],
  merged: Map<string, ScopeColumn>,
  content: Tree,
  context: Context,
): readonly StarEntry[] {
  const first: StarEntry[] = [];
  for (const name of using) {
    const sides = [sideColumn(left, name), sideColumn(right, name)];
    const [a, b] = sides;
    const guards = sides.flatMap((column) => column?.guards ?? []);
    const leakproof =
      a?.leakproof === true &&
      b?.leakproof === true &&
      isLeakproofOperator('=', a.typeOid, b.typeOid, context.input.catalog);
    if (!leakproof)
      for (const guard of guards) {
        if (guard.fence === undefined) guard.request();
        else guard.fence();
      }
    for (const side of [...left.items, ...right.items]) side.used?.add(name);
    for (const side of sides) if (side?.fact !== undefined) context.facts.columns.add(side.fact);
    const owner = ownerSide(content['jointype'], a, b);
    const column: ScopeColumn = {
      name,
      ...(owner === undefined ? {} : { owner }),
      typeOid: a?.typeOid === b?.typeOid ? a?.typeOid : undefined,
      guards,
      leakproof,
      ...(a?.fact === undefined ? {} : { fact: a.fact }),
    };
    merged.set(name, column);
    first.push({ kind: 'column', sql: mergedSql(column), column, item: undefined });
  }
  const names = new Set(using);
  const rest = [...left.star, ...right.star].filter((entry) => entry.kind === 'item' || !names.has(entry.column.name));
  return [...first, ...rest];
}

function columnDefinitions(list: readonly Tree[], context: Context): readonly ScopeColumn[] {
  return list.map((element) => {
    const definition = asNode(element, 'ColumnDef') ?? refuse('not_supported', { subject: 'a column definition' });
    const typeOid = resolveTypeName(treeField(definition, 'typeName') ?? {}, context);
    return { name: stringField(definition, 'colname') ?? '', typeOid, guards: [], leakproof: true };
  });
}

/** Built-in functions with one result that has a name of its own, which an alias for the item does not replace. */
const NAMED_RESULTS: ReadonlyMap<string, string> = new Map([
  ['json_array_elements', 'value'],
  ['json_array_elements_text', 'value'],
  ['jsonb_array_elements', 'value'],
  ['jsonb_array_elements_text', 'value'],
  ['pg_partition_ancestors', 'relid'],
]);

function resultName(call: Tree): string | undefined {
  return NAMED_RESULTS.get(nameList(asNode(call, 'FuncCall') ?? {}, 'funcname').at(-1) ?? '');
}

function rangeFunction(content: Tree, scope: Scope, context: Context): FromNode {
  const functions = listField(content, 'functions').map((pair) => listField(asNode(pair, 'List') ?? {}, 'items'));
  const infos: ExpressionInfo[] = [];
  const columns: ScopeColumn[] = [];
  let complete = true;
  const alias = aliasOf(content);
  for (const [call, definitions] of functions) {
    if (call === undefined) refuse('not_supported', { subject: 'ROWS FROM' });
    const info = walkExpression(call, scope, context);
    noteLeakyOuter(scope, info);
    infos.push(info);
    const typed = listField(asNode(definitions, 'List') ?? {}, 'items');
    if (typed.length > 0) columns.push(...columnDefinitions(typed, context));
    else if (context.scalarCalls.has(call))
      columns.push({
        name: resultName(call) ?? (functions.length === 1 && alias.name !== undefined ? alias.name : columnName(call)),
        typeOid: info.typeOid,
        guards: [],
        leakproof: true,
      });
    else complete = false;
  }
  const typed = columnDefinitions(listField(content, 'coldeflist'), context);
  if (typed.length > 0) {
    columns.push(...typed);
    complete = true;
  }
  if (booleanField(content, 'ordinality'))
    columns.push({ name: 'ordinality', typeOid: 20, guards: [], leakproof: true });
  const { guards } = combine(infos);
  scope.raises = true;
  const named = complete
    ? columns.map((column, i) => ({ ...column, name: alias.columns[i] ?? column.name }))
    : [...columns, ...alias.columns.map((name) => ({ name, typeOid: undefined, guards: [], leakproof: true }))];
  const first = functions[0]?.[0];
  return single({
    alias: alias.name ?? (first === undefined ? undefined : columnName(first)),
    columns: named.map((column) => ({ ...column, guards, leakproof: guards.length === 0 })),
    complete,
    replaced: false,
    extras: () => [],
    allGuards: guards,
  });
}

function tableFunctionItem(
  content: Tree,
  columns: readonly ScopeColumn[],
  infos: readonly ExpressionInfo[],
  scope: Scope,
): FromNode {
  const all = combine(infos);
  noteLeakyOuter(scope, { ...all, leakproof: false });
  const alias = aliasOf(content);
  const named = columns.map((column, i) => ({
    ...column,
    name: alias.columns[i] ?? column.name,
    guards: all.guards,
    leakproof: all.guards.length === 0,
  }));
  return single({
    alias: alias.name,
    columns: named,
    complete: true,
    replaced: false,
    extras: () => [],
    allGuards: all.guards,
  });
}

function xmlTable(content: Tree, scope: Scope, context: Context): FromNode {
  const infos = [walkField(content, 'docexpr', scope, context), walkField(content, 'rowexpr', scope, context)];
  for (const namespace of listField(content, 'namespaces'))
    infos.push(walkField(asNode(namespace, 'ResTarget') ?? {}, 'val', scope, context));
  const columns = listField(content, 'columns').map((element) => {
    const column = asNode(element, 'RangeTableFuncCol') ?? refuse('not_supported', { subject: 'XMLTABLE' });
    const type = treeField(column, 'typeName');
    infos.push(walkField(column, 'colexpr', scope, context), walkField(column, 'coldefexpr', scope, context));
    return {
      name: stringField(column, 'colname') ?? '',
      typeOid: type === undefined ? 23 : resolveTypeName(type, context),
      guards: [],
      leakproof: true,
    };
  });
  return tableFunctionItem(content, columns, infos, scope);
}

function jsonColumns(
  list: readonly Tree[],
  scope: Scope,
  context: Context,
  infos: ExpressionInfo[],
): readonly ScopeColumn[] {
  return list.flatMap((element) => {
    const column = asNode(element, 'JsonTableColumn') ?? refuse('not_supported', { subject: 'JSON_TABLE' });
    const type = treeField(column, 'typeName');
    const typeOid = type === undefined ? undefined : resolveTypeName(type, context);
    for (const key of ['on_empty', 'on_error']) {
      const behavior = treeField(column, key);
      if (behavior !== undefined)
        infos.push(walkField(asNode(behavior, 'JsonBehavior') ?? behavior, 'expr', scope, context));
    }
    const nested = jsonColumns(listField(column, 'columns'), scope, context, infos);
    const name = stringField(column, 'name');
    return stringField(column, 'coltype') === 'JTC_NESTED' || name === undefined
      ? nested
      : [{ name, typeOid, guards: [], leakproof: true }];
  });
}

function jsonTable(content: Tree, scope: Scope, context: Context): FromNode {
  const infos: ExpressionInfo[] = [jsonValue(treeField(content, 'context_item') ?? {}, scope, context)];
  for (const argument of listField(content, 'passing')) {
    const value = treeField(asNode(argument, 'JsonArgument') ?? {}, 'val');
    if (value !== undefined) infos.push(jsonValue(value, scope, context));
  }
  const behavior = treeField(content, 'on_error') ?? {};
  infos.push(walkField(asNode(behavior, 'JsonBehavior') ?? behavior, 'expr', scope, context));
  const columns = jsonColumns(listField(content, 'columns'), scope, context, infos);
  return tableFunctionItem(content, columns, infos, scope);
}

function tableSample(content: Tree, scope: Scope, context: Context, element: Tree): FromNode {
  const relation =
    treeField(treeField(content, 'relation') ?? {}, 'RangeVar') ?? refuse('not_supported', { subject: 'TABLESAMPLE' });
  const method = nameList(content, 'method').at(-1) ?? '';
  if (!['bernoulli', 'system'].includes(method)) refuse('function_not_allowed', { subject: `TABLESAMPLE ${method}` });
  const expressions = [
    ...walkList(content, 'args', newScope(undefined), context),
    walkField(content, 'repeatable', newScope(undefined), context),
  ];
  if (expressions.some((info) => info.guards.length > 0))
    refuse('not_supported', { subject: 'TABLESAMPLE of an expression' });
  // The clause is written anew inside the sub-select: another number there is another text.
  markLiteralsIn(sampleRange(content, context), context);
  return single(referenceRelation(element, relation, scope, context, content));
}

type WalkFrom = (content: Tree, scope: Scope, context: Context, element: Tree) => FromNode;

const FROM_NODES: ReadonlyMap<string, WalkFrom> = new Map<string, WalkFrom>([
  ['RangeVar', (content, scope, context, element) => single(referenceRelation(element, content, scope, context))],
  ['RangeSubselect', subselect],
  ['JoinExpr', join],
  ['RangeFunction', rangeFunction],
  ['RangeTableSample', tableSample],
  ['RangeTableFunc', xmlTable],
  ['JsonTable', jsonTable],
]);
