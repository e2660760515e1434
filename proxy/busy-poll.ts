import { availableParallelism } from 'node:os';

/** So long the loop stays awake for bytes that are due. */
const WINDOW_MS = 0.4;
/** Only where they usually come sooner than this: a server far away, or a client that thinks, is waited for asleep. */
const SOON_MS = 0.3;
/** Waits are remembered as a moving average; a longer one counts as this. */
const LONGEST_MS = 2;
const WEIGHT = 1 / 8;

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
  #sinceMs = 0;
  #isTurning = false;

  constructor(ports: BusyPollPorts = SYSTEM) {
    this.#ports = ports;
  }

  /** Bytes were written to the one or the other: its answer may come soon. */
  expect(awaited: Awaited): void {
    const { processors, nowMs, turn } = this.#ports;
    if (processors < 2) return;
    const experience = this.#experiences[awaited];
    this.#awaited = experience;
    this.#sinceMs = nowMs();
    if (this.#isTurning || experience.usualMs > SOON_MS) return;
    this.#isTurning = true;
    turn(this.#onTurn);
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
