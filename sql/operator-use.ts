import type { Oid } from './catalog.ts';
import { judgeOperator } from './functions.ts';
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
