/** What the parts of the operator share: made once by operator/start.ts. */
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { EventRecorder } from '#kubernetes/event-recorder.ts';
import type { Log } from '#kubernetes/log.ts';
import type { AdmissionContext } from './admission/context.ts';
import type { Caches } from './caches.ts';
import type { OperatorMetrics } from './metrics.ts';
import type { OperatorSettings } from './settings.ts';
import type { Trust } from './signing-keys/trust.ts';

export interface OperatorDependencies {
  readonly settings: OperatorSettings;
  readonly client: ClusterClient;
  readonly caches: Caches;
  /** Undefined until the keys are made and read. */
  readonly trust: () => Trust | undefined;
  /** Undefined until the keys are made and read. */
  readonly admissionContext: () => AdmissionContext | undefined;
  readonly recorder: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly log: Log;
  readonly isLeader: () => boolean;
}
