import type { Environment } from '@marcbachmann/cel-js';
import type { Problem } from '#crds/decode.ts';
import { type DatabaseAccessPolicy, type GuardrailSpec, qualifiedName } from '#crds/kinds.ts';
import type { StatementFacts } from '#sql/facts.ts';
import type { CompiledGuardrail } from './effective-policy.ts';
import type { Identity } from './identity.ts';
import { loadPatterns } from './patterns.ts';

/**
 * Guardrails: CEL expressions over `statement`, `identity` and `connection`. All are evaluated, for the statement and each one
 * nested in it; a denial wins over a request for approval, and an error denies.
 */
type CelModule = {
  readonly Environment: new (options?: { limits?: { maxAstNodes?: number; maxDepth?: number } }) => Environment;
};

let environment: Environment | undefined;

/** Loads the libraries that these policies need (CEL, RE2); to be awaited before `effectivePolicy` and `policyProblems`. */
export async function loadGuardrails(policies: readonly DatabaseAccessPolicy[]): Promise<void> {
  await loadPatterns(policies);
  if (environment !== undefined || policies.every((policy) => policy.spec.guardrails.length === 0)) return;
  const cel: CelModule = await import('@marcbachmann/cel-js');
  environment = makeEnvironment(cel);
}

function makeEnvironment(cel: CelModule): Environment {
  return new cel.Environment({ limits: { maxAstNodes: 2000, maxDepth: 64 } })
    .registerVariable({
      name: 'statement',
      schema: {
        command: 'string',
        hasWhere: 'bool',
        relations: 'list<string>',
        columns: 'list<string>',
        functions: 'list<string>',
      },
    })
    .registerVariable({
      name: 'identity',
      schema: { namespace: 'string', serviceAccount: 'string', groups: 'list<string>', claims: 'map<string, dyn>' },
    })
    .registerVariable({ name: 'connection', schema: { namespace: 'string', name: 'string', database: 'string' } });
}

export type GuardrailCompilation =
  | { readonly kind: 'compiled'; readonly guardrails: readonly CompiledGuardrail[] }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** Compiles and type-checks a policy's guardrails. */
export function compileGuardrails(policy: DatabaseAccessPolicy): GuardrailCompilation {
  const guardrails: CompiledGuardrail[] = [];
  const problems: Problem[] = [];
  for (const [index, spec] of policy.spec.guardrails.entries()) {
    const compiled = compileOne(qualifiedName(policy), spec);
    if ('problem' in compiled)
      problems.push({ path: `${qualifiedName(policy)}: spec.guardrails[${index}].when`, problem: compiled.problem });
    else guardrails.push(compiled);
  }
  return problems.length > 0 ? { kind: 'invalid', problems } : { kind: 'compiled', guardrails };
}

function compileOne(policy: string, spec: GuardrailSpec): CompiledGuardrail | { readonly problem: string } {
  if (environment === undefined) return { problem: 'the CEL library is not loaded' };
  try {
    const expression = environment.parse(spec.when);
    const checked = expression.check();
    if (!checked.valid) return { problem: `is not valid CEL: ${firstLine(checked.error)}` };
    if (checked.type !== 'bool' && checked.type !== 'dyn')
      return { problem: `expected a CEL expression that is true or false, found ${checked.type}` };
    const evaluate = (activation: Readonly<Record<string, unknown>>): unknown => expression(activation);
    return { policy, name: spec.name, action: spec.action, message: spec.message, evaluate };
  } catch (error) {
    return { problem: `is not valid CEL: ${firstLine(error)}` };
  }
}

function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return error.message.split('\n')[0] ?? '';
}

/** One guardrail's verdict on a statement; `failed`: its CEL raised, which denies. */
export interface Verdict {
  readonly guardrail: CompiledGuardrail;
  readonly action: 'Deny' | 'RequireApproval';
  readonly failed: boolean;
}

export interface GuardrailContext {
  readonly guardrails: readonly CompiledGuardrail[];
  readonly identity: Identity;
  readonly connection: { readonly namespace: string; readonly name: string; readonly database: string };
}

/** Verdicts of all guardrails that object, denials first, each guardrail at most once, in the policies' order. */
export function judge(context: GuardrailContext, statements: readonly StatementFacts[]): readonly Verdict[] {
  if (context.guardrails.length === 0) return [];
  const identity = identityValue(context.identity);
  const distinct = new Map(statements.map((statement) => [statementKey(statement), statement]));
  const verdicts = context.guardrails.flatMap((guardrail) => {
    const outcomes = [...distinct.values()].map((statement) =>
      outcome(guardrail, { statement: statementValue(statement), identity, connection: context.connection }),
    );
    if (outcomes.includes('error')) return [{ guardrail, action: 'Deny' as const, failed: true }];
    return outcomes.includes('objects') ? [{ guardrail, action: guardrail.action, failed: false }] : [];
  });
  return [
    ...verdicts.filter((verdict) => verdict.action === 'Deny'),
    ...verdicts.filter((verdict) => verdict.action !== 'Deny'),
  ];
}

function outcome(
  guardrail: CompiledGuardrail,
  activation: Readonly<Record<string, unknown>>,
): 'objects' | 'passes' | 'error' {
  try {
    const result = guardrail.evaluate(activation);
    if (result === true) return 'objects';
    return result === false ? 'passes' : 'error';
  } catch {
    return 'error';
  }
}

/** Facts name a statement among those nested in it, too: it is judged once. */
function statementKey(facts: StatementFacts): string {
  const { command, hasWhere, relations, columns, functions } = facts;
  return JSON.stringify([command, hasWhere, relations, columns, functions]);
}

function statementValue(facts: StatementFacts): Readonly<Record<string, unknown>> {
  const { command, hasWhere, relations, columns, functions } = facts;
  return { command, hasWhere, relations: [...relations], columns: [...columns], functions: [...functions] };
}

function identityValue(identity: Identity): Readonly<Record<string, unknown>> {
  const { namespace, serviceAccount, groups, claims } = identity;
  return { namespace, serviceAccount, groups: [...groups], claims: celValue(claims) };
}

/** JSON as CEL knows it: whole numbers are ints (BigInt). */
function celValue(value: unknown): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, celValue(child)]));
}
