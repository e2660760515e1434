/** Tells the other replicas what this one's sidecars report: one ConfigMap for each replica, written when there is news, at most twice a second. */
import { MANAGED_BY, MANAGED_BY_LABEL } from '#bundle/config-map.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { WorkQueue } from '#kubernetes/work-queue.ts';
import { FIELD_MANAGER } from './publisher.ts';
import { decodeReports, encodeReports, type PodReport, REPORT_LIFE_MS, type ReportBook } from './reports.ts';

const PREFIX = 'postern-reports-';
const FIELD = 'reports.json';
const PAUSE_MS = 500;
const REPEAT_MS = 60_000;

export interface ReportSharingOptions {
  readonly client: ClusterClient;
  readonly namespace: string;
  /** Name of this replica. */
  readonly podName: string;
  readonly book: ReportBook;
  /** The leader needs not tell itself. */
  readonly isLeader: () => boolean;
  readonly log: Log;
}

export class ReportSharing {
  readonly #options: ReportSharingOptions;
  readonly #queue: WorkQueue;
  #lastMs = 0;
  #hasTold = false;

  constructor(options: ReportSharingOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      work: async () => await this.#tell(),
      onFailure: (_key, error) => {
        const message = error instanceof Error ? error.message : 'unknown error';
        options.log.warn(
          { error: message },
          'the reports of sidecars could not be told to the leader; it is tried again',
        );
      },
    });
    this.#queue.start();
  }

  /** A sidecar said something new. */
  news(): void {
    this.#queue.addAfter('tell', Math.max(0, this.#lastMs + PAUSE_MS - Date.now()));
  }

  /** A ConfigMap of ours changed; the reports that are new by it. */
  take(object: KubernetesObject | undefined, key: string): readonly PodReport[] {
    const { namespace, podName, book } = this.#options;
    const replica = key.startsWith(`${namespace}/${PREFIX}`)
      ? key.slice(namespace.length + 1 + PREFIX.length)
      : undefined;
    if (replica === undefined || replica === podName) return [];
    const data = (object?.['data'] ?? {}) as Readonly<Record<string, unknown>>;
    const text = data[FIELD];
    const reports = typeof text === 'string' ? decodeReports(text) : undefined;
    book.take(replica, reports);
    return reports ?? [];
  }

  /** Leader: deletes what replicas that are gone have left. */
  async sweep(configMaps: readonly KubernetesObject[]): Promise<void> {
    const { client, namespace } = this.#options;
    for (const { metadata, data } of configMaps as readonly (KubernetesObject & {
      readonly data?: Readonly<Record<string, string>>;
    })[]) {
      if (metadata.namespace !== namespace || !metadata.name.startsWith(PREFIX)) continue;
      const newestMs = Math.max(0, ...decodeReports(data?.[FIELD] ?? '').map((report) => report.atMs));
      if (Date.now() - newestMs <= 5 * REPORT_LIFE_MS) continue;
      await client.delete({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: metadata.name });
    }
  }

  async stop(): Promise<void> {
    await this.#queue.stop();
  }

  async #tell(): Promise<{ readonly requeueAfterMs?: number }> {
    const { client, namespace, podName, book, isLeader } = this.#options;
    const reports = isLeader() ? [] : book.tell(Date.now());
    if (reports.length === 0 && !this.#hasTold) return { requeueAfterMs: REPEAT_MS };
    this.#lastMs = Date.now();
    await client.apply(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: `${PREFIX}${podName}`, namespace, labels: { [MANAGED_BY_LABEL]: MANAGED_BY } },
        data: { [FIELD]: encodeReports(reports) },
      },
      { fieldManager: FIELD_MANAGER, force: true },
    );
    this.#hasTold = reports.length > 0;
    return { requeueAfterMs: REPEAT_MS };
  }
}
