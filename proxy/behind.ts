/** How far a process is behind what the operator has named. Pure: times are given. */

/** Beyond this a process that has not got what was named refuses statements (design §5). */
export const MAX_BEHIND_MS = 15_000;
const MAX_WAITING = 1000;

interface Named {
  readonly value: number;
  readonly sinceMs: number;
}

/** Rising numbers (generations, versions) that were named, and the one that is in force. */
export class BehindTracker {
  #waiting: Named[] = [];
  #inForce = 0;

  /** The operator has named a number. */
  name(value: number, nowMs: number): void {
    const last = this.#waiting.at(-1);
    if (value <= this.#inForce || (last !== undefined && value <= last.value)) return;
    // Full: what waits longest decides, so that the newest may be left out.
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push({ value, sinceMs: nowMs });
  }

  /** A number has come into force. */
  apply(value: number): void {
    this.#inForce = Math.max(this.#inForce, value);
    this.#waiting = this.#waiting.filter((named) => named.value > this.#inForce);
  }

  /** When this process is behind for too long, unless something comes into force before; `undefined`: nothing is waited for. */
  deadlineMs(): number | undefined {
    const [first] = this.#waiting;
    return first === undefined ? undefined : first.sinceMs + MAX_BEHIND_MS;
  }
}
