/**
 * The first half of a check: the bytes of one file or object → runs, stretches of consecutive records of one chain whose hashes fit, and what
 * is wrong within them. Pure, and apart from what other objects hold, so that many can be read at once; audit/verify.ts joins the runs.
 */
import { Buffer } from 'node:buffer';
import { type Finding, FindingList } from './finding.ts';
import { type Link, readLink } from './link.ts';

/** Consecutive records of one chain, as they stand in one object. */
export interface Run {
  readonly chain: string;
  readonly first: number;
  readonly last: number;
  /** What record `first` names as the hash before it. */
  readonly firstPrev: string;
  /** Hash of record `last`. */
  readonly lastHash: string;
  /** Unix milliseconds. */
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  /** Lines of the first and the last record, from 1. */
  readonly line: number;
  readonly lastLine: number;
  /** The last record ends the chain. */
  readonly isEnd: boolean;
  /** UID of the pod, as the first record has it. */
  readonly instanceUid: string;
  /** The object already holds records of this chain with these or higher numbers. */
  readonly isBackward: boolean;
}

/** A gap record: where a chain says that something is not in it, or that it goes on from another. */
export interface GapNote {
  readonly chain: string;
  readonly seq: number;
  readonly reason: string;
  readonly lost: number;
  readonly after: { readonly chain: string; readonly seq: number } | undefined;
  readonly instanceUid: string;
}

export interface Scan {
  readonly records: number;
  readonly lines: number;
  /** In the order in which they began. */
  readonly runs: readonly Run[];
  readonly gaps: readonly GapNote[];
  readonly findings: readonly Finding[];
  readonly findingCount: number;
}

/** A heartbeat comes every 10 s; three in a row may be late on a busy node. */
const MAX_SILENCE_MS = 40_000;
const MAX_FINDINGS = 1_000;
const MAX_GAPS = 10_000;
const NEWLINE = 0x0a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const QUOTE = 0x22;
const GAP_END = /"phase":"gap","reason":"[a-z_]{1,40}"\}\}$/;
const GAP_END_BYTES = 80;

/** The words for a silence before a record; undefined: there was none. */
export function silenceBefore(beforeMs: number, timeMs: number, seq: number): string | undefined {
  const silentMs = timeMs - beforeMs;
  return silentMs > MAX_SILENCE_MS
    ? `no heartbeat for ${Math.round(silentMs / 1_000)} s before record ${seq}`
    : undefined;
}

type OpenRun = { -readonly [Key in keyof Run]: Run[Key] };

/** Takes the bytes of one object in order, in pieces of any length. */
export class LineScan {
  readonly #name: string;
  readonly #runs: OpenRun[] = [];
  readonly #open = new Map<string, OpenRun>();
  readonly #highest = new Map<string, number>();
  readonly #gaps: GapNote[] = [];
  readonly #findings = new FindingList(MAX_FINDINGS);
  #rest: Buffer | undefined;
  #lines = 0;
  #records = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** The piece may be kept until the next one comes. */
  add(piece: Buffer): void {
    const rest = this.#rest;
    const bytes = rest === undefined ? piece : Buffer.concat([rest, piece]);
    let start = 0;
    // What was left over holds no line end.
    for (let end = bytes.indexOf(NEWLINE, rest?.length ?? 0); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#line(bytes.subarray(start, end), true);
      start = end + 1;
    }
    this.#rest = start < bytes.length ? bytes.subarray(start) : undefined;
  }

  /** Ends the object. */
  finish(): Scan {
    if (this.#rest !== undefined) this.#line(this.#rest, false);
    this.#rest = undefined;
    const { kept: findings, count: findingCount } = this.#findings;
    const [records, lines] = [this.#records, this.#lines];
    return { records, lines, runs: this.#runs, gaps: this.#gaps, findings, findingCount };
  }

  #line(line: Buffer, isTerminated: boolean): void {
    this.#lines += 1;
    if (line.length === 0) return this.#find('unreadable', undefined, 'empty line');
    const link = readLink(line, 0, line.length);
    if (!isTerminated || line[0] !== OPEN || line[line.length - 1] !== CLOSE)
      return this.#find('cut_off', link, 'the line is cut off');
    if (link === undefined)
      return this.#find('unreadable', undefined, 'no record of a chain: it was not written by Postern');
    this.#records += 1;
    if (link.computed !== link.hash)
      this.#find('changed', link, `record ${link.seq} was changed: its hash does not fit`);
    this.#follow(link);
    if (line[line.length - 3] === QUOTE) this.#readGap(line, link);
  }

  #follow(link: Link): void {
    const run = this.#open.get(link.chainId);
    const highest = this.#highest.get(link.chainId) ?? 0;
    // A repeated stretch that goes on into new records is two runs: one of what was there before, one of what is new.
    if (run === undefined || link.seq !== run.last + 1 || (run.isBackward && run.last === highest)) {
      this.#begin(link, link.seq <= highest);
      return;
    }
    if (run.isEnd) this.#find('changed', link, `record ${link.seq} stands behind the end of its chain`);
    if (link.prev !== run.lastHash)
      this.#find('changed', link, `record ${link.seq} does not follow record ${run.last} as it stands`);
    const silence = silenceBefore(run.lastTimeMs, link.timeMs, link.seq);
    if (silence !== undefined) this.#find('silent', link, silence);
    run.last = link.seq;
    run.lastHash = link.hash;
    run.lastTimeMs = link.timeMs;
    run.lastLine = this.#lines;
    run.isEnd = link.isEnd;
    if (link.seq > highest) this.#highest.set(link.chainId, link.seq);
  }

  #begin(link: Link, isBackward: boolean): void {
    const { chainId: chain, seq, timeMs, isEnd, instanceUid } = link;
    const line = this.#lines;
    const run: OpenRun = {
      ...{ chain, first: seq, last: seq, firstPrev: link.prev, lastHash: link.hash },
      ...{ firstTimeMs: timeMs, lastTimeMs: timeMs, line, lastLine: line, isEnd, instanceUid, isBackward },
    };
    this.#runs.push(run);
    this.#open.set(chain, run);
    if (!isBackward) this.#highest.set(chain, seq);
  }

  #readGap(line: Buffer, { chainId, seq, instanceUid }: Link): void {
    const end = line.toString('latin1', Math.max(0, line.length - GAP_END_BYTES));
    if (!GAP_END.test(end) || this.#gaps.length >= MAX_GAPS) return;
    const gap = parseGap(line);
    if (gap !== undefined) this.#gaps.push({ chain: chainId, seq, instanceUid, ...gap });
  }

  #find(kind: Finding['kind'], link: Link | undefined, message: string): void {
    this.#findings.add({ kind, file: this.#name, line: this.#lines, chain: link?.chainId, seq: link?.seq, message });
  }
}

function parseGap(line: Buffer): Pick<GapNote, 'reason' | 'lost' | 'after'> | undefined {
  try {
    const { unmapped } = JSON.parse(line.toString('utf8')) as { readonly unmapped?: Partial<GapNote> };
    const after = unmapped?.after;
    const isSound = typeof after?.chain === 'string' && typeof after.seq === 'number';
    const lost = typeof unmapped?.lost === 'number' ? unmapped.lost : 0;
    return {
      reason: String(unmapped?.reason),
      lost,
      after: isSound ? { chain: after.chain, seq: after.seq } : undefined,
    };
  } catch {
    return undefined;
  }
}
