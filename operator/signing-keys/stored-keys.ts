/**
 * The operator's keys as they lie in Secrets of its namespace: `postern-root-key`, `postern-signing-keys`, `postern-ca`. Each holds its keys as
 * one JSON text, so that a change of several is one write. What cannot be read is an error: a key is never made anew over a damaged one.
 */
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { KeyGeneration, KeyPhase } from './rotation.ts';

export const ROOT_KEY_SECRET = 'postern-root-key';
export const SIGNING_KEYS_SECRET = 'postern-signing-keys';
export const AUTHORITY_SECRET = 'postern-ca';
/** Any new value of this annotation on one of the Secrets asks for a new key. */
export const ROTATE_ANNOTATION = 'postern.dev/rotate';
/** By which the operator finds what is its own in its namespace. */
export const PART_OF_LABEL = 'app.kubernetes.io/part-of';
export const PART_OF = 'postern';

/** Keys of the Secrets' data. */
const KEYS_FIELD = 'keys.json';
const KEY_SET_FIELD = 'keys.jws';
const AUTHORITIES_FIELD = 'ca.crt';

export interface StoredKey extends KeyGeneration {
  /** PKCS #8 in PEM. */
  readonly privateKeyPem: string;
  /** Of a certificate authority. */
  readonly certificatePem?: string;
}

export interface StoredKeys {
  readonly keys: readonly StoredKey[];
  /** Value of the annotation that was acted upon last. */
  readonly rotated: string;
  /** The signed key set; only in `postern-signing-keys`. */
  readonly keySetText: string;
}

export const NO_KEYS: StoredKeys = { keys: [], rotated: '', keySetText: '' };

/** A Secret's keys are damaged. The message names the Secret and holds nothing of it. */
export class DamagedKeysError extends Error {
  override readonly name = 'DamagedKeysError';
}

/** Throws `DamagedKeysError`. */
export function decodeStoredKeys(secret: KubernetesObject): StoredKeys {
  const data = (secret['data'] ?? {}) as Readonly<Record<string, unknown>>;
  const text = readField(data, KEYS_FIELD);
  try {
    const body = JSON.parse(text) as { readonly keys?: unknown; readonly rotated?: unknown };
    if (!Array.isArray(body.keys) || typeof body.rotated !== 'string') throw new TypeError('keys');
    const keys = body.keys.map((key: unknown) => readKey(key));
    return { keys, rotated: body.rotated, keySetText: readField(data, KEY_SET_FIELD) };
  } catch {
    const { namespace, name } = secret.metadata;
    throw new DamagedKeysError(
      `Secret ${namespace ?? ''}/${name} cannot be read: restore it from a backup, or delete it and restart the operator to begin with a new key`,
    );
  }
}

/** The whole Secret, without a resource version. */
export function encodeStoredKeys(namespace: string, name: string, stored: StoredKeys): KubernetesObject {
  const authorities = stored.keys.map((key) => key.certificatePem ?? '').join('');
  const fields: Readonly<Record<string, string>> = {
    [KEYS_FIELD]: JSON.stringify({ keys: stored.keys, rotated: stored.rotated }),
    ...(stored.keySetText === '' ? {} : { [KEY_SET_FIELD]: stored.keySetText }),
    ...(authorities === '' ? {} : { [AUTHORITIES_FIELD]: authorities }),
  };
  const data = Object.entries(fields).map(([field, value]) => [field, Buffer.from(value).toString('base64')] as const);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { [PART_OF_LABEL]: PART_OF } },
    type: 'Opaque',
    data: Object.fromEntries(data),
  };
}

/** The value of the annotation that asks for a rotation; empty: nobody asks. */
export function rotateRequest(secret: KubernetesObject): string {
  return secret.metadata.annotations?.[ROTATE_ANNOTATION] ?? '';
}

function readField(data: Readonly<Record<string, unknown>>, field: string): string {
  const value = data[field];
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
}

const PHASES: readonly KeyPhase[] = ['Next', 'Current', 'Previous'];

function readKey(value: unknown): StoredKey {
  const key = value as Partial<StoredKey> | null;
  const phase = PHASES.find((known) => known === key?.phase);
  if (typeof key?.id !== 'string' || typeof key.privateKeyPem !== 'string' || phase === undefined)
    throw new TypeError('key');
  if (typeof key.createdAtMs !== 'number' || typeof key.phaseSinceMs !== 'number') throw new TypeError('key');
  const { id, privateKeyPem, createdAtMs, phaseSinceMs, certificatePem } = key;
  const common = { id, phase, createdAtMs, phaseSinceMs, privateKeyPem };
  return typeof certificatePem === 'string' ? { ...common, certificatePem } : common;
}
