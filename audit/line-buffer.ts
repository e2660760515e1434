import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';

const START_BYTES = 16 * 1024;
/** A larger buffer is not kept for the next batch. */
const KEEP_BYTES = 1024 * 1024;
/** UTF-8 takes at most three bytes for a UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;
/** From here on the engine's own encoder is faster than a loop. */
const SHORT_TEXT = 48;
const HASH_MEMBER_START = Buffer.from('"hash":"sha256:');
const HASH_MEMBER_BYTES = HASH_MEMBER_START.length + 66;

/** Collects the lines of one batch as the bytes that will be written, so that each byte is encoded once, for hash and file. */
export class LineBuffer {
  #bytes = Buffer.allocUnsafeSlow(START_BYTES);
  #length = 0;
  #lineStart = 0;

  /** Text that is already encoded. */
  add(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  addText(text: string): void {
    this.#reserve(text.length * MAX_BYTES_PER_UNIT);
    if (text.length <= SHORT_TEXT && this.#addAscii(text)) return;
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** Short ASCII text; false: it is not, and nothing was added. */
  #addAscii(text: string): boolean {
    const bytes = this.#bytes;
    const start = this.#length;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      bytes[start + index] = code;
    }
    this.#length = start + text.length;
    return true;
  }

  /** A whole number that is not negative. */
  addNumber(value: number): void {
    this.#reserve(20);
    let rest = value;
    let digits = 1;
    for (let limit = 10; limit <= value; limit *= 10) digits += 1;
    for (let index = this.#length + digits - 1; index >= this.#length; index--) {
      const tens = Math.floor(rest / 10);
      this.#bytes[index] = 0x30 + rest - tens * 10;
      rest = tens;
    }
    this.#length += digits;
  }

  /** Where the next byte goes, within the line. */
  get position(): number {
    return this.#length - this.#lineStart;
  }

  /**
   * Ends a line: hashes it (SHA-256), puts `"hash":"sha256:…",` in at `position` and adds a line end. Gives the 64 digits of the hash.
   */
  endLine(position: number): string {
    this.#reserve(HASH_MEMBER_BYTES + 1);
    const bytes = this.#bytes;
    const end = this.#length;
    const digits = hash('sha256', bytes.subarray(this.#lineStart, end), 'hex');
    const middle = this.#lineStart + position;
    bytes.copyWithin(middle + HASH_MEMBER_BYTES, middle, end);
    bytes.set(HASH_MEMBER_START, middle);
    this.#length = middle + HASH_MEMBER_START.length;
    this.addText(`${digits}",`);
    bytes[end + HASH_MEMBER_BYTES] = 0x0a;
    this.#length = end + HASH_MEMBER_BYTES + 1;
    this.#lineStart = this.#length;
    return digits;
  }

  /** The lines since the last take; valid until something is added. */
  take(): Buffer {
    const lines = this.#bytes.subarray(0, this.#lineStart);
    this.#length = 0;
    this.#lineStart = 0;
    if (this.#bytes.length > KEEP_BYTES) this.#bytes = Buffer.allocUnsafeSlow(START_BYTES);
    return lines;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
