/**
 * Digests: what a collector says it wrote, signed, each naming the one before (design §6). A deleted or replaced object contradicts its
 * digest; a deleted digest breaks the chain of digests. Pure.
 */
import { hash } from 'node:crypto';

export interface DigestedObject {
  readonly key: string;
  /** SHA-256 of the object's bytes, 64 hexadecimal digits. */
  readonly sha256: string;
  readonly bytes: number;
  readonly records: number;
}

export interface Digest {
  readonly version: 1;
  /** UUID of the collector process: one chain of digests for each. */
  readonly collector: string;
  /** From 1. */
  readonly number: number;
  /** SHA-256 of the digest object before it (the text of its JWS); 64 zeros for the first. */
  readonly previous: string;
  /** Unix milliseconds. */
  readonly time: number;
  /** No other follows: the process has ended in order. */
  readonly last: boolean;
  readonly objects: readonly DigestedObject[];
}

export const FIRST_PREVIOUS = '0'.repeat(64);
/** `typ` of the JWS. */
export const DIGEST_TYPE = 'postern-digest';

export function digestOfText(jws: string): string {
  return hash('sha256', jws, 'hex');
}

/** Reads a payload; undefined: it is not one. */
export function readDigest(payload: unknown): Digest | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const value = payload as Readonly<Record<string, unknown>>;
  const { version, collector, number, previous, time, last, objects } = value;
  const sound =
    version === 1 &&
    typeof collector === 'string' &&
    typeof number === 'number' &&
    typeof previous === 'string' &&
    typeof time === 'number' &&
    typeof last === 'boolean' &&
    Array.isArray(objects) &&
    objects.every(isDigestedObject);
  return sound ? (payload as Digest) : undefined;
}

function isDigestedObject(value: unknown): value is DigestedObject {
  if (typeof value !== 'object' || value === null) return false;
  const { key, sha256, bytes, records } = value as Readonly<Record<string, unknown>>;
  return (
    typeof key === 'string' && typeof sha256 === 'string' && typeof bytes === 'number' && typeof records === 'number'
  );
}
