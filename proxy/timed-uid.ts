import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** A UUIDv7 (RFC 9562, 5.7): sorts by time; 74 random bits. Randomness is drawn in blocks, since it is needed for every statement. */
export function newTimedUid(): string {
  if (used + 10 > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const time = Date.now().toString(16).padStart(12, '0');
  const r = used;
  used += 10;
  const hex = (index: number): string => HEX[pool[r + index] as number] as string;
  const version = `7${hex(0).slice(1)}${hex(1)}`;
  const variant = `${HEX[((pool[r + 2] as number) & 0x3f) | 0x80] as string}${hex(3)}`;
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}-${hex(4)}${hex(5)}${hex(6)}${hex(7)}${hex(8)}${hex(9)}`;
}
