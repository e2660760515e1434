import type { Problem } from '#crds/decode.ts';
import type { MaskSpec } from '#crds/kinds.ts';
import type { CatalogColumn, CatalogRelation, CatalogSnapshot, Oid } from '#sql/catalog.ts';
import { displayQualified } from '#sql/identifiers.ts';
import {
  type ExpressionPieces,
  printBare,
  type RelationView,
  type TableAction,
  type ViewColumn,
} from '#sql/relation-view.ts';
import type { BoundRule } from './bound-rule.ts';
import { maskExpression, mergeText } from './mask.ts';
import { columnType } from './sql-type.ts';

/**
 * All rules for one relation → the one view that an identity has of it; the stricter holds: visible columns and actions
 * intersect, masks add (two different ones on a column: Redact), row filters AND. The order of the rules is irrelevant.
 */
export interface ViewResult {
  readonly view: RelationView | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** One rule's own view, before it meets the others. */
interface RuleView {
  readonly actions: ReadonlySet<TableAction>;
  readonly visible: ReadonlySet<number>;
  readonly masks: ReadonlyMap<number, MaskSpec>;
}

interface Findings {
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

/** The view that `rules` (at least one) give of `relation`. */
export function relationView(
  relation: CatalogRelation,
  rules: readonly BoundRule[],
  catalog: CatalogSnapshot,
): ViewResult {
  const findings: Findings = { problems: [], warnings: [] };
  const byName = new Map(relation.columns.map((column) => [column.name, column]));
  const views = rules.map((rule) => ruleView(relation, byName, rule, catalog, findings));
  const filter = combinedFilter(relation, byName, rules, catalog, findings);
  if (filter === 'impossible' || views.length === 0) return { view: undefined, ...findings };
  const masks = combinedMasks(views.map((view) => view.masks));
  const columns = relation.columns.flatMap((column) => {
    const mask = masks.get(column.attnum);
    return views.every((view) => view.visible.has(column.attnum)) ? (viewColumn(column, mask, catalog) ?? []) : [];
  });
  const visibleNames = new Set(columns.map((column) => column.name));
  const hiddenColumns = new Set(
    relation.columns.map((column) => column.name).filter((name) => !visibleNames.has(name)),
  );
  const view: RelationView = {
    relationOid: relation.oid,
    schema: relation.schema,
    name: relation.name,
    actions: new Set(
      [...(views[0]?.actions ?? [])].filter((action) => views.every((each) => each.actions.has(action))),
    ),
    columns,
    hiddenColumns,
    ...(filter === undefined ? {} : { rowFilter: filter }),
    isWhole: filter === undefined && hiddenColumns.size === 0 && columns.every((column) => column.mask === undefined),
    policies: [...new Set(rules.map((rule) => rule.policy))].toSorted(),
  };
  return { view, ...findings };
}

function ruleView(
  relation: CatalogRelation,
  byName: ReadonlyMap<string, CatalogColumn>,
  rule: BoundRule,
  catalog: CatalogSnapshot,
  findings: Findings,
): RuleView {
  const masks = ruleMasks(relation, byName, rule, catalog, findings);
  const visible = new Set<number>();
  const hidden = new Set(rule.rule.hide);
  const listed = new Set(rule.rule.columns.names);
  for (const column of relation.columns) {
    if ((rule.rule.columns.all || listed.has(column.name)) && !hidden.has(column.name)) visible.add(column.attnum);
  }
  if (rule.by === 'named') {
    for (const name of hidden)
      if (!byName.has(name)) findings.problems.push(unknownColumn(rule, 'hide', name, relation));
    for (const name of listed)
      if (!byName.has(name)) findings.warnings.push(unknownColumn(rule, 'columns', name, relation));
  }
  // A generated column tells what it is made from: it goes with its sources, unless it is masked or listed by name itself.
  const telling = relation.columns.filter(
    (column) =>
      column.generated !== '' &&
      !masks.has(column.attnum) &&
      !listed.has(column.name) &&
      column.generatedFrom.some((source) => !visible.has(source) || masks.has(source)),
  );
  for (const column of telling) visible.delete(column.attnum);
  return { actions: new Set(rule.rule.actions), visible, masks };
}

function unknownColumn(rule: BoundRule, field: string, name: string, relation: CatalogRelation): Problem {
  const table = displayQualified(relation.schema, relation.name);
  return { path: `${rule.policy}: ${rule.path}.${field}`, problem: `${table} has no column ${name}` };
}

function ruleMasks(
  relation: CatalogRelation,
  byName: ReadonlyMap<string, CatalogColumn>,
  rule: BoundRule,
  catalog: CatalogSnapshot,
  findings: Findings,
): ReadonlyMap<number, MaskSpec> {
  const masks = new Map<number, MaskSpec>();
  for (const [index, entry] of rule.rule.mask.entries()) {
    for (const name of entry.columns) {
      const column = byName.get(name);
      if (column === undefined) {
        if (rule.by === 'named') findings.problems.push(unknownColumn(rule, `mask[${index}].columns`, name, relation));
        continue;
      }
      const result = maskExpression(entry.with, column, catalog);
      if (result.kind === 'unfit') {
        const place = `${displayQualified(relation.schema, relation.name)}.${name}`;
        findings.problems.push({
          path: `${rule.policy}: ${rule.path}.mask[${index}].with`,
          problem: `column ${place}: ${result.problem}`,
        });
      }
      masks.set(column.attnum, stricterMask(masks.get(column.attnum), entry.with));
    }
  }
  return masks;
}

/** Two different masks on one column: Redact. */
function stricterMask(left: MaskSpec | undefined, right: MaskSpec): MaskSpec {
  return left === undefined || sameMask(left, right) ? right : { method: 'Redact' };
}

function sameMask(left: MaskSpec, right: MaskSpec): boolean {
  const entries = (mask: MaskSpec): string =>
    JSON.stringify(Object.entries(mask).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return entries(left) === entries(right);
}

function combinedMasks(all: readonly ReadonlyMap<number, MaskSpec>[]): ReadonlyMap<number, MaskSpec> {
  const combined = new Map<number, MaskSpec>();
  for (const masks of all)
    for (const [attnum, mask] of masks) combined.set(attnum, stricterMask(combined.get(attnum), mask));
  return combined;
}

/** Where Redact stands for two masks and does not fit, NULL does; where nothing fits, the column goes. */
function viewColumn(
  column: CatalogColumn,
  mask: MaskSpec | undefined,
  catalog: CatalogSnapshot,
): ViewColumn | undefined {
  const plain = { name: column.name, attnum: column.attnum, typeOid: column.typeOid, typmod: column.typmod };
  if (mask === undefined) return plain;
  for (const candidate of [mask, { method: 'SetNull' } as const]) {
    const result = maskExpression(candidate, column, catalog);
    if (result.kind === 'mask') return { ...plain, mask: { method: result.method, expression: result.expression } };
  }
  return undefined;
}

/** The AND of all filters; `impossible` where one reads a column that the relation lacks: then nothing may be read. */
function combinedFilter(
  relation: CatalogRelation,
  byName: ReadonlyMap<string, CatalogColumn>,
  rules: readonly BoundRule[],
  catalog: CatalogSnapshot,
  findings: Findings,
): RelationView['rowFilter'] | 'impossible' {
  const filters = new Map<string, { readonly expression: ExpressionPieces; readonly columns: readonly string[] }>();
  let impossible = false;
  for (const rule of rules) {
    const filter = rule.filter;
    if (filter === undefined) continue;
    const unknown = filter.columns.find((name) => !byName.has(name));
    const foreign = filter.bareColumns.find((name) => !isBuiltInColumn(byName.get(name), catalog));
    if (unknown !== undefined) {
      impossible = true;
      (rule.by === 'named' ? findings.problems : findings.warnings).push(
        unknownColumn(rule, 'rowFilter', unknown, relation),
      );
    } else if (foreign !== undefined) {
      impossible = true;
      findings.problems.push({
        path: `${rule.policy}: ${rule.path}.rowFilter`,
        problem: `column ${foreign} is not of a built-in type; cast it, e.g. ${foreign}::text`,
      });
    }
    filters.set(printBare(filter.expression), filter);
  }
  if (impossible) return 'impossible';
  if (filters.size === 0) return undefined;
  const sorted = [...filters].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, filter]) => filter);
  const joined = sorted.flatMap((filter, index) => (index === 0 ? filter.expression : [' AND ', ...filter.expression]));
  const columns = [...new Set(sorted.flatMap((filter) => filter.columns))].toSorted();
  return { expression: mergeText(sorted.length === 1 ? joined : ['(', ...joined, ')']), columns };
}

/** Only operators of pg_catalog take operands of these types, whatever the search path (sql/filter.ts). */
function isBuiltInColumn(column: CatalogColumn | undefined, catalog: CatalogSnapshot): boolean {
  const type = column === undefined ? undefined : columnType(column, catalog);
  if (type === undefined) return false;
  return type.base.kind === 'e' || (type.base.schema === 'pg_catalog' && type.base.kind !== 'c');
}

/** Whether reading the parent would show what the child's own view keeps back. */
export function isStricterThan(child: RelationView, parent: RelationView): boolean {
  if (parent.actions.has('Select') && !child.actions.has('Select')) return true;
  const parentFilter = filterText(parent);
  if (child.rowFilter !== undefined && filterText(child) !== parentFilter) return true;
  const childColumns = new Map(child.columns.map((column) => [column.name, column]));
  return parent.columns.some((column) => {
    const own = childColumns.get(column.name);
    return own === undefined || (own.mask !== undefined && JSON.stringify(own.mask) !== JSON.stringify(column.mask));
  });
}

function filterText(view: RelationView): string | undefined {
  return view.rowFilter === undefined ? undefined : printBare(view.rowFilter.expression);
}

/** The OIDs of views that hold nothing back from reading. */
export function isReadableWhole(oid: Oid, views: ReadonlyMap<Oid, RelationView>): boolean {
  const view = views.get(oid);
  return view !== undefined && view.isWhole && view.actions.has('Select') && view.conflict === undefined;
}
