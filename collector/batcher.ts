/**
 * Collects the lines of many requests into objects, by size and time, one open object for each hour of events. A request is answered when S3
 * has acknowledged every object that holds its lines. What waits is bounded by whoever lets requests in (`memory-budget.ts`).
 */
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { Turnstile } from './turnstile.ts';

const compress = promisify(zstdCompress);

export interface BatcherOptions {
  /** Uncompressed bytes at which an object is written at once. */
  readonly maxObjectBytes: number;
  /** How long the first lines of an object wait for more. */
  readonly maxDelayMs: number;
  /** Writes an object; rejects where S3 does not acknowledge it. */
  readonly write: (partition: string, body: Uint8Array, records: number) => Promise<string>;
}

interface OpenObject {
  readonly chunks: Buffer[];
  readonly written: Promise<string>;
  readonly resolve: (key: string) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
  bytes: number;
  records: number;
}

/** Each needs its object a second time, as one piece. */
const COMPRESS_AT_ONCE = 2;

/** One frame with a checksum, as every reader of zstd takes it. */
export async function compressObject(bytes: Uint8Array): Promise<Uint8Array> {
  return await compress(bytes, {
    params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #open = new Map<string, OpenObject>();
  readonly #writing = new Set<Promise<void>>();
  readonly #compressing = new Turnstile(COMPRESS_AT_ONCE);

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  /** Adds whole lines; resolves with the key of the object that S3 has acknowledged, rejects where it was not. */
  async add(partition: string, lines: Buffer, records: number): Promise<string> {
    const object = this.#open.get(partition) ?? this.#begin(partition);
    object.chunks.push(lines);
    object.bytes += lines.length;
    object.records += records;
    if (object.bytes >= this.#options.maxObjectBytes) this.#flush(partition);
    return await object.written;
  }

  /** Writes what is open and resolves when everything is acknowledged or has failed. */
  async drain(): Promise<void> {
    for (const partition of [...this.#open.keys()]) this.#flush(partition);
    await Promise.all(this.#writing);
  }

  #begin(partition: string): OpenObject {
    const timer = setTimeout(() => this.#flush(partition), this.#options.maxDelayMs);
    const { promise: written, resolve, reject } = Promise.withResolvers<string>();
    const object: OpenObject = { chunks: [], written, resolve, reject, timer, bytes: 0, records: 0 };
    this.#open.set(partition, object);
    return object;
  }

  #flush(partition: string): void {
    const object = this.#open.get(partition);
    if (object === undefined) return;
    this.#open.delete(partition);
    clearTimeout(object.timer);
    const writing = this.#write(partition, object).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  async #write(partition: string, object: OpenObject): Promise<void> {
    try {
      const body = await this.#compressing.run(
        // Taken out of the list: the lines are no longer needed once they are compressed.
        async () => await compressObject(Buffer.concat(object.chunks.splice(0), object.bytes)),
      );
      object.resolve(await this.#options.write(partition, body, object.records));
    } catch (error) {
      object.reject(error);
    }
  }
}
