/** What earlier processes of the same pod left in the spool: killed ones, and ones that had no time to send all. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Gap } from '#audit/file-sink.ts';
import { readLink } from '#audit/link.ts';
import { ChainFolder, CONFIRMED_FILE, type Segment, type SpoolUsage } from './chain-folder.ts';

export interface FoundChains {
  /** With records that are not confirmed; oldest first. */
  readonly chains: readonly ChainFolder[];
  /** What the chain of this process begins with. */
  readonly gap: Gap | undefined;
  /** Identifier of the youngest. */
  readonly newestId: string | undefined;
  /** What does not look as a process leaves it; one line each. */
  readonly problems: readonly string[];
}

interface FoundChain {
  readonly chain: ChainFolder;
  readonly isTorn: boolean;
}

const CHAIN_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SEGMENT = /^([1-9]\d{0,15})\.ndjson$/;
const CONFIRMED = /^(\d{1,16})\n$/;
const NEWLINE = 0x0a;

/** Looks through the spool's directory, which is made where it is missing. Throws where it cannot be read. */
export function findChains(directory: string, usage: SpoolUsage, worthDeletingBytes: number): FoundChains {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const problems: string[] = [];
  const found: FoundChain[] = [];
  // Version 7: they sort by time; a new chain is made younger than all it finds, whatever the clock says.
  for (const id of readdirSync(directory)
    .filter((name) => CHAIN_ID.test(name))
    .toSorted()) {
    found.push(findChain(directory, id, { usage, worthDeletingBytes, problems }));
  }
  const newest = found.findLast(({ chain, isTorn }) => chain.lastSeq > 0 || isTorn);
  const last = found.findLast(({ chain }) => chain.lastSeq > 0);
  const gap = newest === undefined ? undefined : gapAfter(newest.isTorn, last?.chain);
  for (const { chain } of found) if (chain.lastSeq === 0) rmSync(chain.folder, { recursive: true, force: true });
  const chains = found.map(({ chain }) => chain).filter(({ lastSeq }) => lastSeq > 0);
  return { chains, gap, newestId: found.at(-1)?.chain.id, problems };
}

/** A torn line was never confirmed to anybody: its statement was not forwarded. */
function gapAfter(isTorn: boolean, last: ChainFolder | undefined): Gap {
  const reason = isTorn ? 'torn_line' : 'resumed';
  return last === undefined ? { reason } : { reason, after: { chain: last.id, seq: last.lastSeq } };
}

interface Findings {
  readonly usage: SpoolUsage;
  readonly worthDeletingBytes: number;
  readonly problems: string[];
}

function findChain(directory: string, id: string, { usage, worthDeletingBytes, problems }: Findings): FoundChain {
  const folder = join(directory, id);
  const firsts = readdirSync(folder)
    .map((name) => Number(SEGMENT.exec(name)?.[1] ?? Number.NaN))
    .filter((first) => !Number.isNaN(first))
    .toSorted((a, b) => a - b);
  const segments: Segment[] = [];
  let isTorn = false;
  let writtenMs: number | undefined;
  for (const [index, first] of firsts.entries()) {
    const path = join(folder, `${first}.ndjson`);
    const next = firsts[index + 1];
    const { size, mtimeMs } = statSync(path);
    writtenMs ??= mtimeMs;
    if (next !== undefined) {
      segments.push({ path, first, last: next - 1, bytes: size, isGone: false });
      continue;
    }
    const tail = readTail(path, first);
    isTorn = tail.isTorn;
    if (tail.last >= first) segments.push({ path, first, last: tail.last, bytes: tail.bytes, isGone: false });
    if (tail.link !== undefined && (tail.link.chainId !== id || tail.link.seq !== tail.last)) {
      problems.push(`${path}: line ${tail.last - first + 1} says record ${tail.link.seq} of ${tail.link.chainId}`);
    }
  }
  const sinceMs = writtenMs === undefined ? undefined : performance.now() - Math.max(0, Date.now() - writtenMs);
  const chain = new ChainFolder({
    id,
    folder,
    usage,
    segments,
    confirmedSeq: readConfirmed(folder),
    worthDeletingBytes,
    ...(sinceMs === undefined ? {} : { sinceMs }),
  });
  return { chain, isTorn };
}

interface Tail {
  /** Number of the last whole line. */
  readonly last: number;
  /** Of whole lines. */
  readonly bytes: number;
  readonly isTorn: boolean;
  readonly link: { readonly chainId: string; readonly seq: number } | undefined;
}

/** The segment that was written to when the process ended: a few MiB at most. */
function readTail(path: string, first: number): Tail {
  const bytes = readFileSync(path);
  let end = 0;
  let start = 0;
  let last = first - 1;
  for (let next = bytes.indexOf(NEWLINE); next >= 0; next = bytes.indexOf(NEWLINE, end)) {
    start = end;
    end = next + 1;
    last += 1;
  }
  const link = end === 0 ? undefined : (readLink(bytes, start, end - 1) ?? { chainId: 'no chain', seq: 0 });
  return { last, bytes: end, isTorn: end < bytes.length, link };
}

function readConfirmed(folder: string): number {
  try {
    return Number(CONFIRMED.exec(readFileSync(join(folder, CONFIRMED_FILE), 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
