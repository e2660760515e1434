import { beforeAll, describe, expect, test } from 'vitest';
import { loadParser, parseSql } from '#sql/parser.ts';
import { RefusalError } from '#sql/refusal.ts';
import { piecesOf, printPieces, sameTree, verifyText } from '#sql/splice.ts';
import { asNode, listField, remove, withFirst } from '#sql/tree-access.ts';
import type { Edit } from '#sql/statement-context.ts';

const TEXT = 'SELECT a FROM t';

function print(edits: readonly Omit<Edit, 'order'>[]): string {
  const ordered = edits.map((edit, order) => ({ ...edit, order }));
  return printPieces(piecesOf(ordered, 0, TEXT.length), TEXT);
}

const around = (start: number, end: number, before: string, after: string): readonly Omit<Edit, 'order'>[] => [
  { kind: 'before', start, end: start, text: before },
  { kind: 'after', start: end, end, text: after },
];

describe('edits', () => {
  test('none leave the text', () => {
    expect(print([])).toBe(TEXT);
  });
  test('inner ones surround before outer ones', () => {
    expect(print([...around(7, 8, 'f(', ')'), ...around(7, 8, 'g(', ')')])).toBe('SELECT g(f(a)) FROM t');
  });
  test('a replacement stands inside of what surrounds it', () => {
    expect(print([{ kind: 'replace', start: 7, end: 8, text: 'b' }, ...around(7, 8, '(', ')')])).toBe(
      'SELECT (b) FROM t',
    );
  });
  test('overlapping ones are refused', () => {
    const edits = [
      { kind: 'replace', start: 0, end: 8, text: 'x' },
      { kind: 'replace', start: 7, end: 9, text: 'y' },
    ] as const;
    expect(() => print(edits)).toThrow(RefusalError);
  });
  test('one behind the end is refused', () => {
    expect(() => print([{ kind: 'replace', start: 14, end: 16, text: 'x' }])).toThrow(RefusalError);
  });
});

describe('trees', () => {
  beforeAll(async () => {
    await loadParser();
  });
  const tree = (text: string): unknown => parseSql(text)[0]?.stmt;

  test.each([
    ['SELECT a', 'select   "a"', true],
    ['SELECT a AND (b AND c)', 'SELECT (a AND b) AND c', true],
    ['SELECT a OR (b AND c)', 'SELECT (a OR b) AND c', false],
    ['SELECT NOT (NOT a)', 'SELECT NOT a', false],
    ['SELECT a', 'SELECT a AS a', false],
    ['SELECT 1', "SELECT '1'", false],
    ['SELECT a FROM t', 'SELECT a FROM ONLY t', false],
    ['SELECT f(DISTINCT a)', 'SELECT f(a)', false],
    ['SELECT a, b', 'SELECT a', false],
  ])('%s and %s', (a, b, same) => {
    expect(sameTree(tree(a), tree(b))).toBe(same);
    expect(sameTree(tree(b), tree(a))).toBe(same);
  });

  test('a text that reads otherwise, as two statements, or not at all, is refused', () => {
    const intended = parseSql('SELECT a FROM t').map((statement) => statement.stmt);
    verifyText('SELECT "a" FROM "t"', intended);
    for (const text of ['SELECT b FROM t', 'SELECT a FROM t; SELECT a FROM t', 'SELECT a FROM', '']) {
      expect(() => verifyText(text, intended), text).toThrow(RefusalError);
    }
  });

  test.each([
    [
      String.raw`SELECT a < b, '<\u003e>', E'\\', 'ü "x" location":5', U&"d\00fc"`,
      String.raw`select a<b, '<\u003e>', '\', 'ü "x" location":5', "dü"`,
    ],
    ['SELECT a AS c FROM s.t', 'SELECT   a c FROM "s"."t"'],
    ['SELECT 1; SELECT 2', 'SELECT 1;SELECT 2'],
  ])('%s reads as %s', (a, b) => {
    verifyText(
      b,
      parseSql(a).map((statement) => statement.stmt),
    );
  });

  test.each([
    [`SELECT '<'`, String.raw`SELECT '\u003c'`],
    [`SELECT '"location":5'`, `SELECT '"location":6'`],
    [`SELECT ',"location":5'`, `SELECT ''`],
    ['SELECT a < b', 'SELECT a > b'],
    ['SELECT a FROM s.t', 'SELECT a FROM t'],
    ['SELECT 1; SELECT 2', 'SELECT 1'],
    ['SELECT 1', 'SELECT 1; SELECT 2'],
  ])('%s does not read as %s', (a, b) => {
    expect(() =>
      verifyText(
        b,
        parseSql(a).map((statement) => statement.stmt),
      ),
    ).toThrow(RefusalError);
  });

  test('a field put first is the same tree', () => {
    const intended = parseSql('SELECT a FROM t').map((statement) => statement.stmt);
    const from = listField(asNode(intended[0], 'SelectStmt') ?? {}, 'fromClause');
    const [item = {}] = from;
    item['RangeVar'] = withFirst(asNode(item, 'RangeVar') ?? {}, 'schemaname', 's');
    verifyText('SELECT a FROM s.t', intended);
    expect(JSON.stringify(intended)).toBe(JSON.stringify(parseSql('SELECT a FROM s.t').map((one) => one.stmt)));
  });

  test('a field that was removed counts as one that is not there', () => {
    const intended = parseSql('SELECT a FROM t WHERE b').map((statement) => statement.stmt);
    const select = asNode(intended[0], 'SelectStmt') ?? {};
    remove(select, 'whereClause');
    remove(select, 'noSuchField');
    expect(Object.keys(select)).not.toContain('noSuchField');
    verifyText('SELECT a FROM t', intended);
    expect(() => verifyText('SELECT a FROM t WHERE b', intended)).toThrow(RefusalError);
  });
});
