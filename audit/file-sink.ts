/**
 * Audit records to a file or to standard output. One write for each batch, all or nothing: what a failing disk took of a batch is cut off
 * again, and the sink says so, so that nothing is forwarded unrecorded. Written, not synced, before `append` returns (a killed process
 * loses nothing); the file is synced a few times a second for the machine's sake.
 */
import { randomBytes, randomFillSync } from 'node:crypto';
import { closeSync, fstatSync, fsync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { chainEvents, newChain, type ChainState } from './chain.ts';
import type { AuditEvent, AuditSink } from './event.ts';
import { LineBuffer } from './line-buffer.ts';
import { uuidv7 } from './uuid.ts';

const SYNC_INTERVAL_MS = 200;
/** How often a file that was moved away or deleted is noticed. */
const IDENTITY_CHECK_MS = 20;
const STDOUT = 1;
const NEWLINE = 10;
const MAX_STDOUT_WAITS = 200;

/** Random bytes in advance: one system call for many identifiers. */
class UidSource {
  readonly #pool = Buffer.alloc(4_096);
  #at = 4_096;

  next(timeMs: number): string {
    if (this.#at + 10 > this.#pool.length) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    const uid = uuidv7(timeMs, this.#pool, this.#at);
    this.#at += 10;
    return uid;
  }
}

export interface FileSinkOptions {
  readonly productVersion?: string;
  /** UID of the pod; default empty. */
  readonly instanceUid?: string;
  /** A UUID; default a fresh one. */
  readonly chainId?: string;
  readonly nowMs?: () => number;
}

/** Opens a sink; without a path records go to standard output. Throws where the file cannot be opened at start. */
export async function openFileSink(path: string | undefined, options: FileSinkOptions = {}): Promise<AuditSink> {
  const target = path === undefined ? stdoutTarget() : fileTarget(path);
  target.open();
  return new ChainSink(target, options);
}

/** A gap event without its time. */
export type Gap = Omit<Extract<AuditEvent, { readonly phase: 'gap' }>, 'phase' | 'timeMs'>;

/** Where the lines of a chain are kept. */
export interface RecordTarget {
  /** Before the first write, and again after one that failed; throws where it cannot take lines now. */
  open(): void;
  /** Writes all or nothing; throws where it could not. The numbers are those of the first and the last line. */
  write(bytes: Buffer, firstSeq: number, lastSeq: number): void;
  sync(): void;
  close(): Promise<void>;
  /** What the next write must begin with; the same until a write has worked. */
  pendingGap(): Gap | undefined;
}

/** Chains events and writes them to a target. */
export class ChainSink implements AuditSink {
  readonly #target: RecordTarget;
  readonly #uids = new UidSource();
  readonly #lines = new LineBuffer();
  readonly #nextUid = (timeMs: number): string => this.#uids.next(timeMs);
  readonly #nowMs: () => number;
  readonly #timer: NodeJS.Timeout;
  #state: ChainState;
  #writable = true;
  #dirty = false;

  constructor(target: RecordTarget, options: FileSinkOptions) {
    this.#target = target;
    const productVersion = options.productVersion ?? '0.1.0';
    this.#nowMs = options.nowMs ?? Date.now;
    this.#state = newChain({
      chainId: options.chainId ?? uuidv7(this.#nowMs(), randomBytes(10)),
      productVersion,
      instanceUid: options.instanceUid ?? '',
    });
    this.#timer = setInterval(() => this.#sync(), SYNC_INTERVAL_MS);
    this.#timer.unref();
  }

  get writable(): boolean {
    return this.#writable;
  }

  get lastSeq(): number {
    return this.#state.seq;
  }

  append(events: readonly AuditEvent[]): boolean {
    try {
      if (!this.#writable) this.#target.open();
      const gap = this.#target.pendingGap();
      const all: readonly AuditEvent[] =
        gap === undefined ? events : [{ phase: 'gap', timeMs: this.#nowMs(), ...gap }, ...events];
      const state = chainEvents(this.#state, all, this.#lines, this.#nextUid);
      this.#target.write(this.#lines.take(), this.#state.seq + 1, state.seq);
      this.#state = state;
      this.#writable = true;
      this.#dirty = true;
    } catch {
      // The caller learns by the answer; the next append tries again. INVARIANT: the chain's state is unchanged.
      this.#writable = false;
      this.#lines.take();
    }
    return this.#writable;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#sync();
    await this.#target.close();
  }

  #sync(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#target.sync();
  }
}

/** Ends a torn last line (a crash in the middle of a write), so that the next record stands on a line of its own. */
function endTornLine(fd: number, size: number): boolean {
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  readSync(fd, last, 0, 1, size - 1);
  if (last[0] === NEWLINE) return false;
  writeSync(fd, '\n', size);
  return true;
}

function fileTarget(path: string): RecordTarget {
  let fd: number | undefined;
  let size = 0;
  let isRegular = true;
  let gap: Gap | undefined;
  let checkedAt = 0;
  const close = (): void => {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  };
  const open = (): void => {
    close();
    const opened = openSync(path, 'a+', 0o600);
    const status = fstatSync(opened);
    isRegular = status.isFile();
    size = isRegular ? status.size : 0;
    if (isRegular && endTornLine(opened, size)) {
      size += 1;
      gap = { reason: 'torn_line' };
    }
    fd = opened;
    checkedAt = performance.now();
  };
  /** A file that was deleted or moved takes writes without an error, and keeps nothing: looked for often, not at every record. */
  const reopenIfGone = (): void => {
    const now = performance.now();
    if (fd === undefined || !isRegular) return;
    if (now - checkedAt < IDENTITY_CHECK_MS) return;
    checkedAt = now;
    const named = statSync(path, { throwIfNoEntry: false });
    const held = fstatSync(fd);
    if (named === undefined || named.ino !== held.ino || named.dev !== held.dev) {
      open();
      gap = { reason: 'file_replaced' };
    }
  };
  return {
    open,
    close: () => Promise.resolve(close()),
    pendingGap: () => {
      reopenIfGone();
      return gap;
    },
    write: (bytes) => {
      if (fd === undefined) throw new Error('the audit file is not open');
      let written = 0;
      try {
        while (written < bytes.length) written += writeSync(fd, bytes, written);
      } catch (error) {
        if (isRegular && written > 0) ftruncateSync(fd, size);
        throw error;
      }
      size += bytes.length;
      gap = undefined;
    },
    sync: () => {
      if (fd !== undefined) fsync(fd, () => undefined);
    },
  };
}

function stdoutTarget(): RecordTarget {
  return {
    open: () => undefined,
    close: () => Promise.resolve(),
    pendingGap: () => undefined,
    sync: () => undefined,
    write: (bytes) => {
      let written = 0;
      let waits = 0;
      while (written < bytes.length) {
        try {
          written += writeSync(STDOUT, bytes, written);
        } catch (error) {
          // A pipe may be full for a moment; a record that is begun must be finished.
          const full = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
          waits += 1;
          if (!full || (written === 0 && waits > MAX_STDOUT_WAITS)) throw error;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        }
      }
    },
  };
}
