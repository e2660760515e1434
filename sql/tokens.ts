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

export interface Token {
  readonly kind: TokenKind;
  /** UTF-16 range. */
  readonly start: number;
  readonly end: number;
  /** Words in upper case, punctuation as is, '' for the rest. */
  readonly word: string;
}

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

function endOfNumber(text: string, start: number): number {
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

const PUNCTUATION: ReadonlyMap<number, TokenKind> = new Map<number, TokenKind>([
  [40, 'open'],
  [91, 'open'],
  [41, 'close'],
  [93, 'close'],
  [44, 'comma'],
  [46, 'dot'],
  [59, 'semicolon'],
]);
const QUOTE = 39;
const DOUBLE_QUOTE = 34;
const AMPERSAND = 38;
const DOLLAR = 36;
const DOT = 46;

function tokenAt(text: string, start: number, code: number): Token {
  if (isWordStart(code)) {
    const prefixed = endOfPrefixed(text, start, code);
    if (prefixed !== undefined) return { ...prefixed, start, word: '' };
    const end = endOfWord(text, start);
    return { kind: 'word', start, end, word: text.slice(start, end).toUpperCase() };
  }
  if (isDigit(code) || (code === DOT && isDigit(text.charCodeAt(start + 1))))
    return { kind: 'number', start, end: endOfNumber(text, start), word: '' };
  const punctuation = PUNCTUATION.get(code);
  if (punctuation !== undefined) return { kind: punctuation, start, end: start + 1, word: text.charAt(start) };
  if (code === QUOTE) return { kind: 'string', start, end: endOfQuoted(text, start + 1, "'", false), word: '' };
  if (code === DOUBLE_QUOTE) return { kind: 'quoted', start, end: endOfQuoted(text, start + 1, '"', false), word: '' };
  if (code === DOLLAR) return { ...dollarToken(text, start), start, word: '' };
  const end = operatorEnd(text, start);
  return { kind: 'operator', start, end, word: text.slice(start, end) };
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
