import { createServer, type Server } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTokenVerifier, type OidcOptions, type TokenResult } from '#proxy/oidc.ts';

const workload = { namespace: 'agents', serviceAccount: 'support-bot' };
let provider: Server;
let issuer: string;
let keys: { readonly kid: string; readonly alg: string; readonly privateKey: CryptoKey; readonly jwk: object }[] = [];
let fetches: string[] = [];
let discovery: () => unknown;

async function addKey(kid: string, alg = 'ES256'): Promise<void> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  keys.push({ kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } });
}

beforeAll(async () => {
  provider = createServer((request, response) => {
    fetches.push(request.url ?? '');
    response.setHeader('Content-Type', 'application/json');
    if (request.url === '/.well-known/openid-configuration') response.end(JSON.stringify(discovery()));
    else if (request.url === '/keys') response.end(JSON.stringify({ keys: keys.map((key) => key.jwk) }));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const address = provider.address();
  issuer = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
});
afterAll(async () => {
  await new Promise((resolve) => provider.close(resolve));
});
beforeEach(async () => {
  keys = [];
  fetches = [];
  discovery = () => ({ issuer, jwks_uri: `${issuer}/keys` });
  await addKey('one');
});

function options(changes: Partial<OidcOptions> = {}): OidcOptions {
  return { issuer, audience: 'shop', groupsClaim: 'groups', jwksUri: '', ...changes };
}

async function token(claims: JWTPayload = {}, kid = 'one'): Promise<string> {
  const key = keys.find((each) => each.kid === kid);
  if (key === undefined) throw new Error(`no key ${kid}`);
  const now = Math.floor(Date.now() / 1000);
  return await new SignJWT({ iss: issuer, aud: 'shop', exp: now + 60, iat: now, ...claims })
    .setProtectedHeader({ alg: key.alg, kid })
    .sign(key.privateKey);
}

async function refusal(result: Promise<TokenResult>): Promise<string> {
  const found = await result;
  if (found.kind === 'verified') throw new Error('the token was accepted');
  expect(found.denial).toMatchObject({ slug: 'token_refused', sqlstate: '28P01', severity: 'FATAL' });
  return found.denial.message;
}

describe('a good token', () => {
  test('gives groups, claims and the time it ends, found through discovery', async () => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const result = await createTokenVerifier(options()).verify(
      await token({ exp, groups: ['support', 'eu'], department: 'care' }),
      workload,
    );
    expect(result).toMatchObject({
      kind: 'verified',
      identity: { ...workload, groups: ['support', 'eu'], claims: { department: 'care' } },
      expiresAtMs: (exp + 5) * 1000,
    });
    expect(fetches).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  test.each(['RS256', 'PS256', 'ES384', 'EdDSA'])('may be signed with %s', async (alg) => {
    await addKey('other', alg);
    const verifier = createTokenVerifier(options({ jwksUri: `${issuer}/keys` }));
    expect(await verifier.verify(await token({}, 'other'), workload)).toMatchObject({
      kind: 'verified',
      identity: { groups: [] },
    });
    expect(fetches).toEqual(['/keys']);
  });

  test('keys are kept between tokens', async () => {
    const verifier = createTokenVerifier(options());
    for (let index = 0; index < 3; index++) await verifier.verify(await token(), workload);
    expect(fetches).toHaveLength(2);
  });

  test('groups may stand under another claim, and a single one as a text', async () => {
    const verifier = createTokenVerifier(options({ groupsClaim: 'https://idp/roles' }));
    const result = await verifier.verify(await token({ 'https://idp/roles': 'support' }), workload);
    expect(result).toMatchObject({ identity: { groups: ['support'] } });
  });
});

describe('a bad token is refused', () => {
  const past = Math.floor(Date.now() / 1000) - 60;
  const claims: readonly (readonly [string, JWTPayload, string])[] = [
    ['another issuer', { iss: 'https://evil.example' }, 'its claim iss is missing or not as expected'],
    ['another audience', { aud: 'other' }, 'its claim aud is missing or not as expected'],
    ['expired', { exp: past }, 'it has expired'],
    ['not yet valid', { nbf: Math.floor(Date.now() / 1000) + 60 }, 'its claim nbf is missing or not as expected'],
    ['groups that are no texts', { groups: [1] }, 'its claim groups is not a list of texts'],
  ];
  test.each(claims)('%s', async (_, payload, advice) => {
    const message = await refusal(createTokenVerifier(options()).verify(await token(payload), workload));
    expect(message).toBe(`the token given as password is refused: ${advice}`);
  });

  test('without an end', async () => {
    const [key] = keys;
    if (key === undefined) throw new Error('no key');
    const endless = new SignJWT({ iss: issuer, aud: 'shop' }).setProtectedHeader({ alg: key.alg, kid: key.kid });
    const message = await refusal(createTokenVerifier(options()).verify(await endless.sign(key.privateKey), workload));
    expect(message).toContain('its claim exp is missing or not as expected');
  });

  test('signed by somebody else under a known name', async () => {
    const good = keys[0];
    keys = [];
    await addKey('one');
    const forged = await token();
    keys = good === undefined ? [] : [good];
    expect(await refusal(createTokenVerifier(options()).verify(forged, workload))).toContain(
      'its signature is not valid',
    );
  });

  test('an HMAC under the public key, and no signature at all', async () => {
    const secret = new TextEncoder().encode(JSON.stringify(keys[0]?.jwk));
    const exp = Math.floor(Date.now() / 1000) + 60;
    const payload = { iss: issuer, aud: 'shop', exp };
    const hmac = await new SignJWT(payload).setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(secret);
    expect(await refusal(createTokenVerifier(options()).verify(hmac, workload))).toContain(
      'its algorithm is not allowed',
    );
    const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const none = `${encode({ alg: 'none' })}.${encode(payload)}.`;
    expect(await refusal(createTokenVerifier(options()).verify(none, workload))).toContain(
      'its algorithm is not allowed',
    );
  });

  test.each(['', 'secret', 'a.b.c', 'x'.repeat(20_000)])('%.20s', async (text) => {
    const message = await refusal(createTokenVerifier(options()).verify(text, workload));
    expect(message).toMatch(/: (?:the password must be a JWT|it is too long|it is not a valid JWT)$/);
    if (text !== '') expect(message).not.toContain(text);
  });
});

describe('the issuer', () => {
  test('may turn to a new key, which is fetched when a token names it', async () => {
    const { setTimeout: sleep } = await import('node:timers/promises');
    const verifier = createTokenVerifier(options({ jwksUri: `${issuer}/keys`, cooldownMs: 300 }));
    await verifier.verify(await token(), workload);
    await addKey('two');
    // Fresh keys are asked for at most once in the cool-down; within it an unknown one is refused.
    expect(await refusal(verifier.verify(await token({}, 'two'), workload))).toContain(
      "its key is not one of the issuer's",
    );
    await sleep(400);
    expect(await verifier.verify(await token({}, 'two'), workload)).toMatchObject({ kind: 'verified' });
  });

  test('may come back after a failure', async () => {
    const verifier = createTokenVerifier(options());
    discovery = () => ({ issuer: 'https://evil.example', jwks_uri: `${issuer}/keys` });
    expect(await refusal(verifier.verify(await token(), workload))).toContain('discovery names another issuer');
    discovery = () => ({ issuer });
    expect(await refusal(verifier.verify(await token(), workload))).toContain('discovery names no jwks_uri');
    discovery = () => ({ issuer, jwks_uri: 'file:///etc/passwd' });
    expect(await refusal(verifier.verify(await token(), workload))).toContain('discovery leads from https to http');
    discovery = () => ({ issuer, jwks_uri: `${issuer}/keys` });
    expect(await verifier.verify(await token(), workload)).toMatchObject({ kind: 'verified' });
  });

  test('cannot be reached', async () => {
    const verifier = createTokenVerifier(options({ jwksUri: 'http://127.0.0.1:1/keys' }));
    expect(await refusal(verifier.verify(await token(), workload))).toContain('the issuer cannot be reached');
  });
});
