/** The key of Hash masks on its way into the session setting `postern.mask_key`. */
import { createHash, randomBytes } from 'node:crypto';

/**
 * 64 hex digits: the SHA-256 of the Secret's bytes, whatever their length, so that SQL can read them with `decode(..., 'hex')` and they
 * are always 32 bytes. `undefined`: random for this process.
 */
export function maskKeyHex(secret: Buffer | undefined): string {
  return createHash('sha256')
    .update(secret ?? randomBytes(32))
    .digest('hex');
}
