import fc from 'fast-check';
import pg from 'pg';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { decideText } from '#policy/decide.ts';
import type { TextDecision } from '#policy/decision.ts';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { loadCatalog } from '#proxy/catalog-loader.ts';
import { planText } from '#session/decided-text.ts';
import { DecisionCache, type TextLookup } from '#session/decision-cache.ts';
import { initialNames } from '#session/session-names.ts';
import { loadParser } from '#sql/parser.ts';
import { createDatabase } from '../postgres.ts';
import { BOT, sampleConnection, samplePolicy } from '../sample-policy.ts';

let policy: EffectivePolicy;
const { names } = initialNames(['public']);

beforeAll(async () => {
  const admin = inject('sharedPostgresUrl');
  await createDatabase(admin, 'shape_cache');
  const url = new URL(admin);
  url.pathname = '/shape_cache';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query(`
    CREATE TABLE customers (id serial PRIMARY KEY, email text, region text, born date, salary numeric, doc jsonb, secret text);
    CREATE TABLE payroll (id int);`);
  await client.end();
  await loadParser();
  const target = {
    host: url.hostname,
    port: Number(url.port),
    database: 'shape_cache',
    user: url.username,
    password: url.password,
    tls: { mode: 'Disable' as const },
  };
  const { snapshot: catalog } = await loadCatalog(target, undefined, new AbortController().signal);
  const policies = [
    samplePolicy({
      statements: { allow: ['CREATE TEMPORARY TABLE'] },
      tables: [
        {
          name: 'public.customers',
          actions: ['Select', 'Insert', 'Update', 'Delete'],
          hide: ['secret'],
          mask: [
            { columns: ['email'], with: { method: 'Email' } },
            { columns: ['salary'], with: { method: 'SetNull' } },
          ],
          rowFilter: "region = 'eu'",
        },
      ],
    }),
  ];
  const result = effectivePolicy({ connection: sampleConnection(), policies, identity: BOT, catalog, generation: 1 });
  if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
  policy = result.policy;
});

/** `#` stands for a number, `@` for a string; some of them decide what the statement is. */
const TEMPLATES = [
  'SELECT * FROM customers WHERE id = # AND region = @',
  'SELECT id, email FROM customers ORDER BY # LIMIT #',
  'SELECT region, count(*) FROM customers GROUP BY # HAVING count(*) > #',
  'SELECT id FROM customers TABLESAMPLE BERNOULLI (#)',
  'SELECT @::regclass, id FROM customers',
  'SELECT CAST(@ AS regclass)',
  'SELECT set_config(@, @, false)',
  'SELECT current_setting(@)',
  'SELECT nextval(@)',
  'SELECT pg_get_serial_sequence(@, @)',
  'SELECT to_regclass(@)',
  'SELECT id FROM customers WHERE region LIKE @',
  'SELECT id FROM customers WHERE email LIKE @ ESCAPE @',
  "SELECT date_trunc(@, born), born + interval '1 day' * # FROM customers",
  'SELECT id FROM customers WHERE id / # > # AND id IN (#, #)',
  'SELECT doc -> @ ->> # FROM customers WHERE region ~ @',
  'SET search_path TO @',
  'SET statement_timeout TO #',
  'SELECT substring(region from # for #), left(region, #) FROM customers',
  'INSERT INTO customers (id, region) VALUES (#, @)',
  'UPDATE customers SET region = @ WHERE id = #',
  'DELETE FROM customers WHERE id = # RETURNING id',
  'SELECT has_table_privilege(@, @)',
  'SELECT @ UNION SELECT region FROM customers ORDER BY #',
  'EXPLAIN SELECT * FROM customers WHERE id = #',
  'SELECT relname FROM pg_catalog.pg_class WHERE relname = @ AND oid = #',
];
const NUMBERS = ['1', '2', '0', '7', '123456789', '100'];
const STRINGS = [
  "'eu'",
  "''",
  "'x%'",
  "'customers'",
  "'payroll'",
  "'search_path'",
  "'role'",
  "'public.customers_id_seq'",
  "'it''s'",
  "'day'",
  "'id'",
  "'12'",
  "'public'",
];

const filling = fc.record({
  numbers: fc.array(fc.constantFrom(...NUMBERS), { minLength: 6, maxLength: 6 }),
  strings: fc.array(fc.constantFrom(...STRINGS), { minLength: 6, maxLength: 6 }),
});

function fill(
  template: string,
  { numbers, strings }: { numbers: readonly string[]; strings: readonly string[] },
): string {
  let number = 0;
  let string = 0;
  return template.replace(/[#@]/g, (mark) => (mark === '#' ? numbers[number++] : strings[string++]) ?? '0');
}

function decide(text: string): TextDecision {
  return decideText({ text, policy, session: names, parameterTypeOids: [], checkToken: 'token' });
}

function lookup(text: string): TextLookup {
  const buffer = Buffer.from(text);
  return { policy, names, buffer, start: 0, end: buffer.length, types: '', text: () => text };
}

describe('the cache by shape', () => {
  test('never answers otherwise than a fresh decision of the very text', () => {
    let hits = 0;
    fc.assert(
      fc.property(fc.constantFrom(...TEMPLATES), filling, filling, (template, first, second) => {
        const cache = new DecisionCache({ maxBytes: 1_000_000, maxEntries: 100 });
        const seen = fill(template, first);
        cache.add(lookup(seen), planText(seen, decide(seen), policy));
        const text = fill(template, second);
        const hit = cache.find(lookup(text));
        if (hit === undefined) return;
        if (text !== seen) hits++;
        const fresh = decide(text);
        expect(fresh.denial).toEqual(hit.decided.denial);
        if (fresh.forwardText !== undefined) expect(hit.forward?.toString() ?? text).toBe(fresh.forwardText);
        expect(hit.decided.decision.statements.map(({ facts }) => facts)).toEqual(
          fresh.statements.map(({ facts }) => facts),
        );
        expect(hit.decided.effects).toEqual(fresh.statements.flatMap(({ accepted }) => accepted?.effects ?? []));
        const shapes = fresh.statements.map(({ accepted }) => accepted?.shape);
        expect(hit.decided.decision.statements.map(({ accepted }) => accepted?.shape)).toEqual(shapes);
      }),
      { numRuns: 3000 },
    );
    expect(hits).toBeGreaterThan(300);
  }, 120_000);
});
