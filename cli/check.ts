/** `postern check`: decides one text over the manifests and the database's real catalog, and shows what the database would get. */
import { randomBytes } from 'node:crypto';
import { formatProblem } from '#crds/decode.ts';
import { policyProblems } from '#policy/compile.ts';
import { decideText } from '#policy/decide.ts';
import type { StatementDecision, TextDecision } from '#policy/decision.ts';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import type { Denial } from '#policy/decision.ts';
import { loadCatalog } from '#proxy/catalog-loader.ts';
import { DependencyError } from '#proxy/dependency-error.ts';
import { readManifests } from '#proxy/manifests.ts';
import { assembleWorld, type World } from '#proxy/world.ts';
import { loadParser } from '#sql/parser.ts';
import { type IdentityArguments, parseIdentity, parseObjectName } from './arguments.ts';

export interface CheckArguments extends IdentityArguments {
  readonly manifests: string;
  readonly connection: string;
  readonly json?: boolean;
}

const exitCodes = { Allowed: 0, Masked: 0, Denied: 3, ApprovalRequired: 4 } as const;

/** Prints the decision; resolves to the exit code: 0 allowed, 3 denied, 4 needs approval, 1 could not be decided. */
export async function runCheck(sql: string, given: CheckArguments): Promise<number> {
  const identity = parseIdentity(given);
  const wanted = parseObjectName(given.connection, '--connection', 'data/shop');
  const read = await readManifests(given.manifests);
  if (read.kind === 'invalid') return fail(read.problems);
  const assembled = assembleWorld(read.manifests, wanted, randomBytes(32));
  if (assembled.kind === 'absent') return fail([assembled.problem]);
  if (assembled.kind === 'invalid') return fail(assembled.problems);
  const { world } = assembled;
  await Promise.all([loadParser(), loadGuardrails(world.policies)]);
  const problems = world.policies.flatMap(policyProblems);
  if (problems.length > 0) return fail(problems.map(formatProblem));
  try {
    const { snapshot } = await loadCatalog(world.target, undefined, new AbortController().signal);
    const { connection, policies } = world;
    const result = effectivePolicy({ connection, policies, identity, catalog: snapshot, generation: 1 });
    if (result.kind === 'invalid') return fail(result.problems.map(formatProblem));
    if (result.kind !== 'effective') return printRefusal(result.denial, given.json === true);
    for (const warning of result.warnings) process.stderr.write(`warning: ${formatProblem(warning)}\n`);
    const decision = decide(sql, result.policy, world);
    print(given.json === true ? toJson(decision) : toText(decision));
    return exitCodes[dispositionOf(decision)];
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    return fail([error.detail === undefined ? error.message : `${error.message} (${error.detail})`]);
  }
}

function decide(text: string, policy: EffectivePolicy, world: World): TextDecision {
  const session = {
    searchPath: world.connection.spec.searchPath,
    temporaryRelations: new Map(),
    cursors: new Map(),
    preparedStatements: new Map(),
  };
  const checkToken = randomBytes(8).toString('hex');
  return decideText({ text, policy, session, parameterTypeOids: [], checkToken });
}

type Disposition = keyof typeof exitCodes;

/** The whole text's: one denied statement denies it all, and approval matters only where nothing is denied. */
function dispositionOf(decision: TextDecision): Disposition {
  const order = ['Denied', 'ApprovalRequired', 'Masked', 'Allowed'] as const;
  const found = order.find((each) => decision.statements.some((statement) => statement.disposition === each));
  return found ?? (decision.denial === undefined ? 'Allowed' : 'Denied');
}

function toText(decision: TextDecision): string {
  const lines = [`decision: ${dispositionOf(decision)}`];
  for (const [index, statement] of decision.statements.entries()) {
    if (decision.statements.length > 1) lines.push(`statement ${index + 1}: ${statement.disposition}`);
    lines.push(...describe(statement));
  }
  if (decision.statements.length === 0 && decision.denial !== undefined) lines.push(...describeDenial(decision.denial));
  if (decision.forwardText !== undefined) lines.push(`sent: ${decision.forwardText}`);
  return lines.join('\n');
}

function describe(statement: StatementDecision): readonly string[] {
  const { facts, denial } = statement;
  const list = (label: string, items: readonly string[]): readonly string[] =>
    items.length === 0 ? [] : [`  ${label}: ${items.join(', ')}`];
  return [
    ...list(
      'command',
      [facts.command].filter((command) => command !== ''),
    ),
    ...list('policies', statement.policies),
    ...statement.reasons.map((reason) => `  reason: ${reason}`),
    ...(denial === undefined ? [] : describeDenial(denial)),
    ...list('relations', facts.relations),
    ...list('masked', facts.masked),
    ...list('row filters', facts.rowFilters),
  ];
}

function describeDenial(denial: Denial): readonly string[] {
  return [`  error: ${denial.sqlstate} ${denial.message}`];
}

function toJson(decision: TextDecision): string {
  const json = {
    decision: dispositionOf(decision),
    statements: decision.statements.map(({ disposition, reasons, policies, facts, denial }) => ({
      disposition,
      command: facts.command,
      reasons,
      policies,
      relations: facts.relations,
      masked: facts.masked,
      rowFilters: facts.rowFilters,
      error: denial && { sqlstate: denial.sqlstate, message: denial.message, slug: denial.slug },
    })),
    error: decision.denial && {
      sqlstate: decision.denial.sqlstate,
      message: decision.denial.message,
      slug: decision.denial.slug,
    },
    sent: decision.forwardText,
  };
  return JSON.stringify(json, undefined, 2);
}

/** Nobody by that name gets a connection: every statement is denied. */
function printRefusal(denial: Denial, asJson: boolean): number {
  const { sqlstate, message, slug } = denial;
  const json = { decision: 'Denied', statements: [], error: { sqlstate, message, slug } };
  print(asJson ? JSON.stringify(json, undefined, 2) : ['decision: Denied', ...describeDenial(denial)].join('\n'));
  return exitCodes.Denied;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function fail(problems: readonly string[]): number {
  for (const problem of problems) process.stderr.write(`postern check: ${problem}\n`);
  return 1;
}
