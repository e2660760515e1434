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

/** Splits a comment-free text into tokens; never throws. */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let i = 0;
  const push = (kind: TokenKind, end: number, word: string): void => {
    tokens.push({ kind, start: i, end, word });
    i = end;
  };
  while (i < text.length) {
    const code = text.charCodeAt(i);
    const character = text[i] ?? '';
    const next = text[i + 1] ?? '';
    if (code <= 32) i += 1;
    else if (character === "'") push('string', endOfQuoted(text, i + 1, "'", false), '');
    else if (character === '"') push('quoted', endOfQuoted(text, i + 1, '"', false), '');
    else if (next === "'" && (character === 'e' || character === 'E'))
      push('string', endOfQuoted(text, i + 2, "'", true), '');
    else if (next === "'" && /[bBxXnN]/.test(character)) push('string', endOfQuoted(text, i + 2, "'", false), '');
    else if (/[uU]/.test(character) && next === '&' && text[i + 2] === "'")
      push('string', endOfQuoted(text, i + 3, "'", false), '');
    else if (/[uU]/.test(character) && next === '&' && text[i + 2] === '"')
      push('quoted', endOfQuoted(text, i + 3, '"', false), '');
    else if (isWordStart(code)) {
      const end = endOfWord(text, i);
      push('word', end, text.slice(i, end).toUpperCase());
    } else if (isDigit(code) || (character === '.' && isDigit(next.charCodeAt(0))))
      push('number', endOfNumber(text, i), '');
    else if (character === '$' && isDigit(next.charCodeAt(0))) {
      let end = i + 1;
      while (isDigit(text.charCodeAt(end))) end += 1;
      push('parameter', end, '');
    } else if (character === '$') push('string', endOfDollarQuoted(text, i) ?? i + 1, '');
    else if (character === '(' || character === '[') push('open', i + 1, character);
    else if (character === ')' || character === ']') push('close', i + 1, character);
    else if (character === ',') push('comma', i + 1, character);
    else if (character === '.') push('dot', i + 1, character);
    else if (character === ';') push('semicolon', i + 1, character);
    else {
      let end = i + 1;
      if (OPERATOR_CHARACTERS.has(character)) while (OPERATOR_CHARACTERS.has(text[end] ?? '')) end += 1;
      push('operator', end, text.slice(i, end));
    }
  }
  return tokens;
}
