/** No control character, direction mark or other invisible sign of recorded data reaches a terminal: each is shown as its code. Line ends and tabs too. */
export function printable(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (sign) => {
    if (sign === '\n') return '\\n';
    if (sign === '\t') return '\\t';
    const code = sign.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}

/** At most `width` characters, cut with an ellipsis. */
export function shortened(text: string, width: number): string {
  const signs = Array.from(text);
  return signs.length <= width ? text : `${signs.slice(0, Math.max(0, width - 1)).join('')}…`;
}
