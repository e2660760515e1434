/** Reads and unpacks what a sender posts, never more than may be, never longer. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';

const decompress = promisify(zstdDecompress);

/** Of one request, unpacked. */
export const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Larger than the standard: a batch then is copied together from a few pieces. */
const CHUNK_BYTES = 1024 * 1024;

export type ReadBody =
  | { readonly kind: 'read'; readonly bytes: Buffer }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'too_slow' }
  | { readonly kind: 'gone' };

/** The body as it came, at most `maxBytes`. The request is left open, so that it can be answered. */
export async function readBody(request: IncomingMessage, maxBytes: number, timeoutMs: number): Promise<ReadBody> {
  return await new Promise((resolve) => {
    // One buffer from the start: pieces beside their copy would be held twice. What is not written to costs no memory.
    const whole = Buffer.allocUnsafeSlow(maxBytes);
    let bytes = 0;
    const end = (body: ReadBody): void => {
      clearTimeout(timer);
      request.off('data', take).off('end', done).off('close', gone).off('error', gone);
      // Whoever is not listening must not make an error that nobody takes.
      request.on('error', () => undefined);
      request.resume();
      resolve(body);
    };
    const timer = setTimeout(() => end({ kind: 'too_slow' }), timeoutMs);
    const take = (chunk: Buffer): void => {
      if (bytes + chunk.length > maxBytes) {
        end({ kind: 'too_large' });
        return;
      }
      whole.set(chunk, bytes);
      bytes += chunk.length;
    };
    const done = (): void => end({ kind: 'read', bytes: whole.subarray(0, bytes) });
    const gone = (): void => end({ kind: 'gone' });
    request.on('data', take).on('end', done).on('close', gone).on('error', gone);
  });
}

export type Unpacked =
  | { readonly kind: 'unpacked'; readonly bytes: Buffer }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'not_zstd' };

/** Stops at `MAX_BATCH_BYTES`, whatever the frame claims. */
export async function unpack(packed: Buffer): Promise<Unpacked> {
  try {
    const bytes = await decompress(packed, { maxOutputLength: MAX_BATCH_BYTES, chunkSize: CHUNK_BYTES });
    return { kind: 'unpacked', bytes };
  } catch (error) {
    const tooLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
    return { kind: tooLarge ? 'too_large' : 'not_zstd' };
  }
}
