/** TokenReviews, each remembered for at most ten minutes and never past the token's own end. */
import { createHash } from 'node:crypto';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { OPERATOR_TOKEN_AUDIENCE } from '#bundle/credentials-exchange.ts';
import { subjectOf, type TokenSubject } from './eligible-pod.ts';

const REMEMBER_MS = 10 * 60_000;
/** A refusal may be mended by time (a clock that is behind), but must not cost a call for each try. */
const REMEMBER_REFUSAL_MS = 30_000;
const MAX_REMEMBERED = 20_000;

interface Remembered {
  readonly subject: TokenSubject | undefined;
  readonly untilMs: number;
}

export class TokenReviews {
  readonly #client: Pick<ClusterClient, 'createTokenReview'>;
  readonly #now: () => number;
  /** By digest: no token is kept. */
  readonly #known = new Map<string, Remembered>();
  readonly #asking = new Map<string, Promise<TokenSubject | undefined>>();

  constructor(client: Pick<ClusterClient, 'createTokenReview'>, now: () => number = Date.now) {
    this.#client = client;
    this.#now = now;
  }

  /** Undefined: not a valid token of a pod for us. Rejects where the API server cannot be asked. */
  async subject(token: string): Promise<TokenSubject | undefined> {
    const digest = createHash('sha256').update(token).digest('base64url');
    const known = this.#known.get(digest);
    if (known !== undefined && known.untilMs > this.#now()) return known.subject;
    let asking = this.#asking.get(digest);
    if (asking === undefined) {
      asking = this.#ask(token, digest).finally(() => this.#asking.delete(digest));
      this.#asking.set(digest, asking);
    }
    return await asking;
  }

  async #ask(token: string, digest: string): Promise<TokenSubject | undefined> {
    const subject = subjectOf(await this.#client.createTokenReview(token, OPERATOR_TOKEN_AUDIENCE));
    const now = this.#now();
    const untilMs =
      subject === undefined
        ? now + REMEMBER_REFUSAL_MS
        : Math.min(now + REMEMBER_MS, expiryOf(token) ?? now + REMEMBER_MS);
    this.#known.delete(digest);
    this.#known.set(digest, { subject, untilMs });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_REMEMBERED) break;
      this.#known.delete(oldest);
    }
    return subject;
  }
}

/** `exp` of a JWT that the API server has called good; Unix milliseconds. */
function expiryOf(token: string): number | undefined {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    const { exp } = payload as { readonly exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
