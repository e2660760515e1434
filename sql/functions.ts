/**
 * Which functions and operators a statement may call. Argument types are not inferred: a call is allowed only if every candidate that the
 * server could choose under that name and number of arguments is.
 */
import type { FunctionGrants } from './access.ts';
import { ALLOWED_FUNCTIONS, REFUSAL_REASONS } from './builtin-functions.ts';
import { type CatalogFunction, type CatalogOperator, type CatalogSnapshot, type Oid, qualifiedKey } from './catalog.ts';
import { OID_FUNCTIONS, type OidArgument } from './oid-function-list.ts';
import { isRegType, type RegType } from './reg-types.ts';

export type FunctionRule =
  | { readonly kind: 'allowed' }
  /** nextval, currval, lastval, pg_get_serial_sequence: the caller checks the sequence. */
  | { readonly kind: 'sequence' }
  /** current_setting, set_config: the caller checks the setting's name. */
  | { readonly kind: 'setting' }
  /** The listed arguments are OIDs (or names) of objects: each is wrapped to what the identity may see. */
  | { readonly kind: 'oid'; readonly arguments: readonly OidArgument[] }
  /** The whole call is replaced: see `wrapColumnDescription`. */
  | { readonly kind: 'columnDescription' }
  /** The whole call is replaced: see `wrapColumnPrivilege`. */
  | { readonly kind: 'columnPrivilege' }
  /** to_regclass and its like: the argument is a name that is looked up. */
  | { readonly kind: 'regName'; readonly regType: RegType }
  | { readonly kind: 'refused'; readonly reason: string };

interface Arity {
  readonly exact: ReadonlySet<number>;
  /** Any number of arguments from here on. */
  readonly from: number | undefined;
}

const ALLOWED: ReadonlyMap<string, Arity> = parseAllowed();

function parseAllowed(): ReadonlyMap<string, Arity> {
  const result = new Map<string, Arity>();
  for (const group of Object.values(ALLOWED_FUNCTIONS)) {
    for (const entry of group.trim().split(/\s+/)) {
      const [name, arities] = entry.split('/');
      if (name === undefined || arities === undefined || result.has(name)) throw new Error(`function list: ${entry}`);
      const from = /^(\d+)\+$/.exec(arities)?.[1];
      const exact = from === undefined ? arities.split(',').map(Number) : [];
      if (exact.some((arity) => !Number.isInteger(arity))) throw new Error(`function list: ${entry}`);
      result.set(name, { exact: new Set(exact), from: from === undefined ? undefined : Number(from) });
    }
  }
  return result;
}

const SEQUENCE_FUNCTIONS: Readonly<Record<string, readonly number[]>> = {
  nextval: [1],
  currval: [1],
  lastval: [0],
  pg_get_serial_sequence: [2],
};

const SETTING_FUNCTIONS: Readonly<Record<string, readonly number[]>> = { current_setting: [1, 2], set_config: [3] };

const REG_NAME_FUNCTIONS: Readonly<Record<string, RegType>> = {
  to_regclass: 'regclass',
  to_regcollation: 'regcollation',
  to_regnamespace: 'regnamespace',
  to_regoper: 'regoper',
  to_regoperator: 'regoperator',
  to_regproc: 'regproc',
  to_regprocedure: 'regprocedure',
  to_regrole: 'regrole',
  to_regtype: 'regtype',
};

const ALLOWED_RULE: FunctionRule = { kind: 'allowed' };

/** The rule for a function of pg_catalog. Arity of an ordered-set aggregate: direct and WITHIN GROUP arguments together; `count(*)`: 0. */
export function functionRule(name: string, arity: number): FunctionRule {
  const allowed = ALLOWED.get(name);
  if (allowed !== undefined && (allowed.exact.has(arity) || (allowed.from !== undefined && arity >= allowed.from))) {
    return ALLOWED_RULE;
  }
  if (own(SEQUENCE_FUNCTIONS, name)?.includes(arity) === true) return { kind: 'sequence' };
  if (own(SETTING_FUNCTIONS, name)?.includes(arity) === true) return { kind: 'setting' };
  const regType = own(REG_NAME_FUNCTIONS, name);
  if (regType !== undefined && arity === 1) return { kind: 'regName', regType };
  if (name === 'col_description' && arity === 2) return { kind: 'columnDescription' };
  if (name === 'has_column_privilege' && arity === 3) return { kind: 'columnPrivilege' };
  const oid = own(OID_FUNCTIONS, name)?.[arity];
  if (oid !== undefined) return { kind: 'oid', arguments: oid };
  return { kind: 'refused', reason: refusalReason(name, arity) };
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function refusalReason(name: string, arity: number): string {
  const known = REFUSAL_REASONS.find((entry) => entry.pattern.test(name));
  if (known !== undefined) return known.reason;
  if (ALLOWED.has(name)) return `it is not on the list of allowed functions with ${arity} arguments`;
  return 'it is not on the list of allowed functions';
}

export interface FunctionCall {
  /** As written; `undefined` for a bare name. */
  readonly schema?: string | undefined;
  readonly name: string;
  /** Number of arguments, WITHIN GROUP ones included, 0 for `count(*)`. */
  readonly arity: number;
  /** The last argument is marked VARIADIC. */
  readonly hasVariadic: boolean;
  readonly catalog: CatalogSnapshot;
  readonly grants: FunctionGrants;
  /** Every schema that the session's search path may contain; pg_catalog need not be named. */
  readonly schemas: readonly string[];
}

export type FunctionJudgement =
  | FunctionRule
  /** A user function that a policy grants (every candidate is). */
  | { readonly kind: 'granted'; readonly functions: readonly CatalogFunction[] }
  /** `int4(x)`, `date(x)`, `mydomain(x)`: a cast written as a call; the caller judges the target type. */
  | { readonly kind: 'cast'; readonly typeOid: Oid }
  | { readonly kind: 'regCast'; readonly regType: RegType }
  /** No function and no type: with one argument it may be attribute notation, `name(u)` for `u.name`. */
  | { readonly kind: 'attribute' };

/** Judges one call by all its candidates. A refusal's reason completes the sentence `function NAME is not allowed: `. */
export function judgeFunctionCall(call: FunctionCall): FunctionJudgement {
  const { schema, name, arity, catalog } = call;
  const reachable = (candidate: string): boolean =>
    schema === undefined ? candidate === 'pg_catalog' || call.schemas.includes(candidate) : candidate === schema;
  const named = (catalog.functionsByName.get(name) ?? []).filter((candidate) => reachable(candidate.schema));
  const matching = named.filter((candidate) => matchesArity(candidate, arity, call.hasVariadic));
  const users = matching.filter((candidate) => candidate.schema !== 'pg_catalog');
  const strange = users.find((candidate) => !isFunctionGranted(candidate, call.grants));
  if (strange !== undefined) return { kind: 'refused', reason: ungrantedReason(strange) };
  const builtin = reachable('pg_catalog');
  // A cast to reg* looks names up, and so does the function of that name.
  if (builtin && arity === 1 && isRegType(name)) {
    return users.length === 0
      ? { kind: 'regCast', regType: name }
      : { kind: 'refused', reason: 'the name is ambiguous' };
  }
  // In FROM, unnest of several arrays is read as one unnest of pg_catalog for each.
  const hasBuiltin =
    matching.some((candidate) => candidate.schema === 'pg_catalog') || (builtin && name === 'unnest' && arity > 1);
  const isSyntax = builtin && named.length === 0 && functionRule(name, arity).kind !== 'refused';
  if (hasBuiltin || isSyntax) return combine(functionRule(name, arity), users);
  if (users.length > 0) return { kind: 'granted', functions: users };
  return notAFunction(call, named, reachable);
}

/** With candidates of both kinds the built-in's own handling must hold for either: only plainly allowed ones may mix. */
function combine(rule: FunctionRule, users: readonly CatalogFunction[]): FunctionJudgement {
  if (users.length === 0 || rule.kind === 'refused') return rule;
  if (rule.kind === 'allowed') return { kind: 'granted', functions: users };
  return { kind: 'refused', reason: 'a function of the policy has the name of a built-in one; write the schema' };
}

function notAFunction(
  call: FunctionCall,
  named: readonly CatalogFunction[],
  reachable: (schema: string) => boolean,
): FunctionJudgement {
  const { name, arity, catalog } = call;
  if (arity === 1 && !call.hasVariadic) {
    const type = ['pg_catalog', ...call.schemas]
      .filter(reachable)
      .map((schema) => catalog.typeByName.get(qualifiedKey(schema, name)))
      .find((candidate) => candidate !== undefined);
    if (type !== undefined) return { kind: 'cast', typeOid: type.oid };
    if (call.schema === undefined && named.length === 0 && !catalog.functionsByName.has(name))
      return { kind: 'attribute' };
  }
  const visible = named.some(
    (candidate) => candidate.schema === 'pg_catalog' || isFunctionGranted(candidate, call.grants),
  );
  if (visible) return { kind: 'refused', reason: `no candidate takes ${arity} arguments` };
  return { kind: 'refused', reason: NOT_AVAILABLE };
}

/** One answer for a function that does not exist and for one that is not granted: which of them it is, is not to be told. */
export const NOT_AVAILABLE = 'it does not exist, or no policy names it in functions.allow';

function ungrantedReason(candidate: CatalogFunction): string {
  const known = ALLOWED.has(candidate.name) ? '; for the built-in function write pg_catalog. before the name' : '';
  if (candidate.extension !== undefined) return `no policy names it${membership(candidate.extension)}${known}`;
  return `${NOT_AVAILABLE}${known}`;
}

/** Whether a function takes that many arguments: defaults may be left out, variadic ones repeated. */
export function matchesArity(candidate: CatalogFunction, arity: number, hasVariadic: boolean): boolean {
  const count = candidate.argumentTypeOids.length;
  if (arity <= count && arity >= count - candidate.defaultCount) return true;
  if (candidate.variadicTypeOid === 0 || hasVariadic) return false;
  return arity >= count - 1 - candidate.defaultCount;
}

/** The server's own functions outside of pg_catalog that drivers call: pure ones. */
const SYSTEM_FUNCTIONS: ReadonlySet<string> = new Set([qualifiedKey('information_schema', '_pg_expandarray')]);

/** Named by a policy, or part of an extension that one names. */
export function isFunctionGranted(candidate: CatalogFunction, grants: FunctionGrants): boolean {
  if (SYSTEM_FUNCTIONS.has(qualifiedKey(candidate.schema, candidate.name))) return true;
  if (grants.functions.has(qualifiedKey(candidate.schema, candidate.name))) return true;
  return candidate.extension !== undefined && grants.extensions.has(candidate.extension);
}

export interface OperatorUse {
  /** As written in OPERATOR(schema.op). */
  readonly schema?: string | undefined;
  readonly name: string;
  readonly catalog: CatalogSnapshot;
  readonly grants: FunctionGrants;
  readonly schemas: readonly string[];
  /** Types of the operands where they are known; 0 where an operand is missing (prefix operator). */
  readonly leftTypeOid?: Oid | undefined;
  readonly rightTypeOid?: Oid | undefined;
}

export type OperatorJudgement = { readonly kind: 'allowed' } | { readonly kind: 'refused'; readonly reason: string };

const builtInNames = new WeakMap<CatalogSnapshot, Map<string, boolean>>();

/** Whether all operators of a name are in pg_catalog: most are, and then there is nothing to judge. */
export function isBuiltInOnly(catalog: CatalogSnapshot, name: string): boolean {
  let names = builtInNames.get(catalog);
  if (names === undefined) builtInNames.set(catalog, (names = new Map<string, boolean>()));
  let known = names.get(name);
  if (known === undefined) {
    const operators = catalog.operatorsByName.get(name);
    if (operators === undefined) return false;
    known = operators.every((operator) => operator.schema === 'pg_catalog');
    names.set(name, known);
  }
  return known;
}

/** Operators of pg_catalog are all allowed; one of a user counts wherever the server could choose it for the known operand types. */
export function judgeOperator(use: OperatorUse): OperatorJudgement {
  const { schema, name, catalog } = use;
  const reachable = (candidate: string): boolean =>
    schema === undefined ? candidate === 'pg_catalog' || use.schemas.includes(candidate) : candidate === schema;
  const candidates = (catalog.operatorsByName.get(name) ?? []).filter((candidate) => reachable(candidate.schema));
  if (candidates.length === 0)
    return { kind: 'refused', reason: 'it does not exist, or no policy names it in functions.allow' };
  const strange = candidates.filter(
    (candidate) => candidate.schema !== 'pg_catalog' && !isOperatorGranted(candidate, use.grants),
  );
  if (strange.length === 0) return { kind: 'allowed' };
  const [leftTypeOid, rightTypeOid] = assumeSameType(use.leftTypeOid, use.rightTypeOid);
  if (leftTypeOid !== undefined && rightTypeOid !== undefined) {
    // An exact match of both types wins over every other; should two schemas hold one, both must be allowed.
    const exact = candidates.filter((one) => one.leftTypeOid === leftTypeOid && one.rightTypeOid === rightTypeOid);
    if (exact.length > 0 && exact.every((one) => !strange.includes(one))) return { kind: 'allowed' };
  }
  const possible = strange.find(
    (one) =>
      mayCoerce(use.leftTypeOid, one.leftTypeOid, catalog) && mayCoerce(use.rightTypeOid, one.rightTypeOid, catalog),
  );
  if (possible === undefined) return { kind: 'allowed' };
  return {
    kind: 'refused',
    reason: `a user operator of that name exists and no policy names it${membership(possible.extension)}`,
  };
}

/** OID of the pseudo-type of an untyped literal. */
const UNKNOWN_TYPE = 705;

/** The server first tries the other side's type for an untyped literal (parse_oper.c, binary_oper_exact). */
function assumeSameType(left: Oid | undefined, right: Oid | undefined): readonly [Oid | undefined, Oid | undefined] {
  if (left === UNKNOWN_TYPE && right !== 0) return [right, right];
  if (right === UNKNOWN_TYPE && left !== 0) return [left, left];
  return [left, right];
}

/**
 * Whether the server could pass a value of type `from` for a parameter of type `to` without an explicit cast. Errs towards true:
 * for unknown types, pseudo-types, composite types and anything not in the catalog.
 */
function mayCoerce(from: Oid | undefined, to: Oid, catalog: CatalogSnapshot): boolean {
  if (from === undefined || from === to) return true;
  if (from === 0 || to === 0) return false;
  const source = catalog.typeByOid.get(from);
  const target = catalog.typeByOid.get(to);
  if (source === undefined || target === undefined || target.kind === 'p') return true;
  if (source.kind === 'p' || source.kind === 'c') return true;
  if (catalog.castByTypes.get(`${from}>${to}`)?.context === 'i') return true;
  if (source.kind === 'd') return mayCoerce(source.domainBaseOid, to, catalog);
  return source.category === 'A' && target.category === 'A';
}

function membership(extension: string | undefined): string {
  return extension === undefined ? ' in functions.allow' : `; add extension:${extension} to functions.allow`;
}

/** Named by a policy, or part of an extension that one names. */
export function isOperatorGranted(candidate: CatalogOperator, grants: FunctionGrants): boolean {
  if (grants.operators.has(qualifiedKey(candidate.schema, candidate.name))) return true;
  return candidate.extension !== undefined && grants.extensions.has(candidate.extension);
}
