/**
 * Whether a pod is as this or the previous release injects it: the one check for created pods (/validate-pods) and for the live pod behind
 * a request for credentials. The ValidatingAdmissionPolicy `postern-injected-pods` says the same in CEL.
 */
import { type AdmissionContext, INJECT_LABEL, SIDECAR_NAME, type SidecarTemplate } from './context.ts';
import { mayRunBeforeSidecar } from './inject.ts';
import {
  asList,
  asMap,
  isMap,
  type Json,
  labelOf,
  mapsOf,
  metadataOf,
  type PodRefusal,
  type PodRefusalReason,
  serviceAccountOf,
  specOf,
  textOf,
} from './pod-json.ts';
import { requestedConnections, type RequestedConnection } from './requested-connections.ts';
import { sidecarContainer, sidecarVolumes } from './sidecar.ts';
import { isSameSidecar, isSameVolume } from './sidecar-match.ts';
import { OWN_VOLUMES, unsafePodRefusals } from './unsafe-pod.ts';

export type CheckedPod =
  | {
      readonly kind: 'injected';
      readonly connections: readonly RequestedConnection[];
      readonly serviceAccount: string;
      /** The one it was made from; `outdated` if that is not what is injected now. */
      readonly template: SidecarTemplate;
      readonly outdated: boolean;
    }
  | { readonly kind: 'refused'; readonly refusals: readonly PodRefusal[] };

/** `namespace`: of the request where the pod does not name its own. Unsafe neighbours are refused as at admission. */
export function checkInjectedPod(pod: Json, context: AdmissionContext, namespace?: string): CheckedPod {
  if (labelOf(pod, INJECT_LABEL) !== 'true') {
    return refusedFor('NotInjected', `the pod lacks the label ${INJECT_LABEL}: "true"; create it anew with the label`);
  }
  const requested = requestedConnections(pod);
  if (requested.kind === 'refused') return { kind: 'refused', refusals: [requested.refusal] };
  const { connections } = requested;
  const owner = namespace ?? textOf(metadataOf(pod)['namespace']);
  if (owner === undefined) return refusedFor('Malformed', 'the pod names no namespace');
  const unsafe = unsafePodRefusals({ pod, namespace: owner, requested: connections, connection: context.connection });
  if (unsafe.length > 0) return { kind: 'refused', refusals: unsafe };
  const found = findSidecar(pod);
  if (found.kind === 'refused') return found;
  const { sidecar } = found;
  const rootKeys = acceptedRootKeys(sidecar, context);
  if (rootKeys === undefined)
    return refusedFor('SidecarChanged', `the sidecar trusts a key that is not ours; ${RECREATE}`);
  const templates = [context.template, ...context.previousTemplates];
  const template = templates.find((candidate) => matches(pod, sidecar, candidate, rootKeys, connections));
  if (template === undefined) {
    return refusedFor(
      'SidecarChanged',
      `the sidecar or its volumes are not as this or the previous release makes them; ${RECREATE}`,
    );
  }
  return {
    kind: 'injected',
    connections,
    serviceAccount: serviceAccountOf(pod),
    template,
    outdated: template !== context.template,
  };
}

const RECREATE = 'delete the pod, so that it is made anew';

function refusedFor(
  reason: PodRefusalReason,
  message: string,
): { readonly kind: 'refused'; readonly refusals: readonly PodRefusal[] } {
  return { kind: 'refused', refusals: [{ reason, message }] };
}

type FoundSidecar =
  | { readonly kind: 'found'; readonly sidecar: Json }
  | { readonly kind: 'refused'; readonly refusals: readonly PodRefusal[] };

/** The one sidecar, in its place; or why there is none. */
function findSidecar(pod: Json): FoundSidecar {
  const initContainers = asList(specOf(pod)['initContainers']);
  const isSidecar = (container: unknown): boolean => isMap(container) && container['name'] === SIDECAR_NAME;
  const present = initContainers.filter(isSidecar);
  const [sidecar] = present;
  if (!isMap(sidecar)) {
    return refusedFor('NotInjected', `the pod runs without the sidecar ${SIDECAR_NAME}; ${RECREATE}`);
  }
  if (present.length > 1) return refusedFor('SidecarChanged', `the pod has two sidecars; ${RECREATE}`);
  const before = initContainers.slice(0, initContainers.indexOf(sidecar));
  return before.every(mayRunBeforeSidecar)
    ? { kind: 'found', sidecar }
    : refusedFor('SidecarChanged', `an init container runs before the sidecar; ${RECREATE}`);
}

/** The roots that the sidecar carries, if each is one of ours. Roots rotate under running pods, so they need not be today's. */
function acceptedRootKeys(sidecar: Json, context: AdmissionContext): readonly string[] | undefined {
  const entries = mapsOf(sidecar['env']).filter((entry) => entry['name'] === 'POSTERN_ROOT_KEYS');
  const text = textOf(asMap(entries[0])['value']);
  if (text === undefined || entries.length !== 1) return undefined;
  const known = new Set([...context.rootKeys, ...context.retiringRootKeys]);
  const keys = text.split(',');
  return keys.every((key) => known.has(key)) ? keys : undefined;
}

function matches(
  pod: Json,
  sidecar: Json,
  template: SidecarTemplate,
  rootKeys: readonly string[],
  connections: readonly RequestedConnection[],
): boolean {
  if (!isSameSidecar(sidecar, sidecarContainer(template, rootKeys, connections))) return false;
  const expected = sidecarVolumes(template, connections);
  const own = mapsOf(specOf(pod)['volumes']).filter((volume) => OWN_VOLUMES.has(textOf(volume['name']) ?? ''));
  return (
    own.length === expected.length &&
    expected.every((volume) => own.some((each) => each['name'] === volume['name'] && isSameVolume(each, volume)))
  );
}
