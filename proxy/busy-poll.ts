import { availableParallelism } from 'node:os';

/** So long the loop stays awake for bytes that are due. */
const WINDOW_MS = 0.4;
/** Only where they usually come sooner than this: a server far away, or a client that thinks, is waited for asleep. */
const SOON_MS = 0.3;
/** Waits are remembered as a moving average; a longer one counts as this. */
const LONGEST_MS = 2;
const WEIGHT = 1 / 8;
/** Where a third session has written within this time, there is enough to do without staying awake for it. */
const MANY_MS = 2;

/** What is waited for: the server's answer, or the client's next words. */
export type Awaited = 'server' | 'client';

interface Experience {
  usualMs: number;
}

export interface BusyPollPorts {
  /** Monotonic milliseconds with fractions. */
  readonly nowMs: () => number;
  /** Calls back after one turn of the event loop that does not wait. */
  readonly turn: (callback: () => void) => void;
  /** Processors that this process may use, its quota counted. With one, whoever is to answer needs it. */
  readonly processors: number;
}

const SYSTEM: BusyPollPorts = {
  nowMs: () => performance.now(),
  turn: (callback) => setImmediate(callback),
  processors: availableParallelism(),
};

/**
 * Keeps the event loop awake for a moment where the next bytes are due any time; one for a process. A process that sleeps must be woken,
 * and on a virtual machine that takes longer than to answer (measured with one client: 1.4 to 1.7 times the statements a second). What it
 * costs is bounded: a window for each write at most, and none where waits are usually longer.
 */
export class BusyPoll {
  readonly #ports: BusyPollPorts;
  readonly #experiences: Readonly<Record<Awaited, Experience>> = {
    server: { usualMs: 0 },
    client: { usualMs: 0 },
  };
  #awaited: Experience | undefined;
  /** The sessions that wrote last, and until when a third one counts as being about. */
  #last: number | undefined;
  #lastButOne: number | undefined;
  #manyUntilMs = 0;
  #sinceMs = 0;
  #isTurning = false;

  constructor(ports: BusyPollPorts = SYSTEM) {
    this.#ports = ports;
  }

  /** Bytes of a session, known by its number, were written to the one or the other: the answer may come soon. */
  expect(awaited: Awaited, session: number): void {
    const { processors, nowMs, turn } = this.#ports;
    if (processors < 2) return;
    const experience = this.#experiences[awaited];
    this.#awaited = experience;
    const now = nowMs();
    this.#sinceMs = now;
    this.#note(session, now);
    if (this.#isTurning || now < this.#manyUntilMs || experience.usualMs > SOON_MS) return;
    this.#isTurning = true;
    turn(this.#onTurn);
  }

  #note(session: number, nowMs: number): void {
    if (session === this.#last) return;
    if (session !== this.#lastButOne && this.#lastButOne !== undefined) this.#manyUntilMs = nowMs + MANY_MS;
    this.#lastButOne = this.#last;
    this.#last = session;
  }

  /** Bytes came, from whomever. */
  arrived(): void {
    const experience = this.#awaited;
    if (experience === undefined) return;
    this.#awaited = undefined;
    const waitedMs = Math.min(this.#ports.nowMs() - this.#sinceMs, LONGEST_MS);
    experience.usualMs += (waitedMs - experience.usualMs) * WEIGHT;
  }

  readonly #onTurn = (): void => {
    const experience = this.#awaited;
    this.#isTurning =
      experience !== undefined && experience.usualMs <= SOON_MS && this.#ports.nowMs() - this.#sinceMs < WINDOW_MS;
    if (this.#isTurning) this.#ports.turn(this.#onTurn);
  };
}
