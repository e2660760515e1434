/** From rules to the views that an identity has of all relations, and what the catalog has against them. */
import type { Problem } from '#crds/decode.ts';
import { type CatalogSnapshot, type Oid, qualifiedKey } from '#sql/catalog.ts';
import { displayQualified } from '#sql/identifiers.ts';
import type { RelationView } from '#sql/relation-view.ts';
import type { BoundRule, IdentityFilter } from './bound-rule.ts';
import { isGrantable, relativesOf, type RuleIndex, rulesOf, transitiveReads } from './table-rules.ts';
import { isReadableWhole, isStricterThan, relationView } from './view.ts';

/** What a set of matching policies gives one identity. `problems` and `warnings` begin with the policy they speak of. */
export interface BuiltViews {
  readonly views: ReadonlyMap<Oid, RelationView>;
  readonly governed: ReadonlySet<Oid>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly conflicts: readonly ViewConflict[];
}

/** A relation that may not be read, because a child or partition of it shows less than it does. */
export interface ViewConflict extends Problem {
  /** Whose views of the two meet. */
  readonly policies: readonly string[];
}

/** The views that the rules in `index` give, each filter bound to one identity's values. */
export function buildViews(
  index: RuleIndex,
  filters: ReadonlyMap<BoundRule['rule'], IdentityFilter>,
  governed: ReadonlySet<Oid>,
  catalog: CatalogSnapshot,
): BuiltViews {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const views = new Map<Oid, RelationView>();
  const byStarOnly = new Set<Oid>();
  for (const relation of catalog.relations) {
    const rules = rulesOf(relation, index, catalog).map((rule) => ({ ...rule, filter: filters.get(rule.rule) }));
    if (rules.length === 0) continue;
    const result = relationView(relation, rules, catalog);
    problems.push(...result.problems);
    warnings.push(...result.warnings);
    if (result.view !== undefined) views.set(relation.oid, result.view);
    if (!rules.some((rule) => rule.by === 'named')) byStarOnly.add(relation.oid);
  }
  const conflicts = markConflicts(views, catalog);
  withdrawCopies(views, byStarOnly, governed, catalog);
  problems.push(...unmatchedStarColumns(index, catalog));
  return { views, governed, problems, warnings, conflicts };
}

/** A child whose own view is stricter than its parent's: the parent may not be read. */
function markConflicts(views: Map<Oid, RelationView>, catalog: CatalogSnapshot): readonly ViewConflict[] {
  const conflicts: ViewConflict[] = [];
  for (const [oid, view] of views) {
    const relation = catalog.relationByOid.get(oid);
    if (relation === undefined) continue;
    const children = [...relativesOf(relation, catalog, 'childOids')].flatMap((child) => views.get(child) ?? []);
    const stricter = children.find((child) => isStricterThan(child, view));
    if (stricter === undefined) continue;
    const conflict = `its child ${displayQualified(stricter.schema, stricter.name)} has a stricter view of its own; read the children by their names`;
    views.set(oid, { ...view, conflict });
    const policies = [...new Set([...view.policies, ...stricter.policies])].toSorted();
    conflicts.push({ path: displayQualified(view.schema, view.name), problem: conflict, policies });
  }
  return conflicts;
}

/** A materialized view that holds copies of what is kept back is granted by its own name only. */
function withdrawCopies(
  views: Map<Oid, RelationView>,
  byStarOnly: ReadonlySet<Oid>,
  governed: ReadonlySet<Oid>,
  catalog: CatalogSnapshot,
): void {
  const copies = catalog.relations.filter((relation) => relation.kind === 'm' && byStarOnly.has(relation.oid));
  // INVARIANT: read against the views before any is withdrawn; a copy of a withdrawn copy reads its tables too.
  const withdrawn = copies.filter((relation) =>
    [...transitiveReads(relation, catalog)].some((oid) => governed.has(oid) && !isReadableWhole(oid, views)),
  );
  for (const relation of withdrawn) views.delete(relation.oid);
}

/** Columns that a `schema.*` rule hides or masks and that no relation of the schema has: a misspelling must not open a column. */
function unmatchedStarColumns(index: RuleIndex, catalog: CatalogSnapshot): readonly Problem[] {
  return [...index.star].flatMap(([schema, rules]) => {
    const names = new Set(
      catalog.relations
        .filter((relation) => relation.schema === schema && isGrantable(relation))
        .flatMap((relation) => relation.columns.map((column) => column.name)),
    );
    return rules.flatMap(({ policy, path, rule }) => {
      const wanted = [...rule.hide, ...rule.mask.flatMap((mask) => mask.columns)];
      const unknown = [...new Set(wanted)].filter((name) => !names.has(name));
      return unknown.map((name) => ({
        path: `${policy}: ${path}`,
        problem: `no table of schema ${schema} has a column ${name}`,
      }));
    });
  });
}

/** Tables that policies name and the database lacks: they are not granted, and nothing else changes. */
export function unknownTables(index: RuleIndex, catalog: CatalogSnapshot): readonly Problem[] {
  return index.all.flatMap(({ policy, path, rule }) => {
    const { schema, relation } = rule.name;
    if (relation === undefined) return [];
    const found = catalog.relationByName.get(qualifiedKey(schema, relation));
    if (found !== undefined && isGrantable(found)) return [];
    const problem = `${displayQualified(schema, relation)} is not a table or view of this database; it is not granted`;
    return [{ path: `${policy}: ${path}.name`, problem }];
  });
}
