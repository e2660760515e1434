import type { Buffer } from 'node:buffer';
import type { Sign } from './detectors.ts';
import { mayHoldPhone } from './phone-shape.ts';

/**
 * Decides over raw bytes, before anything is decoded, whether a detector could find something there. It may say yes where there is
 * nothing; it never says no where a detector finds something (property tests hold it to that).
 */

const DIGIT = 1;
const ESCAPE = 2;
const AT = 3;
const COLON = 4;
const CAPITAL_J = 5;
const CAPITAL_I = 6;
const DASH = 7;
const LETTER = 8;
const PLUS = 9;
const EXOTIC = 10;

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const HYPHEN = 0x2d;
const DOT = 0x2e;
const BACKSLASH = 0x5c;
const CAPITAL_N = 0x4e;

/** Fewest digits of: a card, an international number, and of anything that a detector of digits finds (an address in IPv4). */
const CARD_DIGITS = 12;
const MAX_CARD_DIGITS = 19;
const PHONE_DIGITS = 10;
const MIN_DIGITS = 4;

/** How the bytes stand for text. */
export interface PrescanRules {
  readonly signs: ReadonlySet<Sign>;
  /** A backslash may stand for any character: JSON, arrays, composites, COPY. */
  readonly escapes: boolean;
  /** COPY in text format: its delimiter; `\N` between delimiters is no escape. */
  readonly delimiter?: number;
}

/** Single signs that native search finds in a whole run of rows at once, far faster than a loop over its bytes. */
const NEEDLES: readonly (readonly [Sign, string | number])[] = [
  ['at', 0x40],
  ['eyJ', 'eyJ'],
  ['akia', 'AKIA'],
  ['akia', 'ASIA'],
  ['begin', '-----B'],
];

/** Shortest finding of each kind that digits and separators alone make up. */
const GROUP_BYTES = { card: CARD_DIGITS, ssn: 11 } as const;

export class Prescan {
  readonly #classes: Uint8Array;
  readonly #needles: readonly (string | number)[];
  /** Of the bytes of the shortest group of digits that is a finding; 0: no such group is looked for. */
  readonly #stride: number;
  /** Native search and steps of `#stride` bytes find all signs; else each byte is looked at. */
  readonly #isStrided: boolean;
  /** The run at hand: its buffer, where it begins there, its bytes, and where each needle comes next. */
  #runBuffer: Buffer | undefined;
  #runStart = 0;
  #runEnd = 0;
  #run: Buffer | undefined;
  readonly #nextNeedle: number[];
  readonly #delimiter: number;
  readonly #card: boolean;
  readonly #ssn: boolean;
  readonly #iban: boolean;
  readonly #address: boolean;
  readonly #phone: boolean;
  /** Of the run of digits that `#number` read last. */
  #numberDigits = 0;

  constructor({ signs, escapes, delimiter }: PrescanRules) {
    this.#classes = classesOf(signs, escapes);
    this.#delimiter = delimiter ?? -1;
    this.#card = signs.has('card');
    this.#ssn = signs.has('ssn');
    this.#iban = signs.has('iban');
    this.#address = signs.has('address');
    this.#phone = signs.has('phone');
    if (this.#phone) markWords(this.#classes);
    const needles = NEEDLES.filter(([sign]) => signs.has(sign)).map(([, needle]) => needle);
    this.#needles = escapes ? [...needles, BACKSLASH] : needles;
    this.#nextNeedle = this.#needles.map(() => -1);
    this.#isStrided = !this.#iban && !this.#address && !this.#phone;
    this.#stride = this.#ssn ? GROUP_BYTES.ssn : this.#card ? GROUP_BYTES.card : 0;
  }

  /**
   * Announces that cells of `buffer[start, end)` will be asked for, in order, and that its bytes stay as they are until `endRun()`. What is
   * asked for outside a run is answered all the same, more slowly.
   */
  beginRun(buffer: Buffer, start: number, end: number): void {
    this.#runBuffer = buffer;
    this.#runStart = start;
    this.#runEnd = end;
    this.#run = undefined;
  }

  endRun(): void {
    this.#runBuffer = undefined;
    this.#run = undefined;
  }

  /** Whether `bytes[start, end)` may hold a finding; it must begin and end where cells do. */
  mayHold(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#isStrided || bytes !== this.#runBuffer || start < this.#runStart || end > this.#runEnd) {
      return this.#mayHoldAnywhere(bytes, start, end);
    }
    if (this.#hasNeedle(bytes, start, end)) return this.#mayHoldAnywhere(bytes, start, end);
    return this.#stride > 0 && this.#hasGroup(bytes, start, end);
  }

  /** Whether a needle begins in the range. The search for each goes once over the run. */
  #hasNeedle(bytes: Buffer, start: number, end: number): boolean {
    let run = this.#run;
    if (run === undefined) {
      run = bytes.subarray(this.#runStart, this.#runEnd);
      this.#run = run;
      this.#nextNeedle.fill(-1);
    }
    const next = this.#nextNeedle;
    for (let index = 0; index < next.length; index++) {
      let at = next[index] as number;
      if (at < start) {
        const found = run.indexOf(this.#needles[index] as string | number, start - this.#runStart, 'latin1');
        at = found < 0 ? Number.MAX_SAFE_INTEGER : found + this.#runStart;
        next[index] = at;
      }
      if (at < end) return true;
    }
    return false;
  }

  /** Whether a group of digits may be a finding: each that is long enough covers one of the bytes looked at, `#stride` apart. */
  #hasGroup(bytes: Buffer, start: number, end: number): boolean {
    const stride = this.#stride;
    let position = start + stride - 1;
    while (position < end) {
      const byte = bytes[position] as number;
      const isNumber = byte >= 0x30 && byte <= 0x39;
      if (!isNumber && !((byte === SPACE || byte === HYPHEN) && isDigit(bytes, position + 1, end))) {
        position += stride;
        continue;
      }
      let first = isNumber ? position : position + 1;
      while (first > start) {
        const before = bytes[first - 1] as number;
        if (before >= 0x30 && before <= 0x39) first--;
        else if ((before === SPACE || before === HYPHEN) && first - 2 >= start && isDigit(bytes, first - 2, end))
          first -= 2;
        else break;
      }
      const next = this.#number(bytes, first, start, end);
      if (next < 0) return true;
      position = next + stride - 1;
    }
    return false;
  }

  #mayHoldAnywhere(bytes: Buffer, start: number, end: number): boolean {
    const classes = this.#classes;
    let digits = 0;
    let digitsSinceLetter = 0;
    let hasPlus = false;
    let mayBePhone = false;
    let dots = 0;
    let numberEnd = -1;
    let colons = 0;
    let lastColon = -8;
    let position = start;
    while (position < end) {
      switch (classes[bytes[position] as number]) {
        case 0:
          break;
        case DIGIT: {
          const next = this.#number(bytes, position, start, end);
          if (next < 0) return true;
          dots = numberEnd === position - 1 && bytes[numberEnd] === DOT ? dots + 1 : 0;
          if (dots === 3 && this.#address) return true;
          digits += this.#numberDigits;
          digitsSinceLetter += this.#numberDigits;
          if (digitsSinceLetter >= PHONE_DIGITS) mayBePhone = this.#phone;
          numberEnd = next;
          position = next - 1;
          break;
        }
        case LETTER:
          digitsSinceLetter = 0;
          break;
        case PLUS:
          hasPlus = true;
          break;
        case COLON:
          if (lastColon === position - 1) return true;
          // At most four digits between two colons; six of them where the address ends in the form of IPv4.
          colons = position - lastColon <= 5 ? colons + 1 : 1;
          if (colons === 6) return true;
          lastColon = position;
          break;
        case ESCAPE:
          if (!this.#isNull(bytes, position, start, end)) return true;
          break;
        default:
          if (isSign(bytes, position, start, end)) return true;
      }
      position++;
    }
    if (!mayBePhone && !(hasPlus && digits >= MIN_DIGITS)) return false;
    return mayHoldPhone(bytes.toString('latin1', start, end));
  }

  /** `\N` where a whole cell is. */
  #isNull(bytes: Buffer, position: number, start: number, end: number): boolean {
    const delimiter = this.#delimiter;
    if (delimiter < 0 || position + 1 >= end || bytes[position + 1] !== CAPITAL_N) return false;
    const before = position === start ? LINE_FEED : bytes[position - 1];
    const after = position + 2 >= end ? LINE_FEED : bytes[position + 2];
    return (before === delimiter || before === LINE_FEED) && (after === delimiter || after === LINE_FEED);
  }

  /** Reads digits, single spaces or dashes between them allowed, and gives their end; -1: they may be a finding. */
  #number(bytes: Buffer, first: number, start: number, end: number): number {
    let position = first;
    let digits = 0;
    // Lengths of the last three runs without a separator.
    let before = 0;
    let last = 0;
    let run = 0;
    let separators = 0;
    for (;;) {
      const byte = position < end ? (bytes[position] as number) : 0;
      if (byte >= 0x30 && byte <= 0x39) {
        digits++;
        run++;
        position++;
        continue;
      }
      if (this.#ssn && run === 4 && last === 2 && before === 3) return -1;
      if ((byte !== SPACE && byte !== HYPHEN) || !isDigit(bytes, position + 1, end)) break;
      before = last;
      last = run;
      run = 0;
      separators++;
      position++;
    }
    this.#numberDigits = digits;
    if (this.#card && digits >= CARD_DIGITS) {
      if (separators > 0 || mayBeCard(bytes, first, position)) return -1;
    }
    return this.#iban && mayBeIban(bytes, first, start, end) ? -1 : position;
  }
}

function isDigit(bytes: Buffer, position: number, end: number): boolean {
  const byte = position < end ? (bytes[position] as number) : 0;
  return byte >= 0x30 && byte <= 0x39;
}

/** A run of digits alone, read as the detector of cards reads it. */
function mayBeCard(bytes: Buffer, start: number, end: number): boolean {
  const issuer = (bytes[start] as number) - 0x30;
  const digits = end - start;
  if (digits > MAX_CARD_DIGITS || issuer < 2 || issuer > 6) return false;
  if ((issuer === 2 && digits !== 16) || (issuer === 3 && digits < 14)) return false;
  if (issuer === 4 && digits !== 13 && digits !== 16 && digits !== 19) return false;
  let sum = 0;
  for (let index = end - 1; index >= start; index -= 2) sum += (bytes[index] as number) - 0x30;
  for (let index = end - 2; index >= start; index -= 2) {
    const doubled = ((bytes[index] as number) - 0x30) * 2;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Two letters that begin a word, two digits, room for eleven signs more. */
function mayBeIban(bytes: Buffer, digit: number, start: number, end: number): boolean {
  return (
    digit - 2 >= start &&
    digit + 13 <= end &&
    isLetter(bytes[digit - 1] as number) &&
    isLetter(bytes[digit - 2] as number) &&
    isDigit(bytes, digit + 1, end) &&
    (digit - 3 < start || !isWord(bytes[digit - 3] as number))
  );
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

function isWord(byte: number): boolean {
  return isLetter(byte) || (byte >= 0x30 && byte <= 0x39);
}

/** Whether the fixed part of a finding stands around the byte that gave it away. */
function isSign(bytes: Buffer, position: number, start: number, end: number): boolean {
  switch (bytes[position]) {
    case 0x40: {
      if (position === start || position + 1 >= end) return false;
      const next = bytes[position + 1] as number;
      return isWord(next) || next >= 0x80;
    }
    case 0x4a:
      return position - 2 >= start && bytes[position - 2] === 0x65 && bytes[position - 1] === 0x79;
    case 0x49:
      return (
        position - 2 >= start &&
        position + 1 < end &&
        bytes[position - 2] === 0x41 &&
        (bytes[position - 1] === 0x4b || bytes[position - 1] === 0x53) &&
        bytes[position + 1] === 0x41
      );
    case HYPHEN:
      return position + 5 < end && bytes[position + 1] === HYPHEN && bytes[position + 5] === 0x42;
    default:
      return true;
  }
}

const DIGIT_SIGNS: readonly Sign[] = ['card', 'ssn', 'iban', 'address', 'phone'];

function classesOf(signs: ReadonlySet<Sign>, escapes: boolean): Uint8Array {
  const classes = new Uint8Array(256);
  if (DIGIT_SIGNS.some((sign) => signs.has(sign))) classes.fill(DIGIT, 0x30, 0x3a);
  if (signs.has('at')) classes[0x40] = AT;
  if (signs.has('address')) classes[0x3a] = COLON;
  if (signs.has('eyJ')) classes[0x4a] = CAPITAL_J;
  if (signs.has('akia')) classes[0x49] = CAPITAL_I;
  if (signs.has('begin')) classes[HYPHEN] = DASH;
  if (escapes) classes[BACKSLASH] = ESCAPE;
  // UTF-8 beginnings of digits and signs outside ASCII: Arabic, Indic, full width.
  if (signs.has('phone')) classes.fill(EXOTIC, 0xd9, 0xf0);
  return classes;
}

function markWords(classes: Uint8Array): void {
  for (let lower = 0x61; lower <= 0x7a; lower++) {
    for (const letter of [lower, lower - 0x20]) if (classes[letter] === 0) classes[letter] = LETTER;
  }
  classes[0x2b] = PLUS;
}

/** For bytes that are not one text (arrays and composites in binary format): any sign, wherever it stands. */
export function createLoosePrescan(signs: ReadonlySet<Sign>): (bytes: Buffer, start: number, end: number) => boolean {
  const classes = classesOf(signs, true);
  return (bytes, start, end) => {
    let digits = 0;
    for (let position = start; position < end; position++) {
      const kind = classes[bytes[position] as number];
      if (kind !== 0 && (kind !== DIGIT || ++digits >= MIN_DIGITS)) return true;
    }
    return false;
  };
}
