import type { DatabaseAccessPolicy, TableRule } from '#crds/kinds.ts';
import { qualifiedName } from '#crds/kinds.ts';
import { type CatalogRelation, type CatalogSnapshot, isSystemSchema, type Oid, qualifiedKey } from '#sql/catalog.ts';

/** One entry of a policy's `tables`, with where it stands. */
export interface PlacedRule {
  readonly policy: string;
  /** `spec.tables[0]`. */
  readonly path: string;
  readonly rule: TableRule;
}

/** The rules that hold for one relation, and how each came to. */
export interface AppliedRule extends PlacedRule {
  /** `named`: by its own name. `star`: by `schema.*`. `inherited`: a parent's, because a star names the child. */
  readonly by: 'named' | 'star' | 'inherited';
}

export interface RuleIndex {
  readonly all: readonly PlacedRule[];
  readonly named: ReadonlyMap<string, readonly PlacedRule[]>;
  readonly star: ReadonlyMap<string, readonly PlacedRule[]>;
}

/** Sorts the `tables` of policies by what they name. */
export function indexRules(policies: readonly DatabaseAccessPolicy[]): RuleIndex {
  const all = policies.flatMap((policy) =>
    policy.spec.tables.map((rule, index) => ({ policy: qualifiedName(policy), path: `spec.tables[${index}]`, rule })),
  );
  const named = all.filter(({ rule }) => rule.name.relation !== undefined);
  const star = all.filter(({ rule }) => rule.name.relation === undefined);
  return {
    all,
    named: Map.groupBy(named, ({ rule }) => qualifiedKey(rule.name.schema, rule.name.relation ?? '')),
    star: Map.groupBy(star, ({ rule }) => rule.name.schema),
  };
}

/** Tables, partitioned and foreign tables, views and materialized views outside the system's schemas. */
export function isGrantable(relation: CatalogRelation): boolean {
  return relation.kind !== 'S' && !isSystemSchema(relation.schema);
}

/**
 * The rules that hold for a relation. A child or partition that a star names also has its parents' own rules: `public.*` beside
 * a rule that masks `public.customers` must not open `public.customers_eu`. One that is named and under no star is a relation of
 * its own.
 */
export function rulesOf(relation: CatalogRelation, index: RuleIndex, catalog: CatalogSnapshot): readonly AppliedRule[] {
  if (!isGrantable(relation)) return [];
  const named = (index.named.get(qualifiedKey(relation.schema, relation.name)) ?? []).map((rule) => ({
    ...rule,
    by: 'named' as const,
  }));
  const star = (index.star.get(relation.schema) ?? []).map((rule) => ({ ...rule, by: 'star' as const }));
  if (star.length === 0) return named;
  const inherited = [...relativesOf(relation, catalog, 'parentOids')].flatMap((oid) => {
    const parent = catalog.relationByOid.get(oid);
    const rules = parent === undefined ? [] : (index.named.get(qualifiedKey(parent.schema, parent.name)) ?? []);
    return rules.map((rule) => ({ ...rule, by: 'inherited' as const }));
  });
  return [...named, ...star, ...inherited];
}

/** All ancestors or all descendants by inheritance and partitioning. */
export function relativesOf(
  relation: CatalogRelation,
  catalog: CatalogSnapshot,
  direction: 'parentOids' | 'childOids',
): ReadonlySet<Oid> {
  const found = new Set<Oid>();
  const pending = [...relation[direction]];
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    if (found.has(oid)) continue;
    found.add(oid);
    pending.push(...(catalog.relationByOid.get(oid)?.[direction] ?? []));
  }
  return found;
}

/** Everything that a view or materialized view reads, through other views too. */
export function transitiveReads(relation: CatalogRelation, catalog: CatalogSnapshot): ReadonlySet<Oid> {
  const found = new Set<Oid>();
  const pending = [...relation.readsRelationOids];
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    if (found.has(oid)) continue;
    found.add(oid);
    pending.push(...(catalog.relationByOid.get(oid)?.readsRelationOids ?? []));
  }
  return found;
}

/**
 * Relations named by any policy of the connection, for whomever; with them their parents and children (the same rows under
 * another name), and the materialized views that hold copies of their rows.
 */
export function governedRelations(
  policies: readonly DatabaseAccessPolicy[],
  catalog: CatalogSnapshot,
): ReadonlySet<Oid> {
  const index = indexRules(policies);
  const governed = new Set<Oid>();
  for (const relation of catalog.relations) {
    if (rulesOf(relation, index, catalog).length === 0) continue;
    governed.add(relation.oid);
    for (const oid of relativesOf(relation, catalog, 'parentOids')) governed.add(oid);
    for (const oid of relativesOf(relation, catalog, 'childOids')) governed.add(oid);
  }
  const copies = catalog.relations.filter(
    (relation) =>
      relation.kind === 'm' &&
      isGrantable(relation) &&
      [...transitiveReads(relation, catalog)].some((oid) => governed.has(oid)),
  );
  for (const relation of copies) governed.add(relation.oid);
  return governed;
}
