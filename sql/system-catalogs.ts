/**
 * What stands in for a reference to a relation of pg_catalog or information_schema: the relation itself, a sub-select that shows only what the
 * identity may use, or a refusal.
 */
import type { CatalogRelation, CatalogSnapshot, Oid } from './catalog.ts';
import { quoteIdentifier, quoteQualified } from './identifiers.ts';
import { INFORMATION_SCHEMA_RULES } from './information-schema-rules.ts';
import { PG_CATALOG_RULES } from './pg-catalog-rules.ts';
import type { SystemRelationRule } from './system-relation-rule.ts';
import type { VisibleObjects } from './visible-objects.ts';

export type SystemRelationView =
  | { readonly kind: 'whole' }
  /** SELECT with all columns of the relation in order, fit for `(sql) AS alias`. */
  | { readonly kind: 'filtered'; readonly sql: string }
  | { readonly kind: 'refused'; readonly reason: string };

export interface SystemViewOptions {
  /** Names of system columns (`tableoid`, `ctid`, `xmin` ...) to append to the columns. */
  readonly systemColumns?: readonly string[];
}

const SYSTEM_COLUMNS: Readonly<Record<string, string>> = {
  tableoid: 'pg_catalog.oid',
  ctid: 'pg_catalog.tid',
  xmin: 'pg_catalog.xid',
  xmax: 'pg_catalog.xid',
  cmin: 'pg_catalog.cid',
  cmax: 'pg_catalog.cid',
};

const REFUSAL_REASONS: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /^pg_(stats|statistic)/, reason: 'it holds values of columns' },
  {
    pattern: /^pg_(authid|shadow|group|parameter_acl|db_role_setting)/,
    reason: 'it holds other roles; use current_user',
  },
  { pattern: /^pg_stat_activity|^pg_(prepared|cursors)/, reason: 'it holds statements' },
  { pattern: /^pg_(stat|statio)_/, reason: 'it counts rows that the policy hides' },
  { pattern: /^pg_largeobject/, reason: 'large objects are outside every policy' },
  {
    pattern: /^pg_(file_settings|hba|ident|config|available|shmem|backend|aios|locks|wait|replication)/,
    reason: "it shows the server's inside",
  },
];

/** The view of one system relation for an identity. Versions differ in columns: these come from the snapshot. */
export function systemRelationView(
  relation: CatalogRelation,
  visible: VisibleObjects,
  options: SystemViewOptions = {},
): SystemRelationView {
  const rules =
    relation.schema === 'pg_catalog'
      ? PG_CATALOG_RULES
      : relation.schema === 'information_schema'
        ? INFORMATION_SCHEMA_RULES
        : {};
  const rule = Object.hasOwn(rules, relation.name) ? rules[relation.name] : undefined;
  if (rule === undefined) return { kind: 'refused', reason: refusalReason(relation) };
  const systemColumns = options.systemColumns ?? [];
  if (rule.kind === 'whole') return { kind: 'whole' };
  const unknown = systemColumns.find((name) => !Object.hasOwn(SYSTEM_COLUMNS, name));
  if (unknown !== undefined) return { kind: 'refused', reason: `${unknown} is not a system column` };
  return { kind: 'filtered', sql: remembered(relation, rule, visible, systemColumns) };
}

const texts = new WeakMap<VisibleObjects, Map<string, string>>();

/** The texts hold long lists of OIDs and depend on the identity's objects only: each is printed once. */
function remembered(
  relation: CatalogRelation,
  rule: Exclude<SystemRelationRule, { readonly kind: 'whole' }>,
  visible: VisibleObjects,
  systemColumns: readonly string[],
): string {
  let known = texts.get(visible);
  if (known === undefined) {
    known = new Map();
    texts.set(visible, known);
  }
  const key = `${relation.oid} ${systemColumns.join(' ')}`;
  let text = known.get(key);
  if (text === undefined) {
    text = selectText(relation, rule, visible, systemColumns);
    known.set(key, text);
  }
  return text;
}

function refusalReason(relation: CatalogRelation): string {
  return (
    REFUSAL_REASONS.find(({ pattern }) => pattern.test(relation.name))?.reason ??
    'it is not on the list of allowed catalog relations'
  );
}

function selectText(
  relation: CatalogRelation,
  rule: Exclude<SystemRelationRule, { readonly kind: 'whole' }>,
  visible: VisibleObjects,
  systemColumns: readonly string[],
): string {
  if (rule.kind === 'empty') return emptySelect(relation, visible.catalog, systemColumns);
  const replaced = rule.columns?.(visible) ?? {};
  const columns = relation.columns.map(({ name, typeOid }) => {
    const expression = Object.hasOwn(replaced, name) ? replaced[name] : undefined;
    if (expression === undefined) return `x.${quoteIdentifier(name)}`;
    return `(${expression})${keepType(typeOid, visible.catalog)} AS ${quoteIdentifier(name)}`;
  });
  const system = systemColumns.map((name) => `x.${name} AS ${quoteIdentifier(name)}`);
  const from = `${quoteQualified(relation.schema, relation.name)} AS x`;
  return `SELECT ${[...columns, ...system].join(', ')} FROM ${from} WHERE ${rule.where(visible)}`;
}

/** A replaced column keeps its type; pseudo-types (anyarray) cannot be cast to and are kept by the expression itself. */
function keepType(typeOid: Oid, catalog: CatalogSnapshot): string {
  const type = catalog.typeByOid.get(typeOid);
  return type === undefined || type.kind === 'p' ? '' : `::${quoteQualified(type.schema, type.name)}`;
}

/** Rows of none, without reading the relation: the role may lack the right to. */
function emptySelect(relation: CatalogRelation, catalog: CatalogSnapshot, systemColumns: readonly string[]): string {
  const columns = relation.columns.map(({ name, typeOid }) => {
    const type = keepType(typeOid, catalog);
    return `NULL${type === '' ? '::pg_catalog.text' : type} AS ${quoteIdentifier(name)}`;
  });
  const system = systemColumns.map(
    (name) => `NULL::${SYSTEM_COLUMNS[name] ?? 'pg_catalog.oid'} AS ${quoteIdentifier(name)}`,
  );
  return `SELECT ${[...columns, ...system].join(', ')} WHERE false`;
}
