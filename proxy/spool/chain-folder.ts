/**
 * One chain in the spool: `<spool>/<chain id>/<first seq>.ndjson`, segments whose lines follow each other. Knows what of it is confirmed,
 * reads what comes next, and deletes what nobody needs any more. `confirmed` beside the segments holds the number of the last record that
 * is in S3, so that a restart does not send all of them again; it may lag behind: records are sent at least once.
 */
import { mkdirSync, openSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PendingAge } from './pending-age.ts';
import { firstLines, offsetOfLine, readLines } from './read-lines.ts';

/** Bytes of all chains of a spool. */
export interface SpoolUsage {
  bytes: number;
}

export interface Segment {
  readonly path: string;
  readonly first: number;
  /** Number of its last whole line; `first - 1` while it has none. */
  last: number;
  /** Of its whole lines. */
  bytes: number;
  /** Somebody took the file away, and the record says so. */
  isGone: boolean;
}

/** Whole lines of one segment that follow each other. */
export interface Batch {
  readonly segment: Segment;
  readonly lines: Buffer;
  readonly first: number;
  readonly last: number;
  /** Of the first line, in the segment. */
  readonly offset: number;
}

/** `lost`: lines that were written and are not there any more; `isKnown`: the record says so already. */
export type NextBatch =
  | ({ readonly kind: 'batch' } & Batch)
  | { readonly kind: 'lost'; readonly first: number; readonly last: number; readonly isKnown: boolean };

interface Waiter {
  readonly seq: number;
  readonly resolve: () => void;
}

/** Named so in the folder of a chain. */
export const CONFIRMED_FILE = 'confirmed';

export interface ChainFolderOptions {
  readonly id: string;
  readonly folder: string;
  readonly usage: SpoolUsage;
  readonly segments: readonly Segment[];
  readonly confirmedSeq: number;
  /** An open segment whose lines are all confirmed is given up for a new one from here on, so that what is full gets room. */
  readonly worthDeletingBytes: number;
  /** Of what is found there, on the clock of `performance.now`. */
  readonly sinceMs?: number;
}

export class ChainFolder {
  readonly id: string;
  readonly folder: string;
  readonly #usage: SpoolUsage;
  readonly #worthDeletingBytes: number;
  /** In order. */
  #segments: readonly Segment[];
  /** Is written to. */
  #open: Segment | undefined;
  /** Lines up to here are confirmed, refused or lost. */
  #passed: number;
  /** Where the next line begins, if known. */
  #offset: { readonly segment: Segment; readonly bytes: number } | undefined;
  #refused: readonly Batch[] = [];
  #lost: readonly { readonly first: number; readonly last: number }[] = [];
  #waiters: readonly Waiter[] = [];
  #savedSeq: number;
  readonly #age = new PendingAge();

  constructor(given: ChainFolderOptions) {
    this.id = given.id;
    this.folder = given.folder;
    this.#usage = given.usage;
    this.#worthDeletingBytes = given.worthDeletingBytes;
    this.#segments = given.segments;
    this.#passed = Math.max(given.confirmedSeq, (given.segments[0]?.first ?? 1) - 1);
    this.#savedSeq = given.confirmedSeq;
    for (const segment of given.segments) this.#usage.bytes += segment.bytes;
    this.#sweep();
    if (this.hasUnsent && given.sinceMs !== undefined) this.#age.written(this.#passed + 1, given.sinceMs);
  }

  get lastSeq(): number {
    return Math.max(this.#passed, this.#segments.at(-1)?.last ?? 0);
  }

  /** All records up to this one are confirmed, or lost. */
  get confirmedSeq(): number {
    return Math.min(this.#passed, ...this.#refused.map(({ first }) => first - 1));
  }

  get hasUnsent(): boolean {
    return this.lastSeq > this.#passed;
  }

  get hasRefused(): boolean {
    return this.#refused.length > 0;
  }

  get hasWaiters(): boolean {
    return this.#waiters.length > 0;
  }

  /** Bytes of lines that are not confirmed. */
  get pendingBytes(): number {
    const { confirmedSeq } = this;
    let sum = 0;
    for (const segment of this.#segments) if (segment.last > confirmedSeq) sum += segment.bytes;
    const passed = this.#offset;
    if (passed === undefined || this.hasRefused || passed.segment.last <= confirmedSeq) return sum;
    return Math.max(0, sum - passed.bytes);
  }

  /** When the oldest line that is not confirmed was written, on the clock of `performance.now`. */
  get pendingSinceMs(): number | undefined {
    return this.lastSeq > this.confirmedSeq ? this.#age.oldestMs : undefined;
  }

  /** Whether lines may still be added to this segment. */
  isOpen(segment: Segment): boolean {
    return this.#open === segment;
  }

  /** Makes the next segment and opens it for writing. Throws where the disk does not take it. */
  begin(first: number): { readonly segment: Segment; readonly fd: number } {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const segment: Segment = { path: this.#path(`${first}.ndjson`), first, last: first - 1, bytes: 0, isGone: false };
    // A file of that name can only be what a failed attempt left: nobody was told that it holds a record.
    rmSync(segment.path, { force: true });
    const fd = openSync(segment.path, 'ax', 0o600);
    this.#segments = [...this.#segments.filter((earlier) => earlier.last >= earlier.first), segment];
    this.#open = segment;
    return { segment, fd };
  }

  /** Lines were added to the open segment. */
  written(segment: Segment, last: number, bytes: number): void {
    this.#age.written(segment.last + 1, performance.now());
    segment.last = last;
    segment.bytes += bytes;
    this.#usage.bytes += bytes;
  }

  /** Nothing more is added to the open segment. */
  end(): void {
    this.#open = undefined;
    this.#sweep();
  }

  /** The open segment's file is not there any more. Gives how many lines went with it that were not confirmed. */
  endGone(segment: Segment): number {
    this.#open = undefined;
    segment.isGone = true;
    this.#usage.bytes -= segment.bytes;
    segment.bytes = 0;
    const lost = Math.max(0, segment.last - Math.max(this.#passed, segment.first - 1));
    this.#sweep();
    return lost;
  }

  /** What comes next, at most `maxBytes` (a longer line alone); undefined: nothing. Rejects where it cannot be read now. */
  async next(maxBytes: number): Promise<NextBatch | undefined> {
    const segment = this.#segments.find(({ last }) => last > this.#passed);
    if (segment === undefined) return undefined;
    const first = this.#passed + 1;
    const { last, bytes: end } = segment;
    if (segment.first > first) return { kind: 'lost', first, last: segment.first - 1, isKnown: false };
    if (segment.isGone) return { kind: 'lost', first, last, isKnown: true };
    try {
      const offset =
        this.#offset?.segment === segment
          ? this.#offset.bytes
          : await offsetOfLine(segment.path, first - segment.first);
      if (offset === undefined) return { kind: 'lost', first, last, isKnown: false };
      const { lines, count } = await readLines(segment.path, { offset, end, maxBytes, maxLines: last - first + 1 });
      if (count === 0) return { kind: 'lost', first, last, isKnown: segment.isGone };
      return { kind: 'batch', segment, lines, first, last: first + count - 1, offset };
    } catch (error) {
      if (isAbsent(error)) return { kind: 'lost', first, last, isKnown: segment.isGone };
      throw error;
    }
  }

  /** The oldest batch that was refused, to be tried again. */
  async nextRefused(): Promise<NextBatch | undefined> {
    const [refused] = this.#refused;
    if (refused === undefined) return undefined;
    const { segment, first, last, offset } = refused;
    try {
      const range = { offset, end: segment.bytes, maxBytes: Math.max(1, segment.bytes), maxLines: last - first + 1 };
      const { lines, count } = await readLines(segment.path, range);
      if (count === last - first + 1) return { kind: 'batch', segment, lines, first, last, offset };
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    return { kind: 'lost', first, last, isKnown: segment.isGone };
  }

  /** The lines of a batch up to `seq` are in S3. */
  confirm(batch: Batch, seq: number): void {
    if (this.#isRefused(batch)) {
      if (seq === batch.last) this.#refused = this.#refused.filter(({ first }) => first !== batch.first);
    } else {
      this.#pass(batch, seq);
    }
    this.#settle();
  }

  /** The collector does not take it: it is kept, what follows goes on. */
  refuse(batch: Batch): void {
    if (this.#isRefused(batch)) {
      // To the end of the queue.
      const others = this.#refused.filter(({ first }) => first !== batch.first);
      this.#refused = [...others, { ...batch, lines: Buffer.alloc(0) }];
      return;
    }
    this.#pass(batch, batch.last);
    this.#refused = [...this.#refused, { ...batch, lines: Buffer.alloc(0) }];
  }

  /** These lines are not there any more. */
  lose(first: number, last: number): void {
    this.#refused = this.#refused.filter((batch) => batch.first < first || batch.last > last);
    this.#lost = [...this.#lost, { first, last }];
    this.#waiters = this.#waiters.filter(({ seq }) => seq < first || seq > last);
    if (last > this.#passed) {
      this.#passed = last;
      this.#offset = undefined;
    }
    this.#settle();
  }

  /** Resolves when the line is in S3; never where it was lost. */
  async whenConfirmed(seq: number): Promise<void> {
    if (this.#lost.some(({ first, last }) => seq >= first && seq <= last)) await new Promise<never>(() => undefined);
    if (seq <= this.confirmedSeq) return;
    await new Promise<void>((resolve) => {
      this.#waiters = [...this.#waiters, { seq, resolve }];
    });
  }

  /** Deletes the folder where all of it is confirmed; `false`: it is not, or the disk does not let go of it. */
  removeIfConfirmed(): boolean {
    if (this.hasUnsent || this.hasRefused) return false;
    try {
      rmSync(this.folder, { recursive: true, force: true });
    } catch {
      return false;
    }
    for (const segment of this.#segments) this.#usage.bytes -= segment.bytes;
    this.#segments = [];
    return true;
  }

  #isRefused(batch: Batch): boolean {
    return this.#refused.some(({ first }) => first === batch.first);
  }

  #pass(batch: Batch, seq: number): void {
    const { length } = seq === batch.last ? batch.lines : firstLines(batch.lines, seq - batch.first + 1);
    this.#passed = seq;
    this.#offset = { segment: batch.segment, bytes: batch.offset + length };
  }

  #settle(): void {
    const { confirmedSeq } = this;
    this.#age.confirmed(confirmedSeq, this.lastSeq);
    this.#save(confirmedSeq);
    this.#sweep();
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter(({ seq }) => seq <= confirmedSeq);
    this.#waiters = this.#waiters.filter(({ seq }) => seq > confirmedSeq);
    for (const { resolve } of due) resolve();
  }

  #save(confirmedSeq: number): void {
    if (confirmedSeq <= this.#savedSeq) return;
    try {
      writeFileSync(this.#path(CONFIRMED_FILE), `${confirmedSeq}\n`, { mode: 0o600 });
      this.#savedSeq = confirmedSeq;
    } catch {
      // Without it a restart sends more than it has to.
    }
  }

  /** Deletes segments that hold nothing but confirmed lines. */
  #sweep(): void {
    const refused = new Set(this.#refused.map(({ segment }) => segment));
    this.#segments = this.#segments.filter((segment) => {
      if (segment.last < segment.first || segment.last > this.#passed || refused.has(segment)) return true;
      const isOpen = segment === this.#open;
      if (isOpen && segment.bytes < this.#worthDeletingBytes) return true;
      try {
        if (!segment.isGone) unlinkSync(segment.path);
      } catch (error) {
        if (!isAbsent(error)) return true;
      }
      if (isOpen) this.#open = undefined;
      this.#usage.bytes -= segment.bytes;
      return false;
    });
  }

  #path(name: string): string {
    return join(this.folder, name);
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
