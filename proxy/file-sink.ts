import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { Buffer } from 'node:buffer';
import { type ChainState, link, startChain } from '#audit/chain.ts';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import { RecordEncoder } from '#audit/record.ts';
import { UUID_RANDOM_BYTES, uuidv7 } from '#audit/uuid.ts';

const STDOUT = 1;
/** Written lines reach the disk at the latest after this. */
const SYNC_DELAY_MS = 200;
const RANDOM_POOL_BYTES = UUID_RANDOM_BYTES * 400;

/** Opens the sink of audit records: a file that is only appended to, created if absent, or stdout. Rejects where it cannot be opened. */
export async function openFileSink(path: string | undefined, productVersion = '0.0.0'): Promise<AuditSink> {
  const sink = new FileSink(path, productVersion);
  sink.open();
  return await Promise.resolve(sink);
}

/**
 * One chain, one write a batch. A batch that does not fit (full disk) is taken back, so that the file ends with a whole line; the next
 * append tries again and, once it works, starts with a `gap` record that says how many records were refused in between. A file that was
 * deleted under us is made anew, and the chain goes on in it: what is gone shows as missing.
 */
class FileSink implements AuditSink {
  readonly #path: string | undefined;
  readonly #encoder: RecordEncoder;
  readonly #random = new Uint8Array(RANDOM_POOL_BYTES);
  #randomUsed = RANDOM_POOL_BYTES;
  #chain: ChainState;
  #fd: number | undefined;
  #isRegular = false;
  /** An unfinished line stands before our next one: what a crash or a failed write left. */
  #afterTorn = false;
  #gapReasons: string[] = [];
  #refusedRecords = 0;
  #writable = true;
  #syncTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(path: string | undefined, productVersion: string) {
    this.#path = path;
    this.#encoder = new RecordEncoder(productVersion);
    this.#chain = startChain(this.#newUid(Date.now()));
  }

  get writable(): boolean {
    return this.#writable;
  }

  /** Throws where it cannot be opened. */
  open(): void {
    if (this.#path === undefined) {
      this.#fd = STDOUT;
      this.#isRegular = fstatSync(STDOUT).isFile();
      return;
    }
    const { O_APPEND, O_CREAT, O_RDWR, O_NONBLOCK } = constants;
    const fd = openSync(this.#path, O_APPEND | O_CREAT | O_RDWR | O_NONBLOCK, 0o600);
    try {
      const { size } = fstatSync(fd);
      this.#isRegular = fstatSync(fd).isFile();
      this.#afterTorn = this.#isRegular && size > 0 && lastByte(fd, size) !== 0x0a;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    if (this.#afterTorn) this.#gapReasons.push('the file ended in an unfinished line');
    this.#fd = fd;
  }

  append(events: readonly AuditEvent[]): boolean {
    if (this.#closed) return false;
    if (events.length === 0) return this.#writable;
    this.#writable = this.#write(events);
    if (!this.#writable) this.#refusedRecords += events.length;
    return this.#writable;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#syncTimer);
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined) return;
    try {
      if (this.#isRegular) fsyncSync(fd);
    } finally {
      if (fd !== STDOUT) closeSync(fd);
    }
    await Promise.resolve();
  }

  #write(events: readonly AuditEvent[]): boolean {
    let before: number;
    try {
      before = this.#sizeOfOpenFile();
    } catch {
      this.#forgetFile();
      return false;
    }
    const fd = this.#fd;
    if (fd === undefined) return false;
    const batch = this.#lines(events);
    const bytes = Buffer.from(batch.text);
    let written = 0;
    try {
      written = writeSync(fd, bytes, 0, bytes.length);
    } catch {
      // Nothing of it is in the file: write(2) fails or writes.
    }
    if (written === bytes.length) {
      this.#chain = batch.chain;
      this.#afterTorn = false;
      this.#gapReasons = [];
      this.#refusedRecords = 0;
      this.#syncSoon();
      return true;
    }
    if (written > 0) this.#takeBack(fd, before, bytes.subarray(0, written), batch.states);
    return false;
  }

  /** Size before the write; opens or opens anew where needed. */
  #sizeOfOpenFile(): number {
    if (this.#fd === undefined) this.open();
    if (!this.#isRegular) return 0;
    const stats = fstatSync(this.#fd ?? -1);
    if (stats.nlink > 0 || this.#fd === STDOUT) return stats.size;
    this.#forgetFile();
    this.#gapReasons.push('the file was deleted');
    this.open();
    return fstatSync(this.#fd ?? -1).size;
  }

  #forgetFile(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined || fd === STDOUT) return;
    try {
      closeSync(fd);
    } catch {
      // The descriptor is given up either way.
    }
  }

  /** A part of the batch was written. Cuts it off again; where that cannot be done the whole lines count as written. */
  #takeBack(fd: number, before: number, written: Uint8Array, states: readonly ChainState[]): void {
    try {
      // Another process may append to the same file: then its lines stand behind ours.
      if (this.#isRegular && fstatSync(fd).size === before + written.length) {
        ftruncateSync(fd, before);
        return;
      }
    } catch {
      // Then the part stays, and the next write starts on a new line.
    }
    let lines = this.#afterTorn ? -1 : 0;
    for (const byte of written) if (byte === 0x0a) lines++;
    this.#chain = states[lines - 1] ?? this.#chain;
    this.#afterTorn = written[written.length - 1] !== 0x0a;
    if (this.#afterTorn) this.#gapReasons.push('a line could not be finished');
  }

  #lines(events: readonly AuditEvent[]): {
    readonly text: string;
    readonly chain: ChainState;
    readonly states: readonly ChainState[];
  } {
    const states: ChainState[] = [];
    let text = this.#afterTorn ? '\n' : '';
    let chain = this.#chain;
    const add = (event: AuditEvent): void => {
      const linked = link(chain, this.#encoder.encode(event, this.#newUid(event.timeMs)));
      text += `${linked.line}\n`;
      chain = linked.state;
      states.push(chain);
    };
    const gap = this.#gap();
    if (gap !== undefined) add(gap);
    for (const event of events) add(event);
    return { text, chain, states };
  }

  #gap(): AuditEvent | undefined {
    if (this.#gapReasons.length === 0 && this.#refusedRecords === 0) return undefined;
    const refused = this.#refusedRecords === 0 ? [] : [`${this.#refusedRecords} records could not be written`];
    const reasons = new Set([...refused, ...this.#gapReasons]);
    return { phase: 'gap', timeMs: Date.now(), reason: [...reasons].join('; ') };
  }

  #newUid(timeMs: number): string {
    if (this.#randomUsed + UUID_RANDOM_BYTES > RANDOM_POOL_BYTES) {
      randomFillSync(this.#random);
      this.#randomUsed = 0;
    }
    const uid = uuidv7(timeMs, this.#random, this.#randomUsed);
    this.#randomUsed += UUID_RANDOM_BYTES;
    return uid;
  }

  #syncSoon(): void {
    if (!this.#isRegular || this.#syncTimer !== undefined) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      const fd = this.#fd;
      if (fd === undefined) return;
      fsync(fd, (error) => {
        if (error === null || this.#fd !== fd || this.#closed) return;
        this.#gapReasons.push('the disk did not confirm what was written');
        this.#writable = false;
        this.#forgetFile();
      });
    }, SYNC_DELAY_MS);
    this.#syncTimer.unref();
  }
}

function lastByte(fd: number, size: number): number | undefined {
  const byte = Buffer.alloc(1);
  return readSync(fd, byte, 0, 1, size - 1) === 1 ? byte[0] : undefined;
}
