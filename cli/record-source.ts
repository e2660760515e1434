/**
 * Where `verify`, `replay` and `export` read from: a file, a folder, or `s3://bucket/prefix`. Finds what is there and hands it out as bytes, piece
 * by piece; says nothing about what the bytes hold.
 */
import { closeSync, createReadStream, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import type { S3Client } from '@aws-sdk/client-s3';
import { UsageError } from './arguments.ts';

export interface StoreArguments {
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
}

export interface SourceObject {
  /** Path, or `s3://bucket/key`. */
  readonly name: string;
  readonly bytes: number;
  /** Path of a local file; undefined: in S3. */
  readonly path: string | undefined;
}

export interface RecordSource {
  /** `log`: written in order by one process, each line once. `objects`: written by collectors, in any order, lines at least once. */
  readonly kind: 'log' | 'objects';
  readonly records: readonly SourceObject[];
  readonly results: readonly SourceObject[];
  readonly digests: readonly SourceObject[];
  /** The object as it is stored. */
  readonly read: (object: SourceObject) => Promise<Buffer>;
  readonly close: () => void;
}

const LAYOUT = /(?:^|\/)(events|results|digests)\/event_date=/;
const RECORD_FILE = /\.(?:ndjson|jsonl|log)(?:\.zst)?$/;
/** As a collector names objects. */
const OBJECT_FILE = /(?:^|\/)[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\.ndjson\.zst$/;
/** Beside an audit file. */
const RESULT_FILE = /[.-]results\.(?:ndjson|jsonl)(?:\.zst)?$/;

type Part = 'records' | 'results' | 'digests';

function partOf(name: string): Part | undefined {
  const folder = LAYOUT.exec(name)?.[1];
  if (folder === 'results' || folder === 'digests') return folder;
  if (folder === undefined && RESULT_FILE.test(name)) return 'results';
  return folder === 'events' || RECORD_FILE.test(name) ? 'records' : undefined;
}

/** Finds what a source holds. Throws UsageError where there is nothing to read. */
export async function openSource(source: string, store: StoreArguments): Promise<RecordSource> {
  return source.startsWith('s3://') ? await openBucket(source, store) : openLocal(source);
}

function openLocal(source: string): RecordSource {
  const status = statSync(source, { throwIfNoEntry: false });
  if (status === undefined) throw new UsageError(`${source} does not exist`);
  const read = async (object: SourceObject): Promise<Buffer> => await readFile(object.path ?? object.name);
  const close = (): void => undefined;
  if (!status.isDirectory()) {
    const records = [{ name: source, bytes: status.size, path: source }];
    return { kind: OBJECT_FILE.test(source) ? 'objects' : 'log', records, results: [], digests: [], read, close };
  }
  const paths = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  const objects = paths.map((path) => ({ name: path, bytes: statSync(path).size, path }));
  const parts = sortOut(objects, ({ name }) => resolve(name));
  if (parts.records.length === 0 && parts.digests.length === 0)
    throw new UsageError(`${source} holds no .ndjson, .jsonl or .log file, compressed by zstd or not`);
  const isLayout = objects.some(({ name }) => LAYOUT.test(resolve(name)) || OBJECT_FILE.test(name));
  return { kind: isLayout ? 'objects' : 'log', ...parts, read, close };
}

function sortOut(
  objects: readonly SourceObject[],
  key: (object: SourceObject) => string,
): Readonly<Record<Part, readonly SourceObject[]>> {
  const of = (part: Part): readonly SourceObject[] => objects.filter((object) => partOf(key(object)) === part);
  return { records: of('records'), results: of('results'), digests: of('digests') };
}

async function openBucket(source: string, store: StoreArguments): Promise<RecordSource> {
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(source) ?? [];
  if (bucket === undefined) throw new UsageError(`expected s3://BUCKET/PREFIX, found ${JSON.stringify(source)}`);
  const { GetObjectCommand, ListObjectsV2Command, S3Client: Client } = await import('@aws-sdk/client-s3');
  const client: S3Client = new Client({
    region: store.region ?? 'us-east-1',
    forcePathStyle: store.pathStyle === true,
    ...(store.endpoint === undefined ? {} : { endpoint: store.endpoint }),
    maxAttempts: 5,
  });
  const prefix = path === '' || path.endsWith('/') || RECORD_FILE.test(path) ? path : `${path}/`;
  const start = `s3://${bucket}/`;
  const objects: SourceObject[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }),
    );
    for (const { Key, Size } of page.Contents ?? [])
      if (Key !== undefined) objects.push({ name: start + Key, bytes: Size ?? 0, path: undefined });
    token = page.NextContinuationToken;
  } while (token !== undefined);
  const parts = sortOut(objects, ({ name }) => name);
  if (parts.records.length === 0 && parts.digests.length === 0) throw new UsageError(`${source} holds no records`);
  const read = async (object: SourceObject): Promise<Buffer> => {
    const key = object.name.slice(start.length);
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };
  return { kind: 'objects', ...parts, read, close: () => client.destroy() };
}

const PIECE_BYTES = 1024 * 1024;

/** The uncompressed bytes of a stored object, in pieces. Rejects where it is damaged. `stored`: its bytes, where they are at hand. */
export async function* contentOf(name: string, stored: Buffer | { readonly path: string }): AsyncGenerator<Buffer> {
  const raw = Buffer.isBuffer(stored)
    ? Readable.from([stored], { objectMode: false })
    : createReadStream(stored.path, { highWaterMark: PIECE_BYTES });
  if (!name.endsWith('.zst')) {
    yield* raw as AsyncIterable<Buffer>;
    return;
  }
  const unpacked = createZstdDecompress({ chunkSize: PIECE_BYTES });
  raw.once('error', (error) => unpacked.destroy(error));
  yield* raw.pipe(unpacked) as AsyncIterable<Buffer>;
}

/** Whole lines, without their line ends, of the objects of a source that may hold any of `words` (none: of all). */
export async function* linesOf(source: RecordSource, object: SourceObject, word = ''): AsyncGenerator<string> {
  const stored = object.path === undefined ? await source.read(object) : { path: object.path };
  let rest: Buffer | undefined;
  for await (const piece of contentOf(object.name, stored)) {
    const bytes = rest === undefined ? piece : Buffer.concat([rest, piece]);
    const end = bytes.lastIndexOf(0x0a) + 1;
    yield* linesWith(bytes.subarray(0, end), word);
    rest = end < bytes.length ? Buffer.from(bytes.subarray(end)) : undefined;
  }
  if (rest !== undefined) yield* linesWith(rest, word);
}

function* linesWith(bytes: Buffer, word: string): Generator<string> {
  let start = 0;
  while (start < bytes.length) {
    // Straight to the next line that holds the word.
    const found = word === '' ? start : bytes.indexOf(word, start);
    if (found < 0) return;
    const from = found === start ? start : Math.max(start, bytes.lastIndexOf(0x0a, found) + 1);
    const newline = bytes.indexOf(0x0a, found);
    const end = newline < 0 ? bytes.length : newline;
    if (end > from) yield bytes.toString('utf8', from, end);
    start = end + 1;
  }
}

/** Where a large file can be cut between lines: offsets of the parts, the last is the file's size. */
export function partsOf(path: string, bytes: number, partBytes: number): readonly number[] {
  const cuts = [0];
  const descriptor = openSync(path, 'r');
  try {
    const window = Buffer.alloc(64 * 1024);
    for (let at = partBytes; at < bytes; at += partBytes) {
      if (at <= (cuts.at(-1) ?? 0)) continue;
      let from = at;
      for (;;) {
        const count = readSync(descriptor, window, 0, window.length, from);
        const newline = window.subarray(0, count).indexOf(0x0a);
        if (newline >= 0) from += newline + 1;
        if (newline >= 0 || count === 0) break;
        from += count;
      }
      if (from < bytes) cuts.push(from);
    }
  } finally {
    closeSync(descriptor);
  }
  return [...cuts, bytes];
}

/** Says on a terminal's stderr how far long work has come, once a second. */
export class Progress {
  #shownAt = performance.now();
  readonly #isShown = process.stderr.isTTY;

  show(text: () => string): void {
    if (!this.#isShown || performance.now() - this.#shownAt < 1_000) return;
    this.#shownAt = performance.now();
    process.stderr.write(`\r\u001b[K${text()}`);
  }

  end(): void {
    if (this.#isShown) process.stderr.write('\r\u001b[K');
  }
}
