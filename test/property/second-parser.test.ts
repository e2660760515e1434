/**
 * A second implementation as a witness: where pgsql-ast-parser reads a statement of the corpus, both parsers see the same number of
 * statements, of the same kinds, over the same tables. It has no part at run time (docs/decisions/0002).
 */
import { astVisitor, parse, type Statement } from 'pgsql-ast-parser';
import { beforeAll, expect, test } from 'vitest';
import { loadParser, parseSql } from '#sql/parser.ts';
import { FIDELITY_CORPUS } from '#test/corpus/fidelity/corpus.ts';

beforeAll(loadParser);

const KINDS: Readonly<Record<string, string>> = {
  select: 'SelectStmt',
  values: 'SelectStmt',
  union: 'SelectStmt',
  'union all': 'SelectStmt',
  with: 'SelectStmt',
  'with recursive': 'SelectStmt',
  insert: 'InsertStmt',
  update: 'UpdateStmt',
  delete: 'DeleteStmt',
};

function witness(text: string): readonly Statement[] | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function tablesOfWitness(statements: readonly Statement[]): ReadonlySet<string> {
  const names = new Set<string>();
  const visitor = astVisitor(() => ({ tableRef: (table) => void names.add(table.name) }));
  for (const statement of statements) visitor.statement(statement);
  return names;
}

function tablesOf(value: unknown, names: Set<string> = new Set()): ReadonlySet<string> {
  if (Array.isArray(value)) for (const element of value) tablesOf(element, names);
  else if (typeof value === 'object' && value !== null) {
    if ('relname' in value && typeof value.relname === 'string') names.add(value.relname);
    for (const child of Object.values(value)) tablesOf(child, names);
  }
  return names;
}

const texts = FIDELITY_CORPUS.flatMap(({ steps }) => steps)
  .map((step) => (typeof step === 'string' ? step : 'parse' in step ? step.parse : ''))
  .filter((text) => text !== '' && !text.includes('{{'));

test('two parsers agree on number, kind and tables of the statements that both read', () => {
  let compared = 0;
  for (const text of texts) {
    const seen = witness(text);
    if (seen === undefined || !seen.every(({ type }) => type in KINDS)) continue;
    const parsed = parseSql(text);
    expect(parsed.length, text).toBe(seen.length);
    const nested = seen.some(({ type }) => type.startsWith('with'));
    if (!nested)
      expect(
        parsed.map(({ stmt }) => Object.keys(stmt)[0]),
        text,
      ).toEqual(seen.map(({ type }) => KINDS[type]));
    const tables = tablesOf(parsed.map(({ stmt }) => stmt));
    for (const name of tablesOfWitness(seen)) expect(tables, text).toContain(name);
    compared += 1;
  }
  expect(compared).toBeGreaterThan(100);
});
