/**
 * Injection: a pod as it is created → the JSON patch that puts the sidecar in front. What an earlier injection left (a copied or restored
 * pod, a second call by the API server) is taken out first and made anew, so the outcome never depends on it.
 */
import { type AdmissionContext, INJECTED_ANNOTATION, SIDECAR_NAME } from './context.ts';
import { agentEnvironment, completeEnvironment, type ConnectionEndpoint } from './environment.ts';
import {
  asList,
  asMap,
  isMap,
  isSameJson,
  type Json,
  metadataOf,
  type PodRefusal,
  serviceAccountOf,
  specOf,
  textOf,
} from './pod-json.ts';
import { requestedConnections, type RequestedConnection } from './requested-connections.ts';
import { sidecarContainer, sidecarVolumes, templateHash } from './sidecar.ts';
import { isSameSidecar, isSameVolume } from './sidecar-match.ts';
import { OWN_VOLUMES, unsafePodRefusals } from './unsafe-pod.ts';

/** RFC 6902; `add` on a member that is there replaces it. */
export interface PatchOperation {
  readonly op: 'add';
  readonly path: string;
  readonly value: unknown;
}

export type Injection =
  | {
      readonly kind: 'injected';
      /** Empty: the pod is as it should be. */
      readonly patch: readonly PatchOperation[];
      readonly connections: readonly RequestedConnection[];
      /** Connections that do not exist yet, as `namespace/name`. */
      readonly missing: readonly string[];
    }
  | { readonly kind: 'refused'; readonly refusals: readonly PodRefusal[] };

/** For a pod with the label. `namespace` is the request's, since a pod at creation need not name its own. */
export function inject(pod: Json, namespace: string, context: AdmissionContext): Injection {
  const requested = requestedConnections(pod);
  if (requested.kind === 'refused') return { kind: 'refused', refusals: [requested.refusal] };
  const { connections } = requested;
  const unsafe = unsafePodRefusals({ pod, namespace, requested: connections, connection: context.connection });
  const environment = patchEnvironments(pod, agentEnvironment(endpoints(connections, context), serviceAccountOf(pod)));
  if (unsafe.length > 0 || environment.refusals.length > 0) {
    return { kind: 'refused', refusals: [...unsafe, ...environment.refusals] };
  }
  const initContainers = placeSidecar(
    environment.initContainers,
    sidecarContainer(context.template, context.rootKeys, connections),
  );
  const volumes = placeVolumes(asList(specOf(pod)['volumes']), sidecarVolumes(context.template, connections));
  return {
    kind: 'injected',
    patch: patchOf(pod, { initContainers, containers: environment.containers, volumes }, injectedMark(context)),
    connections,
    missing: connections
      .filter(({ namespace: owner, name }) => context.connection(owner, name) === undefined)
      .map(({ namespace: owner, name }) => `${owner}/${name}`),
  };
}

/** Value of the annotation `postern.dev/injected`. */
export function injectedMark({ template }: AdmissionContext): string {
  return `${template.release}/${templateHash(template)}`;
}

/** The marks that this replica may have written, or a replica of a release that it knows. */
export function marksOf({ template, previousTemplates }: AdmissionContext): ReadonlySet<string> {
  return new Set([template, ...previousTemplates].map((each) => `${each.release}/${templateHash(each)}`));
}

function endpoints(
  connections: readonly RequestedConnection[],
  context: AdmissionContext,
): readonly ConnectionEndpoint[] {
  return connections.map((connection) => ({
    ...connection,
    database: context.connection(connection.namespace, connection.name)?.spec.database ?? connection.name,
  }));
}

function isOwnVolume(volume: unknown): boolean {
  return isMap(volume) && typeof volume['name'] === 'string' && OWN_VOLUMES.has(volume['name']);
}

function isSidecar(container: unknown): boolean {
  return isMap(container) && container['name'] === SIDECAR_NAME;
}

interface Environments {
  readonly initContainers: readonly unknown[];
  readonly containers: readonly unknown[];
  readonly refusals: readonly PodRefusal[];
}

function patchEnvironments(pod: Json, variables: ReadonlyMap<string, string>): Environments {
  const refusals: PodRefusal[] = [];
  const complete = (list: 'initContainers' | 'containers'): readonly unknown[] =>
    asList(specOf(pod)[list]).map((container, index) => {
      if (!isMap(container) || (list === 'initContainers' && isSidecar(container))) return container;
      const placed = { path: `spec.${list}[${index}]`, name: textOf(container['name']) ?? '?', container };
      const completed = completeEnvironment(placed, variables);
      if (completed.kind === 'complete') return { ...container, env: completed.env };
      refusals.push(...completed.refusals);
      return container;
    });
  return { initContainers: complete('initContainers'), containers: complete('containers'), refusals };
}

/** They redirect the pod's traffic, so they come first; everything else finds the database ready. */
const BEFORE_SIDECAR: ReadonlySet<unknown> = new Set(['istio-init', 'istio-proxy']);

export function mayRunBeforeSidecar(container: unknown): boolean {
  return isMap(container) && BEFORE_SIDECAR.has(container['name']);
}

/** Where the sidecar belongs among the other init containers: first, or right after Istio's where these are first. */
function sidecarIndex(otherInitContainers: readonly unknown[]): number {
  const index = otherInitContainers.findIndex((each) => !mayRunBeforeSidecar(each));
  return index === -1 ? otherInitContainers.length : index;
}

/** A sidecar that is right stays as it is: the API server adds the mount of the account's token to it. */
function placeSidecar(initContainers: readonly unknown[], expected: Json): readonly unknown[] {
  const present = initContainers.filter(isSidecar);
  const [only] = present;
  const sidecar = present.length === 1 && isSameSidecar(only, expected) ? only : expected;
  const others = initContainers.filter((container) => !isSidecar(container));
  return others.toSpliced(sidecarIndex(others), 0, sidecar);
}

function placeVolumes(volumes: readonly unknown[], expected: readonly Json[]): readonly unknown[] {
  const own = volumes.filter(isOwnVolume);
  const areRight = own.length === expected.length && expected.every((each, index) => isSameVolume(own[index], each));
  return areRight ? volumes : [...volumes.filter((volume) => !isOwnVolume(volume)), ...expected];
}

function patchOf(pod: Json, wanted: Json, mark: string): readonly PatchOperation[] {
  const spec = specOf(pod);
  const operations: PatchOperation[] = [];
  for (const [field, value] of Object.entries(wanted)) {
    if (!isSameJson(spec[field], value)) operations.push({ op: 'add', path: `/spec/${field}`, value });
  }
  const annotations = metadataOf(pod)['annotations'];
  if (asMap(annotations)[INJECTED_ANNOTATION] !== mark) {
    // The annotations are there: they named the connections.
    operations.push({
      op: 'add',
      path: `/metadata/annotations/${INJECTED_ANNOTATION.replaceAll('/', '~1')}`,
      value: mark,
    });
  }
  return operations;
}
