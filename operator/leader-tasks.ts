/**
 * What the leader keeps in order besides connections and policies: the keys, the caBundle of the webhooks, pods without their sidecar, the
 * collector's certificate and key.
 */
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { EventRecorder } from '#kubernetes/event-recorder.ts';
import type { Log } from '#kubernetes/log.ts';
import { WorkQueue } from '#kubernetes/work-queue.ts';
import type { AdmissionContext } from './admission/context.ts';
import { watchPods } from './admission/watchdog.ts';
import type { Caches } from './caches.ts';
import { ensureCaBundle, type ServiceName } from './certificates/ca-bundle.ts';
import type { CollectorSecrets } from './collector/collector-secrets.ts';
import type { OperatorMetrics } from './metrics.ts';
import type { Trust } from './signing-keys/trust.ts';
import type { TrustKeeper } from './signing-keys/trust-keeper.ts';

export interface LeaderTasksOptions {
  readonly client: ClusterClient;
  readonly caches: Caches;
  readonly trustKeeper: TrustKeeper;
  readonly trust: () => Trust | undefined;
  readonly admissionContext: () => AdmissionContext | undefined;
  /** Undefined: somebody else puts the caBundle in. */
  readonly webhookService: ServiceName | undefined;
  /** Undefined: this release has no collector. */
  readonly collectorSecrets: CollectorSecrets | undefined;
  readonly recorder: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly log: Log;
}

type Task = 'keys' | 'caBundle' | 'watchdog' | 'collector';

/** The watch tells of changes at once; this is for the case that it does not. */
const CA_BUNDLE_INTERVAL_MS = 60_000;
const WATCHDOG_INTERVAL_MS = 60_000;
const COLLECTOR_INTERVAL_MS = 60_000;

export class LeaderTasks {
  readonly #options: LeaderTasksOptions;
  readonly #queue: WorkQueue;

  constructor(options: LeaderTasksOptions) {
    this.#options = options;
    const tasks: Readonly<Record<string, () => Promise<{ readonly requeueAfterMs: number }>>> = {
      keys: async () => await options.trustKeeper.step(),
      caBundle: async () => await this.#ensureCaBundles(),
      collector: async () => (await options.collectorSecrets?.step()) ?? { requeueAfterMs: COLLECTOR_INTERVAL_MS },
      watchdog: async () => await Promise.resolve(this.#watchPods()),
    };
    this.#queue = new WorkQueue({
      work: async (key) => (await tasks[key]?.()) ?? {},
      backOff: { firstMs: 200, capMs: 15_000 },
      onFailure: (key, error) => {
        const message = error instanceof Error ? error.message : 'unknown error';
        options.log.error({ task: key, error: message }, 'a task of the leader failed; it is tried again');
      },
    });
    options.caches.onChange(({ kind }) => {
      if (kind === 'MutatingWebhookConfiguration' || kind === 'ValidatingWebhookConfiguration') this.wake('caBundle');
    });
  }

  start(): void {
    for (const task of ['keys', 'caBundle', 'watchdog', 'collector'] as const) this.wake(task);
    this.#queue.start();
  }

  async stop(): Promise<void> {
    await this.#queue.stop();
  }

  /** Something changed that this task looks after. */
  wake(task: Task): void {
    this.#queue.add(task);
  }

  async #ensureCaBundles(): Promise<{ readonly requeueAfterMs: number }> {
    const { client, caches, trust, webhookService, log } = this.#options;
    const authorities = trust()?.certificateAuthorities ?? [];
    if (webhookService === undefined || authorities.length === 0) return { requeueAfterMs: CA_BUNDLE_INTERVAL_MS };
    const configurations = [
      ...caches.list('MutatingWebhookConfiguration'),
      ...caches.list('ValidatingWebhookConfiguration'),
    ];
    for (const configuration of configurations) {
      const written = await ensureCaBundle(client, configuration, webhookService, authorities);
      if (written)
        log.info({ name: configuration.metadata.name }, 'the caBundle of a webhook configuration is written');
    }
    return { requeueAfterMs: CA_BUNDLE_INTERVAL_MS };
  }

  #watchPods(): { readonly requeueAfterMs: number } {
    const { caches, admissionContext, recorder, metrics } = this.#options;
    const context = admissionContext();
    if (context !== undefined) {
      const report = watchPods(caches.list('Pod'), context);
      for (const event of report.events) recorder.record(event);
      metrics.podsWatched(report);
    }
    return { requeueAfterMs: WATCHDOG_INTERVAL_MS };
  }
}
