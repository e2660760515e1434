/**
 * What the gate knows of the database: a snapshot of its catalog, read from the database itself (catalog/read-catalog.ts)
 * and used here as plain readonly data. OIDs are unsigned 32-bit numbers as in pg_catalog.
 */
export type Oid = number;

/** pg_class.relkind of what a statement can name: table, partitioned table, view, materialized view, foreign table, sequence. */
export type RelationKind = 'r' | 'p' | 'v' | 'm' | 'f' | 'S';

export interface CatalogColumn {
  readonly attnum: number;
  readonly name: string;
  readonly typeOid: Oid;
  readonly typmod: number;
  readonly notNull: boolean;
  /** pg_attribute.attgenerated: `''` none, `'s'` stored, `'v'` virtual. */
  readonly generated: '' | 's' | 'v';
  /** pg_attribute.attidentity: `''` none, `'a'` always, `'d'` by default. */
  readonly identity: '' | 'a' | 'd';
  readonly hasDefault: boolean;
  /** Columns of the same relation that a generated column's expression reads (attnums). */
  readonly generatedFrom: readonly number[];
  /** User functions, operators, types and other relations that its default or generation expression names. */
  readonly defaultUsesOids?: readonly Oid[];
  /** Sequence owned by this column (pg_depend deptype a or i), as OID of the sequence. */
  readonly ownedSequenceOid?: Oid;
}

export interface CatalogConstraint {
  readonly oid: Oid;
  readonly name: string;
  /** pg_constraint.contype: primary, unique, foreign key, check, exclusion. */
  readonly kind: 'p' | 'u' | 'f' | 'c' | 'x';
  readonly columns: readonly number[];
  readonly foreignRelationOid?: Oid;
  /** Positionally matches `columns`. */
  readonly foreignColumns?: readonly number[];
  readonly matchType?: 's' | 'f' | 'p';
  /** User functions, operators, types and other relations that its expression names. */
  readonly usesOids?: readonly Oid[];
}

export interface CatalogIndex {
  readonly oid: Oid;
  readonly name: string;
  readonly unique: boolean;
  readonly primary: boolean;
  /** Key and included columns (attnums), and those that index expressions or the predicate read. */
  readonly columns: readonly number[];
  /** Has an indexed expression or a predicate, which may show values. */
  readonly hasExpressions?: boolean;
  /** User functions, operators, types and other relations that these name. */
  readonly usesOids?: readonly Oid[];
}

export interface CatalogRelation {
  readonly oid: Oid;
  readonly schema: string;
  readonly name: string;
  readonly kind: RelationKind;
  /** OID of the composite row type (pg_class.reltype), 0 if none. */
  readonly rowTypeOid: Oid;
  /** Live columns in attnum order; dropped ones are left out. */
  readonly columns: readonly CatalogColumn[];
  readonly constraints: readonly CatalogConstraint[];
  readonly indexes: readonly CatalogIndex[];
  /** Inheritance and partitioning, direct only. */
  readonly parentOids: readonly Oid[];
  readonly childOids: readonly Oid[];
  readonly isPartition: boolean;
  readonly hasTriggers: boolean;
  /** Views and materialized views: pg_get_viewdef(oid), read with search_path = '' so that every name is qualified. */
  readonly definition?: string;
  readonly securityBarrier: boolean;
  readonly securityInvoker: boolean;
  /** OIDs of relations a view or materialized view reads directly (pg_depend through pg_rewrite). */
  readonly readsRelationOids: readonly Oid[];
}

export interface CatalogType {
  readonly oid: Oid;
  readonly schema: string;
  readonly name: string;
  /** pg_type.typtype: base, composite, domain, enum, pseudo, range, multirange. */
  readonly kind: 'b' | 'c' | 'd' | 'e' | 'p' | 'r' | 'm';
  readonly category: string;
  readonly elementOid: Oid;
  readonly arrayOid: Oid;
  readonly domainBaseOid: Oid;
  readonly domainTypmod: number;
  readonly domainNotNull: boolean;
  /** pg_get_constraintdef of a domain's CHECK constraints, e.g. `CHECK ((VALUE > 0))`. */
  readonly domainChecks: readonly string[];
  /** Row type: the relation it belongs to, else 0. */
  readonly relationOid: Oid;
  /** Labels of an enum, in order. */
  readonly enumLabels?: readonly string[];
  /** Has a default btree or hash equality (can stand in GROUP BY). */
  readonly hasEquality: boolean;
  readonly extension?: string;
}

export interface CatalogFunction {
  readonly oid: Oid;
  readonly schema: string;
  readonly name: string;
  /** pg_proc.prokind: function, aggregate, window function, procedure. */
  readonly kind: 'f' | 'a' | 'w' | 'p';
  /** Input argument types (pg_proc.proargtypes). */
  readonly argumentTypeOids: readonly Oid[];
  readonly defaultCount: number;
  /** provariadic: element type OID, 0 if not variadic. */
  readonly variadicTypeOid: Oid;
  readonly returnTypeOid: Oid;
  readonly returnsSet: boolean;
  readonly volatility: 'i' | 's' | 'v';
  readonly leakproof: boolean;
  readonly securityDefiner: boolean;
  readonly extension?: string;
}

export interface CatalogOperator {
  readonly oid: Oid;
  readonly schema: string;
  readonly name: string;
  /** 0 for a prefix operator. */
  readonly leftTypeOid: Oid;
  readonly rightTypeOid: Oid;
  readonly resultTypeOid: Oid;
  readonly functionOid: Oid;
  /** pg_proc.proleakproof of the function behind it. */
  readonly leakproof: boolean;
  readonly extension?: string;
}

export interface CatalogCast {
  readonly sourceTypeOid: Oid;
  readonly targetTypeOid: Oid;
  readonly context: 'e' | 'a' | 'i';
  /** 0 for binary-coercible or I/O casts. */
  readonly functionOid: Oid;
  readonly method: 'f' | 'i' | 'b';
  readonly leakproof: boolean;
}

/** Plain data as the reader produces it; `indexCatalog` adds the look-ups. */
export interface CatalogData {
  /** server_version_num, e.g. 180004. */
  readonly serverVersionNum: number;
  readonly databaseName: string;
  readonly currentUser: string;
  /** Schema names by OID, without pg_toast and temporary ones. */
  readonly schemas: ReadonlyMap<Oid, string>;
  /** Includes pg_catalog and information_schema relations. */
  readonly relations: readonly CatalogRelation[];
  readonly types: readonly CatalogType[];
  readonly functions: readonly CatalogFunction[];
  readonly operators: readonly CatalogOperator[];
  readonly casts: readonly CatalogCast[];
}

export interface CatalogSnapshot extends CatalogData {
  readonly relationByOid: ReadonlyMap<Oid, CatalogRelation>;
  /** Key `schema\0name`: no catalog name holds a NUL. */
  readonly relationByName: ReadonlyMap<string, CatalogRelation>;
  readonly typeByOid: ReadonlyMap<Oid, CatalogType>;
  readonly typeByName: ReadonlyMap<string, CatalogType>;
  readonly functionsByName: ReadonlyMap<string, readonly CatalogFunction[]>;
  readonly functionByOid: ReadonlyMap<Oid, CatalogFunction>;
  readonly operatorsByName: ReadonlyMap<string, readonly CatalogOperator[]>;
  readonly castByTypes: ReadonlyMap<string, CatalogCast>;
}

/** Map key for a schema-qualified name. */
export function qualifiedKey(schema: string, name: string): string {
  return `${schema}\0${name}`;
}

/** Adds the look-ups to catalog data. Functions and operators are keyed by bare name, all schemas together. */
export function indexCatalog(data: CatalogData): CatalogSnapshot {
  return {
    ...data,
    relationByOid: new Map(data.relations.map((r) => [r.oid, r])),
    relationByName: new Map(data.relations.map((r) => [qualifiedKey(r.schema, r.name), r])),
    typeByOid: new Map(data.types.map((t) => [t.oid, t])),
    typeByName: new Map(data.types.map((t) => [qualifiedKey(t.schema, t.name), t])),
    functionsByName: Map.groupBy(data.functions, (f) => f.name),
    functionByOid: new Map(data.functions.map((f) => [f.oid, f])),
    operatorsByName: Map.groupBy(data.operators, (o) => o.name),
    castByTypes: new Map(data.casts.map((c) => [`${c.sourceTypeOid}>${c.targetTypeOid}`, c])),
  };
}

/** A schema that belongs to the system: pg_catalog and information_schema. */
export function isSystemSchema(schema: string): boolean {
  return schema === 'pg_catalog' || schema === 'information_schema';
}
