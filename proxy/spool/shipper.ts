/**
 * Sends what is in the spool to the collector, one batch after the other: earlier chains first, then this process's own as it grows.
 * At least once: a batch is sent again until it is confirmed. What the collector refuses is kept and tried again seldom.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#proxy/log.ts';
import type { Batch, ChainFolder, NextBatch } from './chain-folder.ts';
import type { FailureResult, Shipment, ShipmentAnswer } from './collector-client.ts';

/** What came of a shipment. */
export type ShipmentResult = 'confirmed' | 'refused' | FailureResult;

export interface ShipperOptions {
  /** Of earlier processes; oldest first. */
  readonly earlier: readonly ChainFolder[];
  readonly own: ChainFolder;
  /** Never rejects. */
  readonly send: (shipment: Shipment, signal: AbortSignal) => Promise<ShipmentAnswer>;
  readonly log: Log;
  readonly onResult: (result: ShipmentResult) => void;
  /** Lines that were not confirmed are not in the spool any more; what is known is in the record already. */
  readonly onLost: (chain: ChainFolder, first: number, last: number) => void;
  readonly timing?: Partial<ShipperTiming>;
}

export interface ShipperTiming {
  /** How long records are gathered, unless somebody waits for them. */
  readonly gatherMs: number;
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  readonly refusedRetryMs: number;
}

const DEFAULT_TIMING: ShipperTiming = {
  gatherMs: 200,
  firstRetryMs: 250,
  maxRetryMs: 10_000,
  refusedRetryMs: 300_000,
};
/** Uncompressed; the collector takes no more at once. */
export const MAX_BATCH_BYTES = 4 * 1024 * 1024;
const withoutKeysMs = 250;
const closingRetryMs = 100;

/** Runs from `start` to `close`. */
export class Shipper {
  readonly #options: ShipperOptions;
  readonly #timing: ShipperTiming;
  readonly #stopping = new AbortController();
  #earlier: readonly ChainFolder[];
  #maxBytes = MAX_BATCH_BYTES;
  #retryMs: number;
  #refusedAtMs = Number.NEGATIVE_INFINITY;
  #told: string | undefined;
  #isClosing = false;
  #isIdle = false;
  #isGathering = false;
  /** Ends the present wait; absent: nothing waits. */
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#retryMs = this.#timing.firstRetryMs;
    this.#earlier = options.earlier;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Something was written. */
  written(): void {
    if (this.#isIdle) this.#wake?.();
  }

  /** Somebody waits for confirmation: nothing is gathered. */
  hurry(): void {
    if (this.#isIdle || this.#isGathering) this.#wake?.();
  }

  /** Sends what is left, for at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true;
    this.#wake?.();
    const deadline = setTimeout(() => this.#stopping.abort(), timeoutMs);
    await this.#running;
    clearTimeout(deadline);
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const work = await this.#next();
      if (signal.aborted) return;
      if (work !== undefined) await this.#do(work);
      // Something may have come while we looked, or could not be read.
      else if (this.#options.own.hasUnsent) continue;
      else if (this.#isClosing) return;
      else await this.#idle();
    }
  }

  async #do({ chain, next, isRefused }: Work): Promise<void> {
    if (next.kind === 'lost') {
      this.#lose(chain, next);
      return;
    }
    const { first, last, lines } = next;
    const answer = await this.#options.send({ chainId: chain.id, first, last, lines }, this.#stopping.signal);
    if (this.#stopping.signal.aborted && answer.kind !== 'confirmed') return;
    const pauseMs = this.#take(chain, next, answer);
    if (isRefused && answer.kind !== 'confirmed') this.#refusedAtMs = performance.now();
    if (pauseMs > 0) await this.#pause(this.#isClosing ? Math.min(pauseMs, closingRetryMs) : pauseMs);
  }

  /** Gives how long to wait before the next batch. */
  #take(chain: ChainFolder, batch: Batch, answer: ShipmentAnswer): number {
    const { onResult } = this.#options;
    switch (answer.kind) {
      case 'confirmed':
        chain.confirm(batch, answer.seq);
        this.#maxBytes = MAX_BATCH_BYTES;
        this.#retryMs = this.#timing.firstRetryMs;
        this.#tell('confirmed', 'the collector takes records');
        onResult('confirmed');
        return 0;
      case 'too_large':
        if (batch.last > batch.first) {
          this.#maxBytes = Math.max(1, Math.floor(batch.lines.length / 2));
          return 0;
        }
        return this.#refuse(chain, batch, answer.message);
      case 'refused':
        return this.#refuse(chain, batch, answer.message);
      case 'failed':
        this.#tell(answer.result, answer.message);
        onResult(answer.result);
        return this.#pauseAfter(answer.result, answer.retryAfterMs);
    }
  }

  /** A defect or tampering: kept, said loudly; what follows is not held up by it, and neither is lost. */
  #refuse(chain: ChainFolder, { first, last, ...batch }: Batch, reason: string): number {
    this.#options.log.error(
      { chain: chain.id, first, last, reason },
      'the collector does not take records of this pod; they are kept in the spool, and the record has a hole until it takes them',
    );
    chain.refuse({ first, last, ...batch });
    this.#refusedAtMs = performance.now();
    this.#options.onResult('refused');
    return 0;
  }

  #lose(chain: ChainFolder, lost: Extract<NextBatch, { kind: 'lost' }>): void {
    const { first, last, isKnown } = lost;
    this.#options.log.error(
      { chain: chain.id, first, last },
      'records were taken out of the spool before the collector had them',
    );
    chain.lose(first, last);
    if (!isKnown) this.#options.onLost(chain, first, last);
  }

  /** Jitter, so that the pods of a cluster do not come back in step. */
  #pauseAfter(result: FailureResult, retryAfterMs: number | undefined): number {
    if (result === 'without_keys') return withoutKeysMs;
    const pauseMs = Math.max(retryAfterMs ?? 0, this.#retryMs) * (0.5 + Math.random());
    this.#retryMs = Math.min(this.#retryMs * 2, this.#timing.maxRetryMs);
    return Math.max(pauseMs, retryAfterMs ?? 0);
  }

  /** Once for each change. */
  #tell(result: ShipmentResult, message: string): void {
    if (this.#told === result) return;
    const { log } = this.#options;
    if (result !== 'confirmed') log.warn({ result }, message);
    else if (this.#told !== undefined) log.info({}, message);
    this.#told = result;
  }

  async #next(): Promise<Work | undefined> {
    try {
      const { own } = this.#options;
      for (const chain of this.#earlier) {
        const next = await chain.next(this.#maxBytes);
        if (next !== undefined) return { chain, next, isRefused: false };
      }
      this.#earlier = this.#earlier.filter((chain) => !chain.removeIfConfirmed());
      if (own.hasUnsent) await this.#gather(own);
      const next = await own.next(this.#maxBytes);
      if (next !== undefined) return { chain: own, next, isRefused: false };
      return await this.#nextRefused();
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown error';
      this.#options.log.error({ reason: message }, 'the spool cannot be read');
      await this.#pause(this.#isClosing ? closingRetryMs : this.#timing.firstRetryMs);
      return undefined;
    }
  }

  async #nextRefused(): Promise<Work | undefined> {
    if (this.#isClosing || performance.now() - this.#refusedAtMs < this.#timing.refusedRetryMs) return undefined;
    for (const chain of [...this.#earlier, this.#options.own]) {
      const next = await chain.nextRefused();
      if (next !== undefined) return { chain, next, isRefused: true };
    }
    return undefined;
  }

  /** Many records in one object are cheaper than many objects. */
  async #gather(own: ChainFolder): Promise<void> {
    if (this.#isClosing || own.hasWaiters || own.pendingBytes >= MAX_BATCH_BYTES / 2) return;
    this.#isGathering = true;
    await this.#pause(this.#timing.gatherMs);
    this.#isGathering = false;
  }

  async #idle(): Promise<void> {
    this.#isIdle = true;
    await this.#pause(this.#timing.refusedRetryMs);
    this.#isIdle = false;
  }

  async #pause(durationMs: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const signal = AbortSignal.any([woken.signal, this.#stopping.signal]);
    await sleep(durationMs, undefined, { signal, ref: false }).catch(() => undefined);
    this.#wake = undefined;
  }
}

interface Work {
  readonly chain: ChainFolder;
  readonly next: NextBatch;
  /** Was refused before. */
  readonly isRefused: boolean;
}
