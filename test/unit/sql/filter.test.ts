import { beforeAll, describe, expect, test } from 'vitest';
import { bindRowFilter, compileRowFilter, type FilterIdentity } from '#sql/filter.ts';
import { quoteIdentifier } from '#sql/identifiers.ts';
import { loadParser } from '#sql/parser.ts';
import { printExpression } from '#sql/relation-view.ts';

const IDENTITY: FilterIdentity = {
  namespace: 'agents',
  serviceAccount: "bo't",
  groups: ['a', 'b"c\\', '{x,y}'],
  claims: {
    dep: "x'); DROP TABLE y --",
    n: -3,
    f: 1.5,
    big: 1e300,
    yes: true,
    nothing: null,
    list: ['a'],
    map: {},
    nul: 'a\0b',
    half: '\ud800',
    'https://x/y': 'z',
  },
};

beforeAll(loadParser);

function bound(text: string): string {
  const compiled = compileRowFilter(text);
  if (compiled.kind === 'invalid') return `invalid: ${compiled.problem}`;
  const result = bindRowFilter(compiled.template, IDENTITY);
  return result.kind === 'bound'
    ? printExpression(result.expression, quoteIdentifier, 't')
    : `missing: ${result.value}`;
}

describe('a row filter', () => {
  test.each([
    ["region = 'eu'", `(t."region" = 'eu')`],
    ['"Größe" > 1 AND größe < 2', '(t."Größe" > 1 AND t."größe" < 2)'],
    ["'ä' = a or '🙂' = b", `('ä' = t."a" or '🙂' = t."b")`],
    [
      "lower(a) LIKE 'x%' AND pg_catalog.upper(b) = 'Y'",
      `(pg_catalog.lower(t."a") LIKE 'x%' AND pg_catalog.upper(t."b") = 'Y')`,
    ],
    ['a IS NOT NULL AND b IS TRUE AND NOT c', '(t."a" IS NOT NULL AND t."b" IS TRUE AND NOT t."c")'],
    ["a IN ('x', 'y') AND b NOT BETWEEN 1 AND -2.5e1", `(t."a" IN ('x', 'y') AND t."b" NOT BETWEEN 1 AND -2.5e1)`],
    ['CASE WHEN a THEN b ELSE coalesce(c, false) END', '(CASE WHEN t."a" THEN t."b" ELSE coalesce(t."c", false) END)'],
    [
      "created > now() - interval '1 day' AND d = current_date",
      `(t."created" > pg_catalog.now() - interval '1 day' AND t."d" = current_date)`,
    ],
    [
      "date_trunc('day', a AT TIME ZONE 'UTC') = b::date",
      `(pg_catalog.date_trunc('day', t."a" AT TIME ZONE 'UTC') = t."b"::date)`,
    ],
    ["extract(year FROM a) = 2024 AND trim(b) = ''", `(extract(year FROM t."a") = 2024 AND trim(t."b") = '')`],
    [
      "a = ANY(ARRAY['x','y']) AND tags @> '{a}'::text[]",
      `(t."a" = ANY(ARRAY['x','y']) AND t."tags" @> '{a}'::text[])`,
    ],
    ['a = 1 -- comment', '(t."a" = 1)'],
    ['a /* ) */ = 1', '(t."a"         = 1)'],
    ['U&"d\\0061t" = 1', '(t."dat" = 1)'],
    ['a OPERATOR(pg_catalog.=) 1', '(t."a" OPERATOR(pg_catalog.=) 1)'],
    ["body ->> 'k' = 'v'", `(t."body" ->> 'k' = 'v')`],
  ])('%s is taken', (text, printed) => {
    expect(bound(text)).toBe(printed);
  });

  test.each([
    ['owner = {{ identity.serviceAccount }}', `(t."owner" =  ('bo''t'::pg_catalog.text))`],
    ['owner={{identity.namespace}}', `(t."owner"= ('agents'::pg_catalog.text))`],
    ['dep = {{ identity.claims.dep }} OR x', `(t."dep" =  ('x''); DROP TABLE y --'::pg_catalog.text)  OR t."x")`],
    ['n = {{ identity.claims.n }}', `(t."n" =  ('-3'::pg_catalog.int8))`],
    ['n - {{ identity.claims.n }} > 0', `(t."n" -  ('-3'::pg_catalog.int8)  > 0)`],
    ['n < {{ identity.claims.f }}', `(t."n" <  ('1.5'::pg_catalog."numeric"))`],
    ['n < {{ identity.claims.big }}', `(t."n" <  ('1e+300'::pg_catalog."numeric"))`],
    ['{{ identity.claims.yes }}', `( ('true'::pg_catalog.bool))`],
    ['g = ANY({{ identity.groups }})', `(t."g" = ANY( ('{"a","b\\"c\\\\","{x,y}"}'::pg_catalog.text[]) ))`],
    ['id = {{ identity.claims.dep }}::uuid', `(t."id" =  ('x''); DROP TABLE y --'::pg_catalog.text) ::uuid)`],
    ['a = {{ identity.claims.https://x/y }}', `(t."a" =  ('z'::pg_catalog.text))`],
  ])('%s has the value as a literal', (text, printed) => {
    expect(bound(text)).toBe(printed);
  });

  test.each(['nothing', 'list', 'map', 'absent', 'toString', 'nul', 'half'])('a claim %s is missing', (name) => {
    expect(bound(`a = {{ identity.claims.${name} }}`)).toBe(`missing: claims.${name}`);
  });

  test.each([
    ['', 'is not an SQL expression: syntax error at or near ")"'],
    ['true; DROP TABLE x', 'is not an SQL expression: syntax error at or near ";"'],
    ['1) FROM payroll WHERE (true', 'expected one boolean expression'],
    ['a), (b', 'expected one boolean expression'],
    ['a) AS x, (b', 'expected one boolean expression'],
    ['*', 'is not an SQL expression: syntax error at or near "*"'],
    ['EXISTS (SELECT 1)', 'a sub-select is not allowed: a row filter may use only the columns of its own table'],
    ['a = (SELECT 1)', 'a sub-select is not allowed: a row filter may use only the columns of its own table'],
    ['a = $1', 'parameters ($1) are not allowed'],
    ['public.f(a)', 'function public.f is not allowed in a row filter'],
    ['pg_sleep(1) IS NULL', 'function pg_sleep is not allowed in a row filter'],
    ['random() < 1', 'function random is not allowed in a row filter'],
    ["current_setting('x') = a", 'function current_setting is not allowed in a row filter'],
    ["query_to_xml('select 1', true, true, '') IS NULL", 'function query_to_xml is not allowed in a row filter'],
    ['count(*) > 1', 'function count is not allowed in a row filter'],
    ['length(DISTINCT a) > 1', 'function length: only plain arguments are allowed'],
    ['length(a) OVER () > 1', 'function length: only plain arguments are allowed'],
    ['current_user = a', "current_user is not allowed: it names the database's user, not who asks"],
    ['a OPERATOR(public.=) 1', 'operator public.= is not allowed'],
    ['a <-> b < 1', 'operator <-> is not allowed'],
    ['a::regclass IS NULL', 'a cast to regclass is not allowed; cast to a built-in type'],
    ["'x'::public.mood = a", 'a cast to public.mood is not allowed; cast to a built-in type'],
    ['customers.a = 1', "write a column by its bare name: a row filter reads its own table's columns only"],
    ['customers.* IS NULL', "write a column by its bare name: a row filter reads its own table's columns only"],
    ['a = 1_000', 'write numbers in decimal, without underscores'],
    ['a = 0x1F', 'write numbers in decimal, without underscores'],
    ["a = B'1'", 'bit strings are not allowed'],
    ['(a, b) = (1, 2)', 'rows are not allowed; compare the columns one by one'],
    ['a[1] = 2', 'subscripts and field selection are not allowed'],
    ['(a).b = 2', 'subscripts and field selection are not allowed'],
    [`a COLLATE "C" = 'x'`, 'COLLATE is not allowed'],
    ['a IS JSON', 'JsonIsPredicate is not allowed'],
    ['a\0b = 1', 'holds a character that cannot stand in SQL'],
    ["a = '{{ identity.namespace }}'", '{{ identity.* }} may not stand inside quotes: it is quoted by itself'],
    ['a = $${{ identity.namespace }}$$', '{{ identity.* }} may not stand inside quotes: it is quoted by itself'],
    ['a = 1 /* {{ identity.namespace }} */', '{{ identity.* }} may not stand inside quotes: it is quoted by itself'],
    [
      'a = {{ identity.name }}',
      '{{ identity.name }} is not known; use identity.serviceAccount, identity.namespace, identity.groups or identity.claims.NAME',
    ],
    ['a = {{ identity.namespace', 'holds {{ without its }}'],
    [
      '"{{0}}" = {{ identity.namespace }}',
      '{{ 0 }} is not known; use identity.serviceAccount, identity.namespace, identity.groups or identity.claims.NAME',
    ],
  ])('%s is refused', (text, problem) => {
    expect(bound(text)).toBe(`invalid: ${problem}`);
  });

  test('says which columns it reads, and which without a cast', () => {
    const compiled = compileRowFilter('a = 1 AND b::text = c AND lower(d) = d AND a > 2');
    expect(compiled.kind === 'compiled' && compiled.template.columns).toEqual(['a', 'b', 'c', 'd']);
    expect(compiled.kind === 'compiled' && compiled.template.bareColumns).toEqual(['a', 'c', 'd']);
  });

  test('ten thousand parentheses are a problem, not a crash', () => {
    expect(bound(`${'('.repeat(10_000)}a${')'.repeat(10_000)}`)).toMatch(/^invalid: /);
    expect(bound("region = 'eu'")).toBe(`(t."region" = 'eu')`);
  });
});
