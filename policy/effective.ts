import type { Problem } from '#crds/decode.ts';
import { type DatabaseAccessPolicy, type DatabaseConnection, qualifiedName } from '#crds/kinds.ts';
import type { Access, FunctionGrants } from '#sql/access.ts';
import { type CatalogSnapshot, qualifiedKey } from '#sql/catalog.ts';
import { bindFilters } from './bound-rule.ts';
import type { Denial } from './decision.ts';
import type { CompiledGuardrail, EffectivePolicy, Limits, Redaction } from './effective-policy.ts';
import { compileGuardrails } from './guardrails.ts';
import type { Identity } from './identity.ts';
import { isAllowedWorkload, matchingPolicies, policiesOfConnection } from './match.ts';
import { patternProblems } from './patterns.ts';
import { denialFor, type ErrorDetail } from './reasons.ts';
import { governedRelations, indexRules } from './table-rules.ts';
import { type BuiltViews, buildViews, unknownTables } from './views.ts';

export interface EffectiveInput {
  readonly connection: DatabaseConnection;
  /** All that are loaded; those of other connections are left out here. */
  readonly policies: readonly DatabaseAccessPolicy[];
  readonly identity: Identity;
  readonly catalog: CatalogSnapshot;
  readonly generation: number;
  /** Of the signed bundle; absent without a cluster. */
  readonly recordedGeneration?: number;
}

/**
 * `none`: no policy names this identity, or allowedWorkloads leaves it out; `denial` is the answer (28000).
 * `refused`: a row filter needs a value that the identity lacks (28000).
 * `invalid`: the policies do not fit the database; nobody gets in by them. `warnings` are for the status only.
 */
export type EffectiveResult =
  | { readonly kind: 'effective'; readonly policy: EffectivePolicy; readonly warnings: readonly Problem[] }
  | { readonly kind: 'none'; readonly denial: Denial }
  | { readonly kind: 'refused'; readonly denial: Denial }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** All matching policies → what holds for one identity. Pure; needs loadParser() and loadGuardrails() once before. */
export function effectivePolicy(input: EffectiveInput): EffectiveResult {
  const { connection, identity, catalog, generation } = input;
  const ofConnection = policiesOfConnection(connection, input.policies);
  const matching = matchingPolicies(ofConnection, identity);
  if (matching.length === 0 || !isAllowedWorkload(connection, identity))
    return { kind: 'none', denial: noPolicyDenial(identity) };
  const errors = strictestErrors(matching);
  const index = indexRules(matching);
  const filters = bindFilters(index.all, identity);
  if (filters.kind === 'invalid') return filters;
  if (filters.kind === 'missing') {
    return {
      kind: 'refused',
      denial: denialFor('identity_value_missing', { policies: [filters.policy], subject: filters.value }, errors),
    };
  }
  const guardrails = compileAll(matching);
  const built = buildViews(index, filters.filters, governedRelations(ofConnection, catalog), catalog);
  const problems = [...guardrails.problems, ...matching.flatMap(patternProblems), ...built.problems];
  if (problems.length > 0) return { kind: 'invalid', problems };
  const redaction = combinedRedaction(matching);
  const limits = lowestLimits(matching);
  const policy: EffectivePolicy = {
    generation,
    recordedGeneration: input.recordedGeneration ?? generation,
    mode: matching.some((each) => each.spec.mode === 'Enforce') ? 'Enforce' : 'Observe',
    identity,
    connection: { namespace: connection.namespace, name: connection.name, database: connection.spec.database },
    policies: matching.map(qualifiedName),
    access: buildAccess(connection, matching, built, limits),
    catalog,
    guardrails: guardrails.guardrails,
    approvers: approversOf(matching),
    limits,
    redaction,
    errors,
  };
  return {
    kind: 'effective',
    policy,
    warnings: [...built.warnings, ...built.conflicts, ...unknownTables(index, catalog)],
  };
}

/** The answer to an identity that no policy names. */
export function noPolicyDenial(identity: Identity): Denial {
  return denialFor('no_policy', { subject: `${identity.namespace}/${identity.serviceAccount}` });
}

function compileAll(policies: readonly DatabaseAccessPolicy[]): {
  readonly guardrails: readonly CompiledGuardrail[];
  readonly problems: readonly Problem[];
} {
  const results = policies.map(compileGuardrails);
  return {
    guardrails: results.flatMap((result) => (result.kind === 'compiled' ? result.guardrails : [])),
    problems: results.flatMap((result) => (result.kind === 'invalid' ? result.problems : [])),
  };
}

// --- what adds up, and what is the strictest ---

function buildAccess(
  connection: DatabaseConnection,
  policies: readonly DatabaseAccessPolicy[],
  built: BuiltViews,
  limits: Limits,
): Access {
  const functions = combinedFunctions(policies);
  const views = [...built.views.values()];
  const schemas = new Set(views.map((view) => view.schema));
  for (const key of [...functions.functions, ...functions.operators]) schemas.add(key.slice(0, key.indexOf('\0')));
  return {
    views: built.views,
    governedOids: built.governed,
    functions,
    allowedCommands: new Set(policies.flatMap((policy) => policy.spec.statements.allow)),
    deniedCommands: new Set(policies.flatMap((policy) => policy.spec.statements.deny)),
    schemas: [...schemas].toSorted(),
    defaultSearchPath: connection.spec.searchPath,
    chosenKeys: policies.some((policy) => policy.spec.writes.chosenKeys === 'Refuse') ? 'Refuse' : 'Allow',
    ...(limits.statementTimeoutMs === undefined ? {} : { statementTimeoutMs: limits.statementTimeoutMs }),
    grantsWrite: views.some(
      (view) => view.actions.has('Insert') || view.actions.has('Update') || view.actions.has('Delete'),
    ),
  };
}

function combinedFunctions(policies: readonly DatabaseAccessPolicy[]): FunctionGrants {
  const grants = policies.flatMap((policy) => policy.spec.functions.allow);
  const keys = (kind: 'function' | 'operator'): ReadonlySet<string> =>
    new Set(grants.filter((grant) => grant.kind === kind).map((grant) => qualifiedKey(grant.schema ?? '', grant.name)));
  return {
    functions: keys('function'),
    operators: keys('operator'),
    extensions: new Set(grants.filter((grant) => grant.kind === 'extension').map((grant) => grant.name)),
  };
}

function lowest(values: readonly (number | undefined)[]): number | undefined {
  const given = values.filter((value) => value !== undefined);
  return given.length === 0 ? undefined : Math.min(...given);
}

function lowestLimits(policies: readonly DatabaseAccessPolicy[]): Limits {
  const of = policies.map((policy) => policy.spec.limits);
  const maxRows = lowest(of.map((limits) => limits.maxRows));
  const maxResultBytes = lowest(of.map((limits) => limits.maxResultBytes));
  const seconds = lowest(of.map((limits) => limits.statementTimeoutSeconds));
  const maxConnections = lowest(of.map((limits) => limits.maxConnections));
  const statementsPerMinute = lowest(of.map((limits) => limits.statementsPerMinute));
  return {
    ...(maxRows === undefined ? {} : { maxRows }),
    ...(maxResultBytes === undefined ? {} : { maxResultBytes }),
    ...(seconds === undefined ? {} : { statementTimeoutMs: seconds * 1000 }),
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(statementsPerMinute === undefined ? {} : { statementsPerMinute }),
    maxStatementBytes: Math.min(...of.map((limits) => limits.maxStatementBytes)),
  };
}

const DEFAULT_MAX_ROW_BYTES = 1_048_576;

/** Redaction adds up: whatever one policy wants out of results goes. The lowest limit holds. */
function combinedRedaction(policies: readonly DatabaseAccessPolicy[]): Redaction | undefined {
  const wanted = policies.flatMap((policy) => policy.spec.redact ?? []);
  const detectors = [...new Set<string>(wanted.flatMap((redact) => redact.detectors))].toSorted();
  const patterns = new Map(
    wanted.flatMap((redact) => redact.patterns.map((pattern) => [`${pattern.name}\0${pattern.regex}`, pattern])),
  );
  if (detectors.length === 0 && patterns.size === 0) return undefined;
  const maxRowBytes = Math.min(...wanted.map((redact) => redact.maxRowBytes ?? DEFAULT_MAX_ROW_BYTES));
  return {
    detectors,
    maxRowBytes,
    patterns: [...patterns].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, pattern]) => pattern),
  };
}

/** One Generic policy makes all errors generic; of several messages the first policy's by name that has one. */
function strictestErrors(policies: readonly DatabaseAccessPolicy[]): ErrorDetail {
  const generic = policies.filter((policy) => policy.spec.errors.detail === 'Generic');
  if (generic.length === 0) return { detail: 'Full', message: '' };
  return {
    detail: 'Generic',
    message: generic.map((policy) => policy.spec.errors.message).find((message) => message !== '') ?? '',
  };
}

function approversOf(policies: readonly DatabaseAccessPolicy[]): readonly string[] {
  return [
    ...new Set(
      policies.flatMap((policy) => policy.spec.approval.approvers.map((approver) => `group ${approver.group}`)),
    ),
  ].toSorted();
}
