/**
 * What one identity uses of this process, over all its sessions: open connections, and statements per minute as a bucket that refills
 * steadily. Pure: the caller brings the time.
 */
export class UsageLimits {
  readonly #connections = new Map<string, number>();
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  /** Counts one more connection; false: `limit` are open already, and nothing is counted. */
  openConnection(identity: string, limit: number | undefined): boolean {
    const open = this.#connections.get(identity) ?? 0;
    if (limit !== undefined && open >= limit) return false;
    this.#connections.set(identity, open + 1);
    return true;
  }

  closeConnection(identity: string): void {
    const open = (this.#connections.get(identity) ?? 1) - 1;
    if (open > 0) this.#connections.set(identity, open);
    else {
      this.#connections.delete(identity);
      this.#forgetFull(identity);
    }
  }

  /** Takes one statement; false: the minute's worth is used up. */
  takeStatement(identity: string, perMinute: number, nowMs: number): boolean {
    const bucket = this.#buckets.get(identity) ?? { tokens: perMinute, atMs: nowMs };
    const refilled = bucket.tokens + ((nowMs - bucket.atMs) / 60_000) * perMinute;
    const tokens = Math.min(perMinute, refilled);
    const isGranted = tokens >= 1;
    this.#buckets.set(identity, { tokens: isGranted ? tokens - 1 : tokens, atMs: nowMs });
    return isGranted;
  }

  /** A bucket outlives its connections (a reconnect gives nothing back) until there are too many. */
  #forgetFull(identity: string): void {
    if (this.#buckets.size > 1000 && !this.#connections.has(identity)) this.#buckets.delete(identity);
  }
}
