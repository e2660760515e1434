import { describe, expect, test } from 'vitest';
import { tokenize } from '#sql/tokens.ts';

/** Kinds by initial (operators and punctuation as they are) with the text of each token. */
function tokens(text: string): readonly string[] {
  return tokenize(text).map((token) => `${token.kind} ${text.slice(token.start, token.end)}`);
}

const CASES: readonly (readonly [string, readonly string[]])[] = [
  ['a.b', ['word a', 'dot .', 'word b']],
  ['"a.b""c".d', ['quoted "a.b""c"', 'dot .', 'word d']],
  ["'it''s' 'x'", ["string 'it''s'", "string 'x'"]],
  ["E'a\\'b' x", ["string E'a\\'b'", 'word x']],
  ["'a\\' b", ["string 'a\\'", 'word b']],
  ['U&\'\\0041\' U&"x y"', ["string U&'\\0041'", 'quoted U&"x y"']],
  ["B'10' X'1f' N'n'", ["string B'10'", "string X'1f'", "string N'n'"]],
  ['$$a $b$ c$$ $1', ['string $$a $b$ c$$', 'parameter $1']],
  ['$q$ $$ $q$,$12', ['string $q$ $$ $q$', 'comma ,', 'parameter $12']],
  ['a$1 b', ['word a$1', 'word b']],
  ['1.5e-3 .5 1..2', ['number 1.5e-3', 'number .5', 'number 1.', 'number .2']],
  ['0x1F 1_000', ['number 0x1F', 'number 1_000']],
  ['a::int', ['word a', 'operator ::', 'word int']],
  ['a>=-1', ['word a', 'operator >=-', 'number 1']],
  ['(a)[1];', ['open (', 'word a', 'close )', 'open [', 'number 1', 'close ]', 'semicolon ;']],
  ['größe é😀', ['word größe', 'word é😀']],
  ['select"a"', ['word select', 'quoted "a"']],
  ["'open", ["string 'open"]],
  ['"open', ['quoted "open']],
  ['$a$open', ['string $a$open']],
];

describe('tokens', () => {
  test.each(CASES)('%s', (text, expected) => {
    expect(tokens(text)).toEqual(expected);
  });

  test('words are compared in upper case', () => {
    expect(tokenize('Select "Select"').map((token) => token.word)).toEqual(['SELECT', '']);
  });
});
