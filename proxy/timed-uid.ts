import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 8000;
const UID_BYTES = 8;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;
let lastMs = -1;
let prefix = '';
let count = 0;

/**
 * A UUIDv7 (RFC 9562, 5.7): sorts by time, within a millisecond by a counter (method 1 of 6.2); 62 random bits. Randomness is drawn in
 * blocks, since it is needed for every statement.
 */
export function newTimedUid(): string {
  const nowMs = Date.now();
  if (nowMs > lastMs || count >= 0xfff) {
    lastMs = Math.max(nowMs, lastMs + (count >= 0xfff ? 1 : 0));
    count = 0;
    const time = lastMs.toString(16).padStart(12, '0');
    prefix = `${time.slice(0, 8)}-${time.slice(8)}-`;
  }
  const counter = (0x7000 + count++).toString(16);
  if (used + UID_BYTES > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  pool[used] = ((pool[used] as number) & 0x3f) | 0x80;
  const random = pool.toString('hex', used, used + UID_BYTES);
  used += UID_BYTES;
  return `${prefix}${counter}-${random.slice(0, 4)}-${random.slice(4)}`;
}
