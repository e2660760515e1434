/** The threads of `postern verify`. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { ScanAnswer, ScanJob } from './verify-worker.ts';

interface Waiting {
  readonly resolve: (answer: ScanAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class VerifyPool {
  readonly #workers: readonly Worker[];
  readonly #waiting: readonly Waiting[][];
  #next = 0;

  constructor(threads = Math.max(2, Math.min(8, availableParallelism()))) {
    const file = import.meta.url.endsWith('.ts') ? './verify-worker.ts' : './verify-worker.js';
    this.#workers = Array.from({ length: threads }, () => new Worker(new URL(file, import.meta.url)));
    this.#waiting = this.#workers.map(() => []);
    for (const [index, worker] of this.#workers.entries()) this.#listen(worker, this.#waiting[index] ?? []);
  }

  /** Jobs under way at once that keep every thread busy; more would only take memory. */
  get width(): number {
    return this.#workers.length * 2;
  }

  /** Rejects where the object cannot be read at all. */
  async run(job: ScanJob): Promise<ScanAnswer> {
    // To the thread with the least to do.
    const start = this.#next++;
    const order = this.#workers.map((_, index) => (start + index) % this.#workers.length);
    const index = order.reduce((best, other) => (this.#load(other) < this.#load(best) ? other : best), order[0] ?? 0);
    return await new Promise((resolve, reject) => {
      this.#waiting[index]?.push({ resolve, reject });
      this.#workers[index]?.postMessage(job);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => await worker.terminate()));
  }

  #load(index: number): number {
    return this.#waiting[index]?.length ?? 0;
  }

  /** A thread answers in the order in which it was asked. */
  #listen(worker: Worker, waiting: Waiting[]): void {
    worker.on('message', (reply: ScanAnswer | { readonly failure: string }) => {
      const first = waiting.shift();
      if ('failure' in reply) first?.reject(new Error(reply.failure));
      else first?.resolve(reply);
    });
    worker.on('error', (error) => {
      for (const { reject } of waiting.splice(0)) reject(error instanceof Error ? error : new Error('a thread failed'));
    });
  }
}

/** Runs `work` for every item, at most `width` at once, and gives the results in the order of the items. */
export async function* inOrder<Item, Result>(
  items: Iterable<Item>,
  width: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const underWay: Promise<Result>[] = [];
  for (const item of items) {
    const started = work(item);
    // A later failure is thrown when its turn comes.
    started.catch(() => undefined);
    underWay.push(started);
    if (underWay.length < width) continue;
    const first = underWay.shift();
    if (first !== undefined) yield await first;
  }
  for (const rest of underWay) yield await rest;
}
