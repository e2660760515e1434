/** The session's own temporary tables: CREATE TEMPORARY TABLE [AS], SELECT INTO TEMP, DROP, TRUNCATE. */
import { type Oid, qualifiedKey } from './catalog.ts';
import { walkExpression } from './walk.ts';
import { processQuery, type QueryInfo, withNestedFacts } from './query-info.ts';
import { quoteQualified } from './identifiers.ts';
import { nameRange, textRange } from './extents.ts';
import type { Tree } from './parser.ts';
import { resolveRelation, refuseRelation } from './relation-reference.ts';
import { refuse } from './refusal.ts';
import { newScope, type ScopeColumn } from './scope.ts';
import { replaceText, type Context } from './statement-context.ts';
import { asNode, booleanField, listField, locationOf, nameList, stringField, treeField } from './tree-access.ts';
import { isRegOid, resolveTypeName } from './type-cast.ts';

const PERMISSION = 'CREATE TEMPORARY TABLE';

/**
 * Its row type would stand before the type of that name wherever the agent writes it without a schema, whatever the search path. Row types
 * of tables do not count: no cast may name them, and the answer must not tell which tables exist.
 */
function isTypeName(name: string, context: Context): boolean {
  const { catalog, access } = context.input;
  return ['pg_catalog', ...access.schemas].some((schema) =>
    [name, `_${name}`].some((candidate) => {
      const type = catalog.typeByName.get(qualifiedKey(schema, candidate));
      const element = type?.category === 'A' ? catalog.typeByOid.get(type.elementOid) : type;
      return element !== undefined && element.kind !== 'c';
    }),
  );
}

/** Name of the temporary table that a statement makes; any other kind of table is refused. */
function temporaryName(relation: Tree | undefined, tag: string, context: Context): string {
  const name = relation === undefined ? undefined : stringField(relation, 'relname');
  const schema = relation === undefined ? undefined : stringField(relation, 'schemaname');
  const temporary =
    relation !== undefined &&
    stringField(relation, 'relpersistence') === 't' &&
    (schema === undefined || schema === 'pg_temp');
  if (name === undefined || !(temporary || schema === 'pg_temp'))
    return refuse('statement_not_allowed', { subject: tag });
  if (!context.input.access.allowedCommands.has(PERMISSION)) refuse('statement_not_allowed', { subject: PERMISSION });
  if (isTypeName(name, context)) {
    refuse('statement_not_allowed', { subject: `${tag} ${name}`, advice: 'a type has that name; choose another' });
  }
  if (/^(?:pg_|postern_)/.test(name))
    refuse('statement_not_allowed', {
      subject: `${tag} ${name}`,
      advice: 'names that begin with pg_ or postern_ are reserved',
    });
  return name;
}

const PLAIN_CONSTRAINTS: ReadonlySet<string> = new Set([
  'CONSTR_NOTNULL',
  'CONSTR_NULL',
  'CONSTR_PRIMARY',
  'CONSTR_UNIQUE',
  'CONSTR_IDENTITY',
  'CONSTR_ATTR_DEFERRABLE',
  'CONSTR_ATTR_NOT_DEFERRABLE',
  'CONSTR_ATTR_DEFERRED',
  'CONSTR_ATTR_IMMEDIATE',
]);
const EXPRESSION_CONSTRAINTS: ReadonlySet<string> = new Set(['CONSTR_DEFAULT', 'CONSTR_CHECK', 'CONSTR_GENERATED']);

function checkConstraint(element: Tree, columns: readonly ScopeColumn[], context: Context): void {
  const constraint = asNode(element, 'Constraint') ?? refuse('not_supported', { subject: 'a table constraint' });
  const kind = stringField(constraint, 'contype') ?? '';
  if (PLAIN_CONSTRAINTS.has(kind)) return;
  if (!EXPRESSION_CONSTRAINTS.has(kind))
    return refuse('not_supported', {
      subject: kind.replace('CONSTR_', '').toLowerCase(),
      advice: 'not in a temporary table',
    });
  const expression = treeField(constraint, 'raw_expr');
  if (expression === undefined) return;
  const scope = newScope(undefined);
  scope.items.push({ alias: undefined, columns, complete: true, replaced: false, extras: () => [], allGuards: [] });
  walkExpression(expression, scope, context);
}

/** Not types: the grammar's way to say a number with a sequence of its own (parse_utilcmd.c, transformColumnDefinition). */
const SERIAL_TYPES: ReadonlyMap<string, Oid> = new Map([
  ['smallserial', 21],
  ['serial2', 21],
  ['serial', 23],
  ['serial4', 23],
  ['bigserial', 20],
  ['serial8', 20],
]);

function columnTypeOid(typeName: Tree, context: Context): Oid | undefined {
  const [name, ...more] = nameList(typeName, 'names');
  const serial = name === undefined || more.length > 0 ? undefined : SERIAL_TYPES.get(name);
  const isPlain = typeName['pct_type'] !== true && listField(typeName, 'arrayBounds').length === 0;
  return serial !== undefined && isPlain ? serial : resolveTypeName(typeName, context);
}

export function createTable(content: Tree, context: Context): void {
  const name = temporaryName(treeField(content, 'relation'), 'CREATE TABLE', context);
  for (const key of ['inhRelations', 'partbound', 'partspec', 'ofTypename', 'tablespacename', 'accessMethod']) {
    if (content[key] !== undefined) refuse('not_supported', { subject: `a temporary table with ${key}` });
  }
  const definitions = listField(content, 'tableElts').map((element) => {
    if (asNode(element, 'TableLikeClause') !== undefined)
      refuse('not_supported', {
        subject: 'LIKE in a temporary table',
        advice: 'use CREATE TEMPORARY TABLE ... AS SELECT',
      });
    return { element, column: asNode(element, 'ColumnDef') };
  });
  const columns = definitions.flatMap(({ column }) => {
    if (column === undefined) return [];
    const typeOid = columnTypeOid(treeField(column, 'typeName') ?? {}, context);
    return [{ name: stringField(column, 'colname') ?? '', typeOid, guards: [], leakproof: true }];
  });
  for (const { element, column } of definitions) {
    if (column === undefined) checkConstraint(element, columns, context);
    else for (const constraint of listField(column, 'constraints')) checkConstraint(constraint, columns, context);
  }
  context.effects.push({ kind: 'createTemporary', relation: { name, columns: columns.map((column) => column.name) } });
}

function created(name: string, into: Tree, query: QueryInfo, context: Context): void {
  const names = nameList(into, 'colNames');
  if (query.columns.some((column) => isRegOid(column.typeOid, context)))
    refuse('not_supported', { subject: 'a temporary table with a column of a reg* type', advice: 'cast it to text' });
  const columns = query.columns.map((column, i) => names[i] ?? column.name);
  context.deferred.push(() => {
    // Columns of ours (flags) would become columns of the table.
    if (query.state.exports.size > 0) refuse('not_supported', { subject: 'a temporary table of this query' });
  });
  context.effects.push({ kind: 'createTemporary', relation: query.complete ? { name, columns } : { name } });
}

export function createTableAs(content: Tree, context: Context): void {
  const into = treeField(content, 'into') ?? refuse('not_supported', { subject: 'CREATE TABLE AS' });
  if (stringField(content, 'objtype') !== 'OBJECT_TABLE')
    refuse('statement_not_allowed', { subject: 'CREATE MATERIALIZED VIEW' });
  const name = temporaryName(treeField(into, 'rel'), 'CREATE TABLE AS', context);
  refuseStorage(into);
  const query = treeField(content, 'query') ?? {};
  const select =
    treeField(query, 'SelectStmt') ??
    refuse('not_supported', { subject: 'CREATE TABLE AS EXECUTE', advice: 'write the query out' });
  const info = withNestedFacts(context, 'SELECT', () => processQuery(select, undefined, context, { level: 'nested' }));
  created(name, into, info, context);
}

function refuseStorage(into: Tree): void {
  for (const key of ['tableSpaceName', 'accessMethod'])
    if (into[key] !== undefined) refuse('not_supported', { subject: `a temporary table with ${key}` });
}

/** SELECT ... INTO TEMP t. */
export function selectInto(select: Tree, context: Context): QueryInfo {
  const into = treeField(select, 'intoClause') ?? refuse('not_supported', { subject: 'SELECT INTO' });
  const name = temporaryName(treeField(into, 'rel'), 'SELECT INTO', context);
  refuseStorage(into);
  const query = processQuery(select, undefined, context, { level: 'top' });
  created(name, into, query, context);
  return query;
}

function ownTable(relation: Tree, context: Context): string | undefined {
  const resolved = resolveRelation(relation, context);
  return resolved?.kind === 'temporary' ? resolved.name : undefined;
}

/** DROP TABLE of own temporary tables; the names are written with pg_temp. */
export function dropTable(content: Tree, context: Context): void {
  if (stringField(content, 'removeType') !== 'OBJECT_TABLE')
    return refuse('statement_not_allowed', { subject: 'DROP' });
  const missingOk = booleanField(content, 'missing_ok');
  const objects = listField(content, 'objects').map((object) => {
    const parts = nameList(asNode(object, 'List') ?? {}, 'items');
    const schema = parts.length > 1 ? parts.at(-2) : undefined;
    const name = parts.at(-1) ?? '';
    const isOwn = (schema === undefined || schema === 'pg_temp') && context.input.session.temporaryRelations.has(name);
    if (!isOwn && !missingOk)
      refuse('statement_not_allowed', {
        subject: 'DROP TABLE',
        advice: 'only temporary tables of this session can be dropped',
      });
    return { object, name };
  });
  const { source } = context;
  const start =
    source.tokens.find((token) => token.word === 'DROP' && token.start >= context.statementStart)?.start ??
    refuse('rewrite_uncertain');
  const names = objects.map(({ name }) => quoteQualified('pg_temp', name)).join(', ');
  const cascade = stringField(content, 'behavior') === 'DROP_CASCADE' ? ' CASCADE' : '';
  const last = source.tokens.findLast((token) => token.end <= context.statementEnd && token.kind !== 'semicolon');
  replaceText(
    context,
    { start, end: last?.end ?? refuse('rewrite_uncertain') },
    `DROP TABLE ${missingOk ? 'IF EXISTS ' : ''}${names}${cascade}`,
  );
  for (const { object, name } of objects)
    object['List'] = { items: ['pg_temp', name].map((part) => ({ String: { sval: part } })) };
  context.effects.push({ kind: 'dropTemporary', names: objects.map(({ name }) => name) });
}

/** TRUNCATE: own temporary tables; others where the policy allows the command and grants all rows for Delete. */
export function truncateTable(content: Tree, context: Context): void {
  for (const element of listField(content, 'relations')) {
    const relation = asNode(element, 'RangeVar') ?? refuse('not_supported', { subject: 'TRUNCATE' });
    const own = ownTable(relation, context);
    const range = textRange(context.source, nameRange(context.source, locationOf(relation)));
    if (own !== undefined) {
      replaceText(context, range, quoteQualified('pg_temp', own));
      relation['schemaname'] = 'pg_temp';
      continue;
    }
    if (!context.input.access.allowedCommands.has('TRUNCATE TABLE'))
      refuse('statement_not_allowed', { subject: 'TRUNCATE TABLE' });
    const resolved = resolveRelation(relation, context) ?? refuseRelation(relation, context, 'TRUNCATE');
    if (
      resolved.kind !== 'granted' ||
      !resolved.view.actions.has('Delete') ||
      resolved.view.rowFilter !== undefined ||
      stringField(content, 'behavior') === 'DROP_CASCADE'
    ) {
      return refuse('statement_not_allowed', { subject: 'TRUNCATE TABLE', advice: 'use DELETE' });
    }
    context.facts.relations.add(`${resolved.relation.schema}.${resolved.relation.name}`);
    context.writtenRelationOids.add(resolved.relation.oid);
    context.governed = true;
    replaceText(context, range, quoteQualified(resolved.relation.schema, resolved.relation.name));
    relation['schemaname'] = resolved.relation.schema;
  }
}

const INDEX_FIELDS: ReadonlySet<string> = new Set([
  'idxname',
  'relation',
  'accessMethod',
  'indexParams',
  'indexIncludingParams',
  'whereClause',
  'unique',
  'nulls_not_distinct',
  'if_not_exists',
]);

/** The session's own temporary table that a statement names, written with pg_temp; any other is refused. */
function requireOwn(relation: Tree | undefined, tag: string, context: Context): string {
  const name = relation === undefined ? undefined : ownTable(relation, context);
  if (relation === undefined || name === undefined) return refuse('statement_not_allowed', { subject: tag });
  replaceText(
    context,
    textRange(context.source, nameRange(context.source, locationOf(relation))),
    quoteQualified('pg_temp', name),
  );
  relation['schemaname'] = 'pg_temp';
  return name;
}

/** CREATE INDEX on an own temporary table. */
export function createIndex(content: Tree, context: Context): void {
  const name = requireOwn(treeField(content, 'relation'), 'CREATE INDEX', context);
  for (const key of Object.keys(content))
    if (!INDEX_FIELDS.has(key)) refuse('not_supported', { subject: `CREATE INDEX with ${key}` });
  const scope = newScope(undefined);
  const columns = (context.input.session.temporaryRelations.get(name)?.columns ?? []).map((column) => ({
    name: column,
    typeOid: undefined,
    guards: [],
    leakproof: true,
  }));
  scope.items.push({
    alias: name,
    columns,
    complete: false,
    replaced: false,
    temporary: true,
    extras: () => [],
    allGuards: [],
  });
  for (const element of [...listField(content, 'indexParams'), ...listField(content, 'indexIncludingParams')]) {
    const expression = treeField(
      asNode(element, 'IndexElem') ?? refuse('not_supported', { subject: 'CREATE INDEX' }),
      'expr',
    );
    if (expression !== undefined) walkExpression(expression, scope, context);
  }
  const where = treeField(content, 'whereClause');
  if (where !== undefined) walkExpression(where, scope, context);
}

/** ANALYZE of own temporary tables. */
export function analyzeTable(content: Tree, context: Context): void {
  const relations = listField(content, 'rels');
  if (booleanField(content, 'is_vacuumcmd')) refuse('statement_not_allowed', { subject: 'VACUUM' });
  if (relations.length === 0 || content['options'] !== undefined)
    refuse('statement_not_allowed', { subject: 'ANALYZE' });
  for (const element of relations)
    requireOwn(treeField(asNode(element, 'VacuumRelation') ?? {}, 'relation'), 'ANALYZE', context);
}
