import { describe, expect, test } from 'vitest';
import { ShapeReader } from '#sql/shape.ts';

function shape(text: string): { key: string; literals: string[] } | undefined {
  const reader = new ShapeReader();
  const bytes = Buffer.from(text);
  const key = reader.read(bytes, 0, bytes.length);
  if (key === undefined) return undefined;
  const literals = Array.from({ length: reader.literalCount }, (_, index) =>
    text.slice(reader.starts[index], reader.ends[index]),
  );
  return { key: key.replaceAll('\x01', '#').replaceAll('\x02', '@'), literals };
}

describe('literals are cut out', () => {
  test.each([
    ['SELECT * FROM t WHERE id = 42', 'SELECT * FROM t WHERE id = #', ['42']],
    ["SELECT 'a', '', 'it''s' || x", "SELECT @, '', @ || x", ["'a'", "'it''s'"]],
    ['SELECT a1, $1, "q 7", t.x2 FROM t', 'SELECT a1, $1, "q 7", t.x2 FROM t', []],
    ['SELECT 1.5, .5, 1e3, 1234567890, 0x1F, 1_000', 'SELECT 1.5, .5, 1e3, 1234567890, 0x1F, 1_000', []],
    ["SELECT date '2020-01-01' - 7", 'SELECT date @ - #', ["'2020-01-01'", '7']],
    ['SELECT -5, a-1, a[1:2]', 'SELECT -#, a-#, a[#:#]', ['5', '1', '1', '2']],
    ["SELECT 'a'\n, 'b'", 'SELECT @\n, @', ["'a'", "'b'"]],
  ])('%s', (text, key, literals) => {
    expect(shape(text)).toEqual({ key, literals });
  });
});

describe('anything outside the safe subset has no shape', () => {
  test.each([
    ["SELECT E'a'"],
    ["SELECT e'a'"],
    ["SELECT U&'a'"],
    ["SELECT u & 'a'".replace(' & ', '&')],
    ["SELECT B'1'"],
    ["SELECT n'a'"],
    ['SELECT $$a$$'],
    ['SELECT $x$a$x$'],
    ['SELECT 1 -- comment'],
    ['SELECT 1 /* comment */'],
    ["SELECT 'a\\b'"],
    ["SELECT 'a' 'b'"],
    ["SELECT 'a'\n'b'"],
    ["SELECT 'open"],
    ['SELECT "open'],
    ["SELECT 'é'"],
    ['SELECT 1 \x01'],
    ["SELECT 1'a'"],
    ['SELECT $1a'],
    [`SELECT ${'1,'.repeat(70)}1`],
  ])('%s', (text) => {
    expect(shape(text)).toBeUndefined();
  });
});
