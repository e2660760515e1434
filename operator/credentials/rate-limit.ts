/** A bucket of tokens for each caller: `burst` at once, `perSecond` in the long run. Times are given. */
interface Bucket {
  tokens: number;
  atMs: number;
}

export class RateLimit {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #maxCallers: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: { readonly burst: number; readonly perSecond: number; readonly maxCallers: number }) {
    this.#burst = limit.burst;
    this.#perSecond = limit.perSecond;
    this.#maxCallers = limit.maxCallers;
  }

  /** Whether the caller may go on. */
  take(caller: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(caller) ?? { tokens: this.#burst, atMs: nowMs };
    const refilled = bucket.tokens + ((nowMs - bucket.atMs) / 1000) * this.#perSecond;
    const tokens = Math.min(this.#burst, Math.max(refilled, 0));
    // Newest last: beyond the bound the one that has been quiet longest is forgotten.
    this.#buckets.delete(caller);
    this.#buckets.set(caller, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= this.#maxCallers) break;
      this.#buckets.delete(oldest);
    }
    return tokens >= 1;
  }
}
