/**
 * Twin databases that differ only in hidden rows and values: whatever raises, wherever the planner may put it, the two answer alike, under
 * every kind of plan. Security catalogue B, C and G (reference: "Ways round a masking proxy").
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { type RewriteFixture, type RewriteOptions, type Seen, startRewriteFixture } from './rewrite-fixture.ts';

const PLANS = [
  '',
  'SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off',
  'SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off',
  'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off',
  'SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = off',
  'SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashagg = off',
];

const STATEMENTS = [
  `SELECT id FROM accounts WHERE 10/balance > 1 AND id = 80`,
  `SELECT id FROM accounts WHERE id = 80 OR 10/balance > 100`,
  `SELECT id FROM accounts a WHERE NOT (10/balance > 100) ORDER BY id`,
  `SELECT p.id FROM plain p JOIN accounts a ON a.id = p.id * 20 AND 10/a.balance > 0 ORDER BY 1`,
  `SELECT p.id FROM plain p LEFT JOIN accounts a ON a.id = p.id * 20 AND 10/a.balance > 0 ORDER BY 1`,
  `SELECT p.id FROM accounts a RIGHT JOIN plain p ON a.id = p.id * 20 AND 10/a.balance > 0 ORDER BY 1`,
  `SELECT p.id, a.id FROM accounts a FULL JOIN plain p ON a.id = p.id AND a.balance = p.id WHERE COALESCE(10/a.balance, 1) > 0 ORDER BY 1, 2`,
  `SELECT d.k FROM (SELECT 10/balance AS k FROM accounts) d WHERE d.k > 2 ORDER BY 1`,
  `SELECT d.k FROM (SELECT 10/balance AS k FROM accounts) d, plain p WHERE d.k = p.id AND p.id = 2`,
  `SELECT d.k FROM (SELECT 10/balance AS k FROM accounts OFFSET 0) d, plain p WHERE d.k = p.id AND p.id = 2`,
  `SELECT d.k FROM (SELECT balance AS k, count(*) FROM accounts GROUP BY 1) d WHERE 10/d.k > 2 ORDER BY 1`,
  `SELECT d.k FROM (SELECT 10/balance AS k, count(*) FROM accounts GROUP BY 1) d WHERE d.k = 2`,
  `SELECT d.k FROM (SELECT DISTINCT 10/balance AS k FROM accounts) d WHERE d.k = 2`,
  `SELECT d.k FROM (SELECT balance AS k, row_number() OVER (PARTITION BY balance) AS r FROM accounts) d WHERE 10/d.k = 2 AND d.r = 1`,
  `SELECT d.k FROM (SELECT 10/balance AS k, row_number() OVER (PARTITION BY 10/balance) AS r FROM accounts) d WHERE d.k = 2 AND d.r = 1`,
  `SELECT d.k FROM (SELECT balance AS k FROM accounts UNION ALL SELECT total FROM orders) d WHERE 10/d.k = 2`,
  `SELECT d.k FROM (SELECT balance AS k FROM accounts UNION SELECT balance FROM accounts WHERE 10/balance > 3) d WHERE 10/d.k = 2`,
  `SELECT d.k FROM (SELECT balance AS k FROM accounts EXCEPT SELECT 1) d WHERE 10/d.k = 2`,
  `SELECT d.k FROM (SELECT d2.k FROM (SELECT 10/balance AS k FROM accounts) d2) d WHERE d.k = 2 AND d.k IS NOT NULL`,
  `WITH w AS (SELECT 10/balance AS k FROM accounts) SELECT k FROM w WHERE k = 2`,
  `WITH w AS NOT MATERIALIZED (SELECT balance AS k, id FROM accounts) SELECT x.id FROM w x, w y WHERE x.id = y.id AND 10/x.k > 9 AND 10/y.k + 10/x.k > 3 ORDER BY 1`,
  `SELECT p.id FROM plain p, LATERAL (SELECT 10/a.balance AS k FROM accounts a WHERE a.id = p.id * 20) l WHERE l.k > 0 ORDER BY 1`,
  `SELECT a.id FROM accounts a, LATERAL (SELECT 1 WHERE 10/a.balance > 9) l ORDER BY 1`,
  `SELECT a.id FROM accounts a CROSS JOIN LATERAL (VALUES (10/a.balance)) v(k) WHERE v.k > 9 ORDER BY 1`,
  `SELECT a.id FROM accounts a, generate_series(1, 10/a.balance) g WHERE g > 9 ORDER BY 1`,
  `SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM accounts a WHERE a.customer_id = o.customer_id AND 10/a.balance > 9) ORDER BY 1`,
  `SELECT o.id FROM orders o WHERE o.total IN (SELECT 100/balance FROM accounts) ORDER BY 1`,
  `SELECT o.id FROM orders o WHERE o.total NOT IN (SELECT 100/balance FROM accounts) ORDER BY 1`,
  `SELECT o.id FROM orders o WHERE o.total = ANY (SELECT 100/balance FROM accounts WHERE id < 70) AND o.total = 100 ORDER BY 1`,
  `SELECT o.id FROM orders o WHERE o.total > ALL (SELECT 100/balance FROM accounts) ORDER BY 1`,
  `SELECT o.id, (SELECT sum(10/balance) FROM accounts a WHERE a.customer_id = o.customer_id) FROM orders o ORDER BY 1`,
  `SELECT a.id FROM accounts a WHERE (SELECT count(*) FROM orders o WHERE o.customer_id = a.customer_id AND o.total/a.balance > 5) > 0 ORDER BY 1`,
  `SELECT a.id FROM accounts a WHERE a.id IN (SELECT o.id FROM orders o WHERE o.total/a.balance > 5) ORDER BY 1`,
  `SELECT a.id FROM accounts a WHERE a.balance = 10/a.balance AND a.balance = 0`,
  `SELECT a.id FROM accounts a JOIN orders o ON o.id = a.id AND o.total = 100/a.balance WHERE o.total = 100 ORDER BY 1`,
  `SELECT a.id FROM accounts a NATURAL JOIN (SELECT id, customer_id FROM accounts WHERE 10/balance > 1) b ORDER BY 1`,
  `SELECT id FROM (SELECT id, (10/balance)::numeric AS k FROM accounts) a JOIN (SELECT 5::numeric AS k) v USING (k) ORDER BY 1`,
  `SELECT j.k FROM ((SELECT 10/balance AS k FROM accounts) x CROSS JOIN plain p) AS j WHERE j.k = 5`,
  `SELECT j.balance FROM (accounts a CROSS JOIN plain p) AS j WHERE 10/j.balance = 5`,
  `SELECT balance, count(*) FROM accounts GROUP BY balance HAVING 10/balance > 2 ORDER BY 1`,
  `SELECT count(*) FROM accounts HAVING min(10/balance) > 0`,
  `SELECT sum(10/balance) FROM accounts`,
  `SELECT id FROM accounts ORDER BY 10/balance, id`,
  `SELECT DISTINCT 10/balance FROM accounts ORDER BY 1`,
  `SELECT rank() OVER (ORDER BY 10/balance) FROM accounts ORDER BY 1`,
  `SELECT CASE WHEN open THEN 10/balance END FROM accounts ORDER BY 1`,
  `SELECT id FROM accounts WHERE CASE WHEN open THEN 10/balance > 0 ELSE false END ORDER BY id`,
  `SELECT id FROM accounts WHERE note::text ~ '^note1' AND ('{"' || note || '":1}')::json->>'note1' = '1'`,
  `SELECT id FROM accounts WHERE (replace(note, 'note', ''))::int = 5`,
  `SELECT id FROM accounts WHERE note LIKE 'zz%' || 'hidden%' AND (note || 'x')::int = 1`,
  `SELECT id FROM accounts WHERE note LIKE '%\\' AND open`,
  `SELECT id FROM accounts WHERE open AND note SIMILAR TO '(note' || '|x)%' ORDER BY id`,
  `SELECT id FROM accounts WHERE upper(note)::int IS NULL`,
  `SELECT id FROM accounts WHERE substr(note, 1, balance - 1) = 'n' ORDER BY id`,
  `SELECT id FROM accounts WHERE (ARRAY[1,2,3])[balance] / balance = 1 ORDER BY id`,
  `SELECT id FROM accounts WHERE balance::text::int / balance = 1 AND id < 3`,
  `SELECT id FROM accounts WHERE (SELECT 10/balance) > 8 ORDER BY id`,
  `SELECT id FROM accounts a WHERE (a).balance / a.balance = 1 AND id < 3`,
  `SELECT id FROM accounts a WHERE (to_jsonb(a)->>'balance')::int / balance = 1 AND id < 3`,
  `SELECT id FROM accounts a WHERE a::text::int = 1`,
  `SELECT amount FROM parts WHERE 10/amount > 3 ORDER BY 1`,
  `SELECT max(10/amount) FROM parts`,
  `SELECT id FROM risky WHERE ratio > 20 ORDER BY id`,
  `SELECT id FROM customers WHERE name = repeat('x', score - 1) || 1/score`,
  `SELECT id FROM customers WHERE 1/(score) = 1 AND name > 'a' AND "Größe" / score > 0 ORDER BY id`,
  `SELECT x.id FROM customers x, customers y WHERE x.id = y.id AND 10 / (x.score + y.score - 1) > 1 ORDER BY 1`,
  `SELECT id FROM accounts WHERE id = 80 AND balance = (SELECT 1/zero FROM orders LIMIT 1)`,
  `SELECT id FROM accounts WHERE id = 80 AND COALESCE(open, EXISTS (SELECT 1 FROM orders WHERE 1/zero = 1))`,
  `SELECT a.id FROM accounts a JOIN orders o ON o.id = 1 AND (a.open OR EXISTS (SELECT 1 FROM orders q WHERE 1/q.zero = 1)) WHERE a.id = 80`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = a.customer_id LIMIT a.balance - 1)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND EXISTS (SELECT 1 FROM plain LIMIT 5 OFFSET -a.balance)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND (a.open OR (SELECT true FROM plain))`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.id IN (SELECT id FROM orders WHERE 1/zero = 1)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.id IN (SELECT id FROM orders o WHERE o.customer_id = a.customer_id AND 1/zero = 1)`,
  `SELECT a.id FROM accounts a WHERE EXISTS (SELECT FROM orders o WHERE o.id = a.id AND 1/o.zero = 1 AND o.id = 80)`,
  `SELECT a.id FROM accounts a, plain p WHERE a.id = 80 AND EXISTS (SELECT FROM orders o WHERE o.id = p.id AND 1/o.zero = 1)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.open IS DISTINCT FROM EXISTS (SELECT 1 FROM orders WHERE 1/zero = 1)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND EXISTS (SELECT 1 FROM orders WHERE 1/zero = 1) IS TRUE`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.customer_id = ANY (ARRAY(SELECT 1/zero FROM orders))`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND ROW(a.id, a.balance) = ROW(80, 1/(a.balance))`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND (a.id, 1/a.balance) IN (SELECT id, total FROM orders)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND GREATEST(1/a.balance, 0) = 1`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.note = format('%s', 1/a.balance)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.note COLLATE "C" = (1/a.balance)::text`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND num_nulls(1/a.balance) = 1`,
  `SELECT count(*) FROM customers c WHERE c.created + (c.score || ' days')::interval > 'infinity'`,
  `SELECT d.n FROM (SELECT relname AS n FROM pg_class) d WHERE d.n LIKE 'pa%' AND length(d.n) / (length(d.n) - 7) > 100`,
  `SELECT attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND 1/(length(attname)-6) > 5 WHERE c.relname = 'plain' ORDER BY 1`,
  `SELECT table_name FROM information_schema.tables WHERE 1/(length(table_name)-7) > 5 AND table_schema = 'public'`,
  `SELECT id FROM customers c WHERE (c.tags)[c.score - 1] IS NULL AND 1/c.score = 1 ORDER BY 1`,
  `SELECT a.id FROM accounts a JOIN LATERAL (SELECT a.balance AS b OFFSET 0) l ON 10/l.b > 9 ORDER BY 1`,
  `SELECT a.id FROM accounts a LEFT JOIN LATERAL (SELECT 10/a.balance AS b) l ON true WHERE l.b > 9 ORDER BY 1`,
  `SELECT a.id FROM accounts a LEFT JOIN LATERAL (SELECT 10/a.balance AS b, count(*) FROM plain GROUP BY 1) l ON true WHERE l.b > 9 ORDER BY 1`,
  `SELECT id, name FROM customers ORDER BY id`,
  `SELECT a.id FROM accounts a WHERE a.id = 4 AND (a.open OR EXISTS (SELECT 1 FROM orders o WHERE 1/o.zero = 1))`,
  `SELECT a.id FROM accounts a WHERE a.id = 4 AND a.customer_id NOT IN (SELECT o.id FROM orders o WHERE 1/o.zero = 1)`,
  `SELECT a.id FROM accounts a WHERE a.id = 4 AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = a.customer_id AND 1/o.zero = 1 LIMIT 1)`,
  `SELECT a.id FROM accounts a WHERE a.id IN (4,12) AND CASE WHEN a.open THEN now() + '290000 years'::interval > now() END`,
  `SELECT a.id FROM accounts a WHERE a.balance = (-1)::positive`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.balance = '-1'::positive`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND (a.open OR 9223372036854775807::money IS NULL)`,
  `SELECT d.id FROM (SELECT id, 10/balance AS k FROM accounts) d JOIN plain p ON true JOIN (SELECT 5 AS k) v USING (k) WHERE v.k = 5`,
  `SELECT (c).to_jsonb FROM customers c`,
  `SELECT c.id, c.score FROM customers c WHERE EXISTS (SELECT 1 FROM plain AS score WHERE 1/score = 1)`,
  `SELECT 1 FROM customers c WHERE EXISTS (WITH w AS (SELECT 1/c.score AS y) SELECT 1 FROM w WHERE y = 1) AND c.id < 10`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND (a.open OR EXISTS (WITH w AS (SELECT 1/a.balance AS y) SELECT 1 FROM w))`,
  `SELECT count(*) FROM pg_class WHERE 1/(length(relname)-7) > 5`,
  `WITH RECURSIVE t(id) AS (SELECT 1 UNION ALL SELECT c.id + 1 FROM customers c JOIN t ON c.id = t.id) SELECT * FROM t`,
  `SELECT DISTINCT ON (x) id AS x, name FROM customers ORDER BY x`,
  `SELECT region AS g, count(*) FROM customers GROUP BY g`,
  `SELECT region AS g, active AS h, count(*) FROM customers GROUP BY GROUPING SETS ((g, h), (g), ())`,
  `SELECT a.id FROM accounts a WHERE random() IS NOT NULL AND a.id < 5`,
  `SELECT a.id FROM accounts a, LATERAL (SELECT 1 FROM plain p WHERE a.id IN (SELECT id FROM orders WHERE 1/zero = 1)) l WHERE a.id = 80`,
  `SELECT a.id FROM accounts a, LATERAL (SELECT 1 WHERE a.id IN (SELECT id FROM orders WHERE 1/zero = 1)) l WHERE a.id = 80`,
  `SELECT a.id FROM accounts a, LATERAL (SELECT 1 WHERE EXISTS (SELECT 1 FROM orders o WHERE o.id = a.id AND 1/o.zero = 1)) l WHERE a.id = 80`,
  `SELECT a.id FROM accounts a, LATERAL (SELECT 1 FROM plain p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.id = a.id AND 1/o.zero = 1)) l WHERE a.id = 80`,
  `SELECT a.id FROM plain p LEFT JOIN accounts a ON a.id = p.id + 79 AND a.id IN (SELECT id FROM orders WHERE 1/zero = 1)`,
  `SELECT a.id FROM plain p LEFT JOIN accounts a ON a.id = p.id + 79 WHERE a.id IN (SELECT id FROM orders WHERE 1/zero = 1)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.id IN (SELECT p.id FROM plain p UNION SELECT 1/zero FROM orders)`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND a.id IN (VALUES (80), (1))`,
  `SELECT a.id FROM accounts a WHERE a.id = 80 AND (a.id, a.customer_id) IN (SELECT id, 1/zero FROM orders)`,
];

/** With what was there before, or parameters. */
const SPECIAL: readonly (readonly [string, RewriteOptions])[] = [
  [
    'SELECT a.id FROM accounts a WHERE a.id = 80 AND a.balance = $1::int',
    { parameterTypeOids: [25], values: ['abc'], before: 'SET LOCAL plan_cache_mode = force_generic_plan' },
  ],
  [
    'SELECT id FROM accounts a WHERE a.id = 80 AND EXISTS (SELECT 1 FROM t WHERE 1/a.balance = 1)',
    { temporary: [{ name: 't' }], before: 'CREATE TEMP TABLE t AS SELECT true AS x' },
  ],
  [
    'SELECT id FROM accounts a WHERE a.id = 80 AND EXISTS (SELECT 1 FROM t WHERE 1/balance = 1)',
    { temporary: [{ name: 't' }], before: 'CREATE TEMP TABLE t AS SELECT true AS x' },
  ],
];

/** Raises in one of the databases without the guard: proof that the payloads bite. */
const CONTROLS = [
  "SELECT id FROM (SELECT * FROM accounts WHERE lower(region) = 'eu' OR lower(region) = 'never' OR upper(region) = 'NEVER') a WHERE id = 80 AND balance = '-1'::positive",
  "SELECT a.id FROM (SELECT * FROM accounts WHERE lower(region) = 'eu' OR lower(region) = 'never' OR upper(region) = 'NEVER') a WHERE a.id = 4 AND (a.open OR EXISTS (SELECT 1 FROM orders o WHERE 1/o.zero = 1))",
];

/** Refused outright: a call in disguise, names of the gate, names that nothing has. */
const REFUSED: readonly (readonly [string, string])[] = [
  ["SELECT ('x'::text).look", 'function_not_allowed look(1 argument)'],
  ["SELECT ('SELECT secret FROM customers'::text).ts_stat", 'function_not_allowed ts_stat(1 argument)'],
  ["SELECT ('/etc/passwd'::text).pg_read_file", 'function_not_allowed pg_read_file(1 argument)'],
  ['SELECT (60).pg_sleep', 'function_not_allowed pg_sleep(1 argument)'],
  ['SELECT (c).peek FROM customers c', 'function_not_allowed peek(1 argument)'],
  ['SELECT (ROW(1, 2)).peek', 'function_not_allowed peek(1 argument)'],
  ['SELECT ($1).pg_ls_dir', 'function_not_allowed pg_ls_dir(1 argument)'],
  ['SELECT (c.doc).peek FROM customers c', 'function_not_allowed peek(1 argument)'],
  ['SELECT (x).a.look FROM (SELECT 1) x', 'function_not_allowed look(1 argument)'],
  ['SELECT c.peek FROM customers c', 'undefined_object column c.peek does not exist'],
  ['SELECT c.to_jsonb FROM customers c', 'undefined_object column c.to_jsonb does not exist'],
  ['SELECT c.secret FROM customers c', 'undefined_object column c.secret does not exist'],
  ['SELECT nothing FROM customers', 'undefined_object column "nothing" does not exist'],
  ['SELECT x.id FROM customers c', 'undefined_object missing FROM-clause entry for table "x"'],
  ['SELECT x.* FROM customers c', 'undefined_object missing FROM-clause entry for table "x"'],
  ['SELECT 1 AS postern_flag_1 FROM accounts', 'not_supported the name postern_flag_1'],
  ['SELECT 1 AS U&"postern\\005fflag_1" FROM accounts', 'not_supported the name postern_flag_1'],
  ['SELECT U&"\\0070ostern_flag_1" FROM accounts WHERE 1/balance = 1', 'not_supported the name postern_flag_1'],
  [
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) CYCLE n SET c TO regclass 'payroll' DEFAULT regclass 'plain' USING p SELECT c FROM r",
    'undefined_object relation "payroll" does not exist',
  ],
  ['SELECT * FROM payroll', 'relation_not_granted public.payroll'],
];

/** Order of rows is the plan's: two databases may differ in it. */
function sorted(seen: Seen): unknown {
  return seen.kind === 'rows' ? { ...seen, rows: seen.rows.map((row) => JSON.stringify(row)).toSorted() } : seen;
}

describe.each(([18, 15] as const).filter(isPostgresInstalled))('on PostgreSQL %i', (version) => {
  let fixture: RewriteFixture;
  beforeAll(async () => {
    fixture = await startRewriteFixture(version);
  });
  afterAll(async () => {
    await fixture.stop();
  });

  const alike = async (text: string, options: RewriteOptions): Promise<void> => {
    for (const plan of PLANS) {
      const own = { ...options, before: `${options.before ?? ''}; ${plan}` };
      const [first, twin] = [await fixture.run(text, own), await fixture.runTwin(text, own)];
      expect(sorted(first), `${plan} ${fixture.rewrite(text, options) ?? ''}`).toEqual(sorted(twin));
    }
  };

  test.each(STATEMENTS)('%s', async (text) => {
    await alike(text, {});
  });
  test.each(SPECIAL)('%s', async (text, options) => {
    await alike(text, options);
  });
  test.each(REFUSED)('%s is refused', (text, expected) => {
    expect(fixture.refusal(text)).toBe(expected);
  });
  test.each(CONTROLS)('%s bites where nothing guards it', async (text) => {
    const seen: Seen[] = [];
    for (const plan of PLANS) seen.push(await fixture.raw(`${plan === '' ? '' : `${plan};`} ${text}`));
    expect(seen.map((each) => each.kind)).toContain('error');
  });
  test('an error in a catalog names nothing that is hidden', async () => {
    const seen = await fixture.run(
      'SELECT relname::text::int FROM pg_class WHERE relname::text::int > 0 AND oid > 16383',
    );
    expect(seen).toMatchObject({ kind: 'error', sqlstate: '22P02' });
    const raising = "SELECT 1 FROM pg_class WHERE relname LIKE 'payroll%' AND relname::text::int > 0";
    expect(await fixture.run(raising)).toMatchObject({ kind: 'rows', rows: [] });
  });
});
