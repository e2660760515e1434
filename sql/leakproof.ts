/**
 * Which operators and casts cannot tell anything about a value but by their result: no error, no notice, for any value.
 * That is pg_proc.proleakproof, and a fixed list of built-ins whose code cannot raise although PostgreSQL does not promise it.
 */
import type { CatalogOperator, CatalogSnapshot, CatalogType, Oid } from './catalog.ts';
import { Memo } from './memo.ts';

/** Functions behind comparison operators of pg_catalog; each only compares two valid values. */
const CANNOT_RAISE: ReadonlySet<string> = new Set(
  `numeric_eq numeric_ne numeric_lt numeric_le numeric_gt numeric_ge
   enum_eq enum_ne enum_lt enum_le enum_gt enum_ge`.split(/\s+/),
);

/**
 * Comparison of a date or timestamp with one of another kind: since 14 a value out of the other's range compares as infinite (before, it
 * raised). Their names read `date_lt_timestamptz`.
 */
const MIXED_DATES = /^(date|timestamp|timestamptz)_(eq|ne|lt|le|gt|ge)_(date|timestamp|timestamptz)$/;
const MIXED_DATES_SINCE = 140_000;

/** With a literal pattern that does not end in a backslash, which the caller checks. ILIKE is not here: it needs a known collation. */
const LIKE_FUNCTIONS: ReadonlySet<string> = new Set(
  'textlike textnlike bpcharlike bpcharnlike namelike namenlike bytealike byteanlike'.split(' '),
);

/** Implicit casts that only widen, and the text of values whose output cannot fail. OIDs: see pg_type.dat. */
const SAFE_CASTS: ReadonlySet<string> = new Set([
  '1042>25', // bpchar → text: drops blanks
  '1042>1043',
  '18>25', // "char" → text
  '16>25', // boolean → text
  '16>1043',
]);

/** Types whose output function cannot raise: their cast to text or varchar is safe although it goes through input and output. */
const PLAIN_OUTPUT: ReadonlySet<Oid> = new Set([16, 20, 21, 23, 26, 700, 701, 1700, 2950]);
const TEXT = 25;
const VARCHAR = 1043;

/** Types whose length modifier can raise (numeric, interval) or is kept out for safety. */
const LENGTH_MAY_RAISE: ReadonlySet<Oid> = new Set([1700, 1186, 1083, 1114, 1184, 1266, 1560, 1562]);

/** OID of the pseudo-type of an untyped literal. */
const UNKNOWN = 705;
const ANY_ENUM = 3500;

/**
 * Whether the operator that the server would choose cannot raise. Types: `undefined` where the operand's type is not known (never
 * leak-proof then), 0 for the missing side of a prefix operator, 705 for an untyped literal. LIKE: only with a pattern that is a literal and
 * does not end in a backslash, which the caller makes sure of. `=` and its like on arrays: ask for the element type.
 */
export function isLeakproofOperator(
  name: string,
  leftTypeOid: Oid | undefined,
  rightTypeOid: Oid | undefined,
  catalog: CatalogSnapshot,
): boolean {
  if (leftTypeOid === undefined || rightTypeOid === undefined) return false;
  let known = verdicts.get(catalog);
  if (known === undefined) verdicts.set(catalog, (known = new Memo()));
  return known.get(`${name} ${leftTypeOid} ${rightTypeOid}`, () =>
    judgeOperands(name, leftTypeOid, rightTypeOid, catalog),
  );
}

/** Verdicts by operator and operand types. */
const verdicts = new WeakMap<CatalogSnapshot, Memo<boolean>>();

function judgeOperands(name: string, leftTypeOid: Oid, rightTypeOid: Oid, catalog: CatalogSnapshot): boolean {
  if (leftTypeOid === UNKNOWN && rightTypeOid === UNKNOWN) return false;
  const left = baseType(leftTypeOid === UNKNOWN && rightTypeOid !== 0 ? rightTypeOid : leftTypeOid, catalog);
  const right = baseType(rightTypeOid === UNKNOWN && leftTypeOid !== 0 ? leftTypeOid : rightTypeOid, catalog);
  if (left === undefined || right === undefined) return false;
  const candidates = catalog.operatorsByName.get(name) ?? [];
  const exact = candidates.filter((one) => one.leftTypeOid === left && one.rightTypeOid === right);
  // Two schemas may hold one: both must be safe.
  if (exact.length > 0) return exact.every((one) => isSafeOperator(one, catalog));
  const possible = mostExact(
    candidates.filter((one) => accepts(one.leftTypeOid, left, catalog) && accepts(one.rightTypeOid, right, catalog)),
    left,
    right,
  );
  return (
    possible.length > 0 &&
    possible.every(
      (one) =>
        isSafeOperator(one, catalog) &&
        isSafeCoercion(left, one.leftTypeOid, catalog) &&
        isSafeCoercion(right, one.rightTypeOid, catalog),
    )
  );
}

/** Base type of a domain: the server compares the base, and going there never fails. 0 stays 0. */
function baseType(oid: Oid, catalog: CatalogSnapshot): Oid | undefined {
  if (oid === 0) return 0;
  let type = catalog.typeByOid.get(oid);
  for (let depth = 0; type?.kind === 'd' && depth < 32; depth++) type = catalog.typeByOid.get(type.domainBaseOid);
  return type?.kind === 'd' ? undefined : type?.oid;
}

/** First step of the server's choice (func_select_candidate): the most parameters that are exactly the argument's type. */
function mostExact(candidates: readonly CatalogOperator[], left: Oid, right: Oid): readonly CatalogOperator[] {
  const score = (one: CatalogOperator): number => Number(one.leftTypeOid === left) + Number(one.rightTypeOid === right);
  const best = Math.max(0, ...candidates.map(score));
  return candidates.filter((one) => score(one) === best);
}

/** Whether the server could pass a value of that type for the parameter implicitly. */
function accepts(parameter: Oid, argument: Oid, catalog: CatalogSnapshot): boolean {
  if (parameter === argument) return true;
  if (parameter === 0 || argument === 0) return false;
  const type = catalog.typeByOid.get(parameter);
  if (type === undefined) return true;
  if (type.kind === 'p') return acceptsPolymorphic(type, catalog.typeByOid.get(argument));
  return catalog.castByTypes.get(`${argument}>${parameter}`)?.context === 'i';
}

function acceptsPolymorphic(parameter: CatalogType, argument: CatalogType | undefined): boolean {
  if (argument === undefined) return true;
  switch (parameter.name) {
    case 'anyenum':
      return argument.kind === 'e';
    case 'anyarray':
    case 'anycompatiblearray':
      return argument.category === 'A';
    case 'anyrange':
    case 'anycompatiblerange':
      return argument.kind === 'r';
    case 'anymultirange':
    case 'anycompatiblemultirange':
      return argument.kind === 'm';
    case 'record':
      return argument.kind === 'c' || argument.name === 'record';
    default:
      return true;
  }
}

function isSafeOperator(operator: CatalogOperator, catalog: CatalogSnapshot): boolean {
  if (operator.leakproof) return true;
  const behind = catalog.functionByOid.get(operator.functionOid);
  if (operator.schema !== 'pg_catalog' || behind?.schema !== 'pg_catalog') return false;
  if (CANNOT_RAISE.has(behind.name) || LIKE_FUNCTIONS.has(behind.name)) return true;
  return catalog.serverVersionNum >= MIXED_DATES_SINCE && MIXED_DATES.test(behind.name);
}

/** An implicit cast to a parameter, without a length. */
function isSafeCoercion(from: Oid, to: Oid, catalog: CatalogSnapshot): boolean {
  if (from === to) return true;
  if (to === ANY_ENUM) return catalog.typeByOid.get(from)?.kind === 'e';
  const cast = catalog.castByTypes.get(`${from}>${to}`);
  return cast !== undefined && cast.context === 'i' && (cast.leakproof || SAFE_CASTS.has(`${from}>${to}`));
}

/**
 * Whether a written cast cannot raise. `typmod` is the length it asks for (-1: none); where that is not known, types whose length can
 * raise count as raising. Casts to a domain run its checks and are never leak-proof.
 */
export function isLeakproofCast(from: Oid, to: Oid, catalog: CatalogSnapshot, typmod?: number): boolean {
  const source = baseType(from, catalog);
  const target = catalog.typeByOid.get(to);
  if (source === undefined || source === 0 || target === undefined || target.kind !== 'b')
    return from === to && target?.kind === 'e';
  if (typmod !== -1 && LENGTH_MAY_RAISE.has(to)) return false;
  if (source === to) return target.category !== 'A';
  const cast = catalog.castByTypes.get(`${source}>${to}`);
  if (cast !== undefined) return cast.leakproof || SAFE_CASTS.has(`${source}>${to}`);
  return (to === TEXT || to === VARCHAR) && PLAIN_OUTPUT.has(source);
}
