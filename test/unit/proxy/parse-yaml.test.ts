import { describe, expect, test } from 'vitest';
import { parseYaml } from '#proxy/parse-yaml.ts';

const TEXT = `# a comment
kind: Policy
spec:
  tables:
    - name: public.a
      mask: [{ columns: [x], with: { method: Hash } }]
    - name: public.b
      "row filter": >
        folded
---
other: &one { a: 1 }
again: *one
`;

function linesOf(...paths: readonly string[]): readonly (number | undefined)[] {
  const read = parseYaml(TEXT);
  if (read.kind === 'invalid') throw new Error(read.message);
  return paths.map((path) => {
    const [document, ...steps] = path.split('/');
    return read.documents[Number(document)]?.lineOf(steps);
  });
}

describe('documents', () => {
  test('are read with their values, aliases filled in', () => {
    const read = parseYaml(`\uFEFF${TEXT}`);
    expect(read.kind === 'parsed' ? read.documents.map(({ value }) => value) : read).toEqual([
      {
        kind: 'Policy',
        spec: {
          tables: [
            { name: 'public.a', mask: [{ columns: ['x'], with: { method: 'Hash' } }] },
            { name: 'public.b', 'row filter': 'folded\n' },
          ],
        },
      },
      { other: { a: 1 }, again: { a: 1 } },
    ]);
  });

  test('know the line of each field, in blocks, lists and flow collections', () => {
    expect(
      linesOf(
        '0/kind',
        '0/spec/tables',
        '0/spec/tables/1/name',
        '0/spec/tables/0/mask/0/with/method',
        '0/spec/tables/1/row filter',
        '1/other/a',
        '1/again',
      ),
    ).toEqual([2, 5, 7, 6, 9, 11, 12]);
  });

  test('give the line of what is around a field that is missing', () => {
    expect(linesOf('0/spec/tables/0/nope', '0/spec/tables/7', '0/nope', '1/again/a')).toEqual([5, 5, 2, 12]);
  });

  test.each([
    ['', []],
    ['# nothing\n', []],
    ['---\n---\na: 1\n', [null, { a: 1 }]],
    [
      'a: yes\nb: 0x1F\nc: 2026-01-01\nd: ~\ne: "1"\nf: 1.5\ng: true',
      [{ a: 'yes', b: 31, c: '2026-01-01', d: null, e: '1', f: 1.5, g: true }],
    ],
    ['{"apiVersion": "v1", "data": {"a": [1, null]}}', [{ apiVersion: 'v1', data: { a: [1, null] } }]],
  ])('%j is read as in YAML 1.2', (text, values) => {
    const read = parseYaml(text);
    expect(read.kind === 'parsed' ? read.documents.map(({ value }) => value) : read).toEqual(values);
  });

  test('a key __proto__ is a key like any other', () => {
    const read = parseYaml('__proto__: { polluted: true }');
    expect(read.kind === 'parsed' && Object.keys(read.documents[0]?.value ?? {})).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['polluted']).toBe(undefined);
  });
});

describe('a text that is refused names the line', () => {
  test.each([
    ['a flow list without an end', 'a: 1\nb: [1', 2, 'unexpected end of the stream within a flow collection'],
    ['a key twice', 'a: 1\nb: 2\na: 2', 3, 'duplicated mapping key'],
    ['bad indentation', 'a: 1\n b: 2', 2, 'bad indentation of a mapping entry'],
    ['an unknown tag', 'a: 1\nb: !secret x', 2, 'unknown scalar tag !<!secret>'],
    ['an unknown alias', 'a: *nope', 1, 'unidentified alias "nope"'],
    [
      'aliases that multiply',
      'a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]',
      2,
      'an alias within an anchored value is not supported; write it out',
    ],
    ['an alias of itself', 'a: &a [*a]', 1, 'an alias within an anchored value is not supported; write it out'],
  ])('%s', (_, text, line, message) => {
    expect(parseYaml(text)).toEqual({ kind: 'invalid', line, message });
  });

  test.each([
    ['too many aliases', `a: &a [x]\nb: [${Array.from({ length: 101 }, () => '*a').join()}]`],
    ['too deep', '['.repeat(200)],
  ])('%s', (_, text) => {
    expect(parseYaml(text)).toMatchObject({ kind: 'invalid' });
  });
});
