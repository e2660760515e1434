/**
 * Compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037), narrowed to what bundles and key sets need: the header is exactly `alg`,
 * `kid` and `typ`, and every part must stand in its canonical base64url, so that no two texts mean the same. Node's own verification is
 * used because it is synchronous and spares the sidecar Web Crypto; the tests check both directions against `jose`.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Bundle } from './bundle.ts';
import { isPublicKeyText, type KeySet } from './key-set.ts';

/** The header's `typ`: a text signed as one thing is never taken for the other. */
export type SignedType = 'postern-bundle' | 'postern-keys';

export interface Signer {
  readonly kid: string;
  /** Ed25519. */
  readonly privateKey: KeyObject;
}

/** A ConfigMap holds 1 MiB in all; the rest is for the key set, names and labels. Bytes of `bundle.jws.gz`. */
export const MAX_BUNDLE_BYTES = 896 * 1024;
/** Bytes of `keys.jws`. */
export const MAX_KEY_SET_BYTES = 96 * 1024;
/** What a bundle may become when it is unpacked: more is an attack or a mistake. */
const MAX_UNPACKED_BYTES = 16 * 1024 * 1024;

/** The raw 32 bytes of a public (or private) key's public half, base64url: the form in environments and key sets. */
export function publicKeyText(key: KeyObject): string {
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  if (x === undefined || !isPublicKeyText(x)) throw new TypeError('expected an Ed25519 key');
  return x;
}

/** The name of a key: 22 characters of the base64url SHA-256 of its raw public bytes. */
export function keyIdOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest('base64url').slice(0, 22);
}

/** A signer whose `kid` follows from its key. */
export function signerOf(privateKey: KeyObject): Signer {
  return { kid: keyIdOf(publicKeyText(privateKey)), privateKey };
}

export function signCompact(typ: SignedType, payload: Uint8Array, signer: Signer): string {
  const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', kid: signer.kid, typ })).toString('base64url');
  const input = `${header}.${Buffer.from(payload).toString('base64url')}`;
  return `${input}.${sign(undefined, Buffer.from(input, 'ascii'), signer.privateKey).toString('base64url')}`;
}

export type Verified =
  | { readonly kind: 'verified'; readonly payload: Buffer; readonly kid: string }
  /** Unsigned: no signature of the named key over this text. UnknownKey: nobody trusted has that name. */
  | { readonly kind: 'refused'; readonly reason: 'Malformed' | 'Unsigned' | 'UnknownKey'; readonly message: string };

/** Verifies with the key that `keyOf` gives for the header's kid: raw Ed25519 public key in base64url. Never throws. */
export function verifyCompact(typ: SignedType, text: string, keyOf: (kid: string) => string | undefined): Verified {
  const [headerText, payloadText, signatureText, ...more] = text.split('.');
  const header = headerText === undefined ? undefined : readHeader(headerText);
  const payload = canonicalBytes(payloadText);
  const signature = canonicalBytes(signatureText);
  if (more.length > 0 || header === undefined || payload === undefined || signature === undefined) {
    return { kind: 'refused', reason: 'Malformed', message: 'expected a compact JWS with alg EdDSA, kid and typ' };
  }
  if (header.typ !== typ) {
    return { kind: 'refused', reason: 'Malformed', message: `expected a JWS of typ ${typ}` };
  }
  const publicKey = keyOf(header.kid);
  if (publicKey === undefined || !isPublicKeyText(publicKey)) {
    return { kind: 'refused', reason: 'UnknownKey', message: `no trusted key is called ${JSON.stringify(header.kid)}` };
  }
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
  if (!verify(undefined, Buffer.from(`${headerText}.${payloadText}`, 'ascii'), key, signature)) {
    return { kind: 'refused', reason: 'Unsigned', message: 'the signature does not fit the text' };
  }
  return { kind: 'verified', payload, kid: header.kid };
}

interface Header {
  readonly kid: string;
  readonly typ: string;
}

function readHeader(text: string): Header | undefined {
  const bytes = canonicalBytes(text);
  if (bytes === undefined || bytes.length > 1024) return undefined;
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof header !== 'object' || header === null || !('alg' in header) || header.alg !== 'EdDSA') return undefined;
  if (!('kid' in header) || typeof header.kid !== 'string' || header.kid === '') return undefined;
  if (!('typ' in header) || typeof header.typ !== 'string') return undefined;
  // `crit`, `b64` and whatever else changes the meaning of a JWS.
  return Object.keys(header).length === 3 ? { kid: header.kid, typ: header.typ } : undefined;
}

/** Node's decoder skips what it does not know; two texts must not stand for the same bytes. */
function canonicalBytes(text: string | undefined): Buffer | undefined {
  if (text === undefined || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/** The bytes of `bundle.jws.gz`. Where `isBundleTooLarge` they are not to be published: Ready=False, BundleTooLarge. */
export function signBundle(bundle: Bundle, signer: Signer): Buffer {
  return gzipSync(signCompact('postern-bundle', Buffer.from(JSON.stringify(bundle)), signer), { level: 9 });
}

/** No sidecar would take it. */
export function isBundleTooLarge(bytes: Uint8Array): boolean {
  return bytes.length > MAX_BUNDLE_BYTES || unpackBundle(bytes) === undefined;
}

/** The text of `keys.jws`; the signer holds a root key. */
export function signKeySet(keySet: KeySet, signer: Signer): string {
  return signCompact('postern-keys', Buffer.from(JSON.stringify(keySet)), signer);
}

/** The JWS within `bundle.jws.gz`; `undefined`: not gzip, cut off, or too large when unpacked. */
export function unpackBundle(bytes: Uint8Array): string | undefined {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES }).toString('latin1');
  } catch {
    return undefined;
  }
}
