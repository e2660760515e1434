/** Events about pods, as data for the shell to record. A pod under admission does not exist yet, so its controller is named if it has one. */
import { type Json, mapsOf, metadataOf, textOf } from './pod-json.ts';

export interface PodEvent {
  readonly regarding: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: 'Normal' | 'Warning';
  /** CamelCase and stable. */
  readonly reason: string;
  readonly action: string;
  readonly note: string;
}

/** About the pod's controller (ReplicaSet, Job, Sandbox ...); of a bare pod about the pod. */
export function eventAboutPod(pod: Json, namespace: string, event: Omit<PodEvent, 'regarding'>): PodEvent {
  const metadata = metadataOf(pod);
  const owner = mapsOf(metadata['ownerReferences']).find((each) => each['controller'] === true);
  const name = textOf(metadata['name']) ?? textOf(metadata['generateName']) ?? 'unnamed';
  const uid = textOf(owner === undefined ? metadata['uid'] : owner['uid']);
  return {
    ...event,
    regarding: {
      apiVersion: textOf(owner?.['apiVersion']) ?? 'v1',
      kind: textOf(owner?.['kind']) ?? 'Pod',
      namespace,
      name: textOf(owner?.['name']) ?? name,
      ...(uid === undefined ? {} : { uid }),
    },
  };
}
