/**
 * Reads the catalog snapshot from a live PostgreSQL (13 to 18) in one read-only transaction.
 *
 * The caller brings the connection as a `CatalogQuery`: it sends one statement through the simple protocol and gives back the rows
 * with every value as the server printed it (text) or null. With node-postgres that is
 * `async (sql) => (await client.query({ text: sql, rowMode: 'array', types: { getTypeParser: () => String } })).rows`;
 * the gate's own upstream connection collects DataRow frames.
 */
import type {
  CatalogCast,
  CatalogColumn,
  CatalogConstraint,
  CatalogData,
  CatalogFunction,
  CatalogIndex,
  CatalogOperator,
  CatalogRelation,
  CatalogType,
  Oid,
  RelationKind,
} from '#sql/catalog.ts';
import * as sql from './queries.ts';

type Row = readonly (string | null)[];

/** Runs one statement, answers its rows as text; rejects on a server error. */
export type CatalogQuery = (sql: string) => Promise<readonly Row[]>;

/** Reads everything; rejects with the server's error, or with an Error when the answer is not what the query asks for. */
export async function readCatalog(query: CatalogQuery): Promise<CatalogData> {
  await query(sql.BEGIN_READ);
  try {
    await query(sql.EMPTY_SEARCH_PATH);
    const data = await readAll(query);
    await query('COMMIT');
    return data;
  } catch (error) {
    await query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function readAll(query: CatalogQuery): Promise<CatalogData> {
  const names = nameCache();
  const [database] = await query(sql.DATABASE);
  if (database === undefined) throw new Error('the server did not answer its version');
  const schemas = new Map((await query(sql.SCHEMAS)).map((row) => [number(row, 0), names(text(row, 1))] as const));
  const extensions = await readExtensions(query, names);
  const schemaOf = (row: Row): string => {
    const name = schemas.get(number(row, 1));
    if (name === undefined) throw new Error(`schema ${text(row, 1)} is not in the snapshot`);
    return name;
  };
  const context: Context = { query, names, schemaOf, extensions };
  const casts = (await query(sql.CASTS)).map(readCast);
  const relations = await readRelations(context);
  const types = await readTypes(context, relations, casts);
  const functions = await readFunctions(context);
  const operators = await readOperators(context);
  return {
    serverVersionNum: number(database, 0),
    databaseName: text(database, 1),
    currentUser: text(database, 2),
    schemas,
    relations,
    types,
    functions,
    operators,
    casts,
  };
}

interface Context {
  readonly query: CatalogQuery;
  /** One string object for equal names: names repeat thousands of times. */
  readonly names: (name: string) => string;
  /** Name of the schema whose OID stands in the second column. */
  readonly schemaOf: (row: Row) => string;
  /** Extension by OID of type, function or operator (each kind has its own OID counter only per catalog). */
  readonly extensions: Extensions;
}

interface Extensions {
  readonly types: ReadonlyMap<Oid, string>;
  readonly functions: ReadonlyMap<Oid, string>;
  readonly operators: ReadonlyMap<Oid, string>;
}

/** OIDs of the catalogs that pg_depend.classid names; fixed since PostgreSQL 7 (pg_type.h, pg_proc.h, pg_operator.h). */
const TYPE_CLASS = 1247;
const FUNCTION_CLASS = 1255;
const OPERATOR_CLASS = 2617;

async function readExtensions(query: CatalogQuery, names: (name: string) => string): Promise<Extensions> {
  const types = new Map<Oid, string>();
  const functions = new Map<Oid, string>();
  const operators = new Map<Oid, string>();
  for (const row of await query(sql.EXTENSION_MEMBERS)) {
    const classOid = number(row, 0);
    const target = classOid === TYPE_CLASS ? types : classOid === FUNCTION_CLASS ? functions : operators;
    if (target === operators && classOid !== OPERATOR_CLASS) continue;
    target.set(number(row, 1), names(text(row, 2)));
  }
  return { types, functions, operators };
}

async function readRelations(context: Context): Promise<readonly CatalogRelation[]> {
  const { query, names, schemaOf } = context;
  const columns = await readColumns(context);
  const uses = groupNumbers(await query(sql.EXPRESSION_USES), 0, 1);
  const indexes = await readIndexes(context, columns, uses);
  const constraints = await readConstraints(context, columns, indexes, uses);
  const inheritance = await query(sql.INHERITANCE);
  const parents = groupNumbers(inheritance, 0, 1);
  const children = groupNumbers(inheritance, 1, 0);
  const reads = groupNumbers(await query(sql.VIEW_READS), 0, 1);
  return (await query(sql.RELATIONS)).map((row) => {
    const oid = number(row, 0);
    const definition = row[7] ?? undefined;
    const options = row[8] ?? '';
    return {
      oid,
      schema: schemaOf(row),
      name: names(text(row, 2)),
      kind: text(row, 3) as RelationKind,
      rowTypeOid: number(row, 4),
      columns: columns.get(oid) ?? NO_COLUMNS,
      constraints: constraints.get(oid) ?? NO_CONSTRAINTS,
      indexes: indexes.get(oid) ?? NO_INDEXES,
      parentOids: parents.get(oid) ?? NO_OIDS,
      childOids: children.get(oid) ?? NO_OIDS,
      isPartition: flag(row, 5),
      hasTriggers: flag(row, 6),
      ...(definition === undefined ? {} : { definition }),
      securityBarrier: isOptionOn(options, 'security_barrier'),
      securityInvoker: isOptionOn(options, 'security_invoker'),
      readsRelationOids: reads.get(oid) ?? NO_OIDS,
    };
  });
}

const NO_OIDS: readonly Oid[] = [];
const NO_COLUMNS: readonly CatalogColumn[] = [];
const NO_CONSTRAINTS: readonly CatalogConstraint[] = [];
const NO_INDEXES: readonly CatalogIndex[] = [];

/** reloptions keep the spelling of CREATE VIEW: `security_barrier=true`, `=on`, `=1`, any unambiguous beginning of true or yes. */
function isOptionOn(options: string, name: string): boolean {
  const value = options
    .split(',')
    .find((option) => option.startsWith(`${name}=`))
    ?.slice(name.length + 1)
    .toLowerCase();
  if (value === undefined || value === '') return false;
  return value === '1' || value === 'on' || 'true'.startsWith(value) || 'yes'.startsWith(value);
}

async function readColumns(context: Context): Promise<ReadonlyMap<Oid, readonly CatalogColumn[]>> {
  const { query, names } = context;
  const sources = new Map<string, number[]>();
  for (const row of await query(sql.GENERATED_FROM)) append(sources, `${text(row, 0)}.${text(row, 1)}`, number(row, 2));
  const uses = new Map<string, number[]>();
  for (const row of await query(sql.DEFAULT_USES)) append(uses, `${text(row, 0)}.${text(row, 1)}`, number(row, 2));
  const sequences = new Map<string, Oid>();
  for (const row of await query(sql.OWNED_SEQUENCES)) sequences.set(`${text(row, 0)}.${text(row, 1)}`, number(row, 2));
  const result = new Map<Oid, CatalogColumn[]>();
  for (const row of await query(sql.COLUMNS)) {
    const key = `${text(row, 0)}.${text(row, 1)}`;
    const ownedSequenceOid = sequences.get(key);
    const defaultUsesOids = uses.get(key);
    append(result, number(row, 0), {
      attnum: number(row, 1),
      name: names(text(row, 2)),
      typeOid: number(row, 3),
      typmod: number(row, 4),
      notNull: flag(row, 5),
      generated: letter(row, 6) as CatalogColumn['generated'],
      identity: letter(row, 7) as CatalogColumn['identity'],
      hasDefault: flag(row, 8),
      generatedFrom: sources.get(key) ?? NO_OIDS,
      ...(defaultUsesOids === undefined ? {} : { defaultUsesOids }),
      ...(ownedSequenceOid === undefined ? {} : { ownedSequenceOid }),
    });
  }
  return result;
}

async function readIndexes(
  context: Context,
  columns: ReadonlyMap<Oid, readonly CatalogColumn[]>,
  uses: ReadonlyMap<Oid, readonly Oid[]>,
): Promise<ReadonlyMap<Oid, readonly CatalogIndex[]>> {
  const result = new Map<Oid, CatalogIndex[]>();
  for (const row of await context.query(sql.INDEXES)) {
    const relationOid = number(row, 1);
    const read = flag(row, 7)
      ? (columns.get(relationOid) ?? NO_COLUMNS).map((column) => column.attnum)
      : numbers(row[6] ?? '');
    const usesOids = uses.get(number(row, 0));
    const keys = numbers(text(row, 5)).filter((attnum) => attnum > 0);
    append(result, relationOid, {
      oid: number(row, 0),
      name: text(row, 2),
      unique: flag(row, 3),
      primary: flag(row, 4),
      columns: [...new Set([...keys, ...read])],
      ...(flag(row, 8) ? { hasExpressions: true } : {}),
      ...(usesOids === undefined ? {} : { usesOids }),
    });
  }
  return result;
}

async function readConstraints(
  context: Context,
  columns: ReadonlyMap<Oid, readonly CatalogColumn[]>,
  indexes: ReadonlyMap<Oid, readonly CatalogIndex[]>,
  uses: ReadonlyMap<Oid, readonly Oid[]>,
): Promise<ReadonlyMap<Oid, readonly CatalogConstraint[]>> {
  const result = new Map<Oid, CatalogConstraint[]>();
  for (const row of await context.query(sql.CONSTRAINTS)) {
    const relationOid = number(row, 1);
    const kind = text(row, 3) as CatalogConstraint['kind'];
    const foreignRelationOid = number(row, 5);
    const matchType = text(row, 7).trim();
    const usesOids = uses.get(number(row, 0));
    const index = indexes.get(relationOid)?.find((candidate) => candidate.oid === number(row, 8));
    append(result, relationOid, {
      oid: number(row, 0),
      name: text(row, 2),
      kind,
      columns: constraintColumns(kind, numbers(row[4] ?? ''), columns.get(relationOid) ?? NO_COLUMNS, index),
      ...(foreignRelationOid === 0 ? {} : { foreignRelationOid }),
      ...(typeof row[6] === 'string' ? { foreignColumns: numbers(row[6]) } : {}),
      ...(matchType === '' ? {} : { matchType: matchType as 's' | 'f' | 'p' }),
      ...(usesOids === undefined ? {} : { usesOids }),
    });
  }
  return result;
}

/** In conkey a 0 means: the whole row (CHECK), or an expression (exclusion, where the index tells the columns). */
function constraintColumns(
  kind: CatalogConstraint['kind'],
  key: readonly number[],
  columns: readonly CatalogColumn[],
  index: CatalogIndex | undefined,
): readonly number[] {
  if (kind === 'x') return [...new Set([...key.filter((attnum) => attnum > 0), ...(index?.columns ?? [])])];
  return key.includes(0) ? columns.map((column) => column.attnum) : key;
}

async function readTypes(
  context: Context,
  relations: readonly CatalogRelation[],
  casts: readonly CatalogCast[],
): Promise<readonly CatalogType[]> {
  const { query, names, schemaOf, extensions } = context;
  const checks = new Map<Oid, string[]>();
  for (const row of await query(sql.DOMAIN_CHECKS)) append(checks, number(row, 0), text(row, 1));
  const comparable = new Set((await query(sql.EQUALITY_TYPES)).map((row) => number(row, 0)));
  const rows = await query(sql.TYPES);
  const types = new Map<Oid, Omit<CatalogType, 'hasEquality'>>();
  for (const row of rows) {
    const oid = number(row, 0);
    const elementOid = number(row, 5);
    const extension = extensions.types.get(oid) ?? extensions.types.get(elementOid);
    types.set(oid, {
      oid,
      schema: schemaOf(row),
      name: names(text(row, 2)),
      kind: text(row, 3) as CatalogType['kind'],
      category: names(text(row, 4)),
      elementOid,
      arrayOid: number(row, 6),
      domainBaseOid: number(row, 7),
      domainTypmod: number(row, 8),
      domainNotNull: flag(row, 9),
      domainChecks: checks.get(oid) ?? NO_CHECKS,
      relationOid: number(row, 10),
      ...(extension === undefined ? {} : { extension }),
    });
  }
  const hasEquality = equalityTest(types, relations, casts, comparable);
  return [...types.values()].map((type) => ({ ...type, hasEquality: hasEquality(type.oid) }));
}

const NO_CHECKS: readonly string[] = [];

/** Whether a value of the type can be grouped: its own operator class, or that of what the server would fall back to. */
function equalityTest(
  types: ReadonlyMap<Oid, Omit<CatalogType, 'hasEquality'>>,
  relations: readonly CatalogRelation[],
  casts: readonly CatalogCast[],
  comparable: ReadonlySet<Oid>,
): (oid: Oid) => boolean {
  const relationColumns = new Map(relations.map((relation) => [relation.oid, relation.columns]));
  const coercible = new Set(
    casts
      .filter((cast) => cast.method === 'b' && cast.context === 'i' && comparable.has(cast.targetTypeOid))
      .map((cast) => cast.sourceTypeOid),
  );
  const known = new Map<Oid, boolean>();
  const test = (oid: Oid): boolean => {
    const answer = known.get(oid);
    if (answer !== undefined) return answer;
    // A type that contains itself has no answer yet: false until proven.
    known.set(oid, false);
    const result = judge(oid);
    known.set(oid, result);
    return result;
  };
  const judge = (oid: Oid): boolean => {
    const type = types.get(oid);
    if (type === undefined || type.kind === 'p') return false;
    if (comparable.has(oid) || coercible.has(oid) || type.kind === 'e' || type.kind === 'r' || type.kind === 'm')
      return true;
    if (type.kind === 'd') return test(type.domainBaseOid);
    if (type.kind === 'c') {
      const columns = relationColumns.get(type.relationOid);
      return columns?.every((column) => test(column.typeOid)) ?? false;
    }
    return type.category === 'A' && type.elementOid !== 0 && test(type.elementOid);
  };
  return test;
}

async function readFunctions(context: Context): Promise<readonly CatalogFunction[]> {
  const { query, names, schemaOf, extensions } = context;
  const argumentLists = new Map<string, readonly Oid[]>();
  return (await query(sql.FUNCTIONS)).map((row) => {
    const oid = number(row, 0);
    const printed = text(row, 4);
    let argumentTypeOids = argumentLists.get(printed);
    if (argumentTypeOids === undefined) {
      argumentTypeOids = numbers(printed);
      argumentLists.set(printed, argumentTypeOids);
    }
    const extension = extensions.functions.get(oid);
    return {
      oid,
      schema: schemaOf(row),
      name: names(text(row, 2)),
      kind: text(row, 3) as CatalogFunction['kind'],
      argumentTypeOids,
      defaultCount: number(row, 5),
      variadicTypeOid: number(row, 6),
      returnTypeOid: number(row, 7),
      returnsSet: flag(row, 8),
      volatility: text(row, 9) as CatalogFunction['volatility'],
      leakproof: flag(row, 10),
      securityDefiner: flag(row, 11),
      ...(extension === undefined ? {} : { extension }),
    };
  });
}

async function readOperators(context: Context): Promise<readonly CatalogOperator[]> {
  const { query, names, schemaOf, extensions } = context;
  return (await query(sql.OPERATORS)).map((row) => {
    const oid = number(row, 0);
    const extension = extensions.operators.get(oid);
    return {
      oid,
      schema: schemaOf(row),
      name: names(text(row, 2)),
      leftTypeOid: number(row, 3),
      rightTypeOid: number(row, 4),
      resultTypeOid: number(row, 5),
      functionOid: number(row, 6),
      leakproof: flag(row, 7),
      ...(extension === undefined ? {} : { extension }),
    };
  });
}

/** Binary-coercible casts do nothing and so cannot raise; casts through text representation can. */
function readCast(row: Row): CatalogCast {
  const method = text(row, 4) as CatalogCast['method'];
  return {
    sourceTypeOid: number(row, 0),
    targetTypeOid: number(row, 1),
    context: text(row, 2) as CatalogCast['context'],
    functionOid: number(row, 3),
    method,
    leakproof: method === 'b' || (method === 'f' && flag(row, 5)),
  };
}

function nameCache(): (name: string) => string {
  const cache = new Map<string, string>();
  return (name) => {
    const known = cache.get(name);
    if (known !== undefined) return known;
    cache.set(name, name);
    return name;
  };
}

function text(row: Row, index: number): string {
  const value = row[index];
  if (value === undefined || value === null) throw new Error(`catalog row lacks its column ${index + 1}`);
  return value;
}

function number(row: Row, index: number): number {
  const value = Number(text(row, index));
  if (!Number.isSafeInteger(value)) throw new Error(`catalog column ${index + 1} is not a whole number`);
  return value;
}

function flag(row: Row, index: number): boolean {
  const value = text(row, index);
  if (value === 't') return true;
  if (value === 'f') return false;
  throw new Error(`catalog column ${index + 1} is not a boolean`);
}

/** A "char" column: the empty one is printed as nothing (or as a zero byte by some readers). */
function letter(row: Row, index: number): string {
  return text(row, index).replace('\0', '');
}

/** Reads `{1,2}` (arrays) and `1 2` (vectors). */
function numbers(printed: string): readonly number[] {
  const inner = printed.replace(/[{}]/g, ' ').trim();
  return inner === '' ? NO_OIDS : inner.split(/[\s,]+/).map(Number);
}

function groupNumbers(rows: readonly Row[], key: number, value: number): ReadonlyMap<number, readonly number[]> {
  const result = new Map<number, number[]>();
  for (const row of rows) append(result, number(row, key), number(row, value));
  return result;
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
