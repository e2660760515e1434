/** Carries out what was planned for the bundles: generation first, then the ConfigMap, then the annotation of the pods. */
import type { Bundle } from '#bundle/bundle.ts';
import {
  BUNDLE_FILE,
  BUNDLE_GENERATION_ANNOTATION,
  bundleConfigMapLabels,
  bundleConfigMapName,
  KEY_SET_FILE,
  MANAGED_BY,
  MANAGED_BY_LABEL,
} from '#bundle/config-map.ts';
import { ApiError, isConflict, isNotFound } from '#kubernetes/api-error.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { KubernetesObject, ObjectReference } from '#kubernetes/object.ts';
import { type AgentPod, raisedAnnotation } from './agent-pods.ts';
import type { GenerationStore } from './generations.ts';
import type { BundleAction } from './plan.ts';
import { type ConnectionKey, targetKey } from './published.ts';

export const FIELD_MANAGER = 'postern-operator';

export interface PublishOptions {
  readonly client: ClusterClient;
  readonly store: GenerationStore;
  /** A bundle is about to be written, and its generation is set down. */
  readonly onWritten: (bundle: Bundle) => void;
}

export interface PublishTarget {
  readonly key: ConnectionKey;
  readonly keySetText: string;
  readonly keySetVersion: number;
  /** Live pods of the namespace that ask for the connection. */
  readonly pods: readonly AgentPod[];
  /** The ConfigMap is known to be ours. */
  readonly isPresent: boolean;
}

export type Published =
  | { readonly kind: 'published'; readonly generation: number; readonly isTooLarge: boolean }
  | { readonly kind: 'removed' }
  /** An object that is not ours has its name. */
  | { readonly kind: 'taken' }
  /** The namespace does not exist (any more). */
  | { readonly kind: 'noNamespace' };

const PODS_AT_ONCE = 20;

export async function publish(
  action: BundleAction,
  target: PublishTarget,
  options: PublishOptions,
): Promise<Published> {
  switch (action.kind) {
    case 'delete':
      await remove(options.client, referenceOf(target.key, action.agentNamespace), action.uid);
      return { kind: 'removed' };
    case 'tooLarge':
      return { kind: 'published', generation: action.generation, isTooLarge: true };
    case 'keep':
      await raisePods(options.client, target, action.generation);
      return { kind: 'published', generation: action.generation, isTooLarge: false };
    case 'renewKeys':
      await apply(options.client, target, action.agentNamespace, action.bundleText);
      await raisePods(options.client, target, action.generation);
      return { kind: 'published', generation: action.generation, isTooLarge: false };
    case 'write':
      return await write(action, target, options);
  }
}

async function write(
  action: Extract<BundleAction, { kind: 'write' }>,
  target: PublishTarget,
  options: PublishOptions,
): Promise<Published> {
  const { client, store } = options;
  const { agentNamespace, bundle } = action;
  if (!target.isPresent) {
    const obstacle = await findObstacle(client, target.key, agentNamespace);
    if (obstacle !== undefined) return { kind: obstacle };
  }
  const { generation } = bundle;
  const isWithdrawn = bundle.serviceAccounts.length === 0 && bundle.manifests.policies.length === 0;
  const key = targetKey(target.key, agentNamespace);
  await store.raise({ key, after: action.afterGeneration, to: { generation, isWithdrawn } });
  if (action.frozenUid !== undefined) {
    await remove(client, referenceOf(target.key, agentNamespace), action.frozenUid);
  }
  await apply(client, target, agentNamespace, action.bundleText);
  options.onWritten(bundle);
  await raisePods(client, target, generation);
  return { kind: 'published', generation, isTooLarge: false };
}

/** Before a generation is used up for a place that cannot be written to. */
async function findObstacle(
  client: ClusterClient,
  key: ConnectionKey,
  agentNamespace: string,
): Promise<'taken' | 'noNamespace' | undefined> {
  const { apiVersion, kind, name } = referenceOf(key, agentNamespace);
  const labels = bundleConfigMapLabels(key.namespace, key.name);
  try {
    await client.create({ apiVersion, kind, metadata: { name, namespace: agentNamespace, labels } }, { dryRun: true });
    return undefined;
  } catch (error) {
    if (isNotFound(error) || isTerminating(error)) return 'noNamespace';
    if (!isConflict(error)) throw error;
  }
  const present = await client.find(referenceOf(key, agentNamespace));
  return present === undefined || present.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY ? undefined : 'taken';
}

function isTerminating(error: unknown): boolean {
  return error instanceof ApiError && error.status === 403 && error.message.includes('being terminated');
}

async function apply(
  client: ClusterClient,
  target: PublishTarget,
  agentNamespace: string,
  bundleText: string,
): Promise<void> {
  const { apiVersion, kind, name } = referenceOf(target.key, agentNamespace);
  const object: KubernetesObject = {
    apiVersion,
    kind,
    metadata: { name, namespace: agentNamespace, labels: bundleConfigMapLabels(target.key.namespace, target.key.name) },
    binaryData: { [BUNDLE_FILE]: bundleText },
    data: { [KEY_SET_FILE]: target.keySetText },
  };
  await client.apply(object, { fieldManager: FIELD_MANAGER, force: true });
}

async function remove(client: ClusterClient, reference: ObjectReference, uid: string): Promise<void> {
  try {
    await client.delete(reference, { uid });
  } catch (error) {
    // Another object of that name already: the next look finds it.
    if (!isConflict(error)) throw error;
  }
}

/** The kubelet looks at a pod's volumes when the pod changes. A pod that has gone meanwhile does not matter. */
async function raisePods(client: ClusterClient, target: PublishTarget, generation: number): Promise<void> {
  const patches = target.pods.flatMap((pod) => {
    const value = raisedAnnotation(pod, target.key, generation, target.keySetVersion);
    return value === undefined ? [] : [{ pod, value }];
  });
  for (let at = 0; at < patches.length; at += PODS_AT_ONCE) {
    await Promise.all(patches.slice(at, at + PODS_AT_ONCE).map(async (patch) => await raisePod(client, patch)));
  }
}

async function raisePod(
  client: ClusterClient,
  { pod, value }: { readonly pod: AgentPod; readonly value: string },
): Promise<void> {
  const reference = { apiVersion: 'v1', kind: 'Pod', namespace: pod.namespace, name: pod.name };
  const patch = { metadata: { uid: pod.uid, annotations: { [BUNDLE_GENERATION_ANNOTATION]: value } } };
  try {
    await client.mergePatch(reference, patch);
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

function referenceOf(key: ConnectionKey, agentNamespace: string): ObjectReference {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: agentNamespace,
    name: bundleConfigMapName(key.namespace, key.name),
  };
}
