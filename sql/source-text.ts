import { commentRanges, parserIsWornOut } from './parser.ts';
import { refuse } from './refusal.ts';
import { tokenize, type Token } from './tokens.ts';

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

function byteMap(text: string): Int32Array {
  const map = new Int32Array(Buffer.byteLength(text) + 1);
  let byte = 0;
  for (let i = 0; i < text.length; ) {
    const codePoint = text.codePointAt(i) ?? 0;
    const bytes = codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
    for (let k = 0; k < bytes; k++) map[byte + k] = i;
    byte += bytes;
    i += codePoint > 0xffff ? 2 : 1;
  }
  map[byte] = text.length;
  return map;
}

const MAX_COMMENTS = 1_000;

/** Replaces every comment by spaces, by the server's own scanner; line breaks stay. */
export function blankComments(text: string): string {
  if (!text.includes('--') && !text.includes('/*')) return text;
  // The scanner's work grows with the square of their number (measured: 2,000 take 0.1 s).
  if ((text.match(/--[^\n]*|\/\*/g)?.length ?? 0) > MAX_COMMENTS)
    refuse('too_complex', { advice: 'leave out comments' });
  if (parserIsWornOut()) refuse('too_complex');
  const ascii = isAscii(text);
  const map = ascii ? undefined : byteMap(text);
  let result = '';
  let copied = 0;
  for (const range of commentRanges(text)) {
    const start = map === undefined ? range.start : (map[range.start] ?? 0);
    const end = map === undefined ? range.end : (map[range.end] ?? text.length);
    result += text.slice(copied, start) + text.slice(start, end).replace(/[^\r\n]/g, ' ');
    copied = end;
  }
  return result + text.slice(copied);
}

function match(tokens: readonly Token[]): { partner: Int32Array; depth: Int32Array } {
  const partner = new Int32Array(tokens.length).fill(-1);
  const depth = new Int32Array(tokens.length);
  const open: number[] = [];
  tokens.forEach((token, index) => {
    if (token.kind === 'close') {
      const start = open.pop();
      if (start !== undefined) {
        partner[start] = index;
        partner[index] = start;
      }
    }
    depth[index] = open.length;
    if (token.kind === 'open') open.push(index);
  });
  return { partner, depth };
}

function lowerBound(tokens: readonly Token[], offset: number): number {
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tokens[middle]?.end ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The agent's text with comments blanked to spaces, and the look-ups between the tree's byte offsets, UTF-16 offsets and tokens.
 * Blanking keeps every UTF-16 offset; it cannot change the tree (measured) and lets nothing hide in a comment. Tokens are made on first
 * use: most look-ups of plain statements need few.
 *
 * A class, because an object literal with getters costs a hidden class for each object, which keeps all it refers to alive until the next
 * major collection: 19 kB a statement, and a scavenge of 6 ms where one of 2 does.
 */
export class SourceText {
  readonly text: string;
  readonly #byteMap: Int32Array | undefined;
  #tokens: readonly Token[] | undefined;
  #structure: { readonly partner: Int32Array; readonly depth: Int32Array } | undefined;

  /** Of a comment-free text. */
  constructor(text: string) {
    this.text = text;
    this.#byteMap = isAscii(text) ? undefined : byteMap(text);
  }

  get tokens(): readonly Token[] {
    return (this.#tokens ??= tokenize(this.text));
  }

  /** Index of the token that closes the parenthesis opened at this index (and the reverse); -1 where unmatched. */
  get partner(): Int32Array {
    return (this.#structure ??= match(this.tokens)).partner;
  }

  /** Parenthesis depth of each token; an opening token has the depth outside of it. */
  get depth(): Int32Array {
    return (this.#structure ??= match(this.tokens)).depth;
  }

  /** UTF-16 offset of a byte offset. */
  at(byteOffset: number): number {
    return this.#byteMap === undefined ? byteOffset : (this.#byteMap[byteOffset] ?? this.text.length);
  }

  /** Index of the token that starts at, or holds, a byte offset. */
  tokenAt(byteOffset: number): number {
    return lowerBound(this.tokens, this.at(byteOffset));
  }

  /** Index of the token that starts at or after a UTF-16 offset. */
  tokenFrom(offset: number): number {
    return lowerBound(this.tokens, offset);
  }
}
