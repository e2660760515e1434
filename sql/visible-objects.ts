/**
 * Which catalog objects one identity may see, by OID. Everything is a positive list from the snapshot, so that what was created since does
 * not show. Objects with OIDs below `FIRST_USER_OID` are PostgreSQL's own and the same in every database.
 */
import type { Access } from './access.ts';
import type { CatalogConstraint, CatalogIndex, CatalogRelation, CatalogSnapshot, CatalogType, Oid } from './catalog.ts';
import { isFunctionGranted, isOperatorGranted } from './functions.ts';
import type { RelationView } from './relation-view.ts';

/** FirstNormalObjectId of PostgreSQL (access/transam.h). */
export const FIRST_USER_OID = 16384;

export interface VisibleObjects {
  readonly catalog: CatalogSnapshot;
  /** Tables, views, sequences. */
  readonly relationOids: readonly Oid[];
  /** Relations without hidden columns. */
  readonly openRelationOids: readonly Oid[];
  /** Relations of which no part is hidden, masked or filtered, nor of any parent or child. */
  readonly wholeRelationOids: readonly Oid[];
  /** Relations and indexes whose size and row counts tell of visible rows only. */
  readonly countableOids: readonly Oid[];
  readonly indexOids: readonly Oid[];
  readonly constraintOids: readonly Oid[];
  readonly typeOids: readonly Oid[];
  /** pg_class rows of stand-alone composite types. */
  readonly compositeRelationOids: readonly Oid[];
  readonly functionOids: readonly Oid[];
  readonly operatorOids: readonly Oid[];
  readonly schemaOids: readonly Oid[];
  readonly extensions: readonly string[];
  /** Visible columns by `columnKey`. */
  readonly columnKeys: readonly number[];
  /** Visible columns that are not masked. */
  readonly plainColumnKeys: readonly number[];
  /** Columns whose default or generation expression may be shown: all that it names is visible and plain. */
  readonly defaultKeys: readonly number[];
}

/** One number for a column; SQL computes the same as int8. */
export function columnKey(relationOid: Oid, attnum: number): number {
  return relationOid * 65536 + attnum;
}

/** All that the identity behind `access` may see of the catalog. Costs milliseconds: make it once for each policy generation. */
export function visibleObjects(access: Access, catalog: CatalogSnapshot): VisibleObjects {
  const pairs = [...access.views.values()].flatMap((view) => {
    const relation = catalog.relationByOid.get(view.relationOid);
    return relation === undefined ? [] : [{ view, relation }];
  });
  const columns = pairs.flatMap(({ view, relation }) => visibleColumns(view, relation));
  const sequences = columns.flatMap((column) => column.ownedSequenceOid ?? []);
  const relations = [...new Set([...pairs.map(({ relation }) => relation.oid), ...sequences])]
    .flatMap((oid) => catalog.relationByOid.get(oid) ?? [])
    .toSorted((a, b) => a.oid - b.oid);
  const types = closeTypes(pairs, access, catalog);
  const functions = catalog.functions.filter(
    (candidate) => isUser(candidate.oid) && isFunctionGranted(candidate, access.functions),
  );
  const strict = strictFamilies(pairs, catalog);
  const open = new Set([
    ...sequences,
    ...pairs
      .filter(({ view, relation }) => visibleColumns(view, relation).length === relation.columns.length)
      .map(({ relation }) => relation.oid),
  ]);
  const plain = new Map(pairs.map(({ view, relation }) => [relation.oid, plainColumns(view, relation)]));
  const keys = (pick: (pair: Granted) => Iterable<number>): readonly number[] =>
    pairs.flatMap((pair) => [...pick(pair)].map((attnum) => columnKey(pair.relation.oid, attnum)));
  const operators = catalog.operators.filter(
    (candidate) => isUser(candidate.oid) && isOperatorGranted(candidate, access.functions),
  );
  const usable = new Set([...relations, ...functions, ...operators, ...types].map((one) => one.oid));
  const isUsable = (uses: readonly Oid[] = []): boolean => uses.every((oid) => usable.has(oid));
  const indexes = pairs.flatMap(({ view, relation }) =>
    relation.indexes
      .filter((index) => isIndexVisible(index, view, relation) && isUsable(index.usesOids))
      .map((index) => ({ index, relation })),
  );
  return {
    catalog,
    relationOids: relations.map((relation) => relation.oid),
    openRelationOids: relations.filter((relation) => open.has(relation.oid)).map((relation) => relation.oid),
    wholeRelationOids: relations
      .filter((relation) => !strict.partial.has(relation.oid))
      .map((relation) => relation.oid),
    countableOids: [
      ...pairs.filter(({ relation }) => !strict.filtered.has(relation.oid)).map(({ relation }) => relation.oid),
      ...indexes.filter(({ relation }) => !strict.filtered.has(relation.oid)).map(({ index }) => index.oid),
    ],
    indexOids: indexes.map(({ index }) => index.oid),
    constraintOids: pairs.flatMap(({ view, relation }) =>
      relation.constraints
        .filter(
          (constraint) =>
            isConstraintVisible(constraint, view, relation, access, catalog) && isUsable(constraint.usesOids),
        )
        .map((constraint) => constraint.oid),
    ),
    typeOids: types.map((type) => type.oid).filter(isUser),
    compositeRelationOids: types
      .filter((type) => type.kind === 'c' && isUser(type.oid) && !catalog.relationByOid.has(type.relationOid))
      .map((type) => type.relationOid),
    functionOids: functions.map((candidate) => candidate.oid),
    operatorOids: operators.map((candidate) => candidate.oid),
    schemaOids: visibleSchemas(access, catalog, types, relations),
    extensions: [
      ...new Set([...access.functions.extensions, ...types.flatMap((type) => type.extension ?? [])]),
    ].toSorted(),
    columnKeys: [
      ...keys(({ view, relation }) => visibleColumns(view, relation).map((column) => column.attnum)),
      // A sequence's three columns, which every sequence has.
      ...sequences.flatMap((oid) => [1, 2, 3].map((attnum) => columnKey(oid, attnum))),
    ],
    plainColumnKeys: keys(({ relation }) => plain.get(relation.oid) ?? []),
    defaultKeys: keys(({ relation }) =>
      relation.columns
        .filter((column) => {
          const shown = plain.get(relation.oid);
          const isPlain =
            shown?.has(column.attnum) === true && column.generatedFrom.every((attnum) => shown.has(attnum));
          // A generation expression picks columns by number: see the object class `expressionRelation`.
          return isPlain && isUsable(column.defaultUsesOids) && (column.generated === '' || open.has(relation.oid));
        })
        .map((column) => column.attnum),
    ),
  };
}

function isUser(oid: Oid): boolean {
  return oid >= FIRST_USER_OID;
}

interface Granted {
  readonly view: RelationView;
  readonly relation: CatalogRelation;
}

function visibleColumns(view: RelationView, relation: CatalogRelation): CatalogRelation['columns'] {
  const visible = new Set(view.columns.map((column) => column.attnum));
  return relation.columns.filter((column) => visible.has(column.attnum));
}

function plainColumns(view: RelationView, relation: CatalogRelation): ReadonlySet<number> {
  const masked = new Set(view.columns.filter((column) => column.mask !== undefined).map((column) => column.attnum));
  return new Set(
    visibleColumns(view, relation)
      .map((column) => column.attnum)
      .filter((attnum) => !masked.has(attnum)),
  );
}

function seesColumns(view: RelationView, relation: CatalogRelation, attnums: readonly number[]): boolean {
  const visible = new Set(visibleColumns(view, relation).map((column) => column.attnum));
  return attnums.every((attnum) => visible.has(attnum));
}

function readsMasked(view: RelationView, attnums: readonly number[]): boolean {
  return view.columns.some((column) => column.mask !== undefined && attnums.includes(column.attnum));
}

function isIndexVisible(index: CatalogIndex, view: RelationView, relation: CatalogRelation): boolean {
  if (!seesColumns(view, relation, index.columns)) return false;
  // Expressions and predicates hold literals, and those may be masked values.
  return index.hasExpressions !== true || !readsMasked(view, index.columns);
}

function isConstraintVisible(
  constraint: CatalogConstraint,
  view: RelationView,
  relation: CatalogRelation,
  access: Access,
  catalog: CatalogSnapshot,
): boolean {
  if (!seesColumns(view, relation, constraint.columns)) return false;
  if ((constraint.kind === 'c' || constraint.kind === 'x') && readsMasked(view, constraint.columns)) return false;
  if (constraint.foreignRelationOid === undefined) return true;
  const foreignView = access.views.get(constraint.foreignRelationOid);
  const foreign = catalog.relationByOid.get(constraint.foreignRelationOid);
  if (foreignView === undefined || foreign === undefined) return false;
  return seesColumns(foreignView, foreign, constraint.foreignColumns ?? []);
}

/** Relations that are not whole, or filtered, and all their inheritance relatives: a parent counts its children's rows. */
function strictFamilies(
  pairs: readonly Granted[],
  catalog: CatalogSnapshot,
): { readonly partial: ReadonlySet<Oid>; readonly filtered: ReadonlySet<Oid> } {
  const granted = new Set(pairs.map(({ relation }) => relation.oid));
  const filtered = pairs
    .filter(({ view }) => view.rowFilter !== undefined || view.conflict !== undefined)
    .map(({ relation }) => relation.oid);
  const partial = pairs
    .filter(({ view }) => !view.isWhole || view.conflict !== undefined)
    .map(({ relation }) => relation.oid);
  // A child that is not granted holds rows that are counted in its parent, and whose bounds the parent's definition tells.
  const outside = catalog.relations
    .filter((one) => !granted.has(one.oid) && one.parentOids.length > 0)
    .map((one) => one.oid);
  return { filtered: relatives([...filtered, ...outside], catalog), partial: relatives(partial, catalog) };
}

function relatives(start: readonly Oid[], catalog: CatalogSnapshot): ReadonlySet<Oid> {
  const result = new Set<Oid>();
  const pending = [...start];
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    if (result.has(oid)) continue;
    result.add(oid);
    const relation = catalog.relationByOid.get(oid);
    pending.push(...(relation?.parentOids ?? []), ...(relation?.childOids ?? []));
  }
  return result;
}

/** Types of visible columns, what these are made of, row types of visible relations, types of granted extensions; with their arrays. */
function closeTypes(pairs: readonly Granted[], access: Access, catalog: CatalogSnapshot): readonly CatalogType[] {
  const pending: Oid[] = pairs.flatMap(({ view, relation }) => [
    relation.rowTypeOid,
    ...visibleColumns(view, relation).map((column) => column.typeOid),
  ]);
  for (const type of catalog.types) {
    if (type.extension !== undefined && access.functions.extensions.has(type.extension)) pending.push(type.oid);
  }
  for (const candidate of catalog.functions) {
    if (isUser(candidate.oid) && isFunctionGranted(candidate, access.functions)) {
      pending.push(candidate.returnTypeOid, ...candidate.argumentTypeOids);
    }
  }
  const result = new Map<Oid, CatalogType>();
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    const type = catalog.typeByOid.get(oid);
    if (type === undefined || result.has(oid) || isHiddenRowType(type, access, catalog)) continue;
    result.set(oid, type);
    pending.push(type.elementOid, type.arrayOid, type.domainBaseOid);
  }
  return [...result.values()].toSorted((a, b) => a.oid - b.oid);
}

/** The row type of a relation that is not granted, though a visible column may be of it. */
function isHiddenRowType(type: CatalogType, access: Access, catalog: CatalogSnapshot): boolean {
  if (type.kind !== 'c' || !isUser(type.oid)) return false;
  return catalog.relationByOid.has(type.relationOid) && !access.views.has(type.relationOid);
}

function visibleSchemas(
  access: Access,
  catalog: CatalogSnapshot,
  types: readonly CatalogType[],
  relations: readonly CatalogRelation[],
): readonly Oid[] {
  const names = new Set(['pg_catalog', 'information_schema', ...access.schemas]);
  for (const type of types) names.add(type.schema);
  for (const relation of relations) names.add(relation.schema);
  return [...catalog.schemas].filter(([, name]) => names.has(name)).map(([oid]) => oid);
}
