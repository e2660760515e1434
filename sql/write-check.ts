/**
 * Checks that the database itself makes on every new row: one more RETURNING column that raises when the row lies outside of the row
 * filter, or refers to a row that the identity does not see. The server's error holds a token, by which the session knows the check.
 */
import { quoteIdentifier, quoteLiteral, quoteQualified } from './identifiers.ts';
import type { Oid } from './catalog.ts';
import { freshName, type Context } from './statement-context.ts';
import { seesReferenced, type ColumnRule } from './write-columns.ts';
import { printFilter, targetName, type GrantedTarget } from './write-target.ts';

/** A foreign key whose columns the statement sets, towards a table with a row filter. */
export interface ForeignKeyCheck {
  readonly rule: ColumnRule;
  readonly foreign: NonNullable<ColumnRule['foreign']>;
  /** MERGE: only the rows of these actions. */
  readonly onlyActions?: readonly string[];
  /** The statement makes new rows. */
  readonly inserts: boolean;
}

export interface RowCheck {
  readonly target: GrantedTarget;
  readonly filter: boolean;
  readonly foreignKeys: readonly ForeignKeyCheck[];
}

/** Tables that a statement inserts into: a row that refers to one of the statement's own new rows is no probe. */
const insertedInto = new WeakMap<Context, Set<Oid>>();

export function noteInsert(target: GrantedTarget, context: Context): void {
  const known = insertedInto.get(context) ?? new Set();
  known.add(target.relation.oid);
  insertedInto.set(context, known);
}

/** Foreign keys towards filtered tables among the rules that cover the columns set. */
export function foreignKeyChecks(
  rules: readonly ColumnRule[],
  set: ReadonlySet<string>,
  inserts: boolean,
  context: Context,
  onlyActions?: readonly string[],
): readonly ForeignKeyCheck[] {
  // Partitions repeat the keys of the table above them.
  const seen = new Set<string>();
  return rules.flatMap((rule): readonly ForeignKeyCheck[] => {
    if (rule.foreign === undefined || !rule.columns.some((column) => set.has(column))) return [];
    const key = JSON.stringify([rule.columns, rule.foreign]);
    if (seen.has(key)) return [];
    seen.add(key);
    const view = seesReferenced(rule.foreign, context);
    if (view?.rowFilter === undefined) return [];
    return [{ rule, foreign: rule.foreign, inserts, ...(onlyActions === undefined ? {} : { onlyActions }) }];
  });
}

/** The check, or `undefined` where there is nothing to check. */
export function rowCheck(
  target: GrantedTarget,
  filter: boolean,
  foreignKeys: readonly ForeignKeyCheck[],
): RowCheck | undefined {
  return filter || foreignKeys.length > 0 ? { target, filter, foreignKeys } : undefined;
}

/** Registers a check and gives the SQL of the text that raises: not a constant, so that only a row that is reached evaluates it. */
export function raisingText(context: Context, sqlstate: string, slug: string, message: string): string {
  const token = `${context.input.checkToken}:${context.checks.length + 1};`;
  context.checks.push({ token, sqlstate, slug, message });
  return `pg_catalog.concat(${quoteLiteral(token)})`;
}

/** SQL of a condition that is true for a new row inside of the filter, given as SQL over that row, and raises for any other. */
export function raisingCondition(target: GrantedTarget, filter: string, context: Context): string {
  const message = `new row violates the row filter for ${targetName(target)}`;
  const raised = raisingText(context, '42501', 'row_filter_violated', message);
  return `pg_catalog.int4eq(CAST(CASE WHEN (${filter}) IS NOT TRUE THEN ${raised} ELSE '1' END AS pg_catalog.int4), 1)`;
}

function isWholeStatement(context: Context): boolean {
  const { views } = context.input.access;
  return [...context.readRelationOids, ...context.writtenRelationOids].every((oid) => views.get(oid)?.isWhole === true);
}

/** The words of the server, or what the session makes of them where names of constraints do not pass. */
function foreignKeyMessage(rule: ColumnRule, context: Context): string {
  return isWholeStatement(context)
    ? `insert or update on table "${rule.relation}" violates foreign key constraint "${rule.name}"`
    : 'a foreign key constraint is violated';
}

/**
 * Missing and hidden rows fail alike, and at the same moment. Rows that the statement itself inserts are not in its snapshot: there only a
 * hidden row fails, which shows an identity that may choose keys of that table no more than a duplicate key does.
 */
function foreignKeyCondition(check: ForeignKeyCheck, target: GrantedTarget, context: Context): string | undefined {
  const { rule, foreign } = check;
  const relation = context.input.catalog.relationByOid.get(foreign.oid);
  const view = seesReferenced(foreign, context);
  if (relation === undefined || view === undefined) return undefined;
  // Its own name where that is free: EXPLAIN shows it.
  const name = relation.name === target.alias ? freshName(context, 'parent') : relation.name;
  const alias = quoteIdentifier(name);
  const own = quoteIdentifier(target.alias);
  const filter = printFilter(view, alias) ?? 'true';
  const columns = rule.columns.map((column) => `${own}.${quoteIdentifier(column)}`);
  const keys = foreign.columns.map((attnum, i) => {
    const key = relation.columns.find((column) => column.attnum === attnum)?.name ?? '';
    return `${alias}.${quoteIdentifier(key)} = ${columns[i] ?? 'NULL'}`;
  });
  const from = `FROM ${quoteQualified(relation.schema, relation.name)} AS ${alias} WHERE ${keys.join(' AND ')}`;
  const newRows = insertedInto.get(context)?.has(foreign.oid) === true && context.input.access.chosenKeys === 'Allow';
  const violated = newRows
    ? `EXISTS (SELECT 1 ${from} AND ${filter} IS NOT TRUE)`
    : `NOT EXISTS (SELECT 1 ${from} AND ${filter})`;
  const actions =
    check.onlyActions === undefined
      ? []
      : [`MERGE_ACTION() IN (${check.onlyActions.map((action) => quoteLiteral(action)).join(', ')})`];
  return [...actions, ...columns.map((column) => `${column} IS NOT NULL`), violated].join(' AND ');
}

/** SQL of the added RETURNING column. To be called once the whole statement has been walked. */
export function checkSql(check: RowCheck, context: Context): string {
  const { target } = check;
  const arms: string[] = [];
  if (check.filter && target.filter !== undefined) {
    const message = `new row violates the row filter for ${targetName(target)}`;
    arms.push(
      `WHEN ${target.filter} IS NOT TRUE THEN ${raisingText(context, '42501', 'row_filter_violated', message)}`,
    );
  }
  for (const foreignKey of check.foreignKeys) {
    const condition = foreignKeyCondition(foreignKey, target, context);
    if (condition === undefined) continue;
    const text = raisingText(context, '23503', 'foreign_key_violated', foreignKeyMessage(foreignKey.rule, context));
    arms.push(`WHEN ${condition} THEN ${text}`);
  }
  return `CAST(CASE ${arms.join(' ')} ELSE '0' END AS pg_catalog.int4)`;
}
