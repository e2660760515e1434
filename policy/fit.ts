/**
 * Whether a connection's policies fit its database, and where they stand in each other's way: what their owners are told before an agent
 * asks. Judged by the very functions that judge for an agent, so that both say the same. Pure; needs loadParser() once before.
 */
import type { Problem } from '#crds/decode.ts';
import { type DatabaseAccessPolicy, qualifiedName } from '#crds/kinds.ts';
import type { CatalogSnapshot, Oid } from '#sql/catalog.ts';
import { displayQualified } from '#sql/identifiers.ts';
import { hasChosenKeys } from '#sql/write-columns.ts';
import { type BoundFilters, bindFilters } from './bound-rule.ts';
import type { Identity } from './identity.ts';
import { type MatchingSets, matchingSets } from './matching-sets.ts';
import { governedRelations, indexRules, rulesOf } from './table-rules.ts';
import { type BuiltViews, buildViews, unknownTables } from './views.ts';

export interface PolicyFit {
  /** It does not fit; sidecars refuse the policies it comes with. `path` is within the policy: `spec.tables[0].mask[0].with`. */
  readonly problems: readonly Problem[];
  /** It names what the database lacks; all else holds. */
  readonly unknownNames: readonly Problem[];
  /** Tables that some identity cannot read, because a child or partition shows it less; in order. */
  readonly conflicts: readonly string[];
  /** False: there are too many subjects to compare any two of them. */
  readonly isComplete: boolean;
  /** Tables where a chosen key may tell of a row that is not seen: what `writes.chosenKeys` is about. In order. */
  readonly chosenKeyTables: readonly string[];
  /** Tables granted with all their columns, in order. */
  readonly openTables: readonly OpenTable[];
}

export interface OpenTable {
  readonly name: string;
  readonly oid: Oid;
  /** The highest attnum of the table: columns that are added later have a higher one. */
  readonly lastColumn: number;
  /** Columns that the policy shows as they are. */
  readonly columns: readonly { readonly name: string; readonly attnum: number }[];
}

/** Columns times sets: some two seconds. */
const MAX_WORK = 1_000_000;

/** The fit of each policy, by its qualified name. `policies`: all of one connection, without `policyProblems`. */
export function judgeFit(
  policies: readonly DatabaseAccessPolicy[],
  catalog: CatalogSnapshot,
): ReadonlyMap<string, PolicyFit> {
  const governed = governedRelations(policies, catalog);
  const columns = catalog.relations.reduce((sum, relation) => sum + relation.columns.length, 0);
  const sets = matchingSets(policies, Math.min(Math.max(Math.floor(MAX_WORK / (columns + 1)), 8), 200));
  const together = sets.sets.flatMap(({ policies: set, identity }) => viewsOf(set, identity, governed, catalog) ?? []);
  return new Map(
    policies.map((policy) => [qualifiedName(policy), fitOf(policy, together, sets, governed, catalog)] as const),
  );
}

function fitOf(
  policy: DatabaseAccessPolicy,
  together: readonly BuiltViews[],
  sets: MatchingSets,
  governed: ReadonlySet<Oid>,
  catalog: CatalogSnapshot,
): PolicyFit {
  const name = qualifiedName(policy);
  const alone = viewsOf([policy], NOBODY, governed, catalog);
  const all = alone === undefined ? together : [alone, ...together];
  const index = indexRules([policy]);
  const warnings = [...all.flatMap((built) => built.warnings), ...unknownTables(index, catalog)];
  // Where `schema.*` has a row filter, tables without its columns are just not granted.
  const names = warnings.filter(({ path }) => !path.endsWith('.rowFilter'));
  const conflicts = together.flatMap((built) => built.conflicts).filter(({ policies }) => policies.includes(name));
  return {
    problems: ofPolicy(
      name,
      all.flatMap((built) => built.problems),
    ),
    unknownNames: ofPolicy(name, names),
    conflicts: sorted(conflicts.map(({ path, problem, policies }) => `${path}: ${problem}${others(policies, name)}`)),
    isComplete: sets.isComplete,
    chosenKeyTables: sorted(all.flatMap((built) => chosenKeyTables(built, name, catalog))),
    openTables: alone === undefined ? [] : openTables(policy, alone, catalog),
  };
}

/** Stands for whoever a policy is for; no value of it counts. */
const NOBODY: Identity = { namespace: 'any', serviceAccount: 'any', groups: [], claims: {} };

function viewsOf(
  policies: readonly DatabaseAccessPolicy[],
  identity: Identity,
  governed: ReadonlySet<Oid>,
  catalog: CatalogSnapshot,
): BuiltViews | undefined {
  const index = indexRules(policies);
  const filters = bindAll(index.all, identity);
  return filters.kind === 'bound' ? buildViews(index, filters.filters, governed, catalog) : undefined;
}

/** Row filters with a value for each claim that they ask for: which one does not matter to the catalog. */
function bindAll(rules: ReturnType<typeof indexRules>['all'], identity: Identity): BoundFilters {
  const claims: Record<string, unknown> = { ...identity.claims };
  for (;;) {
    const bound = bindFilters(rules, { ...identity, claims });
    const claim = bound.kind === 'missing' ? /^claims\.(.+)$/s.exec(bound.value)?.[1] : undefined;
    if (claim === undefined || typeof claims[claim] === 'string') return bound;
    claims[claim] = 'any';
  }
}

/** Those of one policy, without its name before the path, each once. */
function ofPolicy(name: string, problems: readonly Problem[]): readonly Problem[] {
  const prefix = `${name}: `;
  const own = problems.filter(({ path }) => path.startsWith(prefix));
  const unique = new Map(own.map(({ path, problem }) => [`${path}\0${problem}`, { path, problem }]));
  return [...unique.values()].map(({ path, problem }) => ({ path: path.slice(prefix.length), problem }));
}

function others(policies: readonly string[], name: string): string {
  const rest = policies.filter((each) => each !== name);
  return rest.length === 0 ? '' : ` (together with ${rest.join(', ')})`;
}

function chosenKeyTables({ views }: BuiltViews, policy: string, catalog: CatalogSnapshot): readonly string[] {
  const context = { input: { catalog, access: { views } } };
  return [...views.values()]
    .filter((view) => view.policies.includes(policy) && hasChosenKeys(view, context))
    .map((view) => displayQualified(view.schema, view.name));
}

function openTables(
  policy: DatabaseAccessPolicy,
  { views }: BuiltViews,
  catalog: CatalogSnapshot,
): readonly OpenTable[] {
  const index = indexRules([policy]);
  const tables = [...views.values()].flatMap((view) => {
    const relation = catalog.relationByOid.get(view.relationOid);
    if (relation === undefined || !rulesOf(relation, index, catalog).every(({ rule }) => rule.columns.all)) return [];
    const open = view.columns.filter((column) => column.mask === undefined);
    return {
      name: displayQualified(view.schema, view.name),
      oid: relation.oid,
      lastColumn: Math.max(0, ...relation.columns.map((column) => column.attnum)),
      columns: open.map(({ name, attnum }) => ({ name, attnum })),
    };
  });
  return tables.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].toSorted();
}
