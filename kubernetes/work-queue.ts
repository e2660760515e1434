/**
 * Work by key: a key that is added while it waits is worked on once; one that is added while it is worked on, once more afterwards. A failure
 * is tried again after a growing, jittered delay; a success forgets the failures. At most `concurrency` keys are worked on at once.
 */
import { type BackOff, backOffMs } from './back-off.ts';

export interface WorkQueueOptions {
  /** Works on one key; a result with `requeueAfterMs` adds it again after that time. A rejection is a failure. */
  readonly work: (key: string) => Promise<{ readonly requeueAfterMs?: number }>;
  readonly concurrency?: number;
  readonly backOff?: BackOff;
  /** Told of each failure, and in how long it is tried again. */
  readonly onFailure?: (key: string, error: unknown, delayMs: number) => void;
  readonly random?: () => number;
}

const DEFAULT_BACK_OFF: BackOff = { firstMs: 250, capMs: 60_000 };

interface Delayed {
  readonly timer: NodeJS.Timeout;
  readonly atMs: number;
}

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #working = new Map<string, { again: boolean }>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  #running = false;
  #drained: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Begins to work; keys added before are kept. */
  start(): void {
    this.#running = true;
    this.#pump();
  }

  /** Takes up no further key; resolves when those in work are done. */
  async stop(): Promise<void> {
    this.#running = false;
    for (const { timer } of this.#delayed.values()) clearTimeout(timer);
    this.#delayed.clear();
    this.#waiting.clear();
    if (this.#working.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** Adds a key now; a delay that it waits for is cut short, its failures stay counted. */
  add(key: string): void {
    this.#cancelDelay(key);
    const current = this.#working.get(key);
    if (current !== undefined) current.again = true;
    else this.#waiting.add(key);
    this.#pump();
  }

  /** Adds a key after a time; the earlier of two times holds. */
  addAfter(key: string, delayMs: number): void {
    const atMs = performance.now() + delayMs;
    const present = this.#delayed.get(key);
    if (present !== undefined && present.atMs <= atMs) return;
    this.#cancelDelay(key);
    const timer = setTimeout(() => {
      this.#delayed.delete(key);
      this.add(key);
    }, delayMs);
    this.#delayed.set(key, { timer, atMs });
  }

  /** Keys that wait or are worked on, without those that wait for a time. */
  depth(): number {
    return this.#waiting.size + this.#working.size;
  }

  #cancelDelay(key: string): void {
    const present = this.#delayed.get(key);
    if (present === undefined) return;
    clearTimeout(present.timer);
    this.#delayed.delete(key);
  }

  #pump(): void {
    const limit = this.#options.concurrency ?? 4;
    for (const key of this.#waiting) {
      if (!this.#running || this.#working.size >= limit) return;
      this.#waiting.delete(key);
      this.#working.set(key, { again: false });
      void this.#workOn(key);
    }
  }

  async #workOn(key: string): Promise<void> {
    let delayMs: number | undefined;
    try {
      const result = await this.#options.work(key);
      this.#failures.delete(key);
      delayMs = result.requeueAfterMs;
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      delayMs = backOffMs(this.#options.backOff ?? DEFAULT_BACK_OFF, failures, this.#options.random);
      this.#options.onFailure?.(key, error, delayMs);
    }
    const again = this.#working.get(key)?.again === true;
    this.#working.delete(key);
    if (!this.#running) {
      if (this.#working.size === 0) this.#drained?.();
      return;
    }
    if (again) this.add(key);
    else if (delayMs !== undefined) this.addAfter(key, delayMs);
    this.#pump();
  }
}
