import { createHash } from 'node:crypto';
import { MASK_KEY_INNER_SETTING, MASK_KEY_OUTER_SETTING } from './mask.ts';

const BLOCK_BYTES = 64;

/**
 * The two session settings by which `Hash` masks know their key: HMAC's pads (RFC 2104) in hex. To be given to the server at
 * start-up (`options` or the startup message), never in a statement. Keys longer than a block are hashed first.
 */
export function maskKeySettings(key: Uint8Array): ReadonlyMap<string, string> {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.set(key.length > BLOCK_BYTES ? createHash('sha256').update(key).digest() : key);
  const pad = (byte: number): string => Buffer.from(block.map((value) => value ^ byte)).toString('hex');
  return new Map([
    [MASK_KEY_INNER_SETTING, pad(0x36)],
    [MASK_KEY_OUTER_SETTING, pad(0x5c)],
  ]);
}
