/** A thread of `postern verify`: reads and hashes what it is told to, one object or part of a file at a time. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { LineScan, type Scan } from '#audit/line-scan.ts';
import { readLink } from '#audit/link.ts';
import { contentOf } from './record-source.ts';

/** What is to be read: the bytes themselves, or where they lie. */
export interface ScanJob {
  /** `hash`: its hash only. `look`: also the hashes of single records. */
  readonly task: 'scan' | 'hash' | 'look';
  readonly name: string;
  readonly stored: Uint8Array | { readonly path: string; readonly start: number; readonly end: number };
  /** SHA-256 of the object as it is stored is asked for. */
  readonly isDigested: boolean;
  readonly wanted?: ReadonlyMap<string, ReadonlySet<number>>;
}

export interface ScanAnswer {
  readonly scan: Scan | undefined;
  readonly sha256: string | undefined;
  readonly found: readonly FoundRecord[];
}

export interface FoundRecord {
  readonly chain: string;
  readonly seq: number;
  readonly hash: string;
  readonly line: number;
}

const PIECE_BYTES = 1024 * 1024;

async function* piecesOf({ name, stored }: ScanJob): AsyncGenerator<Buffer> {
  if (stored instanceof Uint8Array)
    yield* contentOf(name, Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength));
  else if (name.endsWith('.zst')) yield* contentOf(name, stored);
  else if (stored.end > stored.start) {
    const { path, start, end } = stored;
    yield* createReadStream(path, { start, end: end - 1, highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>;
  }
}

async function hashOf({ stored }: ScanJob): Promise<string> {
  const hash: Hash = createHash('sha256');
  if (stored instanceof Uint8Array) hash.update(stored);
  else for await (const piece of createReadStream(stored.path) as AsyncIterable<Buffer>) hash.update(piece);
  return hash.digest('hex');
}

async function scan(job: ScanJob): Promise<Scan> {
  const lines = new LineScan(job.name);
  try {
    for await (const piece of piecesOf(job)) lines.add(piece);
  } catch (error) {
    // What could be unpacked counts; what could not is missing from its chains.
    const why = error instanceof Error ? error.message : 'unknown error';
    const { findings, findingCount, ...rest } = lines.finish();
    const damage = { kind: 'cut_off', file: job.name, line: rest.lines, chain: undefined, seq: undefined } as const;
    const message = `the object is damaged or cut off (${why})`;
    return { ...rest, findings: [...findings, { ...damage, message }], findingCount: findingCount + 1 };
  }
  return lines.finish();
}

async function look(job: ScanJob): Promise<readonly FoundRecord[]> {
  const found: FoundRecord[] = [];
  let rest: Buffer = Buffer.alloc(0);
  let line = 0;
  try {
    for await (const piece of piecesOf(job)) {
      const bytes = Buffer.concat([rest, piece]);
      let start = 0;
      for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
        line += 1;
        const link = readLink(bytes, start, end);
        if (link !== undefined && job.wanted?.get(link.chainId)?.has(link.seq) === true)
          found.push({ chain: link.chainId, seq: link.seq, hash: link.hash, line });
        start = end + 1;
      }
      rest = bytes.subarray(start);
    }
  } catch {
    // Said when it was scanned.
  }
  return found;
}

async function answer(job: ScanJob): Promise<ScanAnswer> {
  return {
    scan: job.task === 'scan' ? await scan(job) : undefined,
    sha256: job.isDigested ? await hashOf(job) : undefined,
    found: job.task === 'look' ? await look(job) : [],
  };
}

let before: Promise<void> = Promise.resolve();

// One after another: answers come in the order of the jobs, and only one object is unpacked at a time.
parentPort?.on('message', (job: ScanJob) => {
  before = before
    .then(async () => await answer(job))
    .catch((error: unknown) => ({ failure: error instanceof Error ? error.message : 'unknown error' }))
    .then((reply) => parentPort?.postMessage(reply));
});
