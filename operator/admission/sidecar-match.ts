/** Whether a container or volume of a pod is the one that a template makes, apart from what the cluster itself may set. */
import { asList, isMap, isSameJson, type Json } from './pod-json.ts';
import { quantityBytes } from './quantity.ts';

/**
 * What does not change what the sidecar is: resources (LimitRange, in-place resize) and the pull policy (AlwaysPullImages). Everything
 * else must be there exactly, and nothing besides, also no field that we do not know.
 */
const SET_BY_CLUSTER: ReadonlySet<string> = new Set(['resources', 'resizePolicy', 'imagePullPolicy']);

/** Where the API server mounts the service account's token in every container. The sidecar reads nothing there. */
const ACCOUNT_TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

export function isSameSidecar(actual: unknown, expected: Json): boolean {
  return isMap(actual) && isSameJson(comparable(actual), comparable(expected));
}

function comparable(container: Json): Json {
  const members = Object.entries(container).filter(([field]) => !SET_BY_CLUSTER.has(field));
  const mounts = asList(container['volumeMounts']).filter((mount) => !isAccountToken(mount));
  return { ...Object.fromEntries(members), volumeMounts: mounts };
}

function isAccountToken(mount: unknown): boolean {
  return (
    isMap(mount) &&
    isSameJson(mount, { name: mount['name'], mountPath: ACCOUNT_TOKEN_PATH, readOnly: true }) &&
    typeof mount['name'] === 'string' &&
    mount['name'].startsWith('kube-api-access-')
  );
}

/** Volumes by name; the size limit counts as a number, since the API server prints 1024Mi as 1Gi. */
export function isSameVolume(actual: unknown, expected: Json): boolean {
  return isMap(actual) && isSameJson(withBytes(actual), withBytes(expected));
}

function withBytes(volume: Json): Json {
  const emptyDir = volume['emptyDir'];
  if (!isMap(emptyDir)) return volume;
  return { ...volume, emptyDir: { ...emptyDir, sizeLimit: quantityBytes(emptyDir['sizeLimit']) } };
}
