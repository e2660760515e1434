import { Buffer } from 'node:buffer';
import { WireError } from './wire-error.ts';

/** What the framer must know of the messages it cuts. */
export interface FrameRules {
  /** Largest length word for a tag; 0 refuses the tag. Asked before anything is buffered. */
  readonly lengthLimit: (tag: number) => number;
  /** A message of this tag and of so many bytes may be delivered in parts. Asked only when it is not complete in one chunk. */
  readonly mayStream: (tag: number, totalBytes: number) => boolean;
}

const HEADER_BYTES = 5;

/**
 * Cuts a byte stream into protocol messages (tag, int32 length that counts itself, body) without copying: a message that is complete in
 * one chunk is a range of that chunk. Only the tail of an incomplete message is copied, so a chunk may be reused after `next()` has
 * answered false. Usage: `push(chunk)`, then `while (next())` read `tag`, `buffer`, `start`, `end`, `remaining`.
 *
 * `remaining` > 0 or `isContinuation`: the range is a part of a streamed message; `remaining` bytes are still to come.
 * Throws WireError on an impossible or too large length and on a refused tag.
 */
export class Framer {
  tag = 0;
  buffer: Buffer = EMPTY;
  /** Offset of the tag byte (of a part: of its first byte). */
  start = 0;
  end = 0;
  remaining = 0;
  isContinuation = false;

  readonly #rules: FrameRules;
  #chunk: Buffer = EMPTY;
  #position = 0;
  /** Copied bytes of a message that began in an earlier chunk; `#storedTotal` is 0 until its header is complete. */
  #store: Buffer = EMPTY;
  #stored = 0;
  #storedTotal = 0;
  #streamRemaining = 0;

  constructor(rules: FrameRules) {
    this.#rules = rules;
  }

  /** Bytes pushed and not yet delivered. */
  get pendingBytes(): number {
    return this.#stored + this.#chunk.length - this.#position;
  }

  /** What is left of the current chunk, and forget it: after a hand-over to TLS or another reader. */
  takeRest(): Buffer {
    const rest = this.#chunk.subarray(this.#position);
    this.#chunk = EMPTY;
    this.#position = 0;
    return rest;
  }

  /** Adds bytes. If the chunk before is not used up, the rest is joined with this one. */
  push(chunk: Buffer): void {
    if (this.#position < this.#chunk.length) {
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#position), chunk]);
    } else {
      this.#chunk = chunk;
    }
    this.#position = 0;
  }

  /** Makes the next message or part current; false: more bytes are needed. */
  next(): boolean {
    const chunk = this.#chunk;
    const start = this.#position;
    const available = chunk.length - start;
    if (this.#streamRemaining > 0) return this.#nextContinuation(chunk, start, available);
    if (this.#stored > 0) return this.#nextStored(chunk, available);
    if (available < HEADER_BYTES) {
      if (available > 0) this.#keep(chunk, start, available);
      return false;
    }
    const tag = chunk[start] as number;
    const total = this.#checkedTotal(tag, chunk, start);
    if (total <= available) {
      this.tag = tag;
      this.buffer = chunk;
      this.start = start;
      this.end = start + total;
      this.remaining = 0;
      this.isContinuation = false;
      this.#position = this.end;
      return true;
    }
    if (this.#rules.mayStream(tag, total)) return this.#beginStream(tag, chunk, start, available, total);
    this.#storedTotal = total;
    this.#keep(chunk, start, available);
    return false;
  }

  /**
   * Makes a run of whole messages of one tag current, one after the other in this chunk: `start` and `end` are those of the run, and the
   * answer is their number. It ends before a message that would exceed one of the limits, of another tag, or not complete: those are for
   * `next()`. 0: no such message comes next.
   */
  nextRun(tag: number, limits: { readonly messages: number; readonly bytes: number }): number {
    if (this.#streamRemaining > 0 || this.#stored > 0) return 0;
    const chunk = this.#chunk;
    const first = this.#position;
    const last = chunk.length - HEADER_BYTES;
    const lengthLimit = this.#rules.lengthLimit(tag);
    let position = first;
    let count = 0;
    while (position <= last && chunk[position] === tag && count < limits.messages) {
      const length =
        ((chunk[position + 1] as number) << 24) |
        ((chunk[position + 2] as number) << 16) |
        ((chunk[position + 3] as number) << 8) |
        (chunk[position + 4] as number);
      const end = position + length + 1;
      if (length < 4 || length > lengthLimit || end > chunk.length || end - first > limits.bytes) break;
      position = end;
      count++;
    }
    if (count === 0) return 0;
    this.tag = tag;
    this.buffer = chunk;
    this.start = first;
    this.end = position;
    this.remaining = 0;
    this.isContinuation = false;
    this.#position = position;
    return count;
  }

  #checkedTotal(tag: number, bytes: Buffer, start: number): number {
    const length =
      ((bytes[start + 1] as number) << 24) |
      ((bytes[start + 2] as number) << 16) |
      ((bytes[start + 3] as number) << 8) |
      (bytes[start + 4] as number);
    const limit = this.#rules.lengthLimit(tag);
    if (limit === 0) throw new WireError('message type not allowed');
    if (length < 4) throw new WireError('message length too small');
    if (length > limit) throw new WireError('message too long');
    return length + 1;
  }

  #beginStream(tag: number, buffer: Buffer, start: number, available: number, total: number): boolean {
    this.tag = tag;
    this.buffer = buffer;
    this.start = start;
    this.end = start + available;
    this.remaining = total - available;
    this.isContinuation = false;
    this.#streamRemaining = this.remaining;
    if (buffer === this.#chunk) this.#position = this.end;
    return true;
  }

  #nextContinuation(chunk: Buffer, start: number, available: number): boolean {
    if (available === 0) return false;
    const taken = Math.min(available, this.#streamRemaining);
    this.#streamRemaining -= taken;
    this.buffer = chunk;
    this.start = start;
    this.end = start + taken;
    this.remaining = this.#streamRemaining;
    this.isContinuation = true;
    this.#position = this.end;
    return true;
  }

  #nextStored(chunk: Buffer, available: number): boolean {
    let left = available;
    if (this.#storedTotal === 0) {
      const taken = Math.min(HEADER_BYTES - this.#stored, left);
      this.#keep(chunk, this.#position, taken);
      left -= taken;
      if (this.#stored < HEADER_BYTES) return false;
      const tag = this.#store[0] as number;
      const total = this.#checkedTotal(tag, this.#store, 0);
      if (total > HEADER_BYTES + left && this.#rules.mayStream(tag, total)) {
        const header = this.#takeStore(HEADER_BYTES);
        return this.#beginStream(tag, header, 0, HEADER_BYTES, total);
      }
      this.#storedTotal = total;
    }
    const taken = Math.min(this.#storedTotal - this.#stored, left);
    this.#keep(chunk, this.#position, taken);
    if (this.#stored < this.#storedTotal) return false;
    this.end = this.#storedTotal;
    this.buffer = this.#takeStore(this.end);
    this.tag = this.buffer[0] as number;
    this.start = 0;
    this.remaining = 0;
    this.isContinuation = false;
    return true;
  }

  /** Copies bytes of the chunk behind those stored; grows by doubling up to the message's length, never to that at once. */
  #keep(chunk: Buffer, start: number, count: number): void {
    const needed = this.#stored + count;
    if (needed > this.#store.length) {
      const doubled = Math.max(needed, this.#store.length * 2, 64);
      const grown = Buffer.allocUnsafe(this.#storedTotal === 0 ? doubled : Math.min(doubled, this.#storedTotal));
      this.#store.copy(grown, 0, 0, this.#stored);
      this.#store = grown;
    }
    chunk.copy(this.#store, this.#stored, start, start + count);
    this.#stored = needed;
    this.#position = start + count;
  }

  #takeStore(length: number): Buffer {
    const bytes = this.#store.subarray(0, length);
    this.#store = EMPTY;
    this.#stored = 0;
    this.#storedTotal = 0;
    return bytes;
  }
}

const EMPTY = Buffer.alloc(0);
