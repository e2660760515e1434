/**
 * Events (`events.k8s.io/v1`) on objects, so that `kubectl describe` says what happened. The same event again within six minutes is not
 * written anew but counted as a series, and the count is written at most once a minute. Recording never fails and never waits.
 */
import { randomUUID } from 'node:crypto';
import { isConflict, isNotFound } from './api-error.ts';
import type { ClusterClient } from './cluster-client.ts';
import { microTime } from './leader-election.ts';
import type { Log } from './log.ts';
import type { KubernetesObject } from './object.ts';
import { WorkQueue } from './work-queue.ts';

/** What an event is about. */
export interface RegardingReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface RecordedEvent {
  readonly regarding: RegardingReference;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase and stable: people select by it. */
  readonly reason: string;
  /** What was done or tried, CamelCase: `Reconcile`, `Inject`. */
  readonly action: string;
  /** For people; cut to 1024 bytes. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<ClusterClient, 'create' | 'mergePatch'>;
  /** For example `postern.dev/operator`. */
  readonly controller: string;
  /** This process. */
  readonly instance: string;
  readonly log: Log;
  /** Milliseconds; a clock for tests. */
  readonly now?: () => number;
  readonly seriesIntervalMs?: number;
}

interface Series {
  readonly event: RecordedEvent;
  readonly firstAtMs: number;
  lastAtMs: number;
  count: number;
  /** Of the Event in the cluster, for good: whatever answer was lost or wrong, no second Event follows. */
  readonly name: string;
  isThere: boolean;
  writtenCount: number;
  /** In a row. */
  failures: number;
  writtenAtMs: number;
}

const FORGET_AFTER_MS = 6 * 60_000;
const SERIES_INTERVAL_MS = 60_000;
const MAX_SERIES = 2000;
const MAX_FAILURES = 5;
const MAX_NOTE_BYTES = 1024;
const EVENT_API = { apiVersion: 'events.k8s.io/v1', kind: 'Event' } as const;

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #now: () => number;
  readonly #series = new Map<string, Series>();
  readonly #queue: WorkQueue;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#queue = new WorkQueue({
      work: async (key) => await this.#write(key),
      concurrency: 2,
      onFailure: (key, error) => this.#onFailure(key, error),
    });
    this.#queue.start();
  }

  /** Notes an event; it is written in the background. */
  record(event: RecordedEvent): void {
    const now = this.#now();
    this.#forgetOld(now);
    const key = JSON.stringify([event.regarding, event.type, event.reason, event.action, event.note]);
    const known = this.#series.get(key);
    if (known !== undefined) {
      known.count++;
      known.lastAtMs = now;
    } else if (this.#series.size >= MAX_SERIES) {
      this.#options.log.warn({ reason: event.reason }, 'too many different events at once; one was not recorded');
      return;
    } else {
      const begun = {
        firstAtMs: now,
        lastAtMs: now,
        count: 1,
        name: nameFor(event.regarding),
        isThere: false,
        writtenCount: 0,
        failures: 0,
        writtenAtMs: 0,
      };
      this.#series.set(key, { event, ...begun });
    }
    this.#queue.add(key);
  }

  /** Ends; what was not written yet is lost, apart from what is being written. */
  async stop(): Promise<void> {
    await this.#queue.stop();
  }

  #forgetOld(now: number): void {
    for (const [key, series] of this.#series) {
      if (now - series.lastAtMs > FORGET_AFTER_MS) this.#series.delete(key);
    }
  }

  async #write(key: string): Promise<{ readonly requeueAfterMs?: number }> {
    const series = this.#series.get(key);
    if (series === undefined || series.count === series.writtenCount) return {};
    const { count } = series;
    const waitMs = series.writtenAtMs + this.#intervalMs() - this.#now();
    // The second one is written at once: that it repeats is news.
    if (series.writtenCount > 1 && waitMs > 0) return { requeueAfterMs: waitMs };
    await (series.isThere ? this.#update(series, count) : this.#create(series, count));
    series.failures = 0;
    series.writtenCount = count;
    series.writtenAtMs = this.#now();
    return series.count === count ? {} : { requeueAfterMs: 0 };
  }

  #intervalMs(): number {
    return this.#options.seriesIntervalMs ?? SERIES_INTERVAL_MS;
  }

  async #create(series: Series, count: number): Promise<void> {
    const { name } = series;
    const { regarding, type, reason, action, note } = series.event;
    const { controller, instance, client } = this.#options;
    const event: KubernetesObject = {
      ...EVENT_API,
      metadata: { name, namespace: regarding.namespace ?? 'default' },
      eventTime: microTime(new Date(series.firstAtMs)),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      action,
      reason,
      regarding,
      note: cutNote(note),
      type,
      ...(count > 1 ? { series: seriesOf(series, count) } : {}),
    };
    try {
      await client.create(event);
      series.isThere = true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      // An attempt before this one reached the server, its answer did not reach us.
      series.isThere = true;
      if (count > 1) await this.#patch(series, count);
    }
  }

  async #update(series: Series, count: number): Promise<void> {
    try {
      await this.#patch(series, count);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // The API server forgets events after an hour.
      series.isThere = false;
      await this.#create(series, count);
    }
  }

  async #patch(series: Series, count: number): Promise<void> {
    const namespace = series.event.regarding.namespace ?? 'default';
    const reference = { ...EVENT_API, namespace, name: series.name };
    await this.#options.client.mergePatch(reference, { series: seriesOf(series, count) });
  }

  #onFailure(key: string, error: unknown): void {
    const { log } = this.#options;
    const message = error instanceof Error ? error.message : 'unknown error';
    const series = this.#series.get(key);
    log.warn({ reason: series?.event.reason, error: message }, 'an event could not be written');
    // An event is a courtesy: it is not tried for ever. The next one of its kind tries anew.
    if (series !== undefined && ++series.failures >= MAX_FAILURES) this.#series.delete(key);
  }
}

/** A pod under admission may have only the first part of its name, which ends in a hyphen. */
function nameFor(regarding: RegardingReference): string {
  const stem = regarding.name.slice(0, 200).replace(/[^a-z0-9]+$/, '');
  return `${stem}.${randomUUID().replaceAll('-', '').slice(0, 16)}`;
}

function seriesOf(series: Series, count: number): { readonly count: number; readonly lastObservedTime: string } {
  return { count, lastObservedTime: microTime(new Date(series.lastAtMs)) };
}

function cutNote(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= MAX_NOTE_BYTES) return note;
  // A character that is cut through decodes to U+FFFD.
  const head = bytes
    .subarray(0, MAX_NOTE_BYTES - 3)
    .toString('utf8')
    .replace(/\uFFFD$/, '');
  return `${head}…`;
}
