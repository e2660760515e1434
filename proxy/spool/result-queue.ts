/**
 * Recorded results on their way to the collector: from memory, bounded, one session after the other. They are no part of the proof: what
 * there is no room for, or what a killed process takes along, is missing, and the log says so.
 */
import type { RecordedResult } from '#audit/event.ts';
import type { Log } from '#proxy/log.ts';

export interface ResultQueueOptions {
  /** Never rejects. */
  readonly send: (session: string, lines: Buffer, signal: AbortSignal) => Promise<'taken' | 'refused' | 'failed'>;
  readonly log: Log;
  readonly gatherMs?: number;
  readonly retryMs?: number;
}

const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const MAX_DELIVERY_BYTES = 1024 * 1024;
const GATHER_MS = 1_000;
const RETRY_MS = 5_000;

interface Waiting {
  readonly lines: string[];
  bytes: number;
}

export class ResultQueue {
  readonly #options: ResultQueueOptions;
  readonly #sessions = new Map<string, Waiting>();
  readonly #stopping = new AbortController();
  #bytes = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(options: ResultQueueOptions) {
    this.#options = options;
  }

  /** Never throws. */
  add(result: RecordedResult): void {
    const line = `${JSON.stringify(result)}\n`;
    if (this.#bytes + line.length > MAX_WAITING_BYTES) {
      this.#dropped += 1;
      return;
    }
    const waiting = this.#sessions.get(result.session) ?? { lines: [], bytes: 0 };
    this.#sessions.set(result.session, waiting);
    waiting.lines.push(line);
    waiting.bytes += line.length;
    this.#bytes += line.length;
    this.#schedule(this.#options.gatherMs ?? GATHER_MS);
  }

  /** Sends what is left, for at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    clearTimeout(this.#timer);
    const deadline = setTimeout(() => this.#stopping.abort(), timeoutMs);
    await this.#sending;
    await this.#sendAll();
    clearTimeout(deadline);
    this.#stopping.abort();
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending ??= this.#sendAll().finally(() => {
        this.#sending = undefined;
        if (this.#sessions.size > 0) this.#schedule(this.#options.retryMs ?? RETRY_MS);
      });
    }, delayMs);
    this.#timer.unref();
  }

  async #sendAll(): Promise<void> {
    const { send, log } = this.#options;
    if (this.#dropped > 0)
      log.warn({ results: this.#dropped }, 'recorded results were dropped: the collector does not keep up');
    this.#dropped = 0;
    for (;;) {
      const [oldest] = this.#sessions;
      if (oldest === undefined || this.#stopping.signal.aborted) return;
      const [session, waiting] = oldest;
      const count = countWithin(waiting.lines, MAX_DELIVERY_BYTES);
      const lines = Buffer.from(waiting.lines.slice(0, count).join(''));
      const answer = await send(session, lines, this.#stopping.signal);
      if (answer === 'failed') return;
      if (answer === 'refused')
        log.error({ session }, 'the collector does not take recorded results of a session; they are given up');
      this.#remove(session, waiting, count);
    }
  }

  #remove(session: string, waiting: Waiting, count: number): void {
    for (const line of waiting.lines.splice(0, count)) {
      waiting.bytes -= line.length;
      this.#bytes -= line.length;
    }
    if (waiting.lines.length === 0) this.#sessions.delete(session);
  }
}

/** How many lines fit; one always goes. */
function countWithin(lines: readonly string[], maxBytes: number): number {
  let bytes = 0;
  for (const [index, line] of lines.entries()) {
    bytes += line.length;
    if (bytes > maxBytes && index > 0) return index;
  }
  return lines.length;
}
