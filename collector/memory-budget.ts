/** What all requests together may hold in memory: bytes are reserved before they are read, and given back when S3 has them. */

/** A share of the budget. */
export interface Reservation {
  /** Makes the share as large as this; false: there is no room, and it stays as it was. Smaller always works. */
  readonly resize: (bytes: number) => boolean;
  /** Gives everything back; a second call does nothing. */
  readonly release: () => void;
}

export class MemoryBudget {
  readonly #maxBytes: number;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Undefined: there is no room; the sender is told to come back. */
  reserve(bytes: number): Reservation | undefined {
    let held = 0;
    const resize = (wanted: number): boolean => {
      if (wanted > held && this.#heldBytes + wanted - held > this.#maxBytes) return false;
      this.#heldBytes += wanted - held;
      held = wanted;
      return true;
    };
    return resize(bytes) ? { resize, release: () => void resize(0) } : undefined;
  }
}
