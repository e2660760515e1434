/** `value.name` where the server may read a call: a field that a value does not have is looked for among the functions of one argument. */
import { judgeFunctionCall, matchesArity, type FunctionJudgement } from './functions.ts';
import { displayName } from './identifiers.ts';
import { refuse } from './refusal.ts';
import type { Context } from './statement-context.ts';

/** Judgements under which the bare call needs no rewriting. */
const HARMLESS: ReadonlySet<FunctionJudgement['kind']> = new Set(['allowed', 'granted', 'attribute']);

/** Refuses `.name` unless nothing but a field, or a function that may be called as it is, can be meant. Throws RefusalError. */
export function judgeAttribute(name: string, location: number, context: Context): void {
  if (context.trusted) return;
  const { catalog, access } = context.input;
  const isFunction = (catalog.functionsByName.get(name) ?? []).some(
    (one) => (one.schema === 'pg_catalog' || access.schemas.includes(one.schema)) && matchesArity(one, 1, false),
  );
  if (!isFunction) return;
  const verdict = judgeFunctionCall({
    schema: undefined,
    name,
    arity: 1,
    hasVariadic: false,
    catalog,
    grants: access.functions,
    schemas: access.schemas,
  });
  if (HARMLESS.has(verdict.kind)) {
    context.facts.functions.add(displayName(name));
    return;
  }
  refuse('function_not_allowed', {
    subject: `${displayName(name)}(1 argument)`,
    advice: 'a field of that name could be read as a call of the function; give the field another name',
    location,
  });
}
