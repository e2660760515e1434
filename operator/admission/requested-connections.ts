/** What a pod asks for in its annotations: connections, and the port of the first. */
import { DNS_LABEL } from '#crds/kinds.ts';
import { ADMIN_PORT, CONNECTIONS_ANNOTATION, PORT_ANNOTATION } from './context.ts';
import { annotationOf, type Json, type PodRefusal } from './pod-json.ts';

export interface RequestedConnection {
  readonly namespace: string;
  readonly name: string;
  /** On 127.0.0.1 in the pod. */
  readonly port: number;
}

export type RequestedConnections =
  | { readonly kind: 'requested'; readonly connections: readonly RequestedConnection[] }
  | { readonly kind: 'refused'; readonly refusal: PodRefusal };

const DEFAULT_PORT = 5432;
/** Below, only a process with a capability that the sidecar lacks may listen. */
const LOWEST_PORT = 1024;
const HIGHEST_PORT = 65_535;
const MAX_CONNECTIONS = 16;

/** Reads the annotations: the first connection on its port, each further one on the next. */
export function requestedConnections(pod: Json): RequestedConnections {
  const text = annotationOf(pod, CONNECTIONS_ANNOTATION);
  if (text === undefined || text.trim() === '') {
    return refused(`says nothing; name the connections, e.g. ${CONNECTIONS_ANNOTATION}: data/shop`);
  }
  const entries = text.split(',').map((entry) => entry.trim());
  if (entries.length > MAX_CONNECTIONS) {
    return refused(`names ${entries.length} connections; a pod has at most ${MAX_CONNECTIONS}`);
  }
  if (new Set(entries).size < entries.length) return refused(`names a connection twice: ${text}; name each once`);
  const firstPort = firstPortOf(pod, entries.length);
  if (typeof firstPort !== 'number') return { kind: 'refused', refusal: firstPort };
  const connections: RequestedConnection[] = [];
  for (const [index, entry] of entries.entries()) {
    const [namespace, name, ...rest] = entry.split('/');
    if (namespace === undefined || name === undefined || rest.length > 0) return refused(advice(entry));
    if (!DNS_LABEL.test(namespace) || !DNS_LABEL.test(name)) return refused(advice(entry));
    connections.push({ namespace, name, port: firstPort + index });
  }
  return { kind: 'requested', connections };
}

function advice(entry: string): string {
  return `expected NAMESPACE/NAME of a DatabaseConnection, found ${JSON.stringify(entry.slice(0, 130))}; write e.g. data/shop,data/billing`;
}

function refused(problem: string): RequestedConnections {
  return {
    kind: 'refused',
    refusal: { reason: 'InvalidConnections', message: `annotation ${CONNECTIONS_ANNOTATION}: ${problem}` },
  };
}

function firstPortOf(pod: Json, count: number): number | PodRefusal {
  const text = annotationOf(pod, PORT_ANNOTATION);
  const first = text === undefined ? DEFAULT_PORT : /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : Number.NaN;
  const last = first + count - 1;
  if (!(first >= LOWEST_PORT && last <= HIGHEST_PORT)) {
    return {
      reason: 'InvalidPort',
      message: `annotation ${PORT_ANNOTATION}: expected a port of ${LOWEST_PORT} to ${HIGHEST_PORT - count + 1}, found ${JSON.stringify(text)}`,
    };
  }
  if (first <= ADMIN_PORT && ADMIN_PORT <= last) {
    return {
      reason: 'InvalidPort',
      message: `annotation ${PORT_ANNOTATION}: port ${ADMIN_PORT} is the sidecar's own, for health and metrics; choose another`,
    };
  }
  return first;
}
