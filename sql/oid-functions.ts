/**
 * Arguments and casts that take an object by number or name, narrowed to what the identity may see. What is hidden gives the same answer as
 * what does not exist. Each argument is evaluated once: a volatile one cannot pass the test with one value and be used with another.
 */
import { type CatalogSnapshot, type Oid, qualifiedKey } from './catalog.ts';
import { displayQualified, quoteIdentifier, quoteLiteral, displayName } from './identifiers.ts';
import type { ObjectClass, OidArgument } from './oid-function-list.ts';
import { isRegType, type RegType } from './reg-types.ts';
import { FIRST_USER_OID, type VisibleObjects } from './visible-objects.ts';
import { CATALOG_OIDS, isColumnVisible, isVisible } from './visible-predicates.ts';

/** The argument where it names a visible object, else NULL. The text may be any expression of a type that casts to oid. */
function wrapOidArgument(argumentSql: string, objectClass: ObjectClass, visible: VisibleObjects): string {
  if (objectClass === 'none') return `(SELECT q.o FROM (SELECT (${argumentSql}) AS o OFFSET 0) AS q WHERE false)`;
  const zero = 'q.o OPERATOR(pg_catalog.=) 0::pg_catalog.oid';
  if (objectClass === 'expressionRelation') {
    // With 0 the server prints expressions that name no column, and refuses the others.
    const open = isVisible(objectClass, 'q.o', visible);
    return `(SELECT CASE WHEN ${open} THEN q.o ELSE 0::pg_catalog.oid END FROM (SELECT (${argumentSql})::pg_catalog.oid AS o OFFSET 0) AS q WHERE ${zero} OR ${isVisible('relationOrIndex', 'q.o', visible)})`;
  }
  return `(SELECT q.o FROM (SELECT (${argumentSql})::pg_catalog.oid AS o OFFSET 0) AS q WHERE ${zero} OR ${isVisible(objectClass, 'q.o', visible)})`;
}

/** As wrapOidArgument, for functions with overloads for the object's name: keeps the argument's type, compares its text. */
function wrapNameOrOidArgument(argumentSql: string, objectClass: ObjectClass, visible: VisibleObjects): string {
  if (objectClass === 'none') return wrapOidArgument(argumentSql, objectClass, visible);
  const entries = nameEntries(objectClass, visible);
  const known = entries.flatMap(({ oid, texts }) => (oid === undefined ? texts : [String(oid), ...texts]));
  const session =
    objectClass === 'role'
      ? ' OR q.o::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY[current_user::pg_catalog.text, (SELECT r.oid::pg_catalog.text FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)])'
      : objectClass === 'database'
        ? ' OR q.o::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY[pg_catalog.current_database()::pg_catalog.text, (SELECT d.oid::pg_catalog.text FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())])'
        : '';
  return `(SELECT q.o FROM (SELECT (${argumentSql}) AS o OFFSET 0) AS q WHERE q.o::pg_catalog.text OPERATOR(pg_catalog.=) ANY (${textArray(known)})${session})`;
}

/** Picks the wrapper that the function's rule asks for. */
export function wrapArgument(argumentSql: string, rule: OidArgument, visible: VisibleObjects): string {
  return rule.accepts === 'oid'
    ? wrapOidArgument(argumentSql, rule.objectClass, visible)
    : wrapNameOrOidArgument(argumentSql, rule.objectClass, visible);
}

/**
 * col_description(relation, attnum) as a whole: what stands before and after the argument list `A, B` in place of `col_description(` and `)`.
 */
export function wrapColumnDescription(visible: VisibleObjects): { readonly before: string; readonly after: string } {
  return {
    before: '(SELECT d.description FROM (SELECT ',
    after: ` OFFSET 0) AS q (o, n), pg_catalog.pg_description AS d WHERE d.classoid = '${CATALOG_OIDS.relation}'::pg_catalog.oid AND d.objoid = q.o::pg_catalog.oid AND d.objsubid = q.n AND d.objsubid <> 0 AND ${isColumnVisible('d.objoid', 'd.objsubid', visible)})`,
  };
}

/** has_column_privilege(relation, column, privilege) as a whole, around its arguments: NULL for what is hidden as for what is missing. */
export function wrapColumnPrivilege(visible: VisibleObjects): { readonly before: string; readonly after: string } {
  const relation = `(${wrapRegCast('q.t', 'regclass', visible)})::pg_catalog.oid`;
  const isColumn = (text: string): string => `${text}::pg_catalog.text OPERATOR(pg_catalog.=) q.c::pg_catalog.text`;
  const column = `(${isColumn('a.attname')} OR ${isColumn('a.attnum')}) AND ${isColumnVisible('a.attrelid', 'a.attnum', visible)}`;
  return {
    before: '(SELECT pg_catalog.has_column_privilege(q.t, q.c, q.p) FROM (SELECT ',
    after: ` OFFSET 0) AS q (t, c, p) WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) ${relation} AND ${column} OFFSET 0))`,
  };
}

/** pg_get_serial_sequence(relation, column) as a whole, around its arguments: the sequences of visible columns, NULL for anything else. */
export function wrapSerialSequence(visible: VisibleObjects): { readonly before: string; readonly after: string } {
  const { catalog } = visible;
  const shown = new Set(visible.relationOids);
  const entries = nameEntries('relation', visible).flatMap(({ oid, texts }) => {
    const columns = oid === undefined ? [] : (catalog.relationByOid.get(oid)?.columns ?? []);
    return columns.flatMap((column) => {
      const sequence = catalog.relationByOid.get(column.ownedSequenceOid ?? 0);
      if (sequence === undefined || !shown.has(sequence.oid)) return [];
      return texts.map((text) => [text, column.name, displayQualified(sequence.schema, sequence.name)] as const);
    });
  });
  const lists = [0, 1, 2].map((index) => textArray(entries.map((entry) => entry[index] ?? '')));
  const equal = (a: string, b: string): string => `${a} OPERATOR(pg_catalog.=) ${b}::pg_catalog.text`;
  return {
    before: '(SELECT v.s FROM (SELECT ',
    after: ` OFFSET 0) AS q (r, c), unnest(${lists.join(', ')}) AS v (r, c, s) WHERE ${equal('v.r', 'q.r')} AND ${equal('v.c', 'q.c')} LIMIT 1)`,
  };
}

interface NameEntry {
  readonly oid: Oid | undefined;
  /** Spellings under which a client may compute the name. */
  readonly texts: readonly string[];
}

function spellings(schema: string, name: string, isInPath: boolean): readonly string[] {
  const qualified = [
    displayQualified(schema, name),
    `${displayName(schema)}.${quoteIdentifier(name)}`,
    `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`,
  ];
  return [...new Set(isInPath ? [...qualified, displayName(name), quoteIdentifier(name)] : qualified)];
}

/**
 * Visible objects of a class with the spellings of their names. A bare name stands only where one schema alone has it, so that it means
 * the same under every search path.
 */
function nameEntries(objectClass: ObjectClass, visible: VisibleObjects): readonly NameEntry[] {
  let known = entriesByClass.get(visible);
  if (known === undefined) {
    known = new Map();
    entriesByClass.set(visible, known);
  }
  let entries = known.get(objectClass);
  if (entries === undefined) {
    entries = makeNameEntries(objectClass, visible);
    known.set(objectClass, entries);
  }
  return entries;
}

const entriesByClass = new WeakMap<VisibleObjects, Map<ObjectClass, readonly NameEntry[]>>();

function makeNameEntries(objectClass: ObjectClass, visible: VisibleObjects): readonly NameEntry[] {
  const { catalog } = visible;
  switch (objectClass) {
    case 'relation':
    case 'relationOrIndex':
    case 'index':
      return relationEntries(objectClass, visible);
    case 'namespace':
      return visible.schemaOids.flatMap((oid) => {
        const name = catalog.schemas.get(oid);
        return name === undefined
          ? []
          : [{ oid, texts: [...new Set([name, displayName(name), quoteIdentifier(name)])] }];
      });
    case 'type':
      return [
        ...catalog.types.filter((type) => type.oid < FIRST_USER_OID).map((type) => type.oid),
        ...visible.typeOids,
      ].flatMap((oid) => {
        const type = catalog.typeByOid.get(oid);
        if (type === undefined) return [];
        const inPath = type.schema === 'pg_catalog' || !hasOtherType(type.name, type.schema, catalog);
        return [{ oid, texts: [...spellings(type.schema, type.name, inPath), ...(SQL_TYPE_NAMES[oid] ?? [])] }];
      });
    case 'function':
      return [...new Set(visible.functionOids)].flatMap((oid) => {
        const candidate = catalog.functionByOid.get(oid);
        return candidate === undefined
          ? []
          : [{ oid, texts: functionTexts(candidate.schema, candidate.name, catalog) }];
      });
    default:
      return [];
  }
}

function functionTexts(schema: string, name: string, catalog: CatalogSnapshot): readonly string[] {
  const isAlone = (catalog.functionsByName.get(name) ?? []).length === 1;
  return spellings(schema, name, isAlone);
}

function hasOtherType(name: string, schema: string, catalog: CatalogSnapshot): boolean {
  return [...catalog.schemas.values()].some(
    (other) => other !== schema && catalog.typeByName.has(qualifiedKey(other, name)),
  );
}

function relationEntries(objectClass: ObjectClass, visible: VisibleObjects): readonly NameEntry[] {
  const { catalog } = visible;
  const counts = new Map<string, number>();
  for (const relation of catalog.relations) {
    counts.set(relation.name, (counts.get(relation.name) ?? 0) + 1);
    for (const index of relation.indexes) counts.set(index.name, (counts.get(index.name) ?? 0) + 1);
  }
  const isAlone = (name: string): boolean => counts.get(name) === 1;
  const user = visible.relationOids.flatMap((oid) => catalog.relationByOid.get(oid) ?? []);
  const relations = [...catalog.relations.filter((relation) => relation.oid < FIRST_USER_OID), ...user];
  const indexes = new Set(visible.indexOids);
  const result: NameEntry[] = [];
  for (const relation of relations) {
    const { schema, name, oid } = relation;
    if (objectClass !== 'index')
      result.push({ oid, texts: spellings(schema, name, schema === 'pg_catalog' || isAlone(name)) });
    if (objectClass === 'relation') continue;
    for (const index of relation.indexes) {
      if (indexes.has(index.oid))
        result.push({ oid: index.oid, texts: spellings(schema, index.name, isAlone(index.name)) });
    }
  }
  return result;
}

/** Names by which format_type and regtype print built-in types, where these differ from pg_type.typname. */
const SQL_TYPE_NAMES: Readonly<Record<number, readonly string[]>> = {
  16: ['boolean'],
  20: ['bigint'],
  21: ['smallint'],
  23: ['integer', 'int'],
  700: ['real'],
  701: ['double precision'],
  1000: ['boolean[]'],
  1005: ['smallint[]'],
  1007: ['integer[]'],
  1009: ['text[]'],
  1015: ['character varying[]'],
  1016: ['bigint[]'],
  1042: ['character'],
  1043: ['character varying'],
  1082: ['date'],
  1083: ['time without time zone'],
  1114: ['timestamp without time zone'],
  1184: ['timestamp with time zone'],
  1266: ['time with time zone'],
  1560: ['bit'],
  1562: ['bit varying'],
};

function textArray(texts: readonly string[]): string {
  const items = texts.map((text) => `"${text.replace(/["\\]/g, (character) => `\\${character}`)}"`);
  return `${quoteLiteral(`{${items.join(',')}}`)}::pg_catalog.text[]`;
}

const REG_CLASSES: Readonly<Record<RegType, ObjectClass | 'any'>> = {
  regclass: 'relationOrIndex',
  regtype: 'type',
  regproc: 'function',
  regprocedure: 'function',
  regoper: 'operator',
  regoperator: 'operator',
  regnamespace: 'namespace',
  regrole: 'role',
  // Dictionaries and configurations hold no data of tables; full-text search casts to them from columns.
  regconfig: 'any',
  regdictionary: 'any',
  regcollation: 'builtin',
};

/**
 * A cast to a reg* type of something that is no literal: the visible object, else NULL. The value may be a number, a name in a usual spelling,
 * or a reg* value itself: its text is looked up in the snapshot's list, never by the server. Unknown types give NULL.
 */
export function wrapRegCast(argumentSql: string, regType: string, visible: VisibleObjects): string {
  if (!isRegType(regType)) return `(SELECT NULL::pg_catalog.oid FROM (SELECT (${argumentSql}) AS t OFFSET 0) AS q)`;
  const objectClass = REG_CLASSES[regType];
  const target = `pg_catalog.${regType}`;
  if (objectClass === 'any') return `(${argumentSql})::${target}`;
  const entries = nameEntries(objectClass, visible).filter((entry) => entry.oid !== undefined);
  const texts = entries.flatMap(({ texts: names }) => names);
  const oids = entries.flatMap(({ oid, texts: names }) => names.map(() => oid));
  const byName = `('{${oids.join(',')}}'::pg_catalog.oid[])[pg_catalog.array_position(${textArray(texts)}, q.t)]`;
  const isNumber = "q.t OPERATOR(pg_catalog.~) '^[0-9]{1,9}$'";
  const number = `CASE WHEN ${isNumber} THEN q.t::pg_catalog.oid WHEN q.t OPERATOR(pg_catalog.=) '-' THEN 0::pg_catalog.oid ELSE ${byName} END`;
  const zero = 'r.o OPERATOR(pg_catalog.=) 0::pg_catalog.oid';
  return `(SELECT r.o::${target} FROM (SELECT ${number} AS o FROM (SELECT (${argumentSql})::pg_catalog.text AS t OFFSET 0) AS q OFFSET 0) AS r WHERE ${zero} OR ${isVisible(objectClass, 'r.o', visible)})`;
}

/** to_regclass(x) and its like, with a text that is no literal: the same look-up as a cast. */
export function wrapRegName(argumentSql: string, regType: RegType, visible: VisibleObjects): string {
  return wrapRegCast(argumentSql, regType, visible);
}

export type RegLiteral =
  /** The literal may go to the server as it stands. */
  | { readonly kind: 'visible'; readonly oid: Oid | undefined }
  /** As the server answers for a name that does not exist; to_regclass and its like give NULL instead. */
  | { readonly kind: 'refused'; readonly sqlstate: string; readonly message: string };

const VISIBLE: RegLiteral = { kind: 'visible', oid: undefined };

/** Judges `'text'::regX`. The search path is the session's, without the implicit pg_catalog. */
export function visibleRegLiteral(
  regType: string,
  literalText: string,
  catalog: CatalogSnapshot,
  searchPath: readonly string[],
  visible: VisibleObjects,
  temporaryNames: ReadonlySet<string> = new Set(),
): RegLiteral {
  if (!isRegType(regType)) return missing('42704', `type "${regType}" is not available`);
  const text = literalText.trim();
  if (regType === 'regconfig' || regType === 'regdictionary') return VISIBLE;
  if (text === '-') return VISIBLE;
  if (/^[0-9]+$/.test(text)) return numberLiteral(regType, Number(text), visible);
  const name = parseName(text);
  switch (regType) {
    case 'regclass':
      return name === undefined
        ? missing('42P01', `relation "${text}" does not exist`)
        : relationLiteral(name, text, { catalog, searchPath, visible, temporaryNames });
    case 'regtype':
      return typeLiteral(text, catalog, searchPath, visible);
    case 'regproc':
    case 'regprocedure':
      return functionLiteral(text, catalog, searchPath, visible);
    case 'regnamespace': {
      const oid = visible.schemaOids.find((candidate) => catalog.schemas.get(candidate) === name?.name);
      return oid === undefined || name?.schema !== undefined
        ? missing('3F000', `schema "${text}" does not exist`)
        : { kind: 'visible', oid };
    }
    case 'regrole':
      return name?.schema === undefined && name?.name === catalog.currentUser
        ? VISIBLE
        : missing('42704', `role "${text}" does not exist`);
    case 'regoper':
    case 'regoperator':
      return operatorLiteral(text, catalog, visible);
    case 'regcollation':
      return /^(pg_catalog\.)?("?(default|C|POSIX|ucs_basic|unicode)"?|"[a-zA-Z_-]+-x-icu"|"?[a-z]{2}_[A-Z]{2}(\.utf-?8)?"?)$/i.test(
        text,
      )
        ? VISIBLE
        : missing('42704', `collation "${text}" does not exist`);
  }
}

function missing(sqlstate: string, message: string): RegLiteral {
  return { kind: 'refused', sqlstate, message };
}

function numberLiteral(regType: RegType, oid: Oid, visible: VisibleObjects): RegLiteral {
  // A number without an object prints as the number: so does one whose object is hidden, by way of the cast of a non-literal.
  const lists: Readonly<Partial<Record<RegType, readonly Oid[]>>> = {
    regclass: [...visible.relationOids, ...visible.indexOids],
    regtype: visible.typeOids,
    regproc: visible.functionOids,
    regprocedure: visible.functionOids,
    regoper: visible.operatorOids,
    regoperator: visible.operatorOids,
    regnamespace: visible.schemaOids,
  };
  const isKnown = (regType !== 'regrole' && oid < FIRST_USER_OID) || lists[regType]?.includes(oid) === true;
  return isKnown ? { kind: 'visible', oid } : missing('42704', `object with OID ${oid} does not exist`);
}

interface ParsedName {
  readonly schema: string | undefined;
  readonly name: string;
}

/** Reads `a`, `a.b`, `"A"."b"` with the server's folding; undefined for anything else (three parts, broken quotes). */
function parseName(text: string): ParsedName | undefined {
  const part = String.raw`\s*(?:"((?:[^"]|"")+)"|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*))\s*`;
  const match = new RegExp(`^${part}(?:\\.${part})?$`).exec(text);
  if (match === null) return undefined;
  const read = (quoted: string | undefined, bare: string | undefined): string | undefined =>
    quoted?.replaceAll('""', '"') ?? bare?.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const first = read(match[1], match[2]);
  const second = read(match[3], match[4]);
  if (first === undefined) return undefined;
  return second === undefined ? { schema: undefined, name: first } : { schema: first, name: second };
}

interface LookUp {
  readonly catalog: CatalogSnapshot;
  readonly searchPath: readonly string[];
  readonly visible: VisibleObjects;
  readonly temporaryNames: ReadonlySet<string>;
}

function relationLiteral(name: ParsedName, text: string, lookUp: LookUp): RegLiteral {
  const { catalog, searchPath, visible, temporaryNames } = lookUp;
  if (temporaryNames.has(name.name) && (name.schema === undefined || name.schema === 'pg_temp')) return VISIBLE;
  const schemas = name.schema === undefined ? pathWithSystem(searchPath) : [name.schema];
  const indexOids = new Set(visible.indexOids);
  for (const schema of schemas) {
    const relation = catalog.relationByName.get(qualifiedKey(schema, name.name));
    const oid = relation?.oid ?? indexByName(catalog, schema, name.name);
    if (oid === undefined) continue;
    const isKnown = oid < FIRST_USER_OID || visible.relationOids.includes(oid) || indexOids.has(oid);
    return isKnown ? { kind: 'visible', oid } : missing('42P01', `relation "${text}" does not exist`);
  }
  return missing('42P01', `relation "${text}" does not exist`);
}

/** pg_catalog comes first unless the path names it itself. */
function pathWithSystem(searchPath: readonly string[]): readonly string[] {
  return searchPath.includes('pg_catalog') ? searchPath : ['pg_catalog', ...searchPath];
}

const indexNames = new WeakMap<CatalogSnapshot, ReadonlyMap<string, Oid>>();

function indexByName(catalog: CatalogSnapshot, schema: string, name: string): Oid | undefined {
  let names = indexNames.get(catalog);
  if (names === undefined) {
    names = new Map(
      catalog.relations.flatMap((relation) =>
        relation.indexes.map((index) => [qualifiedKey(relation.schema, index.name), index.oid] as const),
      ),
    );
    indexNames.set(catalog, names);
  }
  return names.get(qualifiedKey(schema, name));
}

/** Types that the grammar spells with several words or under another name than pg_type does. */
const SQL_TYPES =
  /^(character varying|varchar|character|char|national character( varying)?|nchar|bit varying|bit|double precision|float|real|integer|int|smallint|bigint|decimal|dec|numeric|boolean|bool|(timestamp|time)( \(?\d?\)?)?( (with|without) time zone)?|interval.*|json|name|text|date)$/i;

function typeLiteral(
  text: string,
  catalog: CatalogSnapshot,
  searchPath: readonly string[],
  visible: VisibleObjects,
): RegLiteral {
  const bare = text
    .replace(/(\s*\[\d*\])+$/, '')
    .replace(/\s*\(\s*\d+\s*(,\s*-?\d+\s*)?\)/, '')
    .trim();
  if (SQL_TYPES.test(bare)) return VISIBLE;
  const name = parseName(bare);
  const schemas = name?.schema === undefined ? pathWithSystem(searchPath) : [name.schema];
  const type = schemas
    .map((schema) => catalog.typeByName.get(qualifiedKey(schema, name?.name ?? '')))
    .find((candidate) => candidate !== undefined);
  const isKnown = type !== undefined && (type.oid < FIRST_USER_OID || visible.typeOids.includes(type.oid));
  return isKnown
    ? { kind: 'visible', oid: bare === text ? type.oid : undefined }
    : missing('42704', `type "${text}" does not exist`);
}

function functionLiteral(
  text: string,
  catalog: CatalogSnapshot,
  searchPath: readonly string[],
  visible: VisibleObjects,
): RegLiteral {
  const open = text.indexOf('(');
  const name = parseName(open < 0 ? text : text.slice(0, open));
  const schemas = name?.schema === undefined ? pathWithSystem(searchPath) : [name.schema];
  const candidates = (catalog.functionsByName.get(name?.name ?? '') ?? []).filter((candidate) =>
    schemas.includes(candidate.schema),
  );
  const isKnown =
    candidates.length > 0 &&
    candidates.every((candidate) => candidate.oid < FIRST_USER_OID || visible.functionOids.includes(candidate.oid)) &&
    (open < 0 || argumentTypesAreKnown(text.slice(open), catalog, searchPath, visible));
  return isKnown ? VISIBLE : missing('42883', `function "${text}" does not exist`);
}

/** The argument list names types, and a hidden one must not be told from a missing one. */
function argumentTypesAreKnown(
  list: string,
  catalog: CatalogSnapshot,
  searchPath: readonly string[],
  visible: VisibleObjects,
): boolean {
  const inner = /^\(([^()]*)\)$/.exec(list.trim())?.[1]?.trim();
  if (inner === undefined) return false;
  return (
    inner === '' ||
    inner.split(',').every((type) => typeLiteral(type.trim(), catalog, searchPath, visible).kind === 'visible')
  );
}

function operatorLiteral(text: string, catalog: CatalogSnapshot, visible: VisibleObjects): RegLiteral {
  const match = /^(?:pg_catalog\s*\.\s*)?([-+*/<>=~!@#%^&|`?]+)\s*(?:\(.*\))?$/.exec(text);
  const candidates = catalog.operatorsByName.get(match?.[1] ?? '') ?? [];
  const isKnown =
    candidates.length > 0 &&
    candidates.every((candidate) => candidate.oid < FIRST_USER_OID || visible.operatorOids.includes(candidate.oid));
  return isKnown ? VISIBLE : missing('42883', `operator does not exist: ${text}`);
}
