/**
 * Which columns of a target may be set: visible ones, and none that would turn a constraint into an oracle about a masked or hidden
 * column, or (where the policy says so) about rows that the identity does not see.
 */
import { markSensitive } from './walk.ts';
import type { Access } from './access.ts';
import type { SentinelParameter } from './analysis.ts';
import type { CatalogConstraint, CatalogRelation, CatalogSnapshot, Oid } from './catalog.ts';
import { displayName } from './identifiers.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { RelationView } from './relation-view.ts';
import type { Context } from './statement-context.ts';
import { asNode, numberField, stringField, treeField } from './tree-access.ts';
import { noteSetColumn, targetName, type GrantedTarget, type WriteTarget } from './write-target.ts';

/** A constraint, unique index or generated column as a set of column names, own or of a child or partition. */
export interface ColumnRule {
  readonly kind: CatalogConstraint['kind'] | 'generated';
  readonly name: string;
  /** Name of the relation that has it. */
  readonly relation: string;
  readonly columns: readonly string[];
  readonly foreign?: { readonly oid: Oid; readonly columns: readonly number[] };
  /** The generated column itself. */
  readonly generated?: string;
}

/** What constraints are judged by; a statement's context has it, and the operator, which judges without a statement. */
export interface ConstraintContext {
  readonly input: { readonly catalog: CatalogSnapshot; readonly access: Pick<Access, 'views'> };
}

function isBelow(oid: Oid, ancestor: Oid, context: ConstraintContext): boolean {
  const parents = context.input.catalog.relationByOid.get(oid)?.parentOids ?? [];
  return parents.some((parent) => parent === ancestor || isBelow(parent, ancestor, context));
}

/** A foreign key towards a partitioned table has one more entry for each of its partitions; they are no keys of their own. */
function isPartOfForeignKey(
  constraint: CatalogConstraint,
  all: readonly CatalogConstraint[],
  context: ConstraintContext,
): boolean {
  const oid = constraint.foreignRelationOid;
  if (oid === undefined) return false;
  const key = constraint.columns.join();
  return all.some(
    (other) =>
      other.foreignRelationOid !== undefined &&
      other.columns.join() === key &&
      isBelow(oid, other.foreignRelationOid, context),
  );
}

function ownRules(relation: CatalogRelation, context: ConstraintContext): readonly ColumnRule[] {
  const nameOf = new Map(relation.columns.map((column) => [column.attnum, column.name]));
  const names = (attnums: readonly number[]): readonly string[] =>
    attnums.flatMap((attnum) => nameOf.get(attnum) ?? []);
  const keys = relation.constraints.filter(
    (constraint) => !isPartOfForeignKey(constraint, relation.constraints, context),
  );
  const constraints = keys.map(
    (constraint): ColumnRule => ({
      kind: constraint.kind,
      name: constraint.name,
      relation: relation.name,
      columns: names(constraint.columns),
      ...(constraint.foreignRelationOid === undefined
        ? {}
        : { foreign: { oid: constraint.foreignRelationOid, columns: constraint.foreignColumns ?? [] } }),
    }),
  );
  const indexes = relation.indexes
    .filter((index) => index.unique)
    .map(
      (index): ColumnRule => ({
        kind: 'u',
        name: index.name,
        relation: relation.name,
        columns: names(index.columns),
      }),
    );
  const generated = relation.columns
    .filter((column) => column.generated !== '')
    .map(
      (column): ColumnRule => ({
        kind: 'generated',
        name: column.name,
        relation: relation.name,
        columns: names(column.generatedFrom),
        generated: column.name,
      }),
    );
  return [...constraints, ...indexes, ...generated];
}

/** The relation with all its children and partitions, to which a write through it may go. */
export function relationTree(relation: CatalogRelation, context: ConstraintContext): readonly CatalogRelation[] {
  const found = new Map<Oid, CatalogRelation>([[relation.oid, relation]]);
  for (const each of found.values()) {
    for (const oid of each.childOids) {
      const child = context.input.catalog.relationByOid.get(oid);
      if (child !== undefined) found.set(oid, child);
    }
  }
  return [...found.values()];
}

/** All rules that a write to the target may run into. */
export function columnRules(target: GrantedTarget, context: Context): readonly ColumnRule[] {
  return relationTree(target.relation, context).flatMap((relation) => ownRules(relation, context));
}

const KEYS: ReadonlySet<string> = new Set(['p', 'u', 'x']);

function isOpen(view: RelationView, column: string): boolean {
  return view.columns.some((each) => each.name === column && each.mask === undefined);
}

function isMasked(view: RelationView, column: string): boolean {
  return view.columns.some((each) => each.name === column && each.mask !== undefined);
}

function notWritable(target: GrantedTarget, column: string, advice: string, location: number | undefined): never {
  return refuse('column_not_writable', {
    subject: `${targetName(target)}.${displayName(column)}`,
    advice,
    ...(location === undefined ? {} : { location }),
  });
}

/** Refuses a column that does not exist for the identity, as the server refuses one that does not exist at all. */
export function requireColumn(target: WriteTarget, name: string, location: number | undefined): void {
  if (target.kind === 'temporary' || target.view.columns.some((column) => column.name === name)) return;
  refuse('undefined_object', {
    subject: `column "${name}" of relation "${target.relation.name}" does not exist`,
    sqlstate: '42703',
    ...(location === undefined ? {} : { location }),
  });
}

/** Whether the identity sees enough of a referenced table for a missing row to be told from a hidden one by its own view. */
export function seesReferenced(
  foreign: NonNullable<ColumnRule['foreign']>,
  context: ConstraintContext,
): RelationView | undefined {
  const view = context.input.access.views.get(foreign.oid);
  const relation = context.input.catalog.relationByOid.get(foreign.oid);
  if (view === undefined || relation === undefined || view.conflict !== undefined) return undefined;
  const names = foreign.columns.map((attnum) => relation.columns.find((column) => column.attnum === attnum)?.name);
  return names.every((name) => name !== undefined && isOpen(view, name)) ? view : undefined;
}

/** Judges a column that the statement gives a value of its own choice. */
export function requireSettable(
  target: WriteTarget,
  name: string,
  location: number | undefined,
  rules: readonly ColumnRule[],
  context: Context,
): void {
  requireColumn(target, name, location);
  if (target.kind === 'temporary') return;
  noteSetColumn(target, name, context);
  const covering = rules.filter((rule) => rule.columns.includes(name));
  if (isMasked(target.view, name) && covering.some((rule) => KEYS.has(rule.kind) || rule.kind === 'f')) {
    notWritable(
      target,
      name,
      'it is masked, and a unique, exclusion or foreign key constraint would show its values',
      location,
    );
  }
  if (context.input.access.chosenKeys === 'Allow') return;
  switch (chosenKey(target.view, covering, context)) {
    case 'own':
      return notWritable(
        target,
        name,
        'keys of a table with a row filter cannot be chosen; leave it to its default',
        location,
      );
    case 'foreign':
      return notWritable(target, name, 'it refers to a table that is not granted', location);
    case undefined:
  }
}

/** Whether a value chosen for a column under these rules can tell of a row that is not seen. */
function chosenKey(
  view: RelationView,
  covering: readonly ColumnRule[],
  context: ConstraintContext,
): 'own' | 'foreign' | undefined {
  if (view.rowFilter !== undefined && covering.some((rule) => KEYS.has(rule.kind))) return 'own';
  const isBlind = covering.some(
    (rule) => rule.foreign !== undefined && seesReferenced(rule.foreign, context) === undefined,
  );
  return isBlind ? 'foreign' : undefined;
}

/** Whether `writes.chosenKeys` makes a difference for writes to this relation. */
export function hasChosenKeys(view: RelationView, context: ConstraintContext): boolean {
  const relation = context.input.catalog.relationByOid.get(view.relationOid);
  if (relation === undefined || !(view.actions.has('Insert') || view.actions.has('Update'))) return false;
  const rules = relationTree(relation, context).flatMap((each) => ownRules(each, context));
  const settable = relation.columns.filter(
    (column) => column.generated === '' && column.identity !== 'a' && isOpen(view, column.name),
  );
  return settable.some(({ name }) => {
    const covering = rules.filter((rule) => rule.columns.includes(name));
    return chosenKey(view, covering, context) !== undefined;
  });
}

/**
 * UPDATE: a set column may not share a constraint with a masked or hidden one that stays as it is, nor feed a visible generated column
 * together with it.
 */
export function refuseShared(target: WriteTarget, set: ReadonlySet<string>, rules: readonly ColumnRule[]): void {
  if (target.kind === 'temporary' || target.view.isWhole) return;
  const { view } = target;
  for (const rule of rules) {
    if (rule.generated !== undefined && !view.columns.some((column) => column.name === rule.generated)) continue;
    const touched = rule.columns.find((column) => set.has(column));
    if (touched === undefined) continue;
    if (rule.columns.some((column) => !isOpen(view, column) && !set.has(column)))
      notWritable(
        target,
        touched,
        'a constraint or generated column joins it to a column that is masked or hidden',
        undefined,
      );
  }
}

/** The text of a literal, also under a cast; `undefined`: something else. */
export function constantValue(node: Tree | undefined): string | undefined {
  const cast = asNode(node, 'TypeCast');
  const constant = asNode(cast === undefined ? node : treeField(cast, 'arg'), 'A_Const');
  if (constant === undefined) return undefined;
  const text = treeField(constant, 'sval');
  if (text !== undefined) return stringField(text, 'sval') ?? '';
  const integer = treeField(constant, 'ival');
  if (integer !== undefined) return String(numberField(integer, 'ival') ?? 0);
  return stringField(treeField(constant, 'fval') ?? {}, 'fval');
}

const REDACTED = '[redacted]';

/** What a refusal says to a value that is written back. */
export const SENTINEL_ADVICE = 'the value is the one shown in the place of a masked one';

/** The text of a mask that is one literal, as Redact and Constant have it. */
function maskLiteral(view: RelationView, column: string): string | undefined {
  const mask = view.columns.find((each) => each.name === column)?.mask;
  if (mask === undefined) return undefined;
  const text = mask.expression.map((piece) => (typeof piece === 'string' ? piece : '\0')).join('');
  const literal = /^\(*\s*'((?:[^']|'')*)'/.exec(text)?.[1];
  return literal === undefined || text.includes('\0') ? undefined : literal.replaceAll("''", "'");
}

/** `$1` or `$1::text`: the number. */
function parameterNumber(value: Tree | undefined): number | undefined {
  const cast = asNode(value, 'TypeCast');
  const reference = asNode(cast === undefined ? value : treeField(cast, 'arg'), 'ParamRef');
  return reference === undefined ? undefined : numberField(reference, 'number');
}

/** Refuses to write back what stands in the place of a masked value; a parameter's value is left to the session to compare. */
export function refuseSentinel(target: WriteTarget, column: string, value: Tree | undefined, context: Context): void {
  if (target.kind === 'temporary' || !isMasked(target.view, column)) return;
  const literal = maskLiteral(target.view, column);
  const parameter = parameterNumber(value);
  if (parameter !== undefined) {
    const texts = literal === undefined || literal === REDACTED ? [REDACTED] : [REDACTED, literal];
    context.sentinels.push({ parameter, texts, column: `${targetName(target)}.${displayName(column)}` });
    return;
  }
  const written = constantValue(value);
  if (written === undefined) return;
  const cast = asNode(value, 'TypeCast');
  markSensitive(context, cast === undefined ? value : treeField(cast, 'arg'));
  if (written === REDACTED || written === literal) notWritable(target, column, SENTINEL_ADVICE, undefined);
}

/** The same for the arguments of EXECUTE, by what the prepared statement writes its parameters to. */
export function refuseSentinelArguments(
  sentinels: readonly SentinelParameter[],
  argumentList: readonly Tree[],
  context: Context,
): void {
  for (const { parameter, texts, column } of sentinels) {
    const value = argumentList[parameter - 1];
    const outer = parameterNumber(value);
    if (outer !== undefined) context.sentinels.push({ parameter: outer, texts, column });
    const written = constantValue(value);
    if (written !== undefined && texts.includes(written))
      refuse('column_not_writable', { subject: column, advice: SENTINEL_ADVICE });
  }
}
