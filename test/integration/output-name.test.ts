/** The names of unnamed output columns, as the server gives them. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { columnName } from '#sql/output-name.ts';
import { loadParser, parseExpression } from '#sql/parser.ts';

const EXPRESSIONS =
  `a | t.a | "A b" | t | 1 | 'x' | NULL | true | a + 1 | -a | a::text | CAST(a AS numeric(5,1)) | 1::int8 | '1'::text::int
  | (a) | upper(b) | pg_catalog.upper(b) | count(*) OVER () | COALESCE(a, 1) | NULLIF(a, 1) | GREATEST(a, 1) | LEAST(a, 1)
  | CASE WHEN true THEN a END | CASE WHEN true THEN 1 ELSE a END | CASE WHEN true THEN 1 ELSE 1::int8 END | ARRAY[a] | ARRAY(SELECT 1) | EXISTS (SELECT 1)
  | (SELECT a) | (SELECT a AS x) | (SELECT 1) | (SELECT upper(b)) | a IN (1) | a = ANY (ARRAY[1]) | a IS NULL | b COLLATE "C"
  | b LIKE 'x' | a BETWEEN 1 AND 2 | ROW(a, 1) | (r).k | (ARRAY[a])[1] | (ARRAY[ROW(1)])[1] | b || 'x' | now() | current_date | current_timestamp(0)
  | localtime | current_user | user | session_user | current_catalog | current_schema | extract(year FROM now()) | trim(b) | trim(leading 'x' FROM b)
  | substring(b FROM 1) | position('x' IN b) | overlay(b PLACING 'x' FROM 1) | now() AT TIME ZONE 'UTC' | date '2020-01-01' | interval '1 day'
  | xmlelement(name x) | xmlforest(a AS x) | xmlconcat('<a/>') | xmlparse(content '<a/>') | xmlserialize(content '<a/>' AS text)
  | json '{}' -> 'a' | a IS DISTINCT FROM 1 | NOT true | true AND false | b IS NORMALIZED | normalize(b) | collation for (b)
  | (a::text COLLATE "C") | (1, 2) = (1, 2) | a::float8 | a::double precision | a::varchar(3) | a::bpchar | a::char | a::bit(3) | '1 day'::interval day
  | JSON_OBJECT('a': 1) | JSON_ARRAY(1) | JSON_ARRAY(SELECT 1) | JSON_SCALAR(1) | JSON('{}') | JSON_SERIALIZE('{}') | JSON_EXISTS(jsonb '{}', '$')
  | JSON_VALUE(jsonb '{}', '$.a') | JSON_QUERY(jsonb '{}', '$') | '{}' IS JSON`
    .split('|')
    .map((text) => text.trim());

describe('names of output columns', () => {
  let client: pg.Client;
  beforeAll(async () => {
    await loadParser();
    client = new pg.Client({ connectionString: inject('sharedPostgresUrl') });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
  });

  test.each(EXPRESSIONS.filter((text) => text !== ''))('%s', async (expression) => {
    const from = `(SELECT 1 AS a, 'x'::text AS b, 2 AS "A b", j AS r FROM (SELECT 1 AS k) j) t`;
    const { fields } = await client.query(`SELECT ${expression} FROM ${from}`);
    expect(columnName(parseExpression(expression))).toBe(fields[0]?.name);
  });
});
