/**
 * Collects the lines of many requests into objects, by size and time, one open object for each hour of events. A request is answered when S3
 * has acknowledged every object that holds its lines. What waits, waits as it was sent, packed; it is bounded by whoever lets requests in
 * (`memory-budget.ts`).
 */
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { unpack } from './read-body.ts';
import { Turnstile } from './turnstile.ts';

export interface BatcherOptions {
  /** Uncompressed bytes at which an object is written at once. */
  readonly maxObjectBytes: number;
  /** How long the first lines of an object wait for more. */
  readonly maxDelayMs: number;
  /** Writes an object; rejects where S3 does not acknowledge it. */
  readonly write: (partition: string, body: Uint8Array, records: number) => Promise<string>;
}

/** Whole lines: bytes `[start, end)` of what a request unpacks to. */
export interface PackedLines {
  readonly packed: Buffer;
  readonly start: number;
  readonly end: number;
  readonly records: number;
}

interface OpenObject {
  readonly parts: PackedLines[];
  readonly written: Promise<string>;
  readonly resolve: (key: string) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
  bytes: number;
  records: number;
}

const PACK_AT_ONCE = 1;

/** All lines as one zstd frame with a checksum, as every reader takes it. Needs one request unpacked at a time. */
export async function packObject(parts: readonly PackedLines[]): Promise<Uint8Array> {
  const packed: Buffer[] = [];
  await pipeline(
    unpackAll(parts),
    createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 } }),
    async (output: AsyncIterable<Buffer>) => {
      for await (const chunk of output) packed.push(chunk);
    },
  );
  return Buffer.concat(packed);
}

async function* unpackAll(parts: readonly PackedLines[]): AsyncGenerator<Buffer> {
  for (const { packed, start, end } of parts) {
    const unpacked = await unpack(packed);
    if (unpacked.kind !== 'unpacked') throw new Error('a batch cannot be unpacked a second time');
    yield unpacked.bytes.subarray(start, end);
  }
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #open = new Map<string, OpenObject>();
  readonly #writing = new Set<Promise<void>>();
  readonly #packing = new Turnstile(PACK_AT_ONCE);

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  /** Adds whole lines; resolves with the key of the object that S3 has acknowledged, rejects where it was not. */
  async add(partition: string, lines: PackedLines): Promise<string> {
    const object = this.#open.get(partition) ?? this.#begin(partition);
    object.parts.push(lines);
    object.bytes += lines.end - lines.start;
    object.records += lines.records;
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
    const object: OpenObject = { parts: [], written, resolve, reject, timer, bytes: 0, records: 0 };
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
      const body = await this.#packing.run(
        // Taken out of the list: the batches are no longer needed then.
        async () => await packObject(object.parts.splice(0)),
      );
      object.resolve(await this.#options.write(partition, body, object.records));
    } catch (error) {
      object.reject(error);
    }
  }
}
