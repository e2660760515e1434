/** What a name with a number of arguments may call, and what follows from it: worked out once for a policy and a catalog. */
import type { Access } from './access.ts';
import type { CatalogFunction, CatalogSnapshot, Oid } from './catalog.ts';
import { judgeFunctionCall, matchesArity, type FunctionJudgement } from './functions.ts';
import { Memo } from './memo.ts';

export interface CallName {
  /** As written; `undefined` for a bare name. */
  readonly schema: string | undefined;
  readonly name: string;
  /** Number of arguments, WITHIN GROUP ones included. */
  readonly arity: number;
  /** The last argument is marked VARIADIC. */
  readonly hasVariadic: boolean;
}

export interface CalledFunction {
  /** Every function that the server could choose. */
  readonly candidates: readonly CatalogFunction[];
  readonly judgement: FunctionJudgement;
  /** Some candidate is an aggregate. */
  readonly hasAggregate: boolean;
  readonly returnsSet: boolean;
  readonly isVolatile: boolean;
  /** There are candidates, and all are leak-proof. */
  readonly isLeakproof: boolean;
  /** No candidate is a user's. */
  readonly isBuiltIn: boolean;
  /** One column of one type: not a row, not a set of rows of unknown shape. */
  readonly isScalar: boolean;
  /** The one type that all candidates return; polymorphic and other pseudo-types do not name one. */
  readonly resultTypeOid: Oid | undefined;
}

const known = new WeakMap<CatalogSnapshot, WeakMap<Access, Memo<CalledFunction>>>();

/** The answer for one call under an identity's grants. */
export function calledFunction(call: CallName, catalog: CatalogSnapshot, access: Access): CalledFunction {
  let byAccess = known.get(catalog);
  if (byAccess === undefined) known.set(catalog, (byAccess = new WeakMap<Access, Memo<CalledFunction>>()));
  let byName = byAccess.get(access);
  if (byName === undefined) byAccess.set(access, (byName = new Memo()));
  const key = `${call.schema ?? ''}\0${call.name}\0${call.arity}${call.hasVariadic ? ' variadic' : ''}`;
  return byName.get(key, () => describe(call, catalog, access));
}

function describe(call: CallName, catalog: CatalogSnapshot, access: Access): CalledFunction {
  const candidates = findCandidates(call, catalog, access);
  return {
    candidates,
    judgement: judgeFunctionCall({ ...call, catalog, grants: access.functions, schemas: access.schemas }),
    hasAggregate: candidates.some((one) => one.kind === 'a'),
    returnsSet: candidates.some((one) => one.returnsSet),
    isVolatile: candidates.some((one) => one.volatility === 'v'),
    isLeakproof: candidates.length > 0 && candidates.every((one) => one.leakproof),
    isBuiltIn: candidates.every((one) => one.schema === 'pg_catalog'),
    isScalar: isScalar(candidates, catalog),
    resultTypeOid: resultType(candidates, catalog),
  };
}

function findCandidates(call: CallName, catalog: CatalogSnapshot, access: Access): readonly CatalogFunction[] {
  const { schema, name, arity, hasVariadic } = call;
  return (catalog.functionsByName.get(name) ?? []).filter(
    (one) =>
      (schema === undefined
        ? one.schema === 'pg_catalog' || access.schemas.includes(one.schema)
        : one.schema === schema) && matchesArity(one, arity, hasVariadic),
  );
}

function isScalar(candidates: readonly CatalogFunction[], catalog: CatalogSnapshot): boolean {
  return (
    candidates.length > 0 &&
    candidates.every((one) => {
      const type = catalog.typeByOid.get(one.returnTypeOid);
      return type !== undefined && type.kind !== 'c' && type.name !== 'record';
    })
  );
}

function resultType(candidates: readonly CatalogFunction[], catalog: CatalogSnapshot): Oid | undefined {
  const types = new Set(candidates.map((one) => one.returnTypeOid));
  if (types.size !== 1) return undefined;
  const [oid] = types;
  const type = oid === undefined ? undefined : catalog.typeByOid.get(oid);
  return type === undefined || type.kind === 'p' ? undefined : oid;
}
