/**
 * Whether the library of phone numbers could find one in a text. The library is slow (some 10 µs for each run of digits: identifiers,
 * timestamps), so it is asked only where this says so. It may say yes where there is none; it never says no where the library finds one
 * (a property test holds it to that).
 */

/** Digits of a number of the United States, of the longest with its prefixes, of the shortest international one. */
const NATIONAL_DIGITS = 10;
const MAX_PREFIX_DIGITS = 3;
const MIN_INTERNATIONAL_DIGITS = 4;
/** The library cuts longer blocks of digits, and blocks behind the sign of an extension, in the middle. */
const MAX_BLOCK_DIGITS = 20;
const MAX_EXTENSION_DIGITS = 5;
const MAX_GAP = 4;

const PLUS = 0x2b;
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** What may stand between the blocks of a number: `-/. ()[]~`. */
const PUNCTUATION: readonly boolean[] = Array.from({ length: 128 }, (_, code) =>
  '-/. ()[]~'.includes(String.fromCharCode(code)),
);
/** What may stand between the sign of an extension and its digits. */
const BEHIND_EXTENSION: ReadonlySet<number> = new Set(Array.from(' \t:.-', (sign) => sign.charCodeAt(0)));

export function mayHoldPhone(text: string): boolean {
  const { length } = text;
  let position = 0;
  /** Lengths of the blocks of the run at hand, and where each begins. */
  const sizes: number[] = [];
  const starts: number[] = [];
  let runEnd = -1;
  const isFound = (): boolean => sizes.length > 0 && mayBeNumber(text, starts, sizes);
  while (position < length) {
    const code = text.charCodeAt(position);
    if (code >= 0x80) return true;
    if (!isDigit(code)) {
      position++;
      continue;
    }
    const start = position;
    while (position < length && isDigit(text.charCodeAt(position))) position++;
    const size = position - start;
    if (size >= MAX_BLOCK_DIGITS) return true;
    if (size > MAX_EXTENSION_DIGITS && runEnd >= 0 && followsExtension(text, start)) return true;
    if (runEnd < 0 || !isGap(text, runEnd, start)) {
      if (isFound()) return true;
      sizes.length = 0;
      starts.length = 0;
    }
    sizes.push(size);
    starts.push(start);
    runEnd = position;
  }
  return isFound();
}

function isGap(text: string, start: number, end: number): boolean {
  if (end - start > MAX_GAP) return false;
  for (let index = start; index < end; index++) if (PUNCTUATION[text.charCodeAt(index)] !== true) return false;
  return true;
}

/** Behind the sign of an extension (`x`, `ext.`, `#`, `~`, `;`, commas), if the sign is one. */
function followsExtension(text: string, start: number): boolean {
  let index = start - 1;
  while (index >= 0 && BEHIND_EXTENSION.has(text.charCodeAt(index))) index--;
  return index >= 0 && /[a-z#~;,]/i.test(text[index] ?? '');
}

/** A run of blocks: an international number from its beginning, or some blocks of it that are a national one. */
function mayBeNumber(text: string, starts: readonly number[], sizes: readonly number[]): boolean {
  let total = 0;
  for (const size of sizes) total += size;
  if (total < MIN_INTERNATIONAL_DIGITS) return false;
  const start = starts[0] ?? 0;
  const end = (starts.at(-1) ?? 0) + (sizes.at(-1) ?? 0);
  if (sizes.length <= MAX_BLOCK_DIGITS && !followsExtension(text, start) && isTimestamp(text, start, end)) return false;
  if (followsPlus(text, start)) return true;
  for (let first = 0; first < sizes.length; first++) {
    let digits = 0;
    for (let last = first; last < sizes.length; last++) {
      digits += sizes[last] ?? 0;
      if (digits >= NATIONAL_DIGITS && mayBeNational(text, starts[first] ?? 0, digits)) return true;
    }
  }
  return false;
}

/** The library passes over what ends like a point in time, and so do we. */
function isTimestamp(text: string, start: number, end: number): boolean {
  return (
    /^:[0-5]\d/.test(text.slice(end, end + 3)) &&
    /[12]\d{3}[-/]?[01]\d[-/]?[0-3]\d +[0-2]\d$/.test(text.slice(start, end))
  );
}

function followsPlus(text: string, start: number): boolean {
  for (let index = start - 1; index >= 0 && index >= start - 10; index--) {
    const code = text.charCodeAt(index);
    if (code === PLUS) return true;
    if (PUNCTUATION[code] !== true) return false;
  }
  return false;
}

/** How many digits 1 a run begins with. */
function onesAt(text: string, start: number): number {
  let count = 0;
  for (let index = start; index < text.length; index++) {
    if (text[index] === '1') count++;
    else if (PUNCTUATION[text.charCodeAt(index)] !== true) break;
  }
  return count;
}

/** Ten digits, behind 1 (its country or the prefix of far calls), or whatever stands behind 011, the prefix of calls abroad. */
function mayBeNational(text: string, start: number, digits: number): boolean {
  if (digits === NATIONAL_DIGITS) return true;
  if (text[start] === '0') return true;
  return digits <= NATIONAL_DIGITS + MAX_PREFIX_DIGITS && onesAt(text, start) >= digits - NATIONAL_DIGITS;
}
