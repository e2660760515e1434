/**
 * A light lexer used only to find where the pieces of a statement that libpg-query has already parsed begin and end (the tree holds
 * starts, no ends). It decides nothing: a boundary that it gets wrong changes the spliced text, and the spliced text is parsed
 * again and compared with the intended tree (splice.ts). The text holds no comments. Source: PostgreSQL manual 4.1.
 */
export type TokenKind =
  | 'word'
  | 'quoted'
  | 'string'
  | 'number'
  | 'parameter'
  | 'operator'
  | 'open'
  | 'close'
  | 'comma'
  | 'dot'
  | 'semicolon';

export class Token {
  readonly kind: TokenKind;
  /** UTF-16 range. */
  readonly start: number;
  readonly end: number;
  readonly #text: string;

  constructor(kind: TokenKind, start: number, end: number, text: string) {
    this.kind = kind;
    this.start = start;
    this.end = end;
    this.#text = text;
  }

  /** Words in upper case, punctuation as is, '' for the rest. Made when it is asked for: of most tokens only the place is needed. */
  get word(): string {
    if (WORDLESS.has(this.kind)) return '';
    const written = this.#text.slice(this.start, this.end);
    return this.kind === 'word' ? written.toUpperCase() : written;
  }
}

const WORDLESS: ReadonlySet<TokenKind> = new Set<TokenKind>(['string', 'quoted', 'number', 'parameter']);

const OPERATOR_CHARACTERS = new Set('+-*/<>=~!@#%^&|`?:');

function isWordStart(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code >= 128;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function endOfQuoted(text: string, from: number, quote: string, backslash: boolean): number {
  if (!backslash) return endOfPlain(text, from, quote);
  let i = from;
  while (i < text.length) {
    const character = text[i];
    if (backslash && character === '\\') i += 2;
    else if (character === quote) {
      if (text[i + 1] !== quote) return i + 1;
      i += 2;
    } else i += 1;
  }
  return text.length;
}

function endOfPlain(text: string, from: number, quote: string): number {
  let at = text.indexOf(quote, from);
  while (at >= 0 && text.charAt(at + 1) === quote) at = text.indexOf(quote, at + 2);
  return at < 0 ? text.length : at + 1;
}

function endOfDollarQuoted(text: string, start: number): number | undefined {
  const tag = /^\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/.exec(text.slice(start, start + 66))?.[0];
  if (tag === undefined) return undefined;
  const close = text.indexOf(tag, start + tag.length);
  return close < 0 ? text.length : close + tag.length;
}

function endOfWord(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length) {
    const code = text.charCodeAt(i);
    if (!isWordStart(code) && !isDigit(code) && code !== 36) break;
    i += 1;
  }
  return i;
}

const NUMBER_GOES_ON = /[0-9a-zA-Z_.]/;

function endOfNumber(text: string, start: number): number {
  // Most numbers are plain digits.
  let plain = start;
  while (isDigit(text.charCodeAt(plain))) plain += 1;
  if (plain > start && !NUMBER_GOES_ON.test(text.charAt(plain))) return plain;
  const match = /^(?:0[xXoObB][0-9a-fA-F_]+|(?:[0-9][0-9_]*)?\.?[0-9_]*(?:[eE][+-]?[0-9]+)?)/.exec(
    text.slice(start, start + 2_000),
  );
  return start + Math.max(1, match?.[0].length ?? 1);
}

/** End of a string or quoted name that may begin with a letter (E'', B'', X'', N'', U&'', U&""); `undefined` for a plain word. */
function endOfPrefixed(
  text: string,
  start: number,
  code: number,
): { readonly kind: TokenKind; readonly end: number } | undefined {
  const letter = code | 32;
  const next = text.charCodeAt(start + 1);
  if (next === QUOTE) {
    if (letter === 101) return { kind: 'string', end: endOfQuoted(text, start + 2, "'", true) };
    if (letter === 98 || letter === 120 || letter === 110)
      return { kind: 'string', end: endOfQuoted(text, start + 2, "'", false) };
  }
  if (letter !== 117 || next !== AMPERSAND) return undefined;
  const quote = text.charCodeAt(start + 2);
  if (quote === QUOTE) return { kind: 'string', end: endOfQuoted(text, start + 3, "'", false) };
  if (quote === DOUBLE_QUOTE) return { kind: 'quoted', end: endOfQuoted(text, start + 3, '"', false) };
  return undefined;
}

function dollarToken(text: string, start: number): { readonly kind: TokenKind; readonly end: number } {
  let end = start + 1;
  if (!isDigit(text.charCodeAt(end))) return { kind: 'string', end: endOfDollarQuoted(text, start) ?? end };
  while (isDigit(text.charCodeAt(end))) end += 1;
  return { kind: 'parameter', end };
}

function operatorEnd(text: string, start: number): number {
  let end = start + 1;
  if (OPERATOR_CHARACTERS.has(text.charAt(start))) while (OPERATOR_CHARACTERS.has(text.charAt(end))) end += 1;
  return end;
}

/** Of each code below 128: the kind of a token that is this one character. */
const PUNCTUATION: readonly (TokenKind | undefined)[] = Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code);
  if (character === '(' || character === '[') return 'open';
  if (character === ')' || character === ']') return 'close';
  return ({ ',': 'comma', '.': 'dot', ';': 'semicolon' } as const)[character];
});
const QUOTE = 39;
const DOUBLE_QUOTE = 34;
const AMPERSAND = 38;
const DOLLAR = 36;
const DOT = 46;

function tokenAt(text: string, start: number, code: number): Token {
  if (isWordStart(code)) {
    const prefixed = endOfPrefixed(text, start, code);
    if (prefixed !== undefined) return new Token(prefixed.kind, start, prefixed.end, text);
    return new Token('word', start, endOfWord(text, start), text);
  }
  if (isDigit(code) || (code === DOT && isDigit(text.charCodeAt(start + 1))))
    return new Token('number', start, endOfNumber(text, start), text);
  const punctuation = PUNCTUATION[code];
  if (punctuation !== undefined) return new Token(punctuation, start, start + 1, text);
  if (code === QUOTE) return new Token('string', start, endOfQuoted(text, start + 1, "'", false), text);
  if (code === DOUBLE_QUOTE) return new Token('quoted', start, endOfQuoted(text, start + 1, '"', false), text);
  if (code === DOLLAR) {
    const { kind, end } = dollarToken(text, start);
    return new Token(kind, start, end, text);
  }
  return new Token('operator', start, operatorEnd(text, start), text);
}

/** Splits a comment-free text into tokens; never throws. */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < text.length; ) {
    const code = text.charCodeAt(i);
    if (code <= 32) {
      i += 1;
      continue;
    }
    const token = tokenAt(text, i, code);
    tokens.push(token);
    i = token.end;
  }
  return tokens;
}
