/**
 * A local copy of one collection. Lists it in pages, then watches from the list's resource version, with bookmarks. A watch that ends is taken
 * up again where it was; 410 lists anew; any other failure is tried again for ever, with jittered back-off. A watch that says nothing for
 * longer than bookmarks take is cut. After ten minutes everything is listed anew whatever happened, so no missed event lives longer than that.
 * Handlers get a key and only enqueue it.
 */
import { isExpired } from './api-error.ts';
import { type BackOff, backOffMs, sleep } from './back-off.ts';
import type { ClusterClient, WatchEvent } from './cluster-client.ts';
import type { Log } from './log.ts';
import { type KubernetesObject, objectKey } from './object.ts';

/** What a reflector tells of itself. `reason` is one of a few fixed words. */
export interface ReflectorMetrics {
  readonly listed: (path: string) => void;
  readonly watchRestarted: (path: string, reason: RestartReason) => void;
}

export type RestartReason = 'ended' | 'expired' | 'failed' | 'silent' | 'resync';

export interface ReflectorTimes {
  /** The server ends a watch after a random time between these. */
  readonly watchSecondsMin: number;
  readonly watchSecondsMax: number;
  /** Bookmarks come about once a minute; two of them missing is silence. */
  readonly idleMs: number;
  readonly resyncMs: number;
  readonly backOff: BackOff;
}

export interface ReflectorOptions {
  readonly client: Pick<ClusterClient, 'list' | 'watch'>;
  /** Of the collection: see `collectionPath`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /**
   * An object was added, changed or (undefined) is gone; `before` is as it was known. Also called for each object found by the first list. Must
   * not throw.
   */
  readonly onChange: (key: string, object: KubernetesObject | undefined, before: KubernetesObject | undefined) => void;
  /** Cuts away what need not be kept. */
  readonly transform?: (object: KubernetesObject) => KubernetesObject;
  readonly metrics?: ReflectorMetrics;
  readonly log: Log;
  readonly times?: Partial<ReflectorTimes>;
}

const DEFAULT_TIMES: ReflectorTimes = {
  watchSecondsMin: 240,
  watchSecondsMax: 480,
  idleMs: 150_000,
  resyncMs: 600_000,
  backOff: { firstMs: 500, capMs: 30_000 },
};

const RELIST_AFTER_FAILURES = 5;

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #times: ReflectorTimes;
  readonly #store = new Map<string, KubernetesObject>();
  readonly #stopped = new AbortController();
  #resourceVersion: string | undefined;
  #listedAtMs = 0;
  #synced = false;
  #done: Promise<void> = Promise.resolve();
  #started = false;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#times = { ...DEFAULT_TIMES, ...options.times };
  }

  /** Begins; a second call does nothing. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#done = this.#run();
  }

  /** Ends; resolves when no handler will be called any more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }

  /** Whether a whole list has been seen. Stays true while the API server is away: what is known then is the last good. */
  hasSynced(): boolean {
    return this.#synced;
  }

  /** The object as last seen; key as `objectKey` gives it. */
  get(key: string): KubernetesObject | undefined {
    return this.#store.get(key);
  }

  list(): readonly KubernetesObject[] {
    return [...this.#store.values()];
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#relist();
        const heard = await this.#watchOnce();
        // A watch that ends at once, again and again, must not become a hot loop.
        failures = heard ? 0 : failures + 1;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        this.#onFailure(error, failures);
      }
      // A version that the server will never know (restored from a backup) is not always answered with 410.
      if (failures >= RELIST_AFTER_FAILURES) this.#resourceVersion = undefined;
      if (failures > 0) await sleep(backOffMs(this.#times.backOff, failures), signal);
    }
  }

  #onFailure(error: unknown, failures: number): void {
    const { path, log, metrics } = this.#options;
    const message = error instanceof Error ? error.message : 'unknown error';
    if (isExpired(error)) {
      this.#resourceVersion = undefined;
      metrics?.watchRestarted(path, 'expired');
      log.info({ path }, 'the watch is too far behind; listing again');
      return;
    }
    metrics?.watchRestarted(path, 'failed');
    log.warn({ path, failures, error: message }, 'the watch failed; trying again');
  }

  async #relist(): Promise<void> {
    const { client, path, labelSelector, fieldSelector, metrics } = this.#options;
    const { signal } = this.#stopped;
    const list = await client.list(path, {
      signal,
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    });
    metrics?.listed(path);
    const present = new Map(list.items.map((item) => [objectKey(item), item] as const));
    // What a list says holds, even where its versions are older: a restored server begins again with smaller ones.
    for (const [key, item] of present) this.#put(key, item);
    for (const key of [...this.#store.keys()]) if (!present.has(key)) this.#remove(key);
    this.#resourceVersion = list.resourceVersion;
    this.#listedAtMs = performance.now();
    this.#synced = true;
  }

  /** One watch until it ends; true where anything was heard or it lasted. Throws where it fails. */
  async #watchOnce(): Promise<boolean> {
    const { client, path, labelSelector, fieldSelector, metrics } = this.#options;
    const begun = performance.now();
    const cut = new AbortController();
    const signal = AbortSignal.any([this.#stopped.signal, cut.signal]);
    const query = {
      allowWatchBookmarks: true,
      timeoutSeconds: this.#watchSeconds(),
      resourceVersion: this.#resourceVersion,
      labelSelector,
      fieldSelector,
    };
    let reason: RestartReason = 'ended';
    const stopFor = (why: RestartReason) => (): void => {
      reason = why;
      cut.abort();
    };
    const resync = setTimeout(stopFor('resync'), Math.max(0, this.#listedAtMs + this.#times.resyncMs - begun));
    let idle = setTimeout(stopFor('silent'), this.#times.idleMs);
    let heard = false;
    try {
      for await (const event of client.watch(path, query, signal)) {
        heard = true;
        this.#take(event);
        clearTimeout(idle);
        idle = setTimeout(stopFor('silent'), this.#times.idleMs);
      }
    } catch (error) {
      if (!cut.signal.aborted) throw error;
    } finally {
      clearTimeout(idle);
      clearTimeout(resync);
    }
    // Silence may be a deaf connection that has lost events for good: only a list tells.
    if (reason !== 'ended') this.#resourceVersion = undefined;
    if (!this.#stopped.signal.aborted) metrics?.watchRestarted(path, reason);
    return heard || reason !== 'ended' || performance.now() - begun > 1000;
  }

  #watchSeconds(): number {
    const { watchSecondsMin, watchSecondsMax } = this.#times;
    return Math.round(watchSecondsMin + Math.random() * (watchSecondsMax - watchSecondsMin));
  }

  #take(event: WatchEvent): void {
    const { object } = event;
    const version = object.metadata.resourceVersion;
    // Events of one collection come in order: one that is not newer was seen already, or would take the copy back in time.
    if (isNotNewer(version, this.#resourceVersion)) return;
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        this.#put(objectKey(object), object);
        break;
      case 'DELETED':
        this.#remove(objectKey(object));
        break;
      case 'BOOKMARK':
        break;
      default:
        throw new Error(`a watch sent an event of the unknown type ${event.type}`);
    }
    if (version !== undefined && version !== '') this.#resourceVersion = version;
  }

  #put(key: string, object: KubernetesObject): void {
    const before = this.#store.get(key);
    const known = before?.metadata.resourceVersion;
    if (known !== undefined && known === object.metadata.resourceVersion) return;
    const kept = this.#options.transform === undefined ? object : this.#options.transform(object);
    this.#store.set(key, kept);
    this.#notify(key, kept, before);
  }

  #remove(key: string): void {
    const before = this.#store.get(key);
    if (this.#store.delete(key)) this.#notify(key, undefined, before);
  }

  #notify(key: string, object: KubernetesObject | undefined, before: KubernetesObject | undefined): void {
    try {
      this.#options.onChange(key, object, before);
    } catch (error) {
      const { path, log } = this.#options;
      log.error({ path, key, error: error instanceof Error ? error.message : 'unknown error' }, 'a handler threw');
    }
  }
}

/** Resource versions are decimal numbers of any length; where one is not, nothing is known of their order. */
function isNotNewer(version: string | undefined, than: string | undefined): boolean {
  if (version === undefined || than === undefined || !/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return BigInt(version) <= BigInt(than);
}
