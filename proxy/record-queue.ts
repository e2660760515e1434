import type { AuditEvent, AuditSink } from '#audit/event.ts';

/** Completions wait this long for a decision to be written with. */
const FLUSH_DELAY_MS = 25;
const MAX_WAITING = 256;
/** Beyond this, with a sink that does not write, the oldest completions are given up; their decisions are on record. */
const MAX_KEPT = 20_000;

/**
 * Records on their way to the sink: completions of all sessions wait a moment and go with the next decisions in one write, so that a
 * statement costs one write and not two.
 */
export class RecordQueue {
  readonly #sink: AuditSink;
  #waiting: AuditEvent[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(sink: AuditSink) {
    this.#sink = sink;
  }

  /** Writes these and all that waits, in one write; false: not written, what waits is kept. */
  append(events: readonly AuditEvent[]): boolean {
    const all = this.#waiting.length === 0 ? events : [...this.#waiting, ...events];
    if (!this.#sink.append(all)) return false;
    this.#waiting = [];
    return true;
  }

  /** A record that may wait. */
  add(event: AuditEvent): void {
    this.#waiting.push(event);
    if (this.#waiting.length >= MAX_WAITING) this.#flush();
    else if (this.#timer === undefined) this.#timer = setTimeout(() => this.#onTimer(), FLUSH_DELAY_MS);
  }

  /** Writes what waits; before a session's or the process's end. */
  flush(): void {
    this.#flush();
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#flush();
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#onTimer(), FLUSH_DELAY_MS * 40);
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    if (this.#sink.append(this.#waiting)) this.#waiting = [];
    else if (this.#waiting.length > MAX_KEPT) this.#waiting.splice(0, this.#waiting.length - MAX_KEPT);
  }
}
