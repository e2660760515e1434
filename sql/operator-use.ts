import type { CatalogSnapshot, Oid } from './catalog.ts';
import { isBuiltInOnly, judgeOperator } from './functions.ts';
import { Memo } from './memo.ts';
import { refuse } from './refusal.ts';
import type { Context } from './statement-context.ts';

/** Refuses an operator that may be a user's own and is not granted. Types: 0 for the missing side of a prefix operator. */
export function judgeOperatorUse(
  context: Context,
  use: {
    readonly schema: string | undefined;
    readonly name: string;
    readonly leftTypeOid: Oid | undefined;
    readonly rightTypeOid: Oid | undefined;
  },
): void {
  if (context.trusted) return;
  const { catalog, access } = context.input;
  if ((use.schema === undefined || use.schema === 'pg_catalog') && isBuiltInOnly(catalog, use.name)) return;
  const verdict = judgeOperator({
    name: use.name,
    catalog,
    grants: access.functions,
    schemas: access.schemas,
    ...(use.schema === undefined ? {} : { schema: use.schema }),
    ...(use.leftTypeOid === undefined ? {} : { leftTypeOid: use.leftTypeOid }),
    ...(use.rightTypeOid === undefined ? {} : { rightTypeOid: use.rightTypeOid }),
  });
  if (verdict.kind === 'refused') refuse('operator_not_allowed', { subject: use.name, advice: verdict.reason });
}

const NO_RESULT = 0;
const results = new WeakMap<CatalogSnapshot, Memo<Oid>>();

/** Type that the one operator over exactly these types gives; `undefined` where the types are not known, or none or several fit. */
export function operatorResult(
  name: string,
  leftTypeOid: Oid | undefined,
  rightTypeOid: Oid | undefined,
  catalog: CatalogSnapshot,
): Oid | undefined {
  if (leftTypeOid === undefined || rightTypeOid === undefined) return undefined;
  let known = results.get(catalog);
  if (known === undefined) results.set(catalog, (known = new Memo()));
  const typeOid = known.get(`${name} ${leftTypeOid} ${rightTypeOid}`, () => {
    const exact = catalog.operatorsByName
      .get(name)
      ?.filter((one) => one.leftTypeOid === leftTypeOid && one.rightTypeOid === rightTypeOid);
    return exact?.length === 1 ? (exact[0]?.resultTypeOid ?? NO_RESULT) : NO_RESULT;
  });
  return typeOid === NO_RESULT ? undefined : typeOid;
}
