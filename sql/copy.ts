/** COPY: out of the identity's view, in to columns it may set; never files and programs of the server. */
import { walkExpression } from './walk.ts';
import { processQuery, withNestedFacts } from './query-info.ts';
import { clauseRange, nameRange, textRange } from './extents.ts';
import { quoteIdentifier, quoteQualified } from './identifiers.ts';
import { parseExpression, parseSql, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { noteRead, qualifyName, refuseRelation, resolveRelation } from './relation-reference.ts';
import { printBare, type RelationView, type ViewColumn } from './relation-view.ts';
import type { CatalogRelation } from './catalog.ts';
import type { WriteInfo } from './returning.ts';
import { newScope } from './scope.ts';
import { replaceText, surroundText, type Context } from './statement-context.ts';
import {
  asNode,
  booleanField,
  listField,
  locationOf,
  nameList,
  remove,
  stringField,
  treeField,
  unwrap,
} from './tree-access.ts';
import { wrapNode } from './wrap-node.ts';
import { foreignKeyChecks, raisingCondition } from './write-check.ts';
import { columnRules, relationTree, requireColumn, requireSettable } from './write-columns.ts';
import { newRowItem, resolveTarget, targetName, type GrantedTarget, type WriteTarget } from './write-target.ts';

const OPTIONS: ReadonlySet<string> = new Set([
  'format',
  'delimiter',
  'null',
  'default',
  'header',
  'quote',
  'escape',
  'force_quote',
  'force_not_null',
  'force_null',
  'encoding',
  'on_error',
  'reject_limit',
  'log_verbosity',
]);

const WHERE_WORD: ReadonlySet<string> = new Set(['WHERE']);
const NO_WORDS: ReadonlySet<string> = new Set();

const UTF8: ReadonlySet<string> = new Set(['utf8', 'utf-8', 'unicode']);

/** Walks the options; answers the columns that they name. */
function optionColumns(content: Tree): readonly string[] {
  return listField(content, 'options').flatMap((element) => {
    const option = asNode(element, 'DefElem') ?? refuse('not_supported', { subject: 'a COPY option' });
    const name = stringField(option, 'defname') ?? '';
    if (!OPTIONS.has(name)) refuse('not_supported', { subject: `COPY option ${name}`, location: locationOf(option) });
    const argument = treeField(option, 'arg');
    if (name === 'encoding') {
      const encoding = stringField(asNode(argument, 'String') ?? {}, 'sval') ?? '';
      if (!UTF8.has(encoding.toLowerCase()))
        refuse('not_supported', { subject: `COPY with encoding ${encoding}`, advice: 'the gate speaks UTF8' });
    }
    return nameList(asNode(argument, 'List') ?? {}, 'items');
  });
}

/** Walks a COPY statement. `writeQuery` walks `COPY (INSERT ... RETURNING ...)`. Throws RefusalError. */
export function processCopy(
  content: Tree,
  context: Context,
  writeQuery: (tag: string, content: Tree) => WriteInfo,
): 'in' | 'out' {
  if (booleanField(content, 'is_program') || stringField(content, 'filename') !== undefined) {
    refuse('statement_not_allowed', {
      subject: booleanField(content, 'is_program') ? 'COPY with a program' : 'COPY with a file of the server',
      advice: 'use COPY ... TO STDOUT or FROM STDIN',
    });
  }
  const named = optionColumns(content);
  const query = treeField(content, 'query');
  if (query !== undefined) {
    copyQuery(query, context, writeQuery);
    return 'out';
  }
  const rangeVar = treeField(content, 'relation') ?? refuse('not_supported', { subject: 'COPY' });
  if (booleanField(content, 'is_from')) {
    copyIn(content, named, context);
    return 'in';
  }
  copyOut(content, rangeVar, named, context);
  return 'out';
}

function copyQuery(query: Tree, context: Context, writeQuery: (tag: string, content: Tree) => WriteInfo): void {
  const [tag, inner] = unwrap(query);
  if (tag === 'SelectStmt') {
    withNestedFacts(context, 'SELECT', () => {
      context.facts.hasWhere = inner['whereClause'] !== undefined;
      processQuery(inner, undefined, context, { level: 'nested' });
    });
    return;
  }
  const written = writeQuery(tag, inner);
  if (written.extras().length > 0) {
    refuse('not_supported', {
      subject: 'COPY of a write under a row filter',
      advice: 'run the write on its own',
    });
  }
}

// --- COPY ... TO ---

function copyOut(content: Tree, rangeVar: Tree, named: readonly string[], context: Context): void {
  const resolved = resolveRelation(rangeVar, context) ?? refuseRelation(rangeVar, context);
  if (resolved.kind === 'temporary') return qualifyName(content, 'relation', 'pg_temp', resolved.name, context);
  const { relation } = resolved;
  if (resolved.kind !== 'granted') {
    return refuse('catalog_not_allowed', {
      subject: `${relation.schema}.${relation.name}`,
      advice: 'use COPY (SELECT ...) TO STDOUT',
      location: locationOf(rangeVar),
    });
  }
  const { view } = resolved;
  noteRead(relation, view, rangeVar, context);
  const attributes = nameList(content, 'attlist');
  for (const name of [...attributes, ...named]) requireViewColumn(relation, view, name);
  const columns = copiedColumns(relation, view, attributes);
  for (const column of columns) {
    const fact = `${relation.schema}.${relation.name}.${column.name}`;
    context.facts.columns.add(fact);
    if (column.mask !== undefined) context.masked.add(fact);
  }
  // The server refuses to copy a view by its name, and so it shall.
  if (view.isWhole || relation.kind === 'v')
    return qualifyName(content, 'relation', relation.schema, relation.name, context);
  if (relation.kind === 'p') {
    refuse('not_supported', {
      subject: `COPY of the partitioned table ${relation.schema}.${relation.name}`,
      advice: 'use COPY (SELECT ...) TO STDOUT',
      location: locationOf(rangeVar),
    });
  }
  replaceBySelect(content, rangeVar, selectSql(relation, view, columns), context);
}

function requireViewColumn(relation: CatalogRelation, view: RelationView, name: string): void {
  if (view.columns.some((column) => column.name === name)) return;
  refuse('undefined_object', {
    subject: `column "${name}" of relation "${relation.name}" does not exist`,
    sqlstate: '42703',
  });
}

/** The columns that are named, else all that COPY takes: not the generated ones. */
function copiedColumns(relation: CatalogRelation, view: RelationView, names: readonly string[]): readonly ViewColumn[] {
  if (names.length > 0) return names.flatMap((name) => view.columns.find((column) => column.name === name) ?? []);
  const generated = new Set(relation.columns.filter((column) => column.generated !== '').map((column) => column.name));
  return view.columns.filter((column) => !generated.has(column.name));
}

function selectSql(relation: CatalogRelation, view: RelationView, columns: readonly ViewColumn[]): string {
  const list = columns.map((column) => {
    const name = quoteIdentifier(column.name);
    return column.mask === undefined ? name : `${printBare(column.mask.expression)} AS ${name}`;
  });
  const filter = view.rowFilter === undefined ? '' : ` WHERE (${printBare(view.rowFilter.expression)})`;
  return `SELECT ${list.join(', ')} FROM ONLY ${quoteQualified(relation.schema, relation.name)}${filter}`;
}

function replaceBySelect(content: Tree, rangeVar: Tree, sql: string, context: Context): void {
  const { source } = context;
  const range = nameRange(source, locationOf(rangeVar));
  const last =
    source.tokens[range.last + 1]?.word === '(' ? (source.partner[range.last + 1] ?? range.last) : range.last;
  const place = textRange(source, { first: range.first, last });
  context.deferred.push(() => {
    replaceText(context, place, `(${sql})`);
    remove(content, 'relation');
    remove(content, 'attlist');
    content['query'] = parseSql(sql)[0]?.stmt ?? refuse('rewrite_uncertain');
  });
}

// --- COPY ... FROM ---

function copyIn(content: Tree, named: readonly string[], context: Context): void {
  const target = resolveTarget(content, ['Insert'], context);
  const attributes = nameList(content, 'attlist');
  if (target.kind === 'granted') judgeCopied(content, target, attributes, context);
  for (const name of named) requireColumn(target, name, undefined);
  walkCopyWhere(content, target, context);
  if (target.kind === 'granted') requireFilter(content, target, context);
}

/**
 * WHERE tests each row with its defaults, so that a condition which raises there is as good as WITH CHECK, as long as nothing changes the row
 * behind it: a trigger, or a generated column that the filter reads.
 */
function requireFilter(content: Tree, target: GrantedTarget, context: Context): void {
  const { rowFilter } = target.view;
  if (rowFilter === undefined) return;
  const generated = target.relation.columns.filter((column) => column.generated !== '').map((column) => column.name);
  const isChangedLater =
    relationTree(target.relation, context).some(({ hasTriggers }) => hasTriggers) ||
    rowFilter.columns.some((name) => generated.includes(name));
  if (isChangedLater) {
    refuse('not_supported', {
      subject: `COPY FROM on ${targetName(target)}, which has a row filter and a trigger or a generated column in it,`,
      advice: 'use INSERT ... VALUES with several rows',
      location: locationOf(target.rangeVar),
    });
  }
  const sql = raisingCondition(target, printBare(rowFilter.expression), context);
  const where = treeField(content, 'whereClause');
  if (where !== undefined) {
    const range = textRange(context.source, clauseRange(context.source, where, WHERE_WORD, NO_WORDS));
    const print = (inner: string): string => `CASE WHEN (${inner}) THEN ${sql} ELSE false END`;
    context.deferred.push(() => wrapNode(where, range, print, context));
    return;
  }
  const end = context.source.tokens[context.source.tokenFrom(context.statementEnd) - 1]?.end ?? context.statementEnd;
  context.deferred.push(() => {
    surroundText(context, { start: end, end }, '', ` WHERE ${sql}`);
    content['whereClause'] = parseExpression(sql);
  });
}

function judgeCopied(content: Tree, target: GrantedTarget, attributes: readonly string[], context: Context): void {
  const names =
    attributes.length > 0 ? attributes : copiedColumns(target.relation, target.view, []).map((column) => column.name);
  const rules = columnRules(target, context);
  for (const name of names) requireSettable(target, name, undefined, rules, context);
  const [foreignKey] = foreignKeyChecks(rules, new Set(names), true, context);
  if (foreignKey !== undefined) {
    refuse('not_supported', {
      subject: `COPY FROM on ${targetName(target)}, whose foreign key ${foreignKey.rule.name} refers to a table with a row filter,`,
      advice: 'use INSERT ... VALUES with several rows',
      location: locationOf(target.rangeVar),
    });
  }
  if (attributes.length > 0 || target.view.isWhole) return;
  const range = textRange(context.source, nameRange(context.source, locationOf(target.rangeVar)));
  context.deferred.push(() => {
    surroundText(context, { start: range.end, end: range.end }, '', ` (${names.map(quoteIdentifier).join(', ')})`);
    content['attlist'] = names.map((name) => ({ String: { sval: name } }));
  });
}

function walkCopyWhere(content: Tree, target: WriteTarget, context: Context): void {
  const where = treeField(content, 'whereClause');
  context.facts.hasWhere = where !== undefined;
  if (where === undefined) return;
  const scope = newScope(undefined);
  scope.items.push(newRowItem(target, target.alias));
  walkExpression(where, scope, context);
}
