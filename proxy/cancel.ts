import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import type { BackendKey } from '#wire/decode.ts';

/** Long enough not to be guessed; the manual asks middleware not to use all 256 bytes. */
const LONG_SECRET_BYTES = 32;

/**
 * The gate's own cancel keys: random, one a session, mapped to the cancel of that session's server connection. The server's own key
 * never leaves the gate. Source: PostgreSQL 18 manual, 54.2.9 Canceling Requests in Progress.
 */
export class CancelKeys {
  readonly #sessions = new Map<number, { readonly secret: Buffer; readonly cancel: () => Promise<void> }>();

  /** A key for a new session: 4 bytes of secret for protocol 3.0, more for 3.2. */
  issue(protocolMinor: 0 | 2, cancel: () => Promise<void>): BackendKey {
    const secret = randomBytes(protocolMinor === 0 ? 4 : LONG_SECRET_BYTES);
    let processId = randomInt(1, 0x7fffffff);
    while (this.#sessions.has(processId)) processId = randomInt(1, 0x7fffffff);
    this.#sessions.set(processId, { secret, cancel });
    return { processId, secret };
  }

  revoke(processId: number): void {
    this.#sessions.delete(processId);
  }

  /** Resolves when the server has the request, or at once where the key is not one of ours: the client is told nothing either way. */
  async request(key: BackendKey): Promise<void> {
    const session = this.#sessions.get(key.processId);
    if (session === undefined || session.secret.length !== key.secret.length) return;
    if (timingSafeEqual(session.secret, key.secret)) await session.cancel();
  }
}
