/** Labelled pods that run without the sidecar: created while no webhook was called, or labelled afterwards. Reported, never ended. */
import { type AdmissionContext, INJECT_LABEL, SIDECAR_NAME } from './context.ts';
import { checkInjectedPod } from './check-injected-pod.ts';
import { asMap, type Json, labelOf, mapsOf, metadataOf, specOf, textOf } from './pod-json.ts';
import type { PodEvent } from './pod-events.ts';

export interface WatchdogReport {
  /** Labelled pods without a sidecar, for a gauge. */
  readonly withoutSidecar: number;
  /** Those whose sidecar is not as this or the previous release makes it: they get no credentials. */
  readonly changedSidecar: number;
  /** Injected by an earlier template: they work, and are upgraded by being made anew. */
  readonly outdated: number;
  readonly events: readonly PodEvent[];
}

/** Judges live pods; ended and ending ones do not count. */
export function watchPods(pods: readonly Json[], context: AdmissionContext): WatchdogReport {
  const report = { withoutSidecar: 0, changedSidecar: 0, outdated: 0 };
  const events: PodEvent[] = [];
  for (const pod of pods) {
    if (labelOf(pod, INJECT_LABEL) !== 'true' || isEnding(pod)) continue;
    if (!mapsOf(specOf(pod)['initContainers']).some((container) => container['name'] === SIDECAR_NAME)) {
      report.withoutSidecar += 1;
      events.push(
        warning(
          pod,
          'SidecarMissing',
          `the pod has the label ${INJECT_LABEL} but runs without the sidecar, so it has no way to the database: it was created while the webhook was not called, or labelled later. Delete it, so that it is made anew`,
        ),
      );
      continue;
    }
    const checked = checkInjectedPod(pod, context);
    if (checked.kind === 'injected') {
      report.outdated += checked.outdated ? 1 : 0;
      continue;
    }
    report.changedSidecar += 1;
    const problems = checked.refusals.map(({ reason, message }) => `${reason}: ${message}`).join('; ');
    events.push(warning(pod, 'SidecarRefused', `the pod gets no credentials: ${problems}`.slice(0, 1024)));
  }
  return { ...report, events };
}

function isEnding(pod: Json): boolean {
  const phase = asMap(pod['status'])['phase'];
  return phase === 'Succeeded' || phase === 'Failed' || metadataOf(pod)['deletionTimestamp'] !== undefined;
}

function warning(pod: Json, reason: string, note: string): PodEvent {
  const metadata = metadataOf(pod);
  const uid = textOf(metadata['uid']);
  return {
    regarding: {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: textOf(metadata['namespace']) ?? '',
      name: textOf(metadata['name']) ?? '',
      ...(uid === undefined ? {} : { uid }),
    },
    type: 'Warning',
    reason,
    action: 'Watch',
    note,
  };
}
