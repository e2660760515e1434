import { beforeAll, describe, expect, test } from 'vitest';
import { loadParser, parseSql } from '#sql/parser.ts';
import { RefusalError } from '#sql/refusal.ts';
import { blankComments, SourceText } from '#sql/source-text.ts';
import { sameTree } from '#sql/splice.ts';

describe('comments', () => {
  beforeAll(async () => {
    await loadParser();
  });

  test.each([
    ['SELECT 1 -- one\n+ 2', 'SELECT 1       \n+ 2'],
    ['SELECT/* a /* nested */ b */1', `SELECT${' '.repeat(22)}1`],
    ['SELECT \'--x\', "/*y*/"', 'SELECT \'--x\', "/*y*/"'],
    ['SELECT $$ -- no $$ /* é😀 */ , 1', 'SELECT $$ -- no $$           , 1'],
    ["SELECT 'ä' /* b */, 'ö' -- c", "SELECT 'ä'        , 'ö'     "],
    ['SELECT 1 /* a\r\nb */', 'SELECT 1     \r\n    '],
  ])('%j', (text, expected) => {
    const blanked = blankComments(text);
    expect(blanked).toBe(expected);
    expect(blanked.length).toBe(text.length);
    expect(sameTree(parseSql(text)[0]?.stmt, parseSql(blanked)[0]?.stmt)).toBe(true);
  });

  test('one that is not closed is a syntax error', () => {
    expect(() => blankComments('SELECT 1 /* open')).toThrow(RefusalError);
  });
});

describe('places', () => {
  test('bytes become UTF-16 offsets, inside of a character its start', () => {
    const source = new SourceText('aé€😀b');
    expect([0, 1, 2, 3, 4, 6, 7, 9, 10, 11].map((byte) => source.at(byte))).toEqual([0, 1, 1, 2, 2, 3, 3, 3, 5, 6]);
  });

  test('parentheses know their partners and depths, whatever stands in quotes', () => {
    const source = new SourceText('(a, \')\', ("(", [b]))');
    expect(source.partner[0]).toBe(source.tokens.length - 1);
    expect(source.depth[source.tokens.findIndex((token) => token.word === 'B')]).toBe(3);
  });

  test('an unmatched parenthesis has no partner', () => {
    const source = new SourceText('(a');
    expect(source.partner[0]).toBe(-1);
  });
});
