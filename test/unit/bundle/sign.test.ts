import { CompactSign, compactVerify, importJWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { keyIdOf, publicKeyText, signCompact, signerOf, verifyCompact } from '#bundle/sign.ts';
import { newKey } from '#test/signed-bundles.ts';

const key = newKey();
const signer = signerOf(key);
const publicKey = publicKeyText(key);
const payload = Buffer.from('{"a":"ä"}');

function keyOf(kid: string): string | undefined {
  return kid === signer.kid ? publicKey : undefined;
}

function header(fields: unknown): string {
  return Buffer.from(JSON.stringify(fields)).toString('base64url');
}

describe('a compact JWS', () => {
  test('that we sign is one for jose', async () => {
    const text = signCompact('postern-keys', payload, signer);
    const jwk = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: publicKey }, 'EdDSA');
    const verified = await compactVerify(text, jwk);
    expect(Buffer.from(verified.payload).toString()).toBe('{"a":"ä"}');
    expect(verified.protectedHeader).toEqual({ alg: 'EdDSA', kid: keyIdOf(publicKey), typ: 'postern-keys' });
  });

  test('that jose signs is one for us', async () => {
    const text = await new CompactSign(payload)
      .setProtectedHeader({ alg: 'EdDSA', kid: signer.kid, typ: 'postern-keys' })
      .sign(key);
    expect(verifyCompact('postern-keys', text, keyOf)).toEqual({ kind: 'verified', payload, kid: signer.kid });
  });

  const good = signCompact('postern-bundle', payload, signer);
  const [head = '', body = '', signature = ''] = good.split('.');
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const sameBytes = `${signature.slice(0, -1)}${last[last.indexOf(signature.at(-1) ?? '') + 1]}`;

  test.each([
    ['without a signature', `${head}.${body}.`],
    ['without its third part', `${head}.${body}`],
    ['with a fourth part', `${good}.x`],
    ['with alg none', `${header({ alg: 'none', kid: signer.kid, typ: 'postern-bundle' })}.${body}.${signature}`],
    [
      'with a critical extension',
      `${header({ alg: 'EdDSA', kid: 'k', typ: 'postern-bundle', crit: [] })}.${body}.${signature}`,
    ],
    ['without a kid', `${header({ alg: 'EdDSA', typ: 'postern-bundle' })}.${body}.${signature}`],
    ['with a header that is no JSON', `e30x.${body}.${signature}`],
    ['with padding', `${head}.${body}.${signature}==`],
    ['with another base64 of the same signature', `${head}.${body}.${sameBytes}`],
  ])('%s is Malformed', (_what, text) => {
    expect(verifyCompact('postern-bundle', text, keyOf)).toEqual({
      kind: 'refused',
      reason: 'Malformed',
      message: 'expected a compact JWS with alg EdDSA, kid and typ',
    });
  });

  test('signed as one thing is not another', () => {
    expect(verifyCompact('postern-keys', good, keyOf)).toEqual({
      kind: 'refused',
      reason: 'Malformed',
      message: 'expected a JWS of typ postern-keys',
    });
  });
});
