/**
 * One leader among the replicas, by a Lease, as client-go does it: a lease is held for 15 s, the leader gives up if it could not renew it for
 * 10 s, everybody tries each 2 s. A lease is judged by when *we* saw it change last, never by the clock of whoever wrote it. Who loses the lead
 * must stop at once: the process exits and begins anew.
 */
import { isConflict, isNotFound } from './api-error.ts';
import { sleep } from './back-off.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { Log } from './log.ts';
import type { KubernetesObject, ObjectReference } from './object.ts';
import { collectionPath, objectPath } from './resources.ts';

export interface ElectionTimes {
  readonly leaseMs: number;
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

export interface LeaderElectorOptions {
  readonly client: Pick<ClusterClient, 'request'>;
  readonly namespace: string;
  readonly name: string;
  /** Different for each process: the pod's name and something random. */
  readonly identity: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly log: Log;
  readonly onStartedLeading: () => void;
  /** The lead is lost against our will; not called by `stop`. */
  readonly onLost: () => void;
  readonly times?: Partial<ElectionTimes>;
}

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

const DEFAULT_TIMES: ElectionTimes = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000 };

export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #times: ElectionTimes;
  readonly #stopped = new AbortController();
  readonly #reference: ObjectReference;
  /** The lease as last seen changing, and when (monotonic). */
  #seen: { readonly version: string; readonly atMs: number } | undefined;
  /** The lease as we wrote it last: the next renewal needs no read. */
  #written: KubernetesObject | undefined;
  /** Somebody else holds it while we thought we did. */
  #taken = false;
  #leading = false;
  #renewedAtMs = 0;
  #done: Promise<void> = Promise.resolve();

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#times = { ...DEFAULT_TIMES, ...options.times };
    const { namespace, name } = options;
    this.#reference = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name };
  }

  start(): void {
    this.#done = this.#run();
  }

  isLeader(): boolean {
    return this.#leading;
  }

  /** Ends; a lease that we hold is given back, so that another replica need not wait for it to run out. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
    if (!this.#leading) return;
    this.#leading = false;
    await this.#release();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    const { log } = this.#options;
    while (!signal.aborted) {
      const begunMs = performance.now();
      const held = await this.#tryOnce(begunMs);
      if (signal.aborted) return;
      if (held) {
        this.#renewedAtMs = begunMs;
        if (!this.#leading) this.#begin();
      } else if (this.#leading && this.#mustGiveUp()) {
        this.#leading = false;
        log.error({ lease: this.#options.name }, 'the lead is lost');
        this.#options.onLost();
        return;
      }
      await sleep(this.#times.retryMs, signal);
    }
  }

  #begin(): void {
    const { log, name, identity } = this.#options;
    this.#leading = true;
    log.info({ lease: name, identity }, 'leading');
    this.#options.onStartedLeading();
  }

  #mustGiveUp(): boolean {
    return this.#taken || performance.now() - this.#renewedAtMs >= this.#times.renewDeadlineMs;
  }

  /** True where the lease is ours after this. A failure leaves it as it was. */
  async #tryOnce(nowMs: number): Promise<boolean> {
    // A call that hangs must not outlive the time in which the lead is still ours.
    const left = this.#renewedAtMs + this.#times.renewDeadlineMs - nowMs;
    const timeoutMs = Math.ceil(this.#leading ? Math.max(100, left) : this.#times.renewDeadlineMs);
    try {
      return await this.#acquireOrRenew(nowMs, timeoutMs);
    } catch (error) {
      this.#written = undefined;
      if (!this.#stopped.signal.aborted && !isConflict(error)) {
        const message = error instanceof Error ? error.message : 'unknown error';
        this.#options.log.warn({ error: message }, 'the lease could not be written');
      }
      return false;
    }
  }

  async #acquireOrRenew(nowMs: number, timeoutMs: number): Promise<boolean> {
    const { identity } = this.#options;
    const lease = this.#written ?? (await this.#find(timeoutMs));
    if (lease === undefined) {
      await this.#write('POST', collectionPath(this.#reference), this.#newLease(), timeoutMs);
      return true;
    }
    const spec = specOf(lease);
    const version = lease.metadata.resourceVersion ?? '';
    if (this.#seen?.version !== version) this.#seen = { version, atMs: nowMs };
    const ours = spec.holderIdentity === identity;
    if (!ours && isHeld(spec)) {
      if (this.#leading) this.#taken = true;
      if (nowMs - this.#seen.atMs < this.#times.leaseMs) return false;
    }
    const time = microTime(new Date());
    const next: LeaseSpec = {
      ...spec,
      holderIdentity: identity,
      leaseDurationSeconds: this.#leaseSeconds(),
      acquireTime: ours ? (spec.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: (spec.leaseTransitions ?? 0) + (ours ? 0 : 1),
    };
    await this.#write('PUT', objectPath(this.#reference), { ...lease, spec: next }, timeoutMs);
    return true;
  }

  async #find(timeoutMs: number): Promise<KubernetesObject | undefined> {
    const { client } = this.#options;
    try {
      return await client.request('GET', objectPath(this.#reference), { timeoutMs, signal: this.#stopped.signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #write(method: string, path: string, body: KubernetesObject, timeoutMs: number): Promise<void> {
    const { client } = this.#options;
    this.#written = await client.request(method, path, { body, timeoutMs, signal: this.#stopped.signal });
  }

  #leaseSeconds(): number {
    return Math.max(1, Math.ceil(this.#times.leaseMs / 1000));
  }

  #newLease(): KubernetesObject {
    const { apiVersion, kind, name } = this.#reference;
    const { namespace, labels, identity } = this.#options;
    const time = microTime(new Date());
    const leaseDurationSeconds = this.#leaseSeconds();
    return {
      apiVersion,
      kind,
      metadata: { name, namespace, ...(labels === undefined ? {} : { labels }) },
      spec: { holderIdentity: identity, leaseDurationSeconds, acquireTime: time, renewTime: time, leaseTransitions: 0 },
    };
  }

  async #release(): Promise<void> {
    const { client, identity, log } = this.#options;
    try {
      const lease = await client.request('GET', objectPath(this.#reference), { timeoutMs: 2000 });
      if (specOf(lease).holderIdentity !== identity) return;
      const time = microTime(new Date());
      const spec: LeaseSpec = { ...specOf(lease), holderIdentity: '', leaseDurationSeconds: 1, renewTime: time };
      await client.request('PUT', objectPath(this.#reference), { body: { ...lease, spec }, timeoutMs: 2000 });
    } catch (error) {
      log.warn({ error: error instanceof Error ? error.message : 'unknown error' }, 'the lease was not given back');
    }
  }
}

function specOf(lease: KubernetesObject): LeaseSpec {
  return (lease['spec'] ?? {}) as LeaseSpec;
}

function isHeld(spec: LeaseSpec): boolean {
  return spec.holderIdentity !== undefined && spec.holderIdentity !== '';
}

/** The API's MicroTime: RFC 3339 with exactly six digits of a second. */
export function microTime(date: Date): string {
  return date.toISOString().replace(/Z$/, '000Z');
}
