/** The key set: signing keys, certificate authorities and root keys, signed by a root key that the pod trusts. It may grow and rotate. */
import { API_VERSION } from '#crds/kinds.ts';
import { JsonReader, MalformedError, type Read, readingJson, readText } from './json-reader.ts';

export interface SigningKey {
  /** Named by the header of the bundles that it signs. */
  readonly kid: string;
  /** Ed25519, the 32 raw bytes in base64url. */
  readonly publicKey: string;
}

export interface KeySet {
  readonly apiVersion: typeof API_VERSION;
  /** From 1; rises with every change. A set with a lower one than the last accepted is refused. */
  readonly version: number;
  readonly signingKeys: readonly SigningKey[];
  /** Ed25519 root keys (raw, base64url) that are trusted from now on, in addition to those the pod was started with. */
  readonly rootKeys: readonly string[];
  /** Certificates in PEM; the operator's endpoint presents one that they issued. */
  readonly certificateAuthorities: readonly string[];
}

const MAX_KEYS = 100;
/** 32 bytes in base64url without padding; the last character carries four bits. */
const RAW_PUBLIC_KEY = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/** Whether a text is a raw Ed25519 public key in canonical base64url. */
export function isPublicKeyText(text: string): boolean {
  return RAW_PUBLIC_KEY.test(text);
}

/** Decodes a key set's payload; unknown fields are ignored. */
export function openKeySet(payload: string | Uint8Array): Read<KeySet> {
  return readingJson(payload, 'keys', (value) => {
    const reader = new JsonReader(value, 'keys');
    const version = reader.count('version');
    if (version < 1) throw new MalformedError('keys.version', 'a whole number from 1');
    return {
      apiVersion: reader.choice('apiVersion', [API_VERSION]),
      version,
      signingKeys: reader.list('signingKeys', MAX_KEYS, readSigningKey),
      rootKeys: reader.list('rootKeys', MAX_KEYS, readPublicKey),
      certificateAuthorities: reader.list('certificateAuthorities', MAX_KEYS, readCertificate),
    };
  });
}

function readSigningKey(value: unknown, path: string): SigningKey {
  const reader = new JsonReader(value, path);
  const kid = reader.text('kid');
  if (kid === '') throw new MalformedError(`${path}.kid`, 'a name');
  return { kid, publicKey: readPublicKey(reader.raw('publicKey'), `${path}.publicKey`) };
}

function readPublicKey(value: unknown, path: string): string {
  const text = readText(value, path);
  if (!isPublicKeyText(text)) throw new MalformedError(path, 'the 32 bytes of an Ed25519 public key in base64url');
  return text;
}

function readCertificate(value: unknown, path: string): string {
  const text = readText(value, path);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new MalformedError(path, 'a certificate in PEM');
  return text;
}
