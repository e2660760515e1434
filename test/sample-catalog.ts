/** A small catalog built by hand, for tests of policies that need no server. OIDs of types are PostgreSQL's. */
import {
  type CatalogColumn,
  type CatalogRelation,
  type CatalogSnapshot,
  type CatalogType,
  indexCatalog,
  type RelationKind,
} from '#sql/catalog.ts';

const BUILT_IN_TYPES: Readonly<Record<string, number>> = {
  bool: 16,
  int8: 20,
  int4: 23,
  text: 25,
  json: 114,
  date: 1082,
  timestamptz: 1184,
  varchar: 1043,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
};

function type(name: string, oid: number, fields: Partial<CatalogType> = {}): CatalogType {
  return {
    oid,
    schema: 'pg_catalog',
    name,
    kind: 'b',
    category: 'S',
    elementOid: 0,
    arrayOid: 0,
    domainBaseOid: 0,
    domainTypmod: -1,
    domainNotNull: false,
    domainChecks: [],
    relationOid: 0,
    hasEquality: true,
    ...fields,
  };
}

const TYPES: readonly CatalogType[] = [
  ...Object.entries(BUILT_IN_TYPES).map(([name, oid]) => type(name, oid)),
  type('citext', 90_001, { schema: 'public', extension: 'citext' }),
  type('mood', 90_002, { schema: 'public', kind: 'e', category: 'E', enumLabels: ['sad', 'glad'] }),
];

/** `text`, `varchar(20)`, `int4 generated(1,2)`. */
export type ColumnSpec = Readonly<Record<string, string>>;

export interface RelationSpec {
  readonly name: string;
  readonly kind?: RelationKind;
  readonly columns: ColumnSpec;
  readonly parents?: readonly string[];
  readonly reads?: readonly string[];
}

function column(name: string, spec: string, attnum: number): CatalogColumn {
  const match = /^(\w+)(?:\((\d+)\))?(?: generated\(([\d,]+)\))?$/.exec(spec);
  const found = TYPES.find((candidate) => candidate.name === match?.[1]);
  if (match === null || found === undefined) throw new Error(`cannot read column ${name} ${spec}`);
  const length = match[2];
  return {
    attnum,
    name,
    typeOid: found.oid,
    typmod: length === undefined ? -1 : Number(length) + 4,
    notNull: false,
    generated: match[3] === undefined ? '' : 's',
    identity: '',
    hasDefault: false,
    generatedFrom: match[3] === undefined ? [] : match[3].split(',').map(Number),
  };
}

/** Relations in the order given; names are `schema.table`. */
export function sampleCatalog(specs: readonly RelationSpec[]): CatalogSnapshot {
  const oidOf = (name: string): number => {
    const index = specs.findIndex((spec) => spec.name === name);
    if (index < 0) throw new Error(`no relation ${name}`);
    return 20_000 + index;
  };
  const relations = specs.map((spec): CatalogRelation => {
    const [schema = '', name = ''] = spec.name.split('.');
    return {
      oid: oidOf(spec.name),
      schema,
      name,
      kind: spec.kind ?? 'r',
      rowTypeOid: 0,
      columns: Object.entries(spec.columns).map(([columnName, columnSpec], index) =>
        column(columnName, columnSpec, index + 1),
      ),
      constraints: [],
      indexes: [],
      parentOids: (spec.parents ?? []).map(oidOf),
      childOids: specs.filter((other) => other.parents?.includes(spec.name)).map((other) => oidOf(other.name)),
      isPartition: spec.parents !== undefined,
      hasTriggers: false,
      securityBarrier: false,
      securityInvoker: false,
      readsRelationOids: (spec.reads ?? []).map(oidOf),
    };
  });
  return indexCatalog({
    serverVersionNum: 180_004,
    databaseName: 'shop',
    currentUser: 'gate',
    schemas: new Map([
      [2200, 'public'],
      [11, 'pg_catalog'],
    ]),
    relations,
    types: TYPES,
    functions: [],
    operators: [],
    casts: [],
  });
}
