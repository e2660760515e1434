/** Two hexadecimal digits for each byte. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * UUID version 7 from a time and random bytes (RFC 9562, 5.7). Pure: the caller brings clock and randomness.
 * @param timeMs Unix time in milliseconds
 * @param random at least 10 random bytes from `offset` on
 */
export function uuidv7(timeMs: number, random: Uint8Array, offset = 0): string {
  const version = HEX[0x70 | ((random[offset] ?? 0) & 0x0f)] ?? '70';
  const variant = HEX[0x80 | ((random[offset + 2] ?? 0) & 0x3f)] ?? '80';
  let text = `${timePart(timeMs) + version + hex(random, offset + 1)}-${variant}${hex(random, offset + 3)}-`;
  for (let index = offset + 4; index < offset + 10; index++) text += hex(random, index);
  return text;
}

function hex(bytes: Uint8Array, index: number): string {
  return HEX[bytes[index] ?? 0] ?? '00';
}

let lastTimeMs = -1;
let lastTimePart = '';

/** The first twelve digits; most identifiers of a batch share them. */
function timePart(timeMs: number): string {
  if (timeMs !== lastTimeMs) {
    const digits = timeMs.toString(16).padStart(12, '0');
    lastTimePart = `${digits.slice(0, 8)}-${digits.slice(8)}-`;
    lastTimeMs = timeMs;
  }
  return lastTimePart;
}
