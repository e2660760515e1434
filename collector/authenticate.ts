/** Who sends records: a token of audience `postern.dev/collector` that is bound to a pod, checked by TokenReview or against a JWKS. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  jwtVerify,
  type JWTVerifyGetKey,
} from 'jose';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';

export const COLLECTOR_AUDIENCE = 'postern.dev/collector';

export interface Sender {
  readonly podUid: string;
  /** `system:serviceaccount:<namespace>:<name>`. */
  readonly account: string;
}

export type SenderVerdict =
  | { readonly kind: 'sender'; readonly sender: Sender }
  | { readonly kind: 'refused'; readonly message: string };

/** Token → sender. Rejects where nobody can say now (503). */
export type Authenticate = (token: string) => Promise<SenderVerdict>;

const POD_UID = 'authentication.kubernetes.io/pod-uid';
const KEEP_MS = 600_000;
const KEEP_REFUSAL_MS = 10_000;
const MAX_KEPT = 20_000;
const MAX_TOKEN_LENGTH = 16_384;

/** By the API server, which knows of revoked tokens and deleted pods. */
export function byTokenReview(client: Pick<ClusterClient, 'createTokenReview'>): Authenticate {
  return async (token) => {
    const review = await client.createTokenReview(token, COLLECTOR_AUDIENCE);
    const podUid = review.extra[POD_UID]?.[0];
    if (!review.authenticated || !review.audiences.includes(COLLECTOR_AUDIENCE)) return NOT_VALID;
    return podUid === undefined ? NOT_BOUND : { kind: 'sender', sender: { podUid, account: review.username } };
  };
}

/** By the cluster's public keys, for a collector outside of it. `jwksUri`: https:, http: or file:. */
export function byJwks(issuer: string, jwksUri: string): Authenticate {
  const keys = openKeys(new URL(jwksUri));
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience: COLLECTOR_AUDIENCE,
        algorithms: ['RS256', 'ES256', 'EdDSA'],
        requiredClaims: ['exp', 'sub'],
      });
      const podUid = podUidOf(payload['kubernetes.io']);
      return podUid === undefined ? NOT_BOUND : { kind: 'sender', sender: { podUid, account: payload.sub ?? '' } };
    } catch (error) {
      // Keys that cannot be fetched or read say nothing about the token.
      if (error instanceof errors.JOSEError && ABOUT_TOKEN.test(error.code)) return NOT_VALID;
      throw error;
    }
  };
}

const ABOUT_TOKEN = /^ERR_(?:JWT_|JWS_|JOSE_ALG_NOT_ALLOWED$|JWKS_NO_MATCHING_KEY$)/;
const FILE_KEEP_MS = 60_000;

function openKeys(uri: URL): JWTVerifyGetKey {
  if (uri.protocol !== 'file:') return createRemoteJWKSet(uri, { timeoutDuration: 5_000, cooldownDuration: 30_000 });
  let read: { readonly keys: Promise<JWTVerifyGetKey>; readonly atMs: number } | undefined;
  return async (header, token) => {
    if (read === undefined || Date.now() - read.atMs > FILE_KEEP_MS) {
      const keys = readFile(uri, 'utf8').then((text) => createLocalJWKSet(JSON.parse(text) as JSONWebKeySet));
      read = { keys, atMs: Date.now() };
    }
    try {
      return await (await read.keys)(header, token);
    } catch (error) {
      // A key that is not there may be a new one; a file that cannot be read may be there the next time.
      read = undefined;
      throw error;
    }
  };
}

const NOT_VALID: SenderVerdict = {
  kind: 'refused',
  message: `the token is not valid for audience ${COLLECTOR_AUDIENCE}`,
};
const NO_TOKEN: SenderVerdict = {
  kind: 'refused',
  message: 'authorization must be Bearer and the token of the pod',
};
const NOT_BOUND: SenderVerdict = {
  kind: 'refused',
  message: 'the token is not bound to a pod; only sidecars send records',
};

function podUidOf(claim: unknown): string | undefined {
  if (typeof claim !== 'object' || claim === null || !('pod' in claim)) return undefined;
  const { pod } = claim;
  return typeof pod === 'object' && pod !== null && 'uid' in pod && typeof pod.uid === 'string' ? pod.uid : undefined;
}

/** Nobody can say now: too many tokens are being looked at. */
export class TooManyReviewsError extends Error {
  override readonly name = 'TooManyReviewsError';
}

/** Tokens that are looked at at the same time; more of them would be an attack on the API server. */
const MAX_REVIEWS = 32;

/** Remembers verdicts for ten minutes at most, and never beyond a token's own end; looks at a token once at a time. */
export function remembering(authenticate: Authenticate, nowMs: () => number = Date.now): Authenticate {
  const known = new Map<string, { readonly verdict: SenderVerdict; readonly untilMs: number }>();
  const asking = new Map<string, Promise<SenderVerdict>>();
  const ask = async (key: string, token: string): Promise<SenderVerdict> => {
    const verdict = await authenticate(token);
    const keepMs = verdict.kind === 'sender' ? KEEP_MS : KEEP_REFUSAL_MS;
    known.delete(key);
    known.set(key, { verdict, untilMs: Math.min(nowMs() + keepMs, expiryMs(token)) });
    for (const oldest of known.keys()) {
      if (known.size <= MAX_KEPT) break;
      known.delete(oldest);
    }
    return verdict;
  };
  return async (token) => {
    if (token === '' || token.length > MAX_TOKEN_LENGTH) return NO_TOKEN;
    const key = createHash('sha256').update(token).digest('base64');
    const found = known.get(key);
    if (found !== undefined && found.untilMs > nowMs()) return found.verdict;
    const running = asking.get(key);
    if (running !== undefined) return await running;
    if (asking.size >= MAX_REVIEWS) throw new TooManyReviewsError('too many tokens are being looked at');
    const asked = ask(key, token).finally(() => asking.delete(key));
    asking.set(key, asked);
    return await asked;
  };
}

function expiryMs(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    const exp = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined;
    return typeof exp === 'number' ? exp * 1_000 : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
