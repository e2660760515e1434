import { describe, expect, test } from 'vitest';
import { sideBySide, table, wrap } from '#cli/terminal-layout.ts';

describe('the layout for terminals', () => {
  test('wraps at spaces, keeps line breaks and cuts long words', () => {
    expect(wrap('one two three\nabcdefghijkl', 8)).toEqual(['one two', 'three', 'abcdefgh', 'ijkl']);
  });

  test('stands two texts beside each other in a wide terminal', () => {
    expect(sideBySide('a', 'b\nc', 80)).toEqual([`a${' '.repeat(31)} │ b`, `${' '.repeat(32)} │ c`]);
  });

  test('stands them below each other in a narrow one', () => {
    expect(sideBySide('a', 'b', 60)).toEqual(['a', '  b']);
  });

  test('counts characters, not bytes, and shortens the widest column first', () => {
    expect(
      table(
        ['id', 'city'],
        [
          ['1', 'Malmö'],
          ['2', 'a very long name of a town'],
        ],
        20,
      ),
    ).toEqual(['id  city', '──  ────────────────', '1   Malmö', '2   a very long nam…']);
  });
});
