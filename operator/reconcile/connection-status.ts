/** What a connection's status says: whether it is sound and published, whether the database answers, and what its role may do. Pure. */
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { Material } from '../credentials/connection-material.ts';
import type { DatabaseLook } from '../database-look/look.ts';
import { type Finding, progressOf, type Status, statusOf } from './conditions.ts';
import type { Publication } from './policy-status.ts';
import type { ConnectionReading } from './sources.ts';

export interface ConnectionStatusInput {
  readonly object: KubernetesObject;
  readonly reading: ConnectionReading;
  /** Undefined where the connection is not sound. */
  readonly material: Material | undefined;
  readonly publications: readonly Publication[];
  /** Namespaces where an object that is not ours has the name of our ConfigMap. */
  readonly taken: readonly string[];
  /** Invalid policies whose last good word is not known: nothing is granted until they are put right. */
  readonly unknownPolicies: readonly string[];
  /** Undefined: nobody has looked yet. */
  readonly look: DatabaseLook | undefined;
  readonly nowIso: string;
}

const STALLED = new Set([
  'InvalidConnection',
  'BundleTooLarge',
  'SecretForbidden',
  'SecretNotFound',
  'SecretIncomplete',
  'ConfigMapTaken',
  'InvalidPolicy',
]);

export function connectionStatus(input: ConnectionStatusInput): Status {
  const ready = readyOf(input);
  const findings = [
    ready,
    reachableOf(input.look),
    leastPrivilegeOf(input.look),
    ...progressOf(ready, STALLED.has(ready.reason)),
  ];
  const { look } = input;
  const before = (input.object['status'] as { readonly serverVersion?: unknown } | undefined)?.serverVersion;
  const serverVersion = look?.kind === 'reached' ? look.facts.serverVersion : before;
  return statusOf(input.object, findings, serverVersion === undefined ? {} : { serverVersion }, input.nowIso);
}

/** At the first sight of a connection. */
export function newConnectionStatus(object: KubernetesObject, nowIso: string): Status {
  const ready: Finding = {
    type: 'Ready',
    status: 'Unknown',
    reason: 'Pending',
    message: 'the operator has seen the connection and has not published it yet',
  };
  const findings = [ready, reachableOf(undefined), leastPrivilegeOf(undefined), ...progressOf(ready, false)];
  return statusOf(object, findings, {}, nowIso);
}

function readyOf({ reading, material, publications, taken, unknownPolicies }: ConnectionStatusInput): Finding {
  const no = (reason: string, message: string): Finding => ({ type: 'Ready', status: 'False', reason, message });
  if (reading.kind === 'invalid') {
    const stays = reading.lastGood === undefined ? 'nothing is published' : 'what was published before stays in force';
    return no('InvalidConnection', `${reading.problems.join('; ')}. Until this is put right ${stays}`);
  }
  if (material?.kind === 'refused') {
    const { reason, message } = material;
    const isPassing = reason === 'SecretsNotListed' || reason === 'MaskKeyNotMade';
    return isPassing ? { type: 'Ready', status: 'Unknown', reason, message } : no(reason, message);
  }
  if (unknownPolicies.length > 0) {
    return no(
      'InvalidPolicy',
      `nothing is granted until these policies are put right, since what they said before is not known any more: ${unknownPolicies.join(', ')}`,
    );
  }
  const large = publications
    .filter((publication) => publication.isTooLarge)
    .map(({ agentNamespace }) => agentNamespace);
  if (large.length > 0) {
    return no(
      'BundleTooLarge',
      `the policies for the agents of ${large.join(', ')} are larger than a ConfigMap holds; what was published before stays in force. Use public.* or fewer columns, or split the connection`,
    );
  }
  if (taken.length > 0) {
    return no(
      'ConfigMapTaken',
      `a ConfigMap that is not the operator's has the name of its bundle in ${taken.join(', ')}; delete it there`,
    );
  }
  return publications.length === 0
    ? {
        type: 'Ready',
        status: 'True',
        reason: 'NobodyGranted',
        message: 'no policy and no allowedWorkloads entry names an account yet',
      }
    : {
        type: 'Ready',
        status: 'True',
        reason: 'Published',
        message: `published to ${publications.map(({ agentNamespace }) => agentNamespace).join(', ')}`,
      };
}

function reachableOf(look: DatabaseLook | undefined): Finding {
  const type = 'Reachable';
  if (look === undefined) {
    return { type, status: 'Unknown', reason: 'NotLooked', message: 'the operator has not looked at the database yet' };
  }
  if (look.kind === 'failed') {
    const status = look.reason === 'NotReachableFromHere' ? 'Unknown' : 'False';
    return { type, status, reason: look.reason, message: look.message };
  }
  const { role, serverVersion } = look.facts;
  return { type, status: 'True', reason: 'LoggedIn', message: `PostgreSQL ${serverVersion} answers role ${role}` };
}

function leastPrivilegeOf(look: DatabaseLook | undefined): Finding {
  const type = 'LeastPrivilege';
  if (look?.kind !== 'reached') {
    return { type, status: 'Unknown', reason: 'NotLooked', message: 'the role has not been looked at yet' };
  }
  const { role, excess } = look.facts;
  if (excess.length === 0) {
    return {
      type,
      status: 'True',
      reason: 'NoExcess',
      message: `role ${role} has no right that makes the gate pointless`,
    };
  }
  return {
    type,
    status: 'False',
    reason: 'ExcessRights',
    message: `role ${role} has more than an agent's role should: ${excess.join('; ')}. Take these away, or use another role`,
  };
}
