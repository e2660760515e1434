/**
 * Checks the JWT that an agent gives as its password: signature by the issuer's keys, issuer, audience, times, algorithm (RFC 7519,
 * RFC 8725, OpenID Connect Discovery). jose and its keys load with the first token.
 */
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Denial } from '#policy/decision.ts';
import type { Identity } from '#policy/identity.ts';
import { denialFor } from '#policy/reasons.ts';

export interface OidcOptions {
  readonly issuer: string;
  readonly audience: string;
  readonly groupsClaim: string;
  /** Empty: from the issuer's discovery document. */
  readonly jwksUri: string;
  /** Shortest time between two look-ups of keys that a token names and we lack; default 10 s. */
  readonly cooldownMs?: number;
}

export type TokenResult =
  | { readonly kind: 'verified'; readonly identity: Identity; readonly expiresAtMs: number | undefined }
  | { readonly kind: 'refused'; readonly denial: Denial };

export interface TokenVerifier {
  /** Who the token says it is, as the workload that the proxy serves. Never rejects; a refusal is 28P01. */
  readonly verify: (
    token: string,
    workload: { readonly namespace: string; readonly serviceAccount: string },
  ) => Promise<TokenResult>;
}

/** Asymmetric only: with HMAC the issuer's public key would pass as the secret (RFC 8725, 3.1). */
const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const maxTokenBytes = 16_384;
const toleranceSeconds = 5;
const fetchTimeoutMs = 5000;
const defaultCooldownMs = 10_000;

/** One verifier for each issuer: it keeps the keys, and asks for them again when a token names one it does not know. */
export function createTokenVerifier(options: OidcOptions): TokenVerifier {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  const loadKeys = async (): Promise<JWTVerifyGetKey> => {
    keys ??= openKeys(options);
    try {
      return await keys;
    } catch (error) {
      keys = undefined;
      throw error;
    }
  };
  return {
    verify: async (token, workload) => {
      try {
        if (token.length > maxTokenBytes) return refused('it is too long');
        const { jwtVerify } = await import('jose');
        const { payload } = await jwtVerify(token, await loadKeys(), {
          issuer: options.issuer,
          audience: options.audience,
          algorithms,
          requiredClaims: ['exp'],
          clockTolerance: toleranceSeconds,
        });
        return identityOf(payload, options.groupsClaim, workload);
      } catch (error) {
        return refused(explain(error));
      }
    },
  };
}

function identityOf(
  payload: JWTPayload,
  groupsClaim: string,
  workload: { readonly namespace: string; readonly serviceAccount: string },
): TokenResult {
  const groups = Object.hasOwn(payload, groupsClaim) ? payload[groupsClaim] : [];
  const list = typeof groups === 'string' ? [groups] : groups;
  if (!Array.isArray(list) || !list.every((group) => typeof group === 'string')) {
    return refused(`its claim ${groupsClaim} is not a list of texts`);
  }
  const { namespace, serviceAccount } = workload;
  const expiresAtMs = payload.exp === undefined ? undefined : (payload.exp + toleranceSeconds) * 1000;
  return { kind: 'verified', identity: { namespace, serviceAccount, groups: list, claims: payload }, expiresAtMs };
}

async function openKeys(options: OidcOptions): Promise<JWTVerifyGetKey> {
  const { createRemoteJWKSet } = await import('jose');
  const uri = options.jwksUri === '' ? await discoverKeys(options.issuer) : options.jwksUri;
  return createRemoteJWKSet(new URL(uri), {
    timeoutDuration: fetchTimeoutMs,
    cooldownDuration: options.cooldownMs ?? defaultCooldownMs,
    cacheMaxAge: 600_000,
  });
}

class DiscoveryError extends Error {}

/** The issuer's `jwks_uri`. The document must name the same issuer, and may not lead from https to http. */
async function discoverKeys(issuer: string): Promise<string> {
  const place = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(place, { redirect: 'error', signal: AbortSignal.timeout(fetchTimeoutMs) });
  if (!response.ok) throw new DiscoveryError(`discovery answered ${response.status}`);
  const found: unknown = await response.json();
  if (typeof found !== 'object' || found === null || !('issuer' in found) || found.issuer !== issuer) {
    throw new DiscoveryError('discovery names another issuer');
  }
  const uri = 'jwks_uri' in found ? found.jwks_uri : undefined;
  if (typeof uri !== 'string' || !URL.canParse(uri)) throw new DiscoveryError('discovery names no jwks_uri');
  const isSafe = uri.startsWith('https:') || (issuer.startsWith('http:') && uri.startsWith('http:'));
  if (!isSafe) throw new DiscoveryError('discovery leads from https to http');
  return uri;
}

function refused(advice: string): TokenResult {
  return { kind: 'refused', denial: denialFor('token_refused', { advice }) };
}

const explanations: ReadonlyMap<string, string> = new Map([
  ['ERR_JWT_EXPIRED', 'it has expired'],
  ['ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'its signature is not valid'],
  ['ERR_JOSE_ALG_NOT_ALLOWED', 'its algorithm is not allowed'],
  ['ERR_JWKS_NO_MATCHING_KEY', "its key is not one of the issuer's"],
  ['ERR_JWKS_TIMEOUT', 'the issuer cannot be reached'],
  ['ERR_JWS_INVALID', 'the password must be a JWT'],
  ['ERR_JWT_INVALID', 'the password must be a JWT'],
]);

/** A fixed text for each cause; nothing of the token is repeated. */
function explain(error: unknown): string {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'ERR_JWT_CLAIM_VALIDATION_FAILED') {
    const claim = error instanceof Error && 'claim' in error && typeof error.claim === 'string' ? error.claim : '';
    return /^(?:iss|aud|exp|nbf|iat)$/.test(claim)
      ? `its claim ${claim} is missing or not as expected`
      : 'a claim is not as expected';
  }
  if (error instanceof DiscoveryError) return `the issuer's keys cannot be found: ${error.message}`;
  return (
    explanations.get(code) ?? (code.startsWith('ERR_J') ? 'it is not a valid JWT' : 'the issuer cannot be reached')
  );
}
