/** RangeVar → what stands in its place: the relation itself schema-qualified, or a sub-select of the identity's view of it. */
import { isSystemSchema, qualifiedKey, type CatalogRelation } from './catalog.ts';
import { nameRange, textRange, type TokenRange } from './extents.ts';
import { displayQualified, quoteIdentifier, quoteQualified } from './identifiers.ts';
import { parseFromItem, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { printBare, type RelationView } from './relation-view.ts';
import {
  findCte,
  resolveItem,
  type FromItem,
  type Guard,
  type GuardCondition,
  type Scope,
  type ScopeColumn,
} from './scope.ts';
import { become, freshName, replaceText, type Context } from './statement-context.ts';
import { systemRelationView } from './system-catalogs.ts';
import { booleanField, locationOf, nameList, stringField, treeField, withFirst } from './tree-access.ts';
import { expandView, viewReadsGoverned } from './view-expansion.ts';

export type ResolvedRelation =
  | { readonly kind: 'granted'; readonly relation: CatalogRelation; readonly view: RelationView }
  | { readonly kind: 'system'; readonly relation: CatalogRelation }
  /** Read by a granted view, named by no policy: the view's owner may read it. */
  | { readonly kind: 'ungoverned'; readonly relation: CatalogRelation }
  | { readonly kind: 'temporary'; readonly name: string; readonly columns: readonly string[] | undefined };

/** A relation as the identity may name it: granted ones along the search path, the system's, the session's own temporary ones. */
export function resolveRelation(rangeVar: Tree, context: Context): ResolvedRelation | undefined {
  const { catalog, access, session } = context.input;
  const schema = stringField(rangeVar, 'schemaname');
  const name = stringField(rangeVar, 'relname') ?? '';
  const database = stringField(rangeVar, 'catalogname');
  if (database !== undefined && database !== catalog.databaseName)
    refuse('not_supported', { subject: 'a reference to another database', location: locationOf(rangeVar) });
  const temporary = session.temporaryRelations.get(name);
  const own = temporary === undefined ? undefined : ({ kind: 'temporary', name, columns: temporary.columns } as const);
  if (schema === 'pg_temp') return own;
  const path = schema === undefined ? ['pg_catalog', ...session.searchPath] : [schema];
  for (const candidate of path) {
    const relation = catalog.relationByName.get(qualifiedKey(candidate, name));
    if (relation === undefined) continue;
    if (isSystemSchema(candidate)) return { kind: 'system', relation };
    const view = access.views.get(relation.oid);
    if (view !== undefined) return { kind: 'granted', relation, view };
    if (context.trusted && !access.governedOids.has(relation.oid)) return { kind: 'ungoverned', relation };
  }
  return schema === undefined ? own : undefined;
}

/** The name as a message shows it: with the first schema of the search path where none was written. */
export function writtenName(rangeVar: Tree, context: Context): string {
  const schema = stringField(rangeVar, 'schemaname') ?? context.input.session.searchPath[0] ?? 'public';
  return displayQualified(schema, stringField(rangeVar, 'relname') ?? '');
}

export function refuseRelation(rangeVar: Tree, context: Context, action = 'SELECT'): never {
  return refuse('relation_not_granted', {
    subject: writtenName(rangeVar, context),
    action,
    location: locationOf(rangeVar),
  });
}

interface Extras {
  flag: string | undefined;
  fenced: boolean;
  readonly system: Set<string>;
  /** Columns that something reads, by their own names. */
  readonly used: Set<string>;
}

function cteItem(rangeVar: Tree, scope: Scope): FromItem | undefined {
  if (stringField(rangeVar, 'schemaname') !== undefined) return undefined;
  const name = stringField(rangeVar, 'relname') ?? '';
  const entry = findCte(scope, name);
  if (entry === undefined) return undefined;
  const alias = treeField(rangeVar, 'alias');
  const names = alias === undefined ? [] : nameList(alias, 'colnames');
  const ownName = (alias === undefined ? undefined : stringField(alias, 'aliasname')) ?? name;
  const keys = new Map<object, object>();
  const columns = entry.columns.map((column, i) => ({
    ...column,
    name: names[i] ?? column.name,
    guards: entry.guardsFor(i, scope).map((guard) => throughReference(guard, ownName, scope, keys)),
  }));
  return {
    alias: ownName,
    columns,
    complete: entry.complete,
    replaced: false,
    extras: entry.extras,
    allGuards: columns.flatMap((column) => column.guards),
  };
}

/** A flag of a common table expression stands in each reference to it: its name alone would be ambiguous, and the rows are not the same. */
function throughReference(guard: Guard, alias: string, scope: Scope, keys: Map<object, object>): Guard {
  if (guard.scope !== scope) return guard;
  const key = keys.get(guard.key) ?? {};
  keys.set(guard.key, key);
  const request = (from: Scope = scope): GuardCondition | undefined => {
    const condition = guard.request(from);
    if (condition?.kind !== 'flag') return condition;
    if (resolveItem(from, alias)?.scope.traits !== scope.traits)
      refuse('not_supported', { subject: `the name ${alias} for two relations in nested queries` });
    return { ...condition, qualifier: alias };
  };
  return { ...guard, key, request };
}

/** Walks one relation of FROM. `node` is the wrapped RangeVar, or the RangeTableSample around it (then `sample` is its content). */
export function referenceRelation(node: Tree, rangeVar: Tree, scope: Scope, context: Context, sample?: Tree): FromItem {
  if (sample === undefined) {
    const cte = cteItem(rangeVar, scope);
    if (cte !== undefined) return cte;
  }
  const resolved = resolveRelation(rangeVar, context) ?? refuseRelation(rangeVar, context);
  const alias = treeField(rangeVar, 'alias');
  const hasAlias = alias !== undefined;
  const name =
    (alias === undefined ? undefined : stringField(alias, 'aliasname')) ?? stringField(rangeVar, 'relname') ?? '';
  const renames = alias === undefined ? [] : nameList(alias, 'colnames');
  if (resolved.kind === 'temporary') return temporaryItem(node, resolved, name, renames, context);
  if (resolved.kind === 'system')
    return systemItem({ node, rangeVar, sample, name, hasAlias, renames }, resolved.relation, scope, context);
  if (resolved.kind === 'ungoverned') return ungovernedItem(resolved.relation, name, hasAlias, renames);
  return grantedItem(
    { node, rangeVar, sample, name, hasAlias, renames },
    resolved.relation,
    resolved.view,
    scope,
    context,
  );
}

function rename(columns: readonly ScopeColumn[], names: readonly string[]): readonly ScopeColumn[] {
  return names.length === 0 ? columns : columns.map((column, i) => ({ ...column, name: names[i] ?? column.name }));
}

function temporaryItem(
  node: Tree,
  resolved: Extract<ResolvedRelation, { kind: 'temporary' }>,
  alias: string,
  renames: readonly string[],
  context: Context,
): FromItem {
  qualifyName(node, 'RangeVar', 'pg_temp', resolved.name, context);
  const columns = (resolved.columns ?? []).map((column) => ({
    name: column,
    typeOid: undefined,
    guards: [],
    leakproof: true,
  }));
  return {
    alias,
    columns: rename(columns, renames),
    complete: resolved.columns !== undefined,
    replaced: false,
    temporary: true,
    extras: () => [],
    allGuards: [],
  };
}

/** Writes the schema in front of a name that stays. `holder[field]` is its RangeVar. */
export function qualifyName(holder: Tree, field: string, schema: string, name: string, context: Context): void {
  const rangeVar = treeField(holder, field) ?? refuse('rewrite_uncertain');
  context.deferred.push(() => {
    const range = textRange(context.source, nameRange(context.source, locationOf(rangeVar)));
    replaceText(context, range, quoteQualified(schema, name));
    const { catalogname: _database, ...named } = rangeVar;
    holder[field] = withFirst(named, 'schemaname', schema);
  });
}

/** Name of a relation in the text with what belongs to it: ONLY, its parentheses, a trailing star. */
function referenceRange(rangeVar: Tree, context: Context): TokenRange {
  const { source } = context;
  let { first, last } = nameRange(source, locationOf(rangeVar));
  const before = source.tokens[first - 1];
  if (!booleanField(rangeVar, 'inh')) {
    if (before?.word === '(' && source.tokens[first - 2]?.word === 'ONLY') {
      first -= 2;
      last += 1;
    } else if (before?.word === 'ONLY') first -= 1;
  } else if (source.tokens[last + 1]?.word === '*') last += 1;
  return { first, last };
}

/** Replaces a reference by a sub-select; `TABLE t` becomes `SELECT * FROM ...`. */
function replaceReference(
  node: Tree,
  rangeVar: Tree,
  sql: string,
  hasAlias: boolean,
  context: Context,
  sampleRange?: TokenRange,
): void {
  const { source } = context;
  const range = referenceRange(rangeVar, context);
  const relname = stringField(rangeVar, 'relname') ?? '';
  const suffix = hasAlias ? '' : ` AS ${quoteIdentifier(relname)}`;
  const before = source.tokens[range.first - 1];
  if (before?.word === 'TABLE') replaceText(context, before, 'SELECT * FROM');
  replaceText(context, textRange(source, range), `${sql}${suffix}`, `(SELECT)${suffix}`);
  if (sampleRange !== undefined) replaceText(context, textRange(source, sampleRange), '');
  const alias = treeField(rangeVar, 'alias') ?? { aliasname: relname };
  // The fragment is one sub-query in parentheses by itself (parsed once, and remembered), so it may stand wherever another one may.
  if (treeField(parseFromItem(`${sql} AS x`), 'RangeSubselect') === undefined) refuse('rewrite_uncertain');
  become(node, { RangeSubselect: { ...treeField(parseFromItem('(SELECT) AS x'), 'RangeSubselect'), alias } });
}

/** Left as the definition has it: pg_get_viewdef has written its name in full. */
function ungovernedItem(
  relation: CatalogRelation,
  alias: string,
  hasAlias: boolean,
  renames: readonly string[],
): FromItem {
  const columns = relation.columns.map((column) => ({
    name: column.name,
    typeOid: column.typeOid,
    guards: [],
    leakproof: true,
  }));
  return {
    alias,
    columns: rename(columns, renames),
    complete: true,
    replaced: false,
    allGuards: [],
    extras: () => [],
    relation: { schema: relation.schema, name: relation.name, oid: relation.oid, hasAlias },
  };
}

/** The catalog's own filter holds by a fence: introspection seldom has conditions that could raise. */
function fencingGuard(extras: { fenced: boolean }, scope: Scope): Guard {
  const fence = (): undefined => {
    extras.fenced = true;
    return undefined;
  };
  return { scope, key: extras, request: fence, fence };
}

function systemItem(reference: Reference, relation: CatalogRelation, scope: Scope, context: Context): FromItem {
  const { node, rangeVar, name: alias, hasAlias, renames } = reference;
  const subject = displayQualified(relation.schema, relation.name);
  const extras = { fenced: false };
  const guards = [fencingGuard(extras, scope)];
  const system = new Set<string>();
  const probe = systemRelationView(relation, context.visible());
  if (probe.kind === 'refused')
    refuse('catalog_not_allowed', { subject, advice: probe.reason, location: locationOf(rangeVar) });
  const replaced = probe.kind === 'filtered';
  if (replaced) {
    context.deferred.push(() => {
      const final = systemRelationView(relation, context.visible(), { systemColumns: [...system] });
      if (final.kind !== 'filtered') refuse('rewrite_uncertain');
      const fence = extras.fenced ? ' OFFSET 0' : '';
      replaceReference(node, rangeVar, `(${final.sql}${fence})`, hasAlias, context);
    });
  } else qualifyName(node, 'RangeVar', relation.schema, relation.name, context);
  if (replaced) context.concealed = true;
  const columns = relation.columns.map((column) => ({
    name: column.name,
    typeOid: column.typeOid,
    guards: replaced ? guards : [],
    leakproof: true,
  }));
  context.facts.relations.add(`${relation.schema}.${relation.name}`);
  return {
    alias,
    columns: rename(columns, renames),
    complete: true,
    replaced,
    allGuards: replaced ? guards : [],
    relation: { schema: relation.schema, name: relation.name, oid: relation.oid, hasAlias },
    extras: () => [...system],
    systemColumn: (name) => {
      if (replaced) system.add(name);
      return { name, typeOid: undefined, guards: replaced ? guards : [], leakproof: true };
    },
  };
}

interface Reference {
  readonly node: Tree;
  readonly rangeVar: Tree;
  readonly sample: Tree | undefined;
  readonly name: string;
  readonly hasAlias: boolean;
  readonly renames: readonly string[];
}

/** Refuses what may not be read; notes the read in the facts. */
export function noteRead(relation: CatalogRelation, view: RelationView, rangeVar: Tree, context: Context): void {
  const subject = displayQualified(relation.schema, relation.name);
  if (!view.actions.has('Select'))
    refuse('action_not_granted', { subject, action: 'SELECT', location: locationOf(rangeVar) });
  if (view.conflict !== undefined)
    refuse('relation_conflicted', { subject, advice: view.conflict, location: locationOf(rangeVar) });
  context.facts.relations.add(`${relation.schema}.${relation.name}`);
  context.readRelationOids.add(relation.oid);
  context.governed = true;
  if (view.rowFilter !== undefined) context.rowFilters.add(`${relation.schema}.${relation.name}`);
  if (!view.isWhole) context.concealed = true;
}

function grantedItem(
  reference: Reference,
  relation: CatalogRelation,
  view: RelationView,
  scope: Scope,
  context: Context,
): FromItem {
  const { node, rangeVar, name, hasAlias } = reference;
  noteRead(relation, view, rangeVar, context);
  const expanded =
    relation.kind === 'v' && viewReadsGoverned(relation, context) ? expandView(relation, context) : undefined;
  const replaced = !view.isWhole || expanded !== undefined;
  const extras: Extras = { flag: undefined, fenced: false, system: new Set(), used: new Set() };
  const guard: Guard | undefined =
    view.rowFilter === undefined && expanded?.guarded !== true
      ? undefined
      : {
          scope,
          key: extras,
          request: () => {
            if (extras.fenced) return undefined;
            if (expanded?.guarded === true) {
              extras.fenced = true;
              return undefined;
            }
            extras.flag ??= freshName(context, 'flag');
            return { kind: 'flag', name: extras.flag };
          },
          fence: () => {
            extras.fenced = true;
          },
        };
  const guards = guard === undefined ? [] : [guard];
  const fact = (column: string): string => `${relation.schema}.${relation.name}.${column}`;
  const columns = view.columns.map((column) => ({
    name: column.name,
    typeOid: column.typeOid,
    guards,
    leakproof: true,
    fact: fact(column.name),
  }));
  if (replaced) {
    context.deferred.push(() => {
      const sql = viewSelect(relation, view, extras, expanded?.sql, reference, context);
      replaceReference(
        node,
        rangeVar,
        sql,
        hasAlias,
        context,
        reference.sample === undefined ? undefined : sampleRange(reference.sample, context),
      );
      checkLockedFence(extras, scope);
    });
  } else
    qualifyName(
      reference.sample === undefined ? node : (treeField(reference.sample, 'relation') ?? node),
      'RangeVar',
      relation.schema,
      relation.name,
      context,
    );
  return {
    alias: name,
    columns: rename(columns, reference.renames),
    complete: true,
    view,
    replaced,
    used: extras.used,
    allGuards: guards,
    relation: { schema: relation.schema, name: relation.name, oid: relation.oid, hasAlias },
    extras: () => [...(extras.flag === undefined ? [] : [extras.flag]), ...extras.system],
    systemColumn: (column) => {
      if (expanded !== undefined) refuseSystemColumn(column, relation, 'a view has no system columns');
      return systemColumn(column, relation, view, replaced, extras, context);
    },
  };
}

/** A fence and a row lock together would lock every row of the view. */
function checkLockedFence(extras: Extras, scope: Scope): void {
  if (extras.fenced && scope.locked)
    refuse('not_supported', { subject: 'FOR UPDATE with a condition that cannot stand behind a row filter' });
}

function refuseSystemColumn(name: string, relation: CatalogRelation, advice: string): never {
  return refuse('system_column_not_allowed', {
    subject: `${displayQualified(relation.schema, relation.name)}.${name}`,
    advice,
  });
}

const SYSTEM_COLUMN_TYPES: ReadonlyMap<string, number> = new Map([
  ['ctid', 27],
  ['xmin', 28],
  ['tableoid', 26],
]);

function systemColumn(
  name: string,
  relation: CatalogRelation,
  view: RelationView,
  replaced: boolean,
  extras: Extras,
  context: Context,
): ScopeColumn {
  const typeOid = SYSTEM_COLUMN_TYPES.get(name);
  if (view.rowFilter !== undefined) refuseSystemColumn(name, relation, 'the table has a row filter');
  if (relation.kind === 'v') refuseSystemColumn(name, relation, 'a view has no system columns');
  if (typeOid === undefined) refuseSystemColumn(name, relation, 'only ctid, xmin and tableoid may be read');
  if (replaced && context.natural) refuse('not_supported', { subject: 'system columns together with NATURAL JOIN' });
  if (replaced) extras.system.add(name);
  return { name, typeOid, guards: [], leakproof: true };
}

/** TABLESAMPLE with its arguments. */
export function sampleRange(sample: Tree, context: Context): TokenRange {
  const { source } = context;
  // The node's place is that of the method's name or of the keyword, by version; the keyword is looked for.
  let first = source.tokenAt(locationOf(sample));
  while (first > 0 && source.tokens[first]?.word !== 'TABLESAMPLE') first -= 1;
  let open = first;
  while (open < source.tokens.length && source.tokens[open]?.word !== '(') open += 1;
  let last = source.partner[open] ?? open;
  if (source.tokens[last + 1]?.word === 'REPEATABLE') last = source.partner[last + 2] ?? last;
  return { first, last };
}

/** The identity's view of a relation as a parenthesised sub-select. */
function viewSelect(
  relation: CatalogRelation,
  view: RelationView,
  extras: Extras,
  expansion: string | undefined,
  reference: Reference,
  context: Context,
): string {
  // Every name of the statement has been resolved: a column that nothing reads need not be computed, nor parsed again. Where a name was
  // left to the server, or columns are named by position, all stay.
  const allUsed = context.hasUnresolved || context.trusted || context.natural || reference.renames.length > 0;
  const listed = allUsed ? view.columns : view.columns.filter((column) => extras.used.has(column.name));
  const columns = listed.map((column) => {
    const name = quoteIdentifier(column.name);
    if (column.mask === undefined) return name;
    return `${printBare(column.mask.expression)} AS ${name}`;
  });
  const filter = view.rowFilter === undefined ? undefined : printBare(view.rowFilter.expression);
  if (extras.flag !== undefined && filter !== undefined)
    columns.push(`((${filter}) IS TRUE) AS ${quoteIdentifier(extras.flag)}`);
  columns.push(...[...extras.system].map(quoteIdentifier));
  const only = booleanField(reference.rangeVar, 'inh') ? '' : 'ONLY ';
  const sampled = reference.sample === undefined ? '' : ` ${sliceOf(sampleRange(reference.sample, context), context)}`;
  const from =
    expansion === undefined
      ? `${only}${quoteQualified(relation.schema, relation.name)}${sampled}`
      : `${expansion} AS ${quoteIdentifier(relation.name)}`;
  const where = filter === undefined ? '' : ` WHERE (${filter})`;
  return `(SELECT ${columns.join(', ')} FROM ${from}${where}${extras.fenced ? ' OFFSET 0' : ''})`;
}

function sliceOf(range: TokenRange, context: Context): string {
  const { start, end } = textRange(context.source, range);
  return context.source.text.slice(start, end);
}
