/** RETURNING: the target's columns as the identity's view has them, OLD and NEW, and the columns that check new rows. */
import { walkExpression } from './walk.ts';
import { starOf } from './star.ts';
import { NOTHING, TARGETS_END, clauseEnd, firstToken } from './extents.ts';
import { quoteIdentifier } from './identifiers.ts';
import { columnName } from './output-name.ts';
import { parseTargets, type Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { FromItem, Scope, ScopeColumn } from './scope.ts';
import { expandStars } from './star.ts';
import { freshName, surroundText, type Context } from './statement-context.ts';
import { asNode, listField, locationOf, stringField, treeField, withFirst } from './tree-access.ts';
import { checkSql, type RowCheck } from './write-check.ts';
import { requireAction, returningItem, type WriteTarget } from './write-target.ts';

/** What a write offers to the level around it: the columns of its RETURNING. */
export interface WriteInfo {
  readonly columns: readonly ScopeColumn[];
  readonly complete: boolean;
  /** Columns of ours at the end, which `*` must not show. */
  readonly extras: () => readonly string[];
}

export interface ReturningInput {
  readonly target: WriteTarget;
  /** The level of the statement, with the items of FROM or USING. */
  readonly scope: Scope;
  /** Items beside the target, in the order of `*`. */
  readonly others: readonly FromItem[];
  /** MERGE lists the source's columns first. */
  readonly targetLast: boolean;
  readonly check: RowCheck | undefined;
  readonly level: 'top' | 'nested';
}

/** Index of the last token of a write, whose target's name stands in it. */
export function lastToken(target: WriteTarget, context: Context): number {
  const { source } = context;
  return clauseEnd(source, source.tokenAt(locationOf(target.rangeVar)), NOTHING);
}

/** UTF-16 offset behind a token. */
export function endOf(index: number, context: Context): number {
  return context.source.tokens[index]?.end ?? refuse('rewrite_uncertain');
}

/** Names under which PostgreSQL 18 offers the row before and after; another name takes the default's place. */
function rowNames(clause: Tree, target: WriteTarget, context: Context): readonly string[] {
  if (context.input.catalog.serverVersionNum < 180_000) return [];
  let before = 'old';
  let after = 'new';
  for (const element of listField(clause, 'options')) {
    const option = asNode(element, 'ReturningOption') ?? refuse('not_supported', { subject: 'RETURNING WITH' });
    const name = stringField(option, 'value') ?? '';
    if (stringField(option, 'option') === 'RETURNING_OPTION_NEW') after = name;
    else before = name;
  }
  return [before, after].filter((name) => name !== target.alias);
}

/** Walks the RETURNING clause of a write and adds the check of its new rows. */
export function processReturning(content: Tree, input: ReturningInput, context: Context): WriteInfo {
  const { target, check } = input;
  const clause = treeField(content, 'returningClause');
  const info = clause === undefined ? NOTHING_RETURNED : walkReturning(clause, input, context);
  if (check === undefined) return info;
  // The plan would show it, also on a table that is seen whole.
  context.concealed = true;
  const name = freshName(context, 'check');
  const end = endOf(lastToken(target, context), context);
  context.deferred.push(() => addCheck(content, clause, check, name, end, context));
  if (input.level === 'nested') return { ...info, extras: () => [name] };
  context.strippedColumns += 1;
  if (clause === undefined) context.hidesRows = true;
  return info;
}

const NOTHING_RETURNED: WriteInfo = { columns: [], complete: true, extras: () => [] };

function addCheck(
  content: Tree,
  clause: Tree | undefined,
  check: RowCheck,
  name: string,
  end: number,
  context: Context,
): void {
  const sql = `${checkSql(check, context)} AS ${quoteIdentifier(name)}`;
  surroundText(context, { start: end, end }, '', clause === undefined ? ` RETURNING ${sql}` : `, ${sql}`);
  if (clause === undefined) content['returningClause'] = { exprs: parseTargets(sql) };
  else clause['exprs'] = [...listField(clause, 'exprs'), ...parseTargets(sql)];
}

function walkReturning(clause: Tree, input: ReturningInput, context: Context): WriteInfo {
  const { target, scope, others } = input;
  requireAction(target, 'Select');
  const item = returningItem(target, target.alias);
  const own = starOf(item);
  const rows = rowNames(clause, target, context).map((name) => returningItem(target, name));
  const level: Scope = {
    ...scope,
    items: [item, ...others, ...rows],
    star: input.targetLast ? [...scope.star, ...own] : [...own, ...scope.star],
    ungrouped: undefined,
  };
  const columns: ScopeColumn[] = [];
  let complete = true;
  for (const element of listField(clause, 'exprs')) {
    const star = expandStars(element, level, context);
    if (star === undefined) columns.push(walkTarget(element, level, context));
    else {
      columns.push(...star.columns.map((column) => plain(column.name, column.typeOid)));
      complete &&= star.complete;
    }
  }
  return { columns, complete, extras: () => [] };
}

/** A CTE that writes is never merged into the query around it: its columns need no guards. */
function plain(name: string, typeOid: ScopeColumn['typeOid']): ScopeColumn {
  return { name, typeOid, guards: [], leakproof: true };
}

function walkTarget(element: Tree, level: Scope, context: Context): ScopeColumn {
  const target = asNode(element, 'ResTarget') ?? refuse('not_supported', { subject: 'RETURNING' });
  const value = treeField(target, 'val') ?? refuse('not_supported', { subject: 'RETURNING' });
  const named = stringField(target, 'name');
  const name = named ?? columnName(value);
  const first = firstToken(context.source, { location: target['location'] });
  const info = walkExpression(value, level, context);
  if (named === undefined) keepName(element, target, value, name, first, context);
  return plain(name, info.typeOid);
}

/** A mask in the place of a column would change the name of an unnamed output. */
function keepName(element: Tree, target: Tree, value: Tree, name: string, first: number, context: Context): void {
  const end = endOf(clauseEnd(context.source, first, TARGETS_END, true), context);
  context.deferred.push(() => {
    if (columnName(value) === name) return;
    surroundText(context, { start: end, end }, '', ` AS ${quoteIdentifier(name)}`);
    element['ResTarget'] = withFirst(target, 'name', name);
  });
}
