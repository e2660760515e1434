/** What a policy's status says: whether it is sound and published, and how far the pods have come by their own reports. Pure. */
import type { ConnectionReport } from '#bundle/credentials-exchange.ts';
import type { DatabaseAccessPolicy } from '#crds/kinds.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { AgentPod } from './agent-pods.ts';
import { type CatalogFindings, catalogFindings, type CatalogState } from './catalog-findings.ts';
import { conditionOf, type Finding, progressOf, type Status, statusOf } from './conditions.ts';
import type { PolicyReading } from './sources.ts';

/** What became of the bundle for one namespace of agents. */
export interface Publication {
  readonly agentNamespace: string;
  /** Generation that lies there. */
  readonly generation: number;
  readonly isTooLarge: boolean;
}

export interface PodState {
  readonly pod: AgentPod;
  /** Undefined: its sidecar has not said anything, or not for long. */
  readonly report: ConnectionReport | undefined;
  /** Its sidecar is of an earlier release. */
  readonly isOutdated: boolean;
}

export interface PolicyStatusInput {
  readonly reading: PolicyReading;
  readonly connectionName: string;
  readonly connectionExists: boolean;
  /** Undefined: the connection is sound. */
  readonly connectionProblem: string | undefined;
  readonly publications: readonly Publication[];
  readonly keySetVersion: number;
  /** Pods that ask for the connection and may use it. */
  readonly pods: readonly PodState[];
  /** False just after a new leader began: sidecars have not had the time to speak. */
  readonly reportsSettled: boolean;
  readonly catalog: CatalogState;
  readonly nowIso: string;
}

export function policyStatus(input: PolicyStatusInput): Status {
  const { object } = input.reading;
  const catalog = catalogFindings(object, input.catalog, input.reading.problems.length === 0);
  const ready = readyOf(input, catalog);
  const concerned = input.pods.filter(({ pod }) => concerns(input.reading.source?.resource, pod));
  const states = concerned.map((state) => stateOf(input, state));
  const keep = !input.reportsSettled && states.includes('silent') ? conditionOf(object, 'Enforced') : undefined;
  const isCurrent = keep?.observedGeneration === (object.metadata.generation ?? 0);
  const kept = isCurrent && keep !== undefined ? findingOf(keep) : undefined;
  const before = (object['status'] as { readonly pods?: unknown } | undefined)?.pods;
  const counted = {
    matched: concerned.length,
    enforcing: states.filter((state) => state === 'enforcing').length,
    outdated: concerned.filter((state) => state.isOutdated).length,
  };
  const findings = [
    ready,
    kept ?? enforcedOf(input, ready, concerned, states),
    catalog.conflicted,
    ...progressOf(ready, STALLED.has(ready.reason)),
  ];
  const pods = kept === undefined ? counted : (before ?? counted);
  return statusOf(object, findings, { pods, ...catalog.fields }, input.nowIso);
}

const STALLED = new Set(['InvalidPolicy', 'BundleTooLarge', 'ConnectionInvalid', 'DoesNotFit', 'UnknownNames']);

/** At the first sight of a policy, before its bundles are written. */
export function newPolicyStatus(object: KubernetesObject, nowIso: string): Status {
  const ready: Finding = {
    type: 'Ready',
    status: 'Unknown',
    reason: 'Pending',
    message: 'the operator has seen the policy and has not published it yet',
  };
  const enforced: Finding = { ...ready, type: 'Enforced' };
  return statusOf(object, [ready, enforced, ...progressOf(ready, false)], {}, nowIso);
}

function readyOf(input: PolicyStatusInput, catalog: CatalogFindings): Finding {
  const { reading, connectionName } = input;
  const no = (reason: string, message: string): Finding => ({ type: 'Ready', status: 'False', reason, message });
  if (reading.problems.length > 0) {
    const stays = reading.source === undefined ? 'it grants nothing' : 'what it said before stays in force';
    return no('InvalidPolicy', `${reading.problems.join('; ')}. Until this is put right ${stays}`);
  }
  if (!input.connectionExists) {
    return no(
      'ConnectionNotFound',
      `there is no DatabaseConnection ${reading.object.metadata.namespace ?? ''}/${connectionName}; create it, or correct spec.connectionRef`,
    );
  }
  if (input.connectionProblem !== undefined) return no('ConnectionInvalid', input.connectionProblem);
  const large = input.publications.filter((publication) => publication.isTooLarge);
  if (large.length > 0) {
    return no(
      'BundleTooLarge',
      `the policies of ${connectionName} for the agents of ${large.map(({ agentNamespace }) => agentNamespace).join(', ')} are larger than a ConfigMap holds; what was published before stays in force. Use public.* or fewer columns, or split the connection`,
    );
  }
  if (catalog.ready !== undefined) return catalog.ready;
  const { note } = catalog;
  const source = reading.source?.resource;
  if (source !== undefined && source.spec.subjects.length === 0) {
    return { type: 'Ready', status: 'True', reason: 'NoSubjects', message: `published; it names nobody${note}` };
  }
  const reason = catalog.hasGrown ? 'ColumnsAdded' : 'Published';
  return { type: 'Ready', status: 'True', reason, message: `published to the agents it names${note}` };
}

/** Pods can enforce it all the same. */
const HOLDS = new Set(['UnknownNames', 'CatalogPending', 'CatalogUnknown']);

type PodProgress = 'enforcing' | 'behind' | 'refused' | 'waiting' | 'silent';

function stateOf(input: PolicyStatusInput, { pod, report }: PodState): PodProgress {
  const publication = input.publications.find(({ agentNamespace }) => agentNamespace === pod.namespace);
  if (report === undefined) return 'silent';
  if (report.state === 'Refused') return 'refused';
  if (publication === undefined || report.appliedGeneration < publication.generation) return 'behind';
  return report.state === 'Enforcing' ? 'enforcing' : 'waiting';
}

function enforcedOf(
  input: PolicyStatusInput,
  ready: Finding,
  concerned: readonly PodState[],
  states: readonly PodProgress[],
): Finding {
  const says = (status: Finding['status'], reason: string, message: string): Finding => ({
    type: 'Enforced',
    status,
    reason,
    message,
  });
  const resource = input.reading.source?.resource;
  if (ready.status !== 'True' && !HOLDS.has(ready.reason))
    return says('False', ready.reason, 'the policy is not ready');
  const approvals = resource?.spec.guardrails.filter((guardrail) => guardrail.action === 'RequireApproval') ?? [];
  if (approvals.length > 0) {
    const names = approvals.map(({ name }) => name).join(', ');
    return says('False', 'ApprovalsUnavailable', `nobody can approve yet: what ${names} asks approval for is refused`);
  }
  if (resource?.spec.mode === 'Observe') {
    return says('False', 'ObserveMode', 'the policy only records what it would do; set spec.mode: Enforce');
  }
  if (concerned.length === 0) return says('Unknown', 'NoPods', 'no running pod is concerned');
  const named = (state: PodProgress): string => namesOf(concerned.filter((_pod, index) => states[index] === state));
  if (states.includes('refused')) return says('False', 'BundleRefused', `refused by ${named('refused')}`);
  if (states.includes('behind')) return says('False', 'PodsOutdated', `not applied yet by ${named('behind')}`);
  if (states.includes('silent')) return says('False', 'NotReported', `nothing has been heard from ${named('silent')}`);
  if (states.includes('waiting')) {
    return says('False', 'PodsWaiting', `applied, but not serving: ${named('waiting')}; see their logs`);
  }
  return says('True', 'AllPods', `${concerned.length} of ${concerned.length} pods enforce it`);
}

/** Whether the policy may concern a pod: groups and claims are known to its sidecar alone. */
export function concerns(policy: DatabaseAccessPolicy | undefined, pod: AgentPod): boolean {
  return (
    policy?.spec.subjects.some(
      ({ serviceAccount }) =>
        serviceAccount === undefined ||
        (serviceAccount.namespace === pod.namespace && serviceAccount.name === pod.serviceAccount),
    ) === true
  );
}

function namesOf(states: readonly PodState[]): string {
  const names = states.slice(0, 5).map(({ pod }) => `${pod.namespace}/${pod.name}`);
  return states.length > names.length
    ? `${names.join(', ')} and ${states.length - names.length} more`
    : names.join(', ');
}

function findingOf({ type, status, reason, message }: Partial<Finding>): Finding | undefined {
  if (type === undefined || status === undefined || reason === undefined || message === undefined) return undefined;
  return { type, status, reason, message };
}
