/**
 * UUID version 7 from a time and random bytes (RFC 9562, 5.7). Pure: the caller brings clock and randomness.
 * @param timeMs Unix time in milliseconds
 * @param random at least 10 random bytes from `offset` on
 */
export function uuidv7(timeMs: number, random: Uint8Array, offset = 0): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(timeMs, 0, 6);
  for (let i = 0; i < 10; i++) bytes[6 + i] = random[offset + i] ?? 0;
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
