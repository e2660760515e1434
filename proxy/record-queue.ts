import type { AuditEvent, AuditSink } from '#audit/event.ts';

/** What need not be written at once waits this long: completions, and all records that are not required. */
const FLUSH_DELAY_MS = 5;
const MAX_WAITING = 128;
/** So long a statement waits until its record is in S3; then it is refused, and so are all others until records are confirmed again. */
const CONFIRM_TIMEOUT_MS = 15_000;
/** Beyond this, with a sink that does not write, the oldest completions are given up; their decisions are on record. */
const MAX_KEPT = 20_000;

/** none: may be lost with the process. written: on this machine's disk. confirmed: in S3. */
export type RecordStrength = 'none' | 'written' | 'confirmed';

/** A session whose statements are decided but neither recorded nor forwarded. */
export interface RecordOwner {
  /** What its records need before anything is forwarded. */
  readonly recordStrength: RecordStrength;
  /** The decision records, taken once. */
  takeDecisions(): readonly AuditEvent[];
  /** They are written (forward) or not. */
  settle(written: boolean): void;
  /** They are written, but it will never be known whether they are kept for good. */
  abandon(): void;
}

/**
 * Records on their way to the sink. Where they are required, the decisions of all sessions that spoke in one turn of the event loop go in
 * one write at its end, and with them the completions that have waited for one; only then is anything forwarded. Where they are not,
 * they wait a few milliseconds, and a kill of the process may take them.
 */
export class RecordQueue {
  readonly #sink: AuditSink;
  #waiting: AuditEvent[] = [];
  #owners: RecordOwner[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Records were not confirmed in time, and are not yet. */
  #isAway = false;
  readonly #confirmTimeoutMs: number;

  constructor(sink: AuditSink, confirmTimeoutMs = CONFIRM_TIMEOUT_MS) {
    this.#sink = sink;
    this.#confirmTimeoutMs = confirmTimeoutMs;
  }

  /** Asks for the write at the end of this turn, `settle` is called then, or at the next `settleAll`; strength none: it is called now. */
  enlist(owner: RecordOwner): void {
    if (owner.recordStrength !== 'none') {
      if (this.#owners.push(owner) === 1) setImmediate(this.#onTurnEnd);
      return;
    }
    for (const event of owner.takeDecisions()) this.add(event);
    owner.settle(true);
  }

  /** Writes what the enlisted sessions have decided, and tells them. To be called before one of them takes anything new. */
  settleAll(): void {
    const owners = this.#owners;
    if (owners.length === 0) return;
    this.#owners = [];
    const events = this.#waiting;
    const waiting = events.length;
    const isAway = this.#isAway;
    for (const owner of owners) {
      const decisions = owner.takeDecisions();
      if (!isAway || owner.recordStrength !== 'confirmed') for (const event of decisions) events.push(event);
    }
    const written = this.#sink.append(events);
    if (written) this.#waiting = [];
    else events.length = waiting;
    for (const owner of owners) {
      if (isAway && owner.recordStrength === 'confirmed') owner.settle(false);
      else if (!written || owner.recordStrength !== 'confirmed') owner.settle(written);
      else this.#settleConfirmed(owner);
    }
  }

  /** A sink that cannot say when a record is kept for good cannot keep this promise: refused. */
  #settleConfirmed(owner: RecordOwner): void {
    if (this.#sink.whenConfirmed === undefined) {
      owner.settle(false);
      return;
    }
    let isSettled = false;
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      if (!isSettled) how();
      isSettled = true;
    };
    const timer = setTimeout(() => {
      this.#isAway = true;
      settle(() => owner.abandon());
    }, this.#confirmTimeoutMs);
    this.#sink.whenConfirmed(this.#sink.lastSeq).then(
      () => {
        this.#isAway = false;
        settle(() => owner.settle(true));
      },
      () => {
        this.#isAway = false;
        settle(() => owner.abandon());
      },
    );
  }

  /** Writes these and all that waits, in one write; false: not written, what waits is kept. */
  append(events: readonly AuditEvent[]): boolean {
    this.settleAll();
    const all = this.#waiting.length === 0 ? events : [...this.#waiting, ...events];
    if (!this.#sink.append(all)) return false;
    this.#waiting = [];
    return true;
  }

  /** A record that may wait. */
  add(event: AuditEvent): void {
    this.#waiting.push(event);
    if (this.#waiting.length >= MAX_WAITING) this.flush();
    else if (this.#timer === undefined) this.#timer = setTimeout(this.#onTimer, FLUSH_DELAY_MS);
  }

  /** Writes what waits; before the process's end, and where it has waited long enough. */
  flush(): void {
    this.settleAll();
    if (this.#waiting.length === 0) return;
    if (this.#sink.append(this.#waiting)) this.#waiting = [];
    else if (this.#waiting.length > MAX_KEPT) this.#waiting.splice(0, this.#waiting.length - MAX_KEPT);
  }

  readonly #onTurnEnd = (): void => this.settleAll();

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.flush();
    if (this.#waiting.length > 0) this.#timer = setTimeout(this.#onTimer, FLUSH_DELAY_MS * 40);
  };
}
