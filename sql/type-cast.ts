/** Casts and type names: built-in types, granted ones, and the reg* types that would otherwise list every name in the catalog. */
import { LITERAL_UNKNOWN_TYPE, markSensitive, type ExpressionInfo, walkField } from './walk.ts';
import { displayQualified } from './identifiers.ts';
import { isSystemSchema, qualifiedKey, type CatalogType, type Oid } from './catalog.ts';
import { checkDomain } from './domain-check.ts';
import { balanced, firstToken, textRange, type TokenRange } from './extents.ts';
import { isLeakproofCast } from './leakproof.ts';
import { visibleRegLiteral, wrapRegCast } from './oid-functions.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Scope } from './scope.ts';
import type { Context } from './statement-context.ts';
import { replaceAround } from './wrap-node.ts';
import { asNode, listField, locationOf, nameList, stringField, treeField } from './tree-access.ts';

const REG_TYPES: ReadonlySet<string> = new Set([
  'regclass',
  'regtype',
  'regproc',
  'regprocedure',
  'regoper',
  'regoperator',
  'regnamespace',
  'regrole',
  'regconfig',
  'regdictionary',
  'regcollation',
  'regdatabase',
]);
/** Types whose input or functions tell what the catalog filters hide: names of roles, the current transaction. */
const TELLING_TYPES: ReadonlySet<string> = new Set(['aclitem', 'xid', 'xid8', 'pg_snapshot', 'txid_snapshot']);
/** Pseudo-types a cast may name harmlessly. */
const PSEUDO_TYPES: ReadonlySet<string> = new Set(['void', 'unknown', 'record', 'cstring']);

function findType(names: readonly string[], context: Context): CatalogType | undefined {
  const { catalog, access, session } = context.input;
  const name = names.at(-1) ?? '';
  if (names.length > 1) return catalog.typeByName.get(qualifiedKey(names.at(-2) ?? '', name));
  for (const schema of ['pg_catalog', ...session.searchPath, ...access.schemas]) {
    const type = catalog.typeByName.get(qualifiedKey(schema, name));
    if (type !== undefined) return type;
  }
  return undefined;
}

/** Refuses a cast to a type that is not allowed, by OID (a cast written as a call). */
export function judgeCastTo(typeOid: Oid, location: number, context: Context): void {
  const type = context.input.catalog.typeByOid.get(typeOid);
  if (type === undefined) refuse('type_not_allowed', { subject: String(typeOid), location });
  judgeType(type, location, context);
}

function judgeType(type: CatalogType, location: number, context: Context): void {
  const { catalog, access } = context.input;
  if (context.trusted) return;
  const notAllowed = (advice: string): never =>
    refuse('type_not_allowed', { subject: displayQualified(type.schema, type.name), advice, location });
  const element = type.elementOid !== 0 && type.category === 'A' ? catalog.typeByOid.get(type.elementOid) : undefined;
  if (element !== undefined) return judgeType(element, location, context);
  if (type.extension !== undefined && access.functions.extensions.has(type.extension)) return;
  switch (type.kind) {
    case 'b':
    case 'r':
    case 'm':
      if (type.schema !== 'pg_catalog')
        notAllowed(
          type.extension === undefined
            ? 'it is not a built-in type'
            : `ask for functions.allow: ["extension:${type.extension}"]`,
        );
      if (TELLING_TYPES.has(type.name)) notAllowed('its input tells of roles and transactions');
      return;
    case 'e':
      if (!access.schemas.includes(type.schema)) notAllowed('it is not in a granted schema');
      return;
    case 'd':
      if (isSystemSchema(type.schema)) return;
      checkDomain(type, context);
      return;
    case 'p':
      if (!PSEUDO_TYPES.has(type.name)) notAllowed('it is a pseudo-type');
      return;
    case 'c':
      notAllowed('casts to a row type are not possible through the gate');
  }
}

function refuseMissingType(names: readonly string[], location: number): never {
  return refuse('undefined_object', {
    subject: `type "${names.join('.')}" does not exist`,
    sqlstate: '42704',
    location,
  });
}

/** A type that nothing visible uses does not exist for the identity: neither its name nor its labels and checks are to be tried out. */
export function isVisibleType(type: CatalogType, context: Context): boolean {
  if (context.trusted || isSystemSchema(type.schema)) return true;
  const { catalog, access } = context.input;
  if (type.extension !== undefined) return true;
  const element = type.category === 'A' ? (catalog.typeByOid.get(type.elementOid) ?? type) : type;
  if (element.relationOid !== 0) return access.views.has(element.relationOid);
  return context.visible().typeOids.includes(element.oid);
}

function isRegOrItsArray(typeOid: Oid | undefined, context: Context): boolean {
  const type = context.input.catalog.typeByOid.get(typeOid ?? 0);
  const element = type?.category === 'A' ? context.input.catalog.typeByOid.get(type.elementOid) : type;
  return element !== undefined && isSystemSchema(element.schema) && REG_TYPES.has(element.name);
}

/** Whether a value of this type is a reg* (or an array of them): an untyped literal beside it would be read by its input. */
export function isRegOid(typeOid: Oid | undefined, context: Context): boolean {
  return typeOid !== undefined && typeOid !== LITERAL_UNKNOWN_TYPE && isRegOrItsArray(typeOid, context);
}

/**
 * CASE, COALESCE, ARRAY, IN, VALUES, UNION: an untyped literal or parameter takes the type of what stands beside it, and a name would be
 * looked up by the server, past the catalog's filters. NULL is harmless.
 */
export function refuseUntypedBesideReg(infos: readonly ExpressionInfo[], context: Context): void {
  if (context.trusted || !infos.some((info) => isRegOid(info.typeOid, context))) return;
  if (!infos.some((info) => info.typeOid === LITERAL_UNKNOWN_TYPE && info.isNull !== true)) return;
  refuse('not_supported', {
    subject: 'an untyped literal or parameter beside a value of a reg* type',
    advice: 'cast both to text, or the literal to the reg* type',
  });
}

function refuseReg(typeOid: Oid | undefined, location: number, context: Context): void {
  if (context.trusted || !isRegOrItsArray(typeOid, context)) return;
  const name = context.input.catalog.typeByOid.get(typeOid ?? 0)?.name ?? '';
  refuse('type_not_allowed', {
    subject: `pg_catalog.${name}`,
    advice: 'its input looks names up unseen; take text, and cast that to it',
    location,
  });
}

/** Declared types of parameters: Bind reads each value by its type's input, used in the text or not. */
export function judgeParameterTypes(typeOids: readonly Oid[], context: Context): void {
  for (const typeOid of typeOids) {
    const type = context.input.catalog.typeByOid.get(typeOid);
    // An OID that the catalog does not hold is an error of the server's, the same for all.
    if (typeOid === 0 || type === undefined) continue;
    if (!isVisibleType(type, context)) refuse('type_not_allowed', { subject: String(typeOid) });
    if (type.kind === 'b') refuseTelling(type, context);
    refuseReg(typeOid, 0, context);
  }
}

function refuseTelling(type: CatalogType, context: Context): void {
  const element = type.category === 'A' ? (context.input.catalog.typeByOid.get(type.elementOid) ?? type) : type;
  if (!isSystemSchema(element.schema) || !TELLING_TYPES.has(element.name)) return;
  refuse('type_not_allowed', {
    subject: `pg_catalog.${type.name}`,
    advice: 'its input tells of roles and transactions',
  });
}

/** The type of a column, a parameter or a JSON result: values come in by its input, with no cast in the text that could be looked up here. */
export function resolveTypeName(typeName: Tree, context: Context): Oid | undefined {
  const typeOid = resolveCastType(typeName, context);
  refuseReg(typeOid, locationOf(asNode(typeName, 'TypeName') ?? typeName), context);
  return typeOid;
}

/** Resolves a TypeName and refuses types that are not allowed. The type's OID (the array's for `int[]`). */
function resolveCastType(typeName: Tree, context: Context): Oid | undefined {
  const content = asNode(typeName, 'TypeName') ?? typeName;
  const location = locationOf(content);
  if (content['pct_type'] === true) refuse('type_not_allowed', { subject: '%TYPE', location });
  const names = nameList(content, 'names');
  const type = findType(names, context);
  if (type === undefined) {
    return refuseMissingType(names, location);
  }
  if (!isVisibleType(type, context)) return refuseMissingType(names, location);
  judgeType(type, location, context);
  return listField(content, 'arrayBounds').length > 0 ? type.arrayOid || undefined : type.oid;
}

interface CastRange {
  /** The whole `expr::type` or `CAST(expr AS type)`. */
  readonly whole: TokenRange;
  readonly argument: TokenRange;
}

function castRange(content: Tree, context: Context): CastRange {
  const { source } = context;
  const operator = source.tokenAt(locationOf(content));
  const type = source.tokenAt(locationOf(treeField(content, 'typeName') ?? {}));
  if (source.tokens[operator]?.word === 'CAST') {
    const close = source.partner[operator + 1] ?? operator;
    return { whole: { first: operator, last: close }, argument: { first: operator + 2, last: type - 2 } };
  }
  let last = type;
  while (source.tokens[last + 1]?.kind === 'dot') last += 2;
  let first = Math.min(firstToken(source, treeField(content, 'arg')), operator - 1);
  for (let i = operator - 1; i >= first; i--) {
    const partner = source.tokens[i]?.kind === 'close' ? (source.partner[i] ?? i) : i;
    if (partner < first) first = partner;
  }
  const whole = balanced(source, { first, last });
  return { whole, argument: { first: whole.first, last: operator - 1 } };
}

/** Walks a TypeCast. */
export function typeCast(content: Tree, scope: Scope, context: Context, node: Tree): ExpressionInfo {
  const typeName = treeField(content, 'typeName') ?? refuse('not_supported', { subject: 'a cast' });
  const typeOid = resolveCastType(typeName, context);
  const argument = treeField(content, 'arg') ?? {};
  const info = walkField(content, 'arg', scope, context);
  const literal = asNode(argument, 'A_Const') !== undefined;
  const type = context.input.catalog.typeByOid.get(typeOid ?? 0);
  const element = type?.category === 'A' ? context.input.catalog.typeByOid.get(type.elementOid) : type;
  if (element !== undefined && REG_TYPES.has(element.name))
    return regCast(content, node, element.name, type !== element, info, context);
  if (literal && isFixedLiteral(argument, type)) return { ...info, leakproof: true, typeOid };
  if (asNode(argument, 'ParamRef') !== undefined && type?.kind !== 'd') {
    const isOfType = info.typeOid === LITERAL_UNKNOWN_TYPE || (info.typeOid !== undefined && info.typeOid === typeOid);
    if (isOfType) return { ...info, leakproof: true, typeOid };
  }
  const safe =
    info.typeOid !== undefined &&
    typeOid !== undefined &&
    isLeakproofCast(info.typeOid, typeOid, context.input.catalog);
  return { ...info, leakproof: info.leakproof && safe, typeOid };
}

/** Numbers that a number becomes by an immutable cast: done while planning, whether or not a row is there. */
const NUMBERS: ReadonlySet<string> = new Set([
  'int2',
  'int4',
  'int8',
  'numeric',
  'float4',
  'float8',
  'text',
  'varchar',
]);

/** A literal that is read, or fails, before any row: not where a domain's checks run, nor where a number's cast depends on settings. */
function isFixedLiteral(argument: Tree, type: CatalogType | undefined): boolean {
  if (type === undefined || type.kind === 'd') return false;
  const constant = asNode(argument, 'A_Const') ?? {};
  if (constant['isnull'] === true || constant['sval'] !== undefined) return true;
  return type.schema === 'pg_catalog' && NUMBERS.has(type.name);
}

function treeTypeOid(content: Tree, context: Context): Oid | undefined {
  return resolveCastType(treeField(content, 'typeName') ?? {}, context);
}

function regCast(
  content: Tree,
  node: Tree,
  regType: string,
  isArray: boolean,
  info: ExpressionInfo,
  context: Context,
): ExpressionInfo {
  const argument = treeField(content, 'arg') ?? {};
  const literal = asNode(argument, 'A_Const');
  if (isArray)
    return refuse('type_not_allowed', {
      subject: `${regType}[]`,
      advice: 'cast element by element',
      location: locationOf(content),
    });
  const text = stringField(treeField(literal ?? {}, 'sval') ?? {}, 'sval');
  if (text !== undefined) {
    markSensitive(context, argument);
    const verdict = visibleRegLiteral(
      regType,
      text,
      context.input.catalog,
      context.input.session.searchPath,
      context.visible(),
      new Set(context.input.session.temporaryRelations.keys()),
    );
    if (verdict.kind === 'refused')
      refuse('undefined_object', {
        subject: verdict.message,
        sqlstate: verdict.sqlstate,
        location: locationOf(literal ?? {}),
      });
    return { ...info, leakproof: true, typeOid: treeTypeOid(content, context) };
  }
  const visible = context.visible();
  const range = castRange(content, context);
  const outer = textRange(context.source, range.whole);
  const inner = textRange(context.source, range.argument);
  // The cast itself gives way: the server must not look the name up.
  context.deferred.push(() => {
    replaceAround(node, { outer, inner, kept: argument }, (sql) => wrapRegCast(sql, regType, visible), context);
  });
  return { ...info, leakproof: false, constant: false, typeOid: treeTypeOid(content, context) };
}
