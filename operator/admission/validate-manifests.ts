/**
 * What the CRDs' schema cannot say of a DatabaseConnection or DatabaseAccessPolicy: problems refuse it, warnings are shown by kubectl.
 * Problems are only those that no change elsewhere could mend; what depends on other objects is a warning here, and a condition later.
 */
import { decodeResource, formatProblem, type Problem } from '#crds/decode.ts';
import type { DatabaseAccessPolicy, DatabaseConnection, TableRule } from '#crds/kinds.ts';
import { policyProblems } from '#policy/compile.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import { isAllowedWorkload } from '#policy/match.ts';
import { loadParser } from '#sql/parser.ts';
import type { AdmissionContext } from './context.ts';
import { isSameJson, type Json, metadataOf, textOf } from './pod-json.ts';

export interface ManifestVerdict {
  /** `spec.tables[0].rowFilter: is not an SQL expression ...`; none: accepted. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Loads what reading row filters, guardrails and patterns takes; to be awaited once before the first request. */
export async function loadManifestValidation(): Promise<void> {
  await loadParser();
  const sample = decodeResource({
    apiVersion: 'postern.dev/v1alpha1',
    kind: 'DatabaseAccessPolicy',
    metadata: { name: 'sample', namespace: 'default' },
    spec: {
      connectionRef: { name: 'sample' },
      guardrails: [{ name: 'sample', when: 'true', action: 'Deny' }],
      redact: { patterns: [{ name: 'sample', regex: 'a' }] },
    },
  });
  if (sample.kind !== 'decoded' || sample.resource.kind !== 'DatabaseAccessPolicy') {
    throw new Error('the sample policy does not decode');
  }
  await loadGuardrails([sample.resource]);
}

/**
 * Judges an object as it is created or updated; `previous` is the object before an update. An update that leaves the spec alone always
 * passes: labels and finalizers must stay changeable when a later release is stricter.
 */
export function validateManifest(
  manifest: Json,
  previous: Json | undefined,
  namespace: string,
  context: Pick<AdmissionContext, 'connection'>,
): ManifestVerdict {
  if (previous !== undefined && isSameJson(previous['spec'], manifest['spec'])) return { problems: [], warnings: [] };
  const decoded = decodeResource(complete(manifest, namespace));
  if (decoded.kind === 'invalid') return { problems: decoded.problems.map(formatProblem), warnings: [] };
  if (decoded.kind === 'ignored') {
    return { problems: [`${decoded.name} is not a kind of postern.dev`], warnings: [] };
  }
  const { resource } = decoded;
  if (resource.kind === 'DatabaseConnection') return { problems: [], warnings: connectionWarnings(resource) };
  if (resource.kind === 'Secret') return { problems: ['a Secret is not validated here'], warnings: [] };
  const problems = [
    ...policyProblems(resource).map((problem) => withoutOwner(problem, resource)),
    ...contradictions(resource),
  ];
  if (problems.length > 0) return { problems, warnings: [] };
  return {
    problems,
    warnings: policyWarnings(resource, context.connection(namespace, resource.spec.connectionRef.name)),
  };
}

/** An object at creation may leave its namespace to the request, and its name to the server. */
function complete(manifest: Json, namespace: string): Json {
  const metadata = metadataOf(manifest);
  return { ...manifest, metadata: { ...metadata, namespace, name: textOf(metadata['name']) ?? 'generated' } };
}

/** The API server names the object itself. */
function withoutOwner(problem: Problem, { namespace, name }: DatabaseAccessPolicy): string {
  return formatProblem(problem).replace(`${namespace}/${name}: `, '');
}

function contradictions({ spec }: DatabaseAccessPolicy): readonly string[] {
  const { allow, deny } = spec.statements;
  const both = allow.filter((tag) => deny.includes(tag));
  const repeated = spec.tables.flatMap((table, index) =>
    repeatedMasks(table).map(
      (column) => `spec.tables[${index}].mask: ${column} is masked by two methods in one rule; keep one`,
    ),
  );
  const tags = both.map((tag) => `spec.statements: ${tag} stands in allow and in deny; keep one`);
  return [...tags, ...repeated];
}

function repeatedMasks(table: TableRule): readonly string[] {
  const methods = new Map<string, Set<string>>();
  for (const mask of table.mask) {
    for (const column of mask.columns) {
      methods.set(column, (methods.get(column) ?? new Set()).add(JSON.stringify(mask.with)));
    }
  }
  return [...methods].filter(([, used]) => used.size > 1).map(([column]) => column);
}

function connectionWarnings({ namespace, spec }: DatabaseConnection): readonly string[] {
  const warnings: string[] = [];
  if (spec.tls.mode === 'Disable' || spec.tls.mode === 'Require') {
    warnings.push(
      `spec.tls.mode: ${spec.tls.mode} does not check who answers; with VerifyFull nobody can stand between the sidecar and the database`,
    );
  }
  if (isShortHost(spec.host)) {
    warnings.push(
      `spec.host: ${spec.host} is looked up from the agent's namespace; write it in full, e.g. ${spec.host.split('.')[0]}.${namespace}.svc`,
    );
  }
  if (spec.allowedWorkloads?.length === 0) {
    warnings.push('spec.allowedWorkloads: [] lets nobody in; leave it out to let in the accounts that policies name');
  }
  if (spec.clientAuth.mode === 'Workload' && spec.clientAuth.oidc !== undefined) {
    warnings.push('spec.clientAuth.oidc: is not read with mode Workload; set mode: OIDC');
  }
  return warnings;
}

/** A name of one or two parts can be answered by a Service or a pod's host name in the agent's own namespace. */
function isShortHost(host: string): boolean {
  return !host.startsWith('/') && !host.includes(':') && host.split('.').length < 3;
}

function policyWarnings(policy: DatabaseAccessPolicy, connection: DatabaseConnection | undefined): readonly string[] {
  const { spec } = policy;
  return [
    ...(connection === undefined
      ? [`spec.connectionRef: there is no DatabaseConnection ${policy.namespace}/${spec.connectionRef.name} yet`]
      : connectionMismatches(policy, connection)),
    ...(spec.subjects.length === 0 ? ['spec.subjects: names nobody, so the policy has no effect'] : []),
    ...(spec.tables.length === 0 ? ['spec.tables: names no table, so nothing can be read or written under it'] : []),
    ...(spec.mode === 'Observe' ? ['spec.mode: Observe forwards what Enforce would refuse, and only records it'] : []),
    ...(spec.guardrails.some((guardrail) => guardrail.action === 'RequireApproval') &&
    spec.approval.approvers.length === 0
      ? ['spec.approval.approvers: nobody may approve, so what needs approval is refused']
      : []),
    ...spec.tables.flatMap(tableWarnings),
  ];
}

function connectionMismatches(policy: DatabaseAccessPolicy, connection: DatabaseConnection): readonly string[] {
  const needsToken = policy.spec.subjects.some(({ group, claims }) => group !== undefined || claims !== undefined);
  const shutOut = policy.spec.subjects.flatMap(({ serviceAccount }) => {
    if (serviceAccount === undefined) return [];
    const { namespace, name } = serviceAccount;
    const identity = { namespace, serviceAccount: name, groups: [], claims: {} };
    return isAllowedWorkload(connection, identity) ? [] : [`${namespace}/${name}`];
  });
  return [
    ...(needsToken && connection.spec.clientAuth.mode === 'Workload'
      ? [
          'spec.subjects: group and claims never match, since the connection has clientAuth.mode Workload; set OIDC there',
        ]
      : []),
    ...(shutOut.length > 0
      ? [`spec.subjects: the connection's allowedWorkloads does not list ${shutOut.join(', ')}, so they get no bundle`]
      : []),
  ];
}

function tableWarnings(table: TableRule, index: number): readonly string[] {
  const path = `spec.tables[${index}]`;
  const hidden = new Set(table.hide);
  const visible = new Set(table.columns.names);
  const masked = table.mask.flatMap((mask) => mask.columns);
  const pointless = masked.filter((column) => hidden.has(column) || (!table.columns.all && !visible.has(column)));
  const both = table.columns.names.filter((column) => hidden.has(column));
  return [
    ...(pointless.length > 0
      ? [`${path}.mask: ${pointless.join(', ')} cannot be seen at all, so no mask is needed`]
      : []),
    ...(both.length > 0 ? [`${path}: ${both.join(', ')} stands in columns and in hide; hide wins`] : []),
  ];
}
