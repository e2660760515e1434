/** What of a pod is unsafe because of the connections it asks for: it holds their Secret, or can lead their traffic elsewhere. */
import type { DatabaseConnection } from '#crds/kinds.ts';
import { asList, asMap, isMap, type Json, mapsOf, type PodRefusal, specOf, textOf } from './pod-json.ts';
import type { RequestedConnection } from './requested-connections.ts';

export interface PodToJudge {
  readonly pod: Json;
  readonly namespace: string;
  readonly requested: readonly RequestedConnection[];
  /** Undefined: the connection does not exist yet. */
  readonly connection: (namespace: string, name: string) => DatabaseConnection | undefined;
}

/** Uses of a connection's Secret: possible only where pod and connection share a namespace. */
export function secretUses({ pod, namespace, requested, connection }: PodToJudge): readonly PodRefusal[] {
  const secrets = new Map<string, string>();
  for (const { namespace: owner, name } of requested) {
    const spec = owner === namespace ? connection(owner, name)?.spec : undefined;
    if (spec === undefined) continue;
    for (const ref of [spec.credentials.secretRef, spec.maskKey?.secretRef]) {
      if (ref !== undefined) secrets.set(ref.name, `${owner}/${name}`);
    }
  }
  if (secrets.size === 0) return [];
  const found: PodRefusal[] = [];
  visitSecretNames(specOf(pod), 'spec', false, (name, path) => {
    const owner = secrets.get(name);
    if (owner === undefined) return;
    found.push({
      reason: 'ConnectionSecret',
      message: `${path}: the Secret ${name} is that of connection ${owner}, whose password no container may hold; remove it and connect to 127.0.0.1`,
    });
  });
  return found;
}

/**
 * Names of Secrets anywhere in a pod's spec (env, envFrom, volumes, projected, CSI and older drivers, pull secrets): the text or the
 * `name` under a field whose name says secret. By name and not by list, so that a new kind of volume is covered.
 */
function visitSecretNames(
  value: unknown,
  path: string,
  isSecretField: boolean,
  found: (name: string, path: string) => void,
): void {
  if (typeof value === 'string') {
    if (isSecretField) found(value, path);
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) visitSecretNames(item, `${path}[${index}]`, isSecretField, found);
  } else if (isMap(value)) {
    for (const [key, member] of Object.entries(value)) {
      const isReference = /secret/i.test(key) || (isSecretField && key === 'name');
      visitSecretNames(member, `${path}.${key}`, isReference, found);
    }
  }
}

const VERIFYING: ReadonlySet<string> = new Set(['VerifyCA', 'VerifyFull']);

/**
 * Where the server's certificate is not checked, whoever leads the sidecar's traffic through a process of the pod sits between it and the
 * database, in a session that the password opened. So such connections do not go with a pod that names its own addresses.
 */
export function redirections({ pod, requested, connection }: PodToJudge): readonly PodRefusal[] {
  const means = meansOfRedirection(pod);
  if (means.length === 0) return [];
  return requested.flatMap(({ namespace, name }) => {
    const mode = connection(namespace, name)?.spec.tls.mode;
    if (mode === undefined || VERIFYING.has(mode)) return [];
    return [
      {
        reason: 'RedirectedTraffic',
        message: `${means.join(', ')}: could lead the traffic of connection ${namespace}/${name} elsewhere, whose tls.mode ${mode} would not notice; use tls.mode VerifyFull, or remove that from the pod`,
      },
    ];
  });
}

function meansOfRedirection(pod: Json): readonly string[] {
  const spec = specOf(pod);
  const dns = asMap(spec['dnsConfig']);
  const capable = mapsOf(spec['initContainers']).some(
    (container) => asList(asMap(asMap(container['securityContext'])['capabilities'])['add']).length > 0,
  );
  return [
    ...(asList(spec['hostAliases']).length > 0 ? ['spec.hostAliases'] : []),
    ...(asList(dns['nameservers']).length > 0 || asList(dns['searches']).length > 0 ? ['spec.dnsConfig'] : []),
    ...(textOf(spec['hostnameOverride']) === undefined ? [] : ['spec.hostnameOverride']),
    ...(capable ? ['added capabilities'] : []),
  ];
}
