import { Buffer } from 'node:buffer';

/**
 * A cache key that is blind to literals. It reads a deliberately small, safe subset of SQL's lexical grammar and gives up on everything
 * else (then the exact text is the key): ASCII only, plain '...' strings without backslash, whole numbers of up to nine digits; no
 * comments, no dollar quotes, no E'', U&'', B'', X'' or N'' strings, no strings continued over lines. Zero and the empty string stay in
 * the key, since a parse tree shows them differently. It never decides anything: two texts of one shape differ only in the values of
 * the literals cut out.
 */

const MAX_LITERALS = 64;
const MAX_TEXT_BYTES = 8192;
const NUMBER_MARK = 1;
const STRING_MARK = 2;

/** Character classes of ASCII bytes. */
const OTHER = 0;
const SPACE = 1;
const WORD = 2;
const DIGIT = 3;
const REFUSED = 4;

const classOf = new Uint8Array(256).fill(REFUSED);
for (let byte = 0x20; byte < 0x7f; byte++) classOf[byte] = OTHER;
for (const byte of [0x20, 0x09, 0x0a, 0x0d, 0x0c]) classOf[byte] = SPACE;
for (let byte = 0x41; byte <= 0x5a; byte++) classOf[byte] = classOf[byte + 32] = WORD;
classOf[0x5f] = WORD;
for (let byte = 0x30; byte <= 0x39; byte++) classOf[byte] = DIGIT;
classOf[0x5c] = REFUSED; // a backslash anywhere

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const DOLLAR = 0x24;
const DOT = 0x2e;
const MINUS = 0x2d;
const SLASH = 0x2f;
const STAR = 0x2a;
const AMPERSAND = 0x26;

function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let index = start; index < end; index++) if (bytes[index] !== 0x30) return false;
  return true;
}

/** Reads one text at a time; the offsets of its literals stay in `starts` and `ends` (bytes from the text's start) until the next. */
export class ShapeReader {
  readonly starts = new Int32Array(MAX_LITERALS);
  readonly ends = new Int32Array(MAX_LITERALS);
  literalCount = 0;
  readonly #key = Buffer.allocUnsafeSlow(MAX_TEXT_BYTES);
  #keyLength = 0;

  /** The shape's key, or `undefined` where the text leaves the safe subset. */
  read(bytes: Buffer, start: number, end: number): string | undefined {
    this.literalCount = 0;
    this.#keyLength = 0;
    if (end - start > MAX_TEXT_BYTES) return undefined;
    let position = start;
    /** Only whitespace stands between the last string literal and here. */
    let afterString = false;
    while (position < end) {
      const byte = bytes[position] as number;
      const kind = classOf[byte] as number;
      if (kind === SPACE) {
        this.#keep(byte);
        position++;
        continue;
      }
      const before = position;
      if (kind === WORD) position = this.#word(bytes, position, end);
      else if (kind === DIGIT) position = this.#number(bytes, position, end, start);
      else if (kind === REFUSED) return undefined;
      else if (byte === QUOTE) position = afterString ? -1 : this.#string(bytes, position, end, start);
      else if (byte === DOUBLE_QUOTE) position = this.#quotedName(bytes, position, end);
      else position = this.#symbol(bytes, position, end);
      if (position < 0) return undefined;
      afterString = byte === QUOTE && bytes[before] === QUOTE;
    }
    return this.#key.toString('latin1', 0, this.#keyLength);
  }

  #keep(byte: number): void {
    this.#key[this.#keyLength++] = byte;
  }

  /** A name or keyword; one that touches a quote is a prefix (E'', B'') and ends the reading. */
  #word(bytes: Buffer, start: number, end: number): number {
    let position = start;
    while (position < end) {
      const byte = bytes[position] as number;
      const kind = classOf[byte];
      if (kind !== WORD && kind !== DIGIT && byte !== DOLLAR) break;
      this.#keep(byte);
      position++;
    }
    if (position < end && (bytes[position] === QUOTE || bytes[position] === AMPERSAND)) {
      return bytes[position] === QUOTE || bytes[position + 1] === QUOTE ? -1 : position;
    }
    return position;
  }

  /** Digits; cut out only where nothing that could belong to the number follows. */
  #number(bytes: Buffer, start: number, end: number, textStart: number): number {
    let position = start;
    let plain = true;
    while (position < end) {
      const byte = bytes[position] as number;
      const kind = classOf[byte];
      if (kind !== DIGIT) {
        if (kind !== WORD && byte !== DOT && byte !== DOLLAR) break;
        plain = false;
      }
      position++;
    }
    if (position < end && bytes[position] === QUOTE) return -1;
    if (plain && position - start <= 9 && !isZero(bytes, start, position))
      return this.#cut(NUMBER_MARK, start, position, textStart);
    for (let index = start; index < position; index++) this.#keep(bytes[index] as number);
    return position;
  }

  #string(bytes: Buffer, start: number, end: number, textStart: number): number {
    let position = start + 1;
    for (;;) {
      if (position >= end) return -1;
      const byte = bytes[position] as number;
      if (byte === QUOTE) {
        if (bytes[position + 1] !== QUOTE || position + 1 >= end) break;
        position += 2;
        continue;
      }
      if (classOf[byte] === REFUSED) return -1;
      position++;
    }
    if (position === start + 1) {
      this.#keep(QUOTE);
      this.#keep(QUOTE);
      return position + 1;
    }
    return this.#cut(STRING_MARK, start, position + 1, textStart);
  }

  #cut(mark: number, start: number, end: number, textStart: number): number {
    if (this.literalCount === MAX_LITERALS) return -1;
    this.starts[this.literalCount] = start - textStart;
    this.ends[this.literalCount] = end - textStart;
    this.literalCount++;
    this.#keep(mark);
    return end;
  }

  #quotedName(bytes: Buffer, start: number, end: number): number {
    let position = start;
    do {
      const byte = bytes[position] as number;
      if (classOf[byte] === REFUSED) return -1;
      this.#keep(byte);
      position++;
    } while (position < end && bytes[position] !== DOUBLE_QUOTE);
    if (position >= end) return -1;
    this.#keep(DOUBLE_QUOTE);
    return position + 1;
  }

  #symbol(bytes: Buffer, position: number, end: number): number {
    const byte = bytes[position] as number;
    const next = position + 1 < end ? (bytes[position + 1] as number) : 0;
    if (byte === MINUS && next === MINUS) return -1;
    if (byte === SLASH && next === STAR) return -1;
    if (byte === AMPERSAND && next === QUOTE) return -1;
    if (byte === DOLLAR || byte === DOT) return this.#afterDollarOrDot(bytes, position, end, byte);
    this.#keep(byte);
    return position + 1;
  }

  /** `$1` and `.5` keep their digits; `$tag$` and `$$` end the reading. */
  #afterDollarOrDot(bytes: Buffer, start: number, end: number, byte: number): number {
    this.#keep(byte);
    let position = start + 1;
    if (byte === DOLLAR && (position >= end || classOf[bytes[position] as number] !== DIGIT)) return -1;
    while (position < end && classOf[bytes[position] as number] === DIGIT) this.#keep(bytes[position++] as number);
    if (position > start + 1 && position < end) {
      const next = bytes[position] as number;
      if (next === DOLLAR || next === QUOTE || (byte === DOLLAR && classOf[next] === WORD)) return -1;
      if (byte === DOT) return this.#restOfNumber(bytes, position, end);
    }
    return position;
  }

  /** Behind `.5`: an exponent or trailing junk stays in the key as it is. */
  #restOfNumber(bytes: Buffer, start: number, end: number): number {
    let position = start;
    while (position < end) {
      const kind = classOf[bytes[position] as number];
      if (kind !== WORD && kind !== DIGIT && bytes[position] !== DOT) break;
      this.#keep(bytes[position++] as number);
    }
    return position < end && bytes[position] === QUOTE ? -1 : position;
  }
}
