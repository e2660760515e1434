/**
 * Writes the lines of this process's chain into segments, within the spool's limit. All or nothing: what a failing disk took of a batch is
 * cut off again, or the segment is given up behind its last good line.
 */
import { close, fstatSync, fsync, ftruncateSync, statSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Gap, RecordTarget } from '#audit/file-sink.ts';
import type { ChainFolder, Segment, SpoolUsage } from './chain-folder.ts';

const NEWLINE = 0x0a;
/** How often a segment that was moved away or deleted is noticed. */
const identityCheckMs = 20;
/** For the record that ends the chain: the part of the volume that is left free has room for it. */
const lastRecordBytes = 64 * 1024;

export interface SegmentTargetOptions {
  readonly chain: ChainFolder;
  readonly usage: SpoolUsage;
  /** Of all chains in the spool. */
  readonly limitBytes: number;
  /** From here on a new segment begins. */
  readonly segmentBytes: number;
  /** A longer line, its end included, is not taken: it could never be delivered, and its statement would run without a record in S3. */
  readonly maxLineBytes: number;
  /** What the chain begins with, should an earlier process have left something. */
  readonly gap: Gap | undefined;
  readonly onWritten: () => void;
}

export class SegmentTarget implements RecordTarget {
  readonly #options: SegmentTargetOptions;
  #limitBytes: number;
  #gap: Gap | undefined;
  #current: { readonly segment: Segment; readonly fd: number } | undefined;
  #checkedMs = 0;

  constructor(options: SegmentTargetOptions) {
    this.#options = options;
    this.#limitBytes = options.limitBytes;
    this.#gap = options.gap;
  }

  /** The record that ends the chain may go beyond the limit. */
  allowLastRecord(): void {
    this.#limitBytes = this.#options.limitBytes + lastRecordBytes;
  }

  open(): void {
    this.#requireRoom(0);
  }

  pendingGap(): Gap | undefined {
    this.#endIfGone();
    return this.#gap;
  }

  write(bytes: Buffer, firstSeq: number, lastSeq: number): void {
    try {
      this.#requireRoom(bytes.length);
      if (hasLongLine(bytes, this.#options.maxLineBytes)) throw new Error('a record is too large to be delivered');
      const { segment, fd } = this.#openSegment(firstSeq);
      this.#writeAll(fd, segment, bytes);
      this.#options.chain.written(segment, lastSeq, bytes.length);
    } catch (error) {
      // Whatever is not written from now on is missed by somebody: a heartbeat, the completion of a statement.
      this.#gap ??= { reason: 'unwritable' };
      throw error;
    }
    this.#gap = undefined;
    this.#options.onWritten();
  }

  sync(): void {
    if (this.#current !== undefined) fsync(this.#current.fd, () => undefined);
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) await syncAndClose(current.fd);
  }

  #requireRoom(bytes: number): void {
    if (this.#options.usage.bytes + bytes > this.#limitBytes) throw new Error('the spool is full');
  }

  #openSegment(firstSeq: number): { readonly segment: Segment; readonly fd: number } {
    const { chain, segmentBytes } = this.#options;
    const current = this.#current;
    if (current !== undefined && chain.isOpen(current.segment) && current.segment.bytes < segmentBytes) return current;
    const next = chain.begin(firstSeq);
    if (current !== undefined) void syncAndClose(current.fd);
    this.#current = next;
    this.#checkedMs = performance.now();
    return next;
  }

  #writeAll(fd: number, segment: Segment, bytes: Buffer): void {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(fd, bytes, written);
    } catch (error) {
      if (written > 0) this.#cutOff(fd, segment);
      throw error;
    }
  }

  #cutOff(fd: number, segment: Segment): void {
    try {
      ftruncateSync(fd, segment.bytes);
    } catch {
      // INVARIANT: nothing is ever written behind a torn line; readers stop at the segment's last good one.
      this.#current = undefined;
      this.#options.chain.end();
      void syncAndClose(fd);
    }
  }

  /** A file that was deleted or moved takes writes without an error, and keeps nothing: looked for often, not at every record. */
  #endIfGone(): void {
    const current = this.#current;
    const now = performance.now();
    if (current === undefined || now - this.#checkedMs < identityCheckMs) return;
    this.#checkedMs = now;
    const { chain } = this.#options;
    const { segment, fd } = current;
    if (!chain.isOpen(segment)) return;
    const named = statSync(segment.path, { throwIfNoEntry: false });
    const held = fstatSync(fd);
    if (named !== undefined && named.ino === held.ino && named.dev === held.dev && held.size === segment.bytes) return;
    const lost = chain.endGone(segment);
    this.#gap = { reason: 'file_replaced', lost, after: { chain: chain.id, seq: segment.last - lost } };
    this.#current = undefined;
    void syncAndClose(fd);
  }
}

function hasLongLine(lines: Buffer, maxBytes: number): boolean {
  if (lines.length <= maxBytes) return false;
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(NEWLINE, start) + 1;
    if (end === 0 || end - start > maxBytes) return true;
    start = end;
  }
  return false;
}

const syncFile = promisify(fsync);
const closeFile = promisify(close);

async function syncAndClose(fd: number): Promise<void> {
  await syncFile(fd).catch(() => undefined);
  await closeFile(fd).catch(() => undefined);
}
