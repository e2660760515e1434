/** Rewritten statements keep the plans of the honest view: indexes, ordered scans, and one locked row. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { type RewriteFixture, startRewriteFixture } from './rewrite-fixture.ts';

/** Statement and the node that must be in its plan. */
const PLANS: readonly (readonly [string, RegExp])[] = [
  ['SELECT id, payload FROM big WHERE id = 4711', /Index Scan using big_pkey/],
  ['SELECT id FROM big WHERE other = 5 AND id < 900', /Index Scan|Bitmap Index Scan/],
  ['SELECT b.id FROM plain JOIN big b ON b.id = plain.id', /Nested Loop[\s\S]*Index (Only )?Scan using big_pkey/],
  ['SELECT id FROM big ORDER BY id LIMIT 10', /Limit[\s\S]*Index (Only )?Scan using big_pkey/],
  ['SELECT id FROM big WHERE id IN (1, 2, 3)', /big_pkey/],
  ['SELECT id FROM big WHERE id = ANY (ARRAY[1, 2, 3])', /big_pkey/],
  ['SELECT id FROM big WHERE id BETWEEN 10 AND 20', /big_pkey/],
  ['SELECT id FROM big WHERE id = 5 + 1', /Index (Only )?Scan using big_pkey/],
  ['SELECT id FROM big WHERE id = 77 AND length(payload) > 1', /Index Scan using big_pkey/],
  ['SELECT b.id FROM big b WHERE b.id IN (SELECT id FROM plain)', /big_pkey/],
  ['SELECT b.id FROM big b WHERE b.id IN (SELECT id FROM plain WHERE 10/id > 0)', /big_pkey/],
  ['SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM big b WHERE b.id = orders.id) AND id < 4', /big_pkey/],
  ['SELECT x.id FROM (SELECT id, payload FROM big) x WHERE x.id = 9', /Index Scan using big_pkey/],
  ['WITH w AS (SELECT id, payload FROM big) SELECT * FROM w WHERE id = 9', /Index Scan using big_pkey/],
  [
    'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT b.id + 1 FROM big b JOIN r ON b.id = r.n WHERE r.n < 50) SELECT n FROM r',
    /big_pkey/,
  ],
];

/** Conditions on a filtered table that cannot raise stay as they are; all others go behind its flag. */
const CONDITIONS: readonly (readonly [string, 'plain' | 'guarded'])[] = [
  ['id = 1', 'plain'],
  ["region LIKE 'e%' AND name = 'x'", 'plain'],
  ["region LIKE 'e' || name", 'guarded'],
  ["region LIKE 'e\\'", 'guarded'],
  ['amount > 1.5', 'plain'],
  ["created > now() - interval '7 days'", 'plain'],
  ["created > now() - interval '1 year 2 mons 03:00'", 'plain'],
  ["created > current_timestamp - '30 days'::interval", 'plain'],
  ['created::date > current_date - 7', 'guarded'],
  ["created > now() + interval '290000 years'", 'guarded'],
  ["created > now() + interval '29 0000 years'", 'guarded'],
  ["created > now() + interval '290:00:000000 years'", 'guarded'],
  ["created > now() - interval '7'", 'plain'],
  ["created > now() - interval '900 years' - interval '900 years'", 'guarded'],
  ['score = 5 + 1', 'plain'],
  ['score = 5 / 0', 'guarded'],
  ['score = ANY (ARRAY[1, 2])', 'plain'],
  ['score IN (1, 2)', 'plain'],
  ['10 / score = 1', 'guarded'],
  ["score = '1'::positive", 'guarded'],
  ['score = 1::int8', 'plain'],
  ['active OR EXISTS (SELECT 1 FROM orders WHERE total = 1)', 'plain'],
  ['active OR EXISTS (SELECT 1 FROM orders WHERE 1 / total = 1)', 'guarded'],
  ['id IN (SELECT customer_id FROM orders WHERE 1 / total = 1)', 'plain'],
  ['id NOT IN (SELECT customer_id FROM orders WHERE 1 / total = 1)', 'guarded'],
  ['random() < 0.5', 'guarded'],
  ['CASE WHEN active THEN score = 1 ELSE false END', 'plain'],
  ['upper(name) = $1', 'guarded'],
  ['name = $1', 'plain'],
];

/** Without costs; the honest view's relation is the same table. */
async function planOf(client: pg.Client, path: string, text: string): Promise<string> {
  await client.query(`SET search_path = ${path}; SET enable_mergejoin = off; SET enable_hashjoin = off`);
  const result = await client.query<string[]>({ text: `EXPLAIN (COSTS OFF) ${text}`, rowMode: 'array' });
  return result.rows.map((row) => row[0] ?? '').join('\n');
}

/** Conditions apart, which the guard writes differently. */
function shape(plan: string): string {
  return plan
    .split('\n')
    .filter((line) => !/^\s*(Filter|Join Filter):/.test(line))
    .join('\n');
}

describe.each(([18, 15] as const).filter(isPostgresInstalled))('on PostgreSQL %i', (version) => {
  let fixture: RewriteFixture;
  let client: pg.Client;
  beforeAll(async () => {
    fixture = await startRewriteFixture(version);
    client = new pg.Client({ connectionString: fixture.server.adminUrl('shop') });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await fixture.stop();
  });

  test.each(PLANS)('%s keeps its plan', async (text, node) => {
    const plan = await planOf(client, 'public', fixture.rewrite(text) ?? '');
    expect(plan).toMatch(node);
    expect(shape(plan)).toBe(shape(await planOf(client, 'honest', text)));
  });

  test.each(CONDITIONS)('%s is %s', (condition, expected) => {
    const rewritten = fixture.rewrite(`SELECT id FROM customers WHERE ${condition}`);
    expect(rewritten, fixture.refusal(`SELECT id FROM customers WHERE ${condition}`)).toBeDefined();
    expect(/CASE WHEN "postern_flag/.test(rewritten ?? '') ? 'guarded' : 'plain').toBe(expected);
  });

  test('FOR UPDATE SKIP LOCKED LIMIT 1 with a guarded condition locks one row', async () => {
    const text =
      'SELECT id FROM big WHERE length(payload) > 1 AND other = 7 ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1';
    await client.query('CREATE EXTENSION IF NOT EXISTS pgrowlocks SCHEMA public');
    await client.query('BEGIN');
    const rewritten = fixture.rewrite(text) ?? '';
    expect(rewritten).toContain('CASE WHEN');
    await client.query('SET search_path = public');
    expect((await client.query(rewritten)).rowCount).toBe(1);
    const locked = await fixture.raw("SELECT count(*) FROM pgrowlocks('public.big')");
    await client.query('ROLLBACK');
    expect(locked).toMatchObject({ rows: [['1']] });
  });
});
