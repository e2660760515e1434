/** The pods that ask for a connection, as far as reconciling looks at them. Pure. */
import { BUNDLE_GENERATION_ANNOTATION } from '#bundle/config-map.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { SIDECAR_NAME } from '../admission/context.ts';
import { annotationOf, asMap, mapsOf, serviceAccountOf, specOf } from '../admission/pod-json.ts';
import { requestedConnections } from '../admission/requested-connections.ts';
import type { ConnectionKey } from './published.ts';

export interface AgentPod {
  readonly object: KubernetesObject;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount: string;
  /** `namespace/name` of each connection that it asks for. */
  readonly connections: readonly string[];
  /** Value of the annotation that is raised after a write. */
  readonly delivered: string | undefined;
}

/** An object in a cache is never changed, only replaced: each is read once. */
const read = new WeakMap<KubernetesObject, AgentPod | 'none'>();

/** Undefined: it has ended, has no sidecar, or asks for nothing that can be read. */
export function readAgentPod(object: KubernetesObject): AgentPod | undefined {
  let known = read.get(object);
  if (known === undefined) {
    known = readPod(object) ?? 'none';
    read.set(object, known);
  }
  return known === 'none' ? undefined : known;
}

function readPod(object: KubernetesObject): AgentPod | undefined {
  if (hasEnded(object)) return undefined;
  const hasSidecar = mapsOf(specOf(object)['initContainers']).some((container) => container['name'] === SIDECAR_NAME);
  const requested = requestedConnections(object);
  if (!hasSidecar || requested.kind === 'refused') return undefined;
  return {
    object,
    namespace: object.metadata.namespace ?? '',
    name: object.metadata.name,
    uid: object.metadata.uid ?? '',
    serviceAccount: serviceAccountOf(object),
    connections: requested.connections.map(({ namespace, name }) => `${namespace}/${name}`),
    delivered: annotationOf(object, BUNDLE_GENERATION_ANNOTATION),
  };
}

/** Its containers will not run again. One that is being ended still runs, and still needs its gate. */
export function hasEnded(pod: KubernetesObject): boolean {
  const phase = asMap(pod['status'])['phase'];
  return phase === 'Succeeded' || phase === 'Failed';
}

/**
 * The annotation after a delivery: one part for each connection, `data/shop=12.1`: generation, and version of the key set. That it changes is
 * all that matters: the kubelet then looks at the pod's volumes at once. Undefined: it says so already.
 */
export function raisedAnnotation(
  pod: AgentPod,
  connection: ConnectionKey,
  generation: number,
  keySetVersion: number,
): string | undefined {
  const own = `${connection.namespace}/${connection.name}`;
  const parts = new Map<string, string>();
  for (const part of (pod.delivered ?? '').split(',')) {
    const [name, value] = part.split('=');
    if (name !== undefined && value !== undefined && pod.connections.includes(name)) parts.set(name, value);
  }
  parts.set(own, `${generation}.${keySetVersion}`);
  const text = [...parts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
  return text === pod.delivered ? undefined : text;
}
