import { randomBytes } from 'node:crypto';
import { uuidv7 } from '#audit/uuid.ts';

/** A UUID version 7 for an object: names sort by time. */
export function newObjectUid(timeMs: number): string {
  return uuidv7(timeMs, randomBytes(10));
}
