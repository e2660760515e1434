import type { Buffer } from 'node:buffer';

/** Bytes to be written, as ranges of the buffers they came in where possible: neighbouring ranges of one buffer become one. */
export class ByteQueue {
  #segments: Buffer[] = [];
  #length = 0;
  /** The range that may still grow. */
  #open: Buffer | undefined;
  #openStart = 0;
  #openEnd = 0;

  get length(): number {
    return this.#length;
  }

  /** Adds `buffer[start, end)` without copying. */
  pass(buffer: Buffer, start: number, end: number): void {
    this.#length += end - start;
    if (this.#open === buffer && this.#openEnd === start) {
      this.#openEnd = end;
      return;
    }
    this.#close();
    this.#open = buffer;
    this.#openStart = start;
    this.#openEnd = end;
  }

  push(bytes: Buffer): void {
    this.pass(bytes, 0, bytes.length);
  }

  #close(): void {
    if (this.#open === undefined) return;
    const whole = this.#openStart === 0 && this.#openEnd === this.#open.length;
    this.#segments.push(whole ? this.#open : this.#open.subarray(this.#openStart, this.#openEnd));
    this.#open = undefined;
  }

  /** Takes all bytes out. */
  take(): readonly Buffer[] {
    this.#close();
    const segments = this.#segments;
    this.#segments = [];
    this.#length = 0;
    return segments;
  }

  /** Forgets the bytes behind the first `length`. */
  truncate(length: number): void {
    this.#close();
    const kept: Buffer[] = [];
    let left = length;
    for (const segment of this.#segments) {
      if (left <= 0) break;
      kept.push(segment.length <= left ? segment : segment.subarray(0, left));
      left -= segment.length;
    }
    this.#segments = kept;
    this.#length = Math.min(this.#length, length);
  }
}
