/**
 * Collects the lines of many requests into objects, by size and time, one open object for each hour of events. A request is answered when S3
 * has acknowledged the object that holds its lines; what waits in memory is bounded.
 */
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';

const compress = promisify(zstdCompress);

export interface BatcherOptions {
  /** Uncompressed bytes at which an object is written at once. */
  readonly maxObjectBytes: number;
  /** How long the first lines of an object wait for more. */
  readonly maxDelayMs: number;
  /** Uncompressed bytes that may wait, being collected or written. */
  readonly maxPendingBytes: number;
  /** Writes an object; rejects where S3 does not acknowledge it. */
  readonly write: (partition: string, body: Uint8Array, records: number) => Promise<string>;
}

interface OpenObject {
  readonly chunks: Buffer[];
  readonly waiting: { readonly resolve: (key: string) => void; readonly reject: (error: unknown) => void }[];
  readonly timer: NodeJS.Timeout;
  bytes: number;
  records: number;
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #open = new Map<string, OpenObject>();
  readonly #writing = new Set<Promise<void>>();
  #pendingBytes = 0;

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Whether so many more bytes may wait; if not, the sender is told to come back. */
  hasRoomFor(bytes: number): boolean {
    return this.#pendingBytes + bytes <= this.#options.maxPendingBytes;
  }

  /** Adds whole lines; resolves with the key of the object that S3 has acknowledged, rejects where it was not. */
  async add(partition: string, lines: Buffer, records: number): Promise<string> {
    const object = this.#open.get(partition) ?? this.#begin(partition);
    object.chunks.push(lines);
    object.bytes += lines.length;
    object.records += records;
    this.#pendingBytes += lines.length;
    const written = new Promise<string>((resolve, reject) => object.waiting.push({ resolve, reject }));
    if (object.bytes >= this.#options.maxObjectBytes) this.#flush(partition);
    return await written;
  }

  /** Writes what is open and resolves when everything is acknowledged or has failed. */
  async drain(): Promise<void> {
    for (const partition of [...this.#open.keys()]) this.#flush(partition);
    await Promise.all(this.#writing);
  }

  #begin(partition: string): OpenObject {
    const timer = setTimeout(() => this.#flush(partition), this.#options.maxDelayMs);
    const object: OpenObject = { chunks: [], waiting: [], timer, bytes: 0, records: 0 };
    this.#open.set(partition, object);
    return object;
  }

  #flush(partition: string): void {
    const object = this.#open.get(partition);
    if (object === undefined) return;
    this.#open.delete(partition);
    clearTimeout(object.timer);
    const writing = this.#write(partition, object).finally(() => {
      this.#pendingBytes -= object.bytes;
      this.#writing.delete(writing);
    });
    this.#writing.add(writing);
  }

  async #write(partition: string, object: OpenObject): Promise<void> {
    try {
      const body = await compress(Buffer.concat(object.chunks, object.bytes), {
        params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
      });
      const key = await this.#options.write(partition, body, object.records);
      for (const { resolve } of object.waiting) resolve(key);
    } catch (error) {
      for (const { reject } of object.waiting) reject(error);
    }
  }
}
