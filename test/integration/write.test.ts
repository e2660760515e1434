/** Writes through the gate on real servers: what is touched, what is left behind, and what cannot be learnt by writing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { type Outcome, type RunOptions, startWriteFixture, type WriteFixture } from './write-fixture.ts';

const done = (rows: readonly (readonly unknown[])[], count = rows.length): Partial<Outcome> => ({
  kind: 'done',
  rows,
  count,
});
const changed = (count: number): Partial<Outcome> => ({ kind: 'done', rows: [], count });
const refused = (slug: string, more: Record<string, unknown> = {}): Partial<Outcome> => ({
  kind: 'refused',
  slug,
  ...more,
});
const checked = (sqlstate: string, message: string): Partial<Outcome> => ({
  kind: 'failed',
  sqlstate,
  message,
  byGate: true,
});
const failed = (sqlstate: string): Partial<Outcome> => ({ kind: 'failed', sqlstate, byGate: false });
const missing = (subject: string): Partial<Outcome> => refused('undefined_object', { sqlstate: '42703', subject });

const OUTSIDE = checked('42501', 'new row violates the row filter for public.customers');
const ORPHAN = checked(
  '23503',
  'insert or update on table "orders" violates foreign key constraint "orders_customer_id_fkey"',
);
const HIDDEN_KEY = checked('23505', 'duplicate key value violates a unique constraint');

interface Case {
  readonly name: string;
  readonly sql: string;
  readonly expected: Partial<Outcome>;
  readonly options?: RunOptions;
  /** A query of ours and its rows, after the statement. */
  readonly after?: readonly [string, readonly (readonly unknown[])[]];
  /** Versions of the server that have what is asked of it. */
  readonly minimum?: number;
  readonly below?: number;
}

const REGIONS = 'SELECT id, name, region FROM customers ORDER BY id';

const UPDATES: readonly Case[] = [
  {
    name: 'an UPDATE without WHERE touches only rows inside the filter',
    sql: "UPDATE customers SET name = 'x'",
    expected: changed(2),
    after: [
      REGIONS,
      [
        [1, 'x', 'eu'],
        [2, 'x', 'eu'],
        [3, 'Cid', 'us'],
      ],
    ],
  },
  {
    name: 'a hidden row is not found by its key',
    sql: "UPDATE customers SET name = 'x' WHERE id = 3",
    expected: changed(0),
  },
  {
    name: 'OR cannot escape the filter',
    sql: "UPDATE customers SET name = 'x' WHERE id = 9 OR true",
    expected: changed(2),
  },
  {
    name: 'a condition that would raise for the hidden row does not see it',
    sql: "UPDATE customers SET name = 'x' WHERE 1 / (id - 3) < 5",
    expected: changed(2),
  },
  {
    name: 'nor does one in a sub-query',
    sql: "UPDATE customers SET name = 'x' WHERE EXISTS (SELECT 1 FROM plain WHERE 1 / (customers.id - 3) < 5)",
    expected: changed(2),
  },
  {
    name: 'nor does one under another relation of the same name',
    sql: "UPDATE customers SET name = 'x' WHERE EXISTS (SELECT 1 FROM plain AS customers WHERE 1 / (level - id) < 5)",
    expected: refused('not_supported'),
  },
  {
    name: 'nor does one in a derived table',
    sql: "UPDATE customers SET name = 'x' WHERE EXISTS (SELECT 1 FROM (SELECT customers.id - 3 AS d) AS q WHERE 1 / d < 5)",
    expected: changed(2),
  },
  {
    name: 'a row cannot be moved out of the filter',
    sql: "UPDATE customers SET region = 'us' WHERE id = 1",
    expected: OUTSIDE,
  },
  {
    name: 'setting the filter column to what it is passes',
    sql: "UPDATE customers SET region = 'eu' WHERE id = 1",
    expected: changed(1),
  },
  {
    name: 'a trigger that moves the row is seen',
    sql: "UPDATE watched SET note = 'move' WHERE id = 1",
    expected: checked('42501', 'new row violates the row filter for public.watched'),
  },
  {
    name: 'RETURNING * shows the view with its masks',
    sql: 'UPDATE customers SET name = name WHERE id = 1 RETURNING *',
    expected: {
      ...done([[1, 'Ann', 'a***@example.com', '[redacted]', 'eu', 5]]),
      names: ['id', 'name', 'email', 'badge', 'region', 'level'],
    } as Partial<Outcome>,
  },
  {
    name: 'RETURNING of a masked column keeps its name, also inside a cast',
    sql: 'UPDATE customers SET name = name WHERE id = 1 RETURNING email, email::text, upper(badge), c.email AS e, id'.replace(
      'customers',
      'customers c',
    ),
    expected: {
      ...done([['a***@example.com', 'a***@example.com', '[REDACTED]', 'a***@example.com', 1]]),
      names: ['email', 'email', 'upper', 'e', 'id'],
    } as Partial<Outcome>,
  },
  {
    name: 'RETURNING with a check strips only the check',
    sql: "UPDATE customers SET region = 'eu' WHERE id = 1 RETURNING id, region",
    expected: done([[1, 'eu']]),
  },
  {
    name: 'a hidden column cannot be returned',
    sql: 'UPDATE customers SET name = name RETURNING ssn',
    expected: missing('column "ssn" does not exist'),
  },
  {
    name: 'the whole row cannot be returned',
    sql: 'UPDATE customers SET name = name RETURNING customers',
    expected: refused('column_not_readable'),
  },
  {
    name: 'nor turned into json',
    sql: 'UPDATE customers SET name = name RETURNING to_jsonb(customers)',
    expected: refused('column_not_readable'),
  },
  {
    name: 'nor by its star inside a row',
    sql: 'UPDATE customers SET name = name RETURNING ROW(customers.*)',
    expected: refused('column_not_readable'),
  },
  {
    name: 'a sub-query in RETURNING sees the view',
    sql: 'UPDATE customers SET name = name RETURNING (SELECT q FROM (SELECT customers.*) q)::text',
    expected: {
      kind: 'done',
      rows: [['(1,Ann,a***@example.com,[redacted],eu,5)'], ['(2,Bob,b***@example.com,[redacted],eu,5)']],
    },
  },
  {
    name: 'a masked column cannot be read in WHERE',
    sql: "UPDATE customers SET name = 'x' WHERE email LIKE 'a%'",
    expected: refused('column_not_readable', { subject: 'public.customers.email' }),
  },
  { name: 'nor in SET', sql: 'UPDATE customers SET name = email', expected: refused('column_not_readable') },
  {
    name: 'a hidden column looks absent in WHERE',
    sql: "UPDATE customers SET name = 'x' WHERE ssn = '111'",
    expected: missing('column "ssn" does not exist'),
  },
  {
    name: 'and with its alias',
    sql: "UPDATE customers c SET name = 'x' WHERE c.ssn = '111'",
    expected: missing('column c.ssn does not exist'),
  },
  {
    name: 'and in a sub-query',
    sql: "UPDATE customers SET name = 'x' WHERE EXISTS (SELECT 1 WHERE ssn = '111')",
    expected: missing('column "ssn" does not exist'),
  },
  {
    name: 'and as the column to be set',
    sql: "UPDATE customers SET ssn = 'x'",
    expected: missing('column "ssn" of relation "customers" does not exist'),
  },
  {
    name: 'and so does one that is really missing',
    sql: "UPDATE customers SET nothing = 'x'",
    expected: missing('column "nothing" of relation "customers" does not exist'),
  },
  {
    name: 'a star over the target in a sub-query hides it',
    sql: 'UPDATE customers SET name = (SELECT to_jsonb(q)::text FROM (SELECT customers.*) q)',
    expected: refused('column_not_readable'),
  },
  {
    name: 'a masked column can be set',
    sql: "UPDATE customers SET email = 'new@example.com' WHERE id = 1",
    expected: changed(1),
  },
  {
    name: 'but not to the text that masks it',
    sql: "UPDATE customers SET email = '[redacted]' WHERE id = 1",
    expected: refused('column_not_writable'),
  },
  {
    name: 'a masked column under a unique constraint cannot be set',
    sql: "UPDATE customers SET badge = 'b2' WHERE id = 1",
    expected: refused('column_not_writable'),
  },
  {
    name: 'a column that shares a CHECK with a hidden one cannot be set',
    sql: 'UPDATE customers SET level = 0 WHERE id = 1',
    expected: refused('column_not_writable'),
  },
  {
    name: 'several columns from one row',
    sql: "UPDATE customers SET (name, region) = ('x', 'us') WHERE id = 1",
    expected: OUTSIDE,
  },
  {
    name: 'several columns from a sub-query over a filtered table',
    sql: 'UPDATE orders SET (note, total) = (SELECT max(name), count(*) FROM customers) WHERE id = 10 RETURNING note, total',
    expected: done([['Bob', 2]]),
  },
  {
    name: 'FROM joins the view',
    sql: 'UPDATE orders o SET note = c.name || c.email FROM customers c WHERE c.id = o.customer_id RETURNING o.note',
    expected: done([['Anna***@example.com']]),
  },
  {
    name: 'RETURNING * has the target first, then FROM',
    sql: 'UPDATE orders o SET total = 1 FROM customers c WHERE c.id = o.customer_id RETURNING *',
    expected: done([[10, 1, 'first', 1, 1, 'Ann', 'a***@example.com', '[redacted]', 'eu', 5]]),
  },
  {
    name: 'a foreign key to a hidden parent fails',
    sql: 'UPDATE orders SET customer_id = 3 WHERE id = 10',
    expected: ORPHAN,
  },
  { name: 'like one to a missing parent', sql: 'UPDATE orders SET customer_id = 99 WHERE id = 10', expected: ORPHAN },
  { name: 'a visible parent passes', sql: 'UPDATE orders SET customer_id = 2 WHERE id = 10', expected: changed(1) },
  { name: 'and so does NULL', sql: 'UPDATE orders SET customer_id = NULL WHERE id = 10', expected: changed(1) },
  {
    name: 'a row whose key is not set keeps its hidden parent',
    sql: "UPDATE orders SET note = 'x' WHERE id = 11",
    expected: changed(1),
  },
  {
    name: 'the target may be named with its schema',
    sql: 'UPDATE public.customers SET name = $$x$$ WHERE public.customers.id = 1 RETURNING public.customers.email',
    expected: done([['a***@example.com']]),
  },
  {
    name: 'ctid is not to be had on a filtered table',
    sql: "UPDATE customers SET name = 'x' WHERE ctid = '(0,1)'",
    expected: refused('system_column_not_allowed'),
  },
  { name: 'but on another', sql: "UPDATE plain SET label = 'x' WHERE ctid = '(0,1)'", expected: changed(1) },
  { name: 'ONLY is kept', sql: "UPDATE ONLY customers AS c SET name = 'x' WHERE c.id = 1", expected: changed(1) },
  { name: 'a read-only table is refused', sql: 'UPDATE readonly SET id = 1', expected: refused('action_not_granted') },
  {
    name: 'a table not granted is refused',
    sql: 'UPDATE ledgers SET id = 1',
    expected: refused('relation_not_granted'),
  },
  {
    name: 'exactly like one that does not exist',
    sql: 'UPDATE nowhere SET id = 1',
    expected: refused('relation_not_granted'),
  },
  {
    name: 'a system catalog is refused',
    sql: "UPDATE pg_catalog.pg_class SET relname = 'x'",
    expected: refused('catalog_not_allowed'),
  },
  {
    name: 'a view over a governed table is refused',
    sql: "UPDATE customer_view SET name = 'x'",
    expected: refused('action_not_granted'),
  },
  {
    name: 'without Select nothing may be read',
    sql: "UPDATE inbox SET label = 'x' WHERE id = 1",
    expected: refused('action_not_granted', { subject: 'public.inbox' }),
  },
  {
    name: 'nor returned',
    sql: "UPDATE inbox SET label = 'x' RETURNING id",
    expected: refused('action_not_granted', { subject: 'public.inbox' }),
  },
  { name: 'but all may be written', sql: "UPDATE inbox SET label = 'x'", expected: changed(0) },
  {
    name: 'a generated column that reads a set column is no obstacle where nothing is hidden in it',
    sql: 'UPDATE priced SET net = 3',
    expected: changed(0),
  },
  {
    name: 'a cursor of another name does not exist',
    sql: "UPDATE customers SET name = 'x' WHERE CURRENT OF c",
    expected: refused('undefined_object', { sqlstate: '34000' }),
  },
  {
    name: 'a cursor of this session over the table may be used',
    sql: "UPDATE customers SET name = 'x' WHERE CURRENT OF c",
    expected: changed(1),
    options: {
      cursors: new Map([['c', { generation: 1, relationOids: [] }]]),
      before: "DECLARE c CURSOR FOR SELECT * FROM (SELECT id FROM customers WHERE region = 'eu') q; FETCH c",
    },
  },
  {
    name: 'a cursor of an older policy may not',
    sql: "UPDATE customers SET name = 'x' WHERE CURRENT OF c",
    expected: refused('cursor_not_allowed'),
    options: { cursors: new Map([['c', { generation: 0, relationOids: [] }]]) },
  },
  {
    name: 'old and new rows are the view’s',
    sql: "UPDATE customers SET email = 'new@example.com' WHERE id = 1 RETURNING old.email, new.email, old.*",
    expected: done([['a***@example.com', 'n***@example.com', 1, 'Ann', 'a***@example.com', '[redacted]', 'eu', 5]]),
    minimum: 180_000,
  },
  {
    name: 'also under names of their own',
    sql: "UPDATE customers SET name = 'x' WHERE id = 1 RETURNING WITH (OLD AS o) o.name, new.name, o.ssn",
    expected: missing('column o.ssn does not exist'),
    minimum: 180_000,
  },
];

const DELETES: readonly Case[] = [
  {
    name: 'a DELETE without WHERE leaves hidden rows',
    sql: 'DELETE FROM watched',
    expected: changed(1),
    after: ['SELECT id FROM watched', [[2]]],
  },
  {
    name: 'USING reads views, RETURNING shows masks',
    sql: 'DELETE FROM orders o USING customers c WHERE c.id = o.customer_id RETURNING o.id, c.email',
    expected: done([[10, 'a***@example.com']]),
  },
  {
    name: 'a condition that raises does not see hidden rows',
    sql: 'DELETE FROM watched WHERE 1 / (id - 2) < 5 RETURNING id',
    expected: done([[1]]),
  },
  {
    name: 'in a CTE the filter goes inside its parentheses',
    sql: 'WITH d AS (DELETE FROM watched RETURNING *) SELECT * FROM d',
    expected: done([[1, 'eu', 'here']]),
  },
  {
    name: 'a DELETE of another in a sub-query is guarded by name',
    sql: 'DELETE FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE 1 / (orders.id - 11) < 5)',
    expected: failed('22012'),
  },
  {
    name: 'an alias is kept',
    sql: 'DELETE FROM watched AS w WHERE w.id = 1 AND w.note IS NOT NULL',
    expected: changed(1),
  },
  { name: 'not granted', sql: 'DELETE FROM readonly', expected: refused('action_not_granted') },
];

const INSERTS: readonly Case[] = [
  {
    name: 'an INSERT without column list fills the visible ones in order',
    sql: "INSERT INTO customers VALUES (4, 'Dan', 'dan@example.com')",
    expected: changed(1),
    after: ['SELECT name, email, ssn, region FROM customers WHERE id = 4', [['Dan', 'dan@example.com', 'none', 'eu']]],
  },
  {
    name: 'too many values fail as they would on the view',
    sql: "INSERT INTO customers VALUES (4, 'Dan', 'd', DEFAULT, 'eu', 5, 'ssn')",
    expected: failed('42601'),
  },
  {
    name: 'a hidden column looks absent',
    sql: "INSERT INTO customers (id, ssn) VALUES (4, 'x')",
    expected: missing('column "ssn" of relation "customers" does not exist'),
  },
  {
    name: 'a new row outside of the filter is refused',
    sql: "INSERT INTO customers (id, region) VALUES (4, 'us')",
    expected: OUTSIDE,
  },
  {
    name: 'also one of many',
    sql: "INSERT INTO customers (id, region) VALUES (4, 'eu'), (5, 'us')",
    expected: OUTSIDE,
  },
  {
    name: 'also NULL, as in row security',
    sql: 'INSERT INTO customers (id, region) VALUES (4, NULL)',
    expected: OUTSIDE,
  },
  { name: 'a default inside of the filter passes', sql: 'INSERT INTO customers (id) VALUES (4)', expected: changed(1) },
  {
    name: 'a trigger that moves the row is seen',
    sql: "INSERT INTO watched (id, note) VALUES (9, 'move')",
    expected: checked('42501', 'new row violates the row filter for public.watched'),
  },
  {
    name: 'RETURNING * shows the view, not the check',
    sql: "INSERT INTO customers (id, name, email) VALUES (4, 'Dan', 'dan@example.com') RETURNING *",
    expected: done([[4, 'Dan', 'd***@example.com', '[redacted]', 'eu', 5]]),
  },
  {
    name: 'INSERT ... SELECT reads views',
    sql: 'INSERT INTO plain SELECT id, email FROM customers RETURNING *',
    expected: done([
      [1, 'a***@example.com'],
      [2, 'b***@example.com'],
    ]),
  },
  {
    name: 'a source of fewer columns fills the first ones',
    sql: 'INSERT INTO customers SELECT 4, $$Dan$$ RETURNING id, name',
    expected: done([[4, 'Dan']]),
  },
  { name: 'DEFAULT VALUES', sql: 'INSERT INTO watched DEFAULT VALUES', expected: failed('23502') },
  {
    name: 'a key that a hidden row holds fails as in row security',
    sql: 'INSERT INTO customers (id) VALUES (3)',
    expected: failed('23505'),
  },
  {
    name: 'ON CONFLICT DO NOTHING skips it',
    sql: 'INSERT INTO customers (id) VALUES (3) ON CONFLICT DO NOTHING',
    expected: changed(0),
  },
  {
    name: 'DO UPDATE changes a visible row',
    sql: "INSERT INTO customers (id, name) VALUES (1, 'New') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name, email",
    expected: done([[1, 'New', 'a***@example.com']]),
  },
  {
    name: 'DO UPDATE on a hidden row fails as a duplicate key',
    sql: "INSERT INTO customers (id, name) VALUES (3, 'New') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    expected: HIDDEN_KEY,
  },
  {
    name: 'whatever its condition says',
    sql: "INSERT INTO customers (id, name) VALUES (3, 'New') ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE customers.level > 100",
    expected: HIDDEN_KEY,
  },
  {
    name: 'or would raise',
    sql: "INSERT INTO customers (id, name) VALUES (3, 'New') ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE 1 / (customers.id - 3) > 0 RETURNING id",
    expected: HIDDEN_KEY,
  },
  {
    name: 'DO UPDATE with a condition on a visible row',
    sql: "INSERT INTO customers (id, name) VALUES (1, 'New') ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE customers.level > 100",
    expected: changed(0),
  },
  {
    name: 'DO UPDATE cannot move a row out of the filter',
    sql: "INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET region = 'us'",
    expected: OUTSIDE,
  },
  {
    name: 'DO UPDATE cannot read a masked column',
    sql: 'INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = customers.email',
    expected: refused('column_not_readable'),
  },
  {
    name: 'nor an excluded one',
    sql: "INSERT INTO customers (id, email) VALUES (1, 'x@y.z') ON CONFLICT (id) DO UPDATE SET name = excluded.email",
    expected: refused('column_not_readable'),
  },
  {
    name: 'nor a hidden one',
    sql: 'INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = excluded.ssn',
    expected: missing('column excluded.ssn does not exist'),
  },
  {
    name: 'a masked arbiter is refused',
    sql: 'INSERT INTO customers (id) VALUES (1) ON CONFLICT (badge) DO NOTHING',
    expected: refused('column_not_readable'),
  },
  {
    name: 'a constraint by name must be over visible columns',
    sql: 'INSERT INTO customers (id) VALUES (1) ON CONFLICT ON CONSTRAINT customers_badge_key DO NOTHING',
    expected: refused('undefined_object', { sqlstate: '42704' }),
  },
  {
    name: 'the primary key by name',
    sql: 'INSERT INTO customers (id) VALUES (1) ON CONFLICT ON CONSTRAINT customers_pkey DO NOTHING',
    expected: changed(0),
  },
  {
    name: 'a masked column under a unique constraint cannot be set',
    sql: "INSERT INTO customers (id, badge) VALUES (4, 'b1')",
    expected: refused('column_not_writable'),
  },
  {
    name: 'but left to its default',
    sql: 'INSERT INTO customers (id, badge) VALUES (4, DEFAULT)',
    expected: changed(1),
  },
  {
    name: 'the sentinel cannot be written back',
    sql: "INSERT INTO priced (id, late) VALUES (1, 'x'), (2, '[redacted]')",
    expected: refused('column_not_writable'),
  },
  {
    name: 'nor by a SELECT',
    sql: "INSERT INTO priced (id, late) SELECT 1, '[redacted]'::text",
    expected: refused('column_not_writable'),
  },
  {
    name: 'a generated column keeps its place in the list',
    sql: 'INSERT INTO priced VALUES (1, 5, DEFAULT, $$l$$) RETURNING *',
    expected: done([[1, 5, 10, '[redacted]']]),
  },
  {
    name: 'a foreign key to a hidden parent fails',
    sql: 'INSERT INTO orders (id, customer_id) VALUES (12, 3)',
    expected: ORPHAN,
  },
  {
    name: 'like one to a missing parent',
    sql: 'INSERT INTO orders (id, customer_id) VALUES (12, 99)',
    expected: ORPHAN,
  },
  {
    name: 'at the same moment: a later fault does not tell them apart',
    sql: 'INSERT INTO orders (id, customer_id, total) SELECT x, 99, 1 / (13 - x) FROM generate_series(12, 13) x',
    expected: ORPHAN,
  },
  {
    name: 'a visible parent passes',
    sql: 'INSERT INTO orders (id, customer_id) VALUES (12, 2) RETURNING id',
    expected: done([[12]]),
  },
  {
    name: 'a parent made by the same statement passes',
    sql: 'WITH c AS (INSERT INTO customers (id) VALUES (7) RETURNING id) INSERT INTO orders (id, customer_id) SELECT 12, id FROM c',
    expected: changed(1),
  },
  {
    name: 'a hidden parent does not, even so',
    sql: 'WITH c AS (INSERT INTO customers (id) VALUES (7) RETURNING id) INSERT INTO orders (id, customer_id) SELECT 12, 3 FROM c',
    expected: checked('23503', 'a foreign key constraint is violated'),
  },
  {
    name: 'rows that refer to one another in one INSERT pass',
    sql: 'INSERT INTO tree (id, parent_id) VALUES (3, 1), (4, 3)',
    expected: changed(2),
  },
  {
    name: 'one that refers to a hidden row does not',
    sql: 'INSERT INTO tree (id, parent_id) VALUES (3, 2)',
    expected: checked('23503', 'a foreign key constraint is violated'),
  },
  {
    name: 'a key of two columns towards a partitioned table',
    sql: "INSERT INTO part_notes VALUES (1, 5, 'eu')",
    expected: checked(
      '23503',
      'insert or update on table "part_notes" violates foreign key constraint "part_notes_part_region_fkey"',
    ),
  },
  { name: 'with one of them NULL passes', sql: "INSERT INTO part_notes VALUES (1, NULL, 'eu')", expected: changed(1) },
  {
    name: 'a row of a partitioned table inside the filter',
    sql: "INSERT INTO parts VALUES (5, 'eu')",
    expected: changed(1),
  },
  {
    name: 'and outside',
    sql: "INSERT INTO parts VALUES (500, 'eu')",
    expected: checked('42501', 'new row violates the row filter for public.parts'),
  },
  {
    name: 'a key to a table not granted passes where keys may be chosen',
    sql: 'INSERT INTO bookings (id, ledger_id) VALUES (1, 1)',
    expected: changed(1),
  },
  {
    name: 'and not where they may not',
    sql: 'INSERT INTO bookings (id, ledger_id) VALUES (1, 1)',
    expected: refused('column_not_writable', { subject: 'public.bookings.ledger_id' }),
    options: { chosenKeys: 'Refuse' },
  },
  {
    name: 'nor the key of a filtered table',
    sql: 'INSERT INTO customers (id) VALUES (4)',
    expected: refused('column_not_writable', { subject: 'public.customers.id' }),
    options: { chosenKeys: 'Refuse' },
  },
  {
    name: 'but that of an unfiltered one',
    sql: 'INSERT INTO orders (id, customer_id) VALUES (12, 1)',
    expected: changed(1),
    options: { chosenKeys: 'Refuse' },
  },
  {
    name: 'WITH before INSERT and inside its source',
    sql: "WITH a AS (SELECT 4 AS i) INSERT INTO customers (id, name) WITH b AS (SELECT 'B' AS n) SELECT i, n FROM a, b RETURNING name",
    expected: done([['B']]),
  },
  {
    name: 'a data-modifying CTE shows no check',
    sql: "WITH i AS (INSERT INTO customers (id, name) VALUES (4, 'Dan') RETURNING *) SELECT * FROM i",
    expected: done([[4, 'Dan', null, '[redacted]', 'eu', 5]]),
  },
  {
    name: 'and still checks',
    sql: "WITH i AS (INSERT INTO customers (id, region) VALUES (4, 'us')) SELECT 1",
    expected: OUTSIDE,
  },
  {
    name: 'Insert alone gives no RETURNING',
    sql: "INSERT INTO inbox VALUES (1, 'x') RETURNING id",
    expected: refused('action_not_granted'),
  },
  { name: 'Insert alone inserts', sql: "INSERT INTO inbox VALUES (1, 'x')", expected: changed(1) },
  { name: 'read-only', sql: "INSERT INTO readonly VALUES (1, 'x')", expected: refused('action_not_granted') },
  { name: 'a view over an ungoverned table passes', sql: "INSERT INTO raw_view VALUES (1, 'x')", expected: changed(1) },
  {
    name: 'a temporary table of the session is written freely',
    sql: "INSERT INTO mine VALUES (1, 'x') RETURNING *",
    expected: done([[1, 'x']]),
    options: { temporary: ['mine'], before: 'CREATE TEMPORARY TABLE mine (id int, t text)' },
  },
  {
    name: 'a temporary table does not shadow a granted one',
    sql: "INSERT INTO plain VALUES (1, 'x')",
    expected: changed(1),
    options: { temporary: ['plain'], before: 'CREATE TEMPORARY TABLE plain (id int, t text)' },
    after: ['SELECT count(*)::int FROM public.plain', [[2]]],
  },
  {
    name: 'a quoted alias',
    sql: 'INSERT INTO customers AS "C x" VALUES (4) RETURNING "C x".email, "C x".id',
    expected: done([[null, 4]]),
  },
];

const SOURCE = "(VALUES (1, 'one'), (3, 'three'), (8, 'eight')) AS s (id, name)";
const MERGES: readonly Case[] = [
  {
    name: 'MERGE does not match hidden rows',
    sql: `MERGE INTO customers c USING ${SOURCE} ON c.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name`,
    expected: changed(1),
    after: [
      REGIONS,
      [
        [1, 'one', 'eu'],
        [2, 'Bob', 'eu'],
        [3, 'Cid', 'us'],
      ],
    ],
  },
  {
    name: 'a join condition that raises does not see them',
    sql: `MERGE INTO customers c USING (SELECT 1 AS one) s ON 1 / (c.id - 3) < 5 WHEN MATCHED THEN UPDATE SET name = 'x'`,
    expected: changed(2),
  },
  {
    name: 'a masked column in the condition is refused',
    sql: `MERGE INTO customers c USING ${SOURCE} ON c.id = s.id WHEN MATCHED AND c.email LIKE 'a%' THEN DELETE`,
    expected: refused('column_not_readable'),
  },
  {
    name: 'each action needs its grant',
    sql: 'MERGE INTO readonly r USING plain p ON r.id = p.id WHEN MATCHED THEN DELETE',
    expected: refused('action_not_granted'),
  },
  {
    name: 'DELETE of matched rows',
    sql: 'MERGE INTO orders o USING customers c ON o.customer_id = c.id WHEN MATCHED THEN DELETE',
    expected: changed(1),
  },
  {
    name: 'an UPDATE that could move rows needs a newer server',
    sql: "MERGE INTO customers c USING plain p ON c.id = p.id WHEN MATCHED THEN UPDATE SET region = 'us'",
    expected: OUTSIDE,
    minimum: 170_000,
  },
  {
    name: 'an INSERT is checked',
    sql: `MERGE INTO customers c USING ${SOURCE} ON c.id = s.id WHEN NOT MATCHED AND s.id > 3 THEN INSERT (id, region) VALUES (s.id, 'us')`,
    expected: OUTSIDE,
    minimum: 170_000,
  },
  {
    name: 'an INSERT without columns fills the visible ones',
    sql: `MERGE INTO customers c USING ${SOURCE} ON c.id = s.id WHEN NOT MATCHED AND s.id > 3 THEN INSERT VALUES (s.id, s.name, CASE WHEN s.id = 8 THEN 'h@x.y' END) RETURNING merge_action(), c.*`,
    expected: done([['INSERT', 8, 'eight', 'h***@x.y', '[redacted]', 'eu', 5]]),
    minimum: 170_000,
  },
  {
    name: 'NOT MATCHED BY SOURCE leaves hidden rows',
    sql: `MERGE INTO customers c USING (SELECT 1 AS id) s ON c.id = s.id WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = 'x'`,
    expected: changed(1),
    after: [
      REGIONS,
      [
        [1, 'Ann', 'eu'],
        [2, 'x', 'eu'],
        [3, 'Cid', 'us'],
      ],
    ],
    minimum: 170_000,
  },
  {
    name: 'also with a condition that raises',
    sql: `MERGE INTO customers c USING (SELECT 1 AS id) s ON c.id = s.id WHEN NOT MATCHED BY SOURCE AND 1 / (c.id - 3) < 5 THEN UPDATE SET name = 'x' WHEN MATCHED THEN DO NOTHING`,
    expected: changed(1),
    minimum: 170_000,
  },
  {
    name: 'RETURNING * lists the source first',
    sql: `MERGE INTO watched w USING (SELECT 1 AS one) s ON w.id = s.one WHEN MATCHED THEN UPDATE SET note = 'n' RETURNING *`,
    expected: done([[1, 1, 'eu', 'n']]),
    minimum: 170_000,
  },
  {
    name: 'a foreign key to a hidden parent fails',
    sql: 'MERGE INTO orders o USING (SELECT 3 AS c) s ON o.id = 77 WHEN NOT MATCHED THEN INSERT (id, customer_id) VALUES (77, s.c)',
    expected: ORPHAN,
    minimum: 170_000,
  },
  {
    name: 'but deleting one that has it passes',
    sql: 'MERGE INTO orders o USING (SELECT 11 AS i) s ON o.id = s.i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, customer_id) VALUES (77, 1)',
    expected: changed(1),
    minimum: 170_000,
  },
  {
    name: 'that makes new rows under a filter needs PostgreSQL 17',
    sql: `MERGE INTO customers c USING ${SOURCE} ON c.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)`,
    expected: refused('not_supported'),
    below: 170_000,
  },
];

const COPIES: readonly Case[] = [
  {
    name: 'COPY FROM on a filtered table is not supported',
    sql: 'COPY customers FROM STDIN',
    expected: refused('not_supported'),
  },
  {
    name: 'COPY FROM with a key to a filtered table is not supported',
    sql: 'COPY orders FROM STDIN',
    expected: refused('not_supported'),
  },
  { name: 'COPY FROM needs Insert', sql: 'COPY readonly FROM STDIN', expected: refused('action_not_granted') },
  { name: 'COPY TO needs Select', sql: 'COPY inbox TO STDOUT', expected: refused('action_not_granted') },
  { name: 'COPY of a table not granted', sql: 'COPY ledgers TO STDOUT', expected: refused('relation_not_granted') },
  { name: 'COPY to a file', sql: "COPY plain TO '/tmp/x'", expected: refused('statement_not_allowed') },
  { name: 'COPY from a program', sql: "COPY plain FROM PROGRAM 'id'", expected: refused('statement_not_allowed') },
  {
    name: 'a hidden column in the list',
    sql: 'COPY customers (id, ssn) TO STDOUT',
    expected: missing('column "ssn" of relation "customers" does not exist'),
  },
  {
    name: 'a hidden column in an option',
    sql: 'COPY customers (id) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (ssn))',
    expected: missing('column "ssn" of relation "customers" does not exist'),
  },
  { name: 'an unknown option', sql: 'COPY plain TO STDOUT WITH (surprise 1)', expected: refused('not_supported') },
  {
    name: 'another encoding',
    sql: "COPY plain TO STDOUT WITH (ENCODING 'LATIN1')",
    expected: refused('not_supported'),
  },
  {
    name: 'a write under a filter',
    sql: 'COPY (INSERT INTO customers (id) VALUES (9) RETURNING id) TO STDOUT',
    expected: refused('not_supported'),
  },
  { name: 'a system catalog', sql: 'COPY pg_class TO STDOUT', expected: refused('catalog_not_allowed') },
  { name: 'FREEZE', sql: 'COPY plain FROM STDIN WITH (FREEZE)', expected: refused('not_supported') },
];

const COPY_TEXTS: readonly (readonly [string, string])[] = [
  ['COPY plain TO STDOUT', 'COPY "public"."plain" TO STDOUT'],
  ['COPY plain (id) FROM STDIN WHERE id > 1', 'COPY "public"."plain" (id) FROM STDIN WHERE id > 1'],
  ['COPY priced FROM STDIN (FORMAT csv)', 'COPY "public"."priced" ("id", "net", "late") FROM STDIN (FORMAT csv)'],
  ['COPY (SELECT id FROM plain) TO STDOUT', 'COPY (SELECT id FROM "public"."plain") TO STDOUT'],
  [
    'COPY watched (note, id) TO STDOUT WITH CSV HEADER',
    `COPY (SELECT "note", "id" FROM ONLY "public"."watched" WHERE (("region" = 'eu'))) TO STDOUT WITH CSV HEADER`,
  ],
];

/** Statements in many shapes, all of which must be rewritten and run. */
const SHAPES: readonly string[] = [
  "update   customers\n  set name='x'\n  where id=1;",
  "UPDATE customers /* c */ SET name = 'x' -- no WHERE\n",
  "UPDATE customers c SET name = 'RETURNING' WHERE c.name = 'WHERE' OR c.id IN (1, 2)",
  'UPDATE customers SET name = CASE WHEN id = 1 THEN $$a$$ ELSE name END WHERE CASE WHEN id = 1 THEN true ELSE false END',
  'UPDATE "public" . "customers" AS "c" SET "name" = upper("c"."name") WHERE ("c"."id") = (1) RETURNING ("c"."email")',
  "UPDATE customers SET name = name || '!' WHERE lower(name) LIKE 'a%' AND id BETWEEN 1 AND 2 AND NOT (level > 9)",
  "UPDATE customers SET (name, region) = (SELECT 'a', 'eu') WHERE false",
  "UPDATE customers SET name = q.name FROM (SELECT id, name FROM customers WHERE region = 'eu') q WHERE q.id = customers.id",
  'UPDATE customers SET name = c.name FROM customers c JOIN orders o ON o.customer_id = c.id LEFT JOIN plain p ON p.id = c.id WHERE customers.id = c.id',
  "WITH x AS (SELECT id FROM customers WHERE lower(name) = 'ann') UPDATE customers SET name = 'y' FROM x WHERE x.id = customers.id RETURNING customers.id, x.*",
  'WITH u AS (UPDATE customers SET name = name RETURNING id, email), d AS (DELETE FROM watched RETURNING id) SELECT * FROM u LEFT JOIN d USING (id)',
  "WITH u AS (UPDATE customers SET region = 'eu' WHERE id = 1 RETURNING *) SELECT u.*, u.email FROM u",
  "WITH u (a, b) AS (UPDATE customers SET region = 'eu' WHERE id = 1 RETURNING id, email) SELECT a, b FROM u",
  'DELETE FROM orders',
  'DELETE FROM watched w USING LATERAL (SELECT 1 AS one) l WHERE w.id = l.one RETURNING w.*, l.one',
  'DELETE FROM ONLY watched WHERE note IS NOT NULL AND EXISTS (SELECT 1 FROM watched AS other WHERE other.id = watched.id)',
  "INSERT INTO watched(id,note)VALUES(5,'a'),(6,DEFAULT)",
  'INSERT INTO watched (SELECT 5)',
  'INSERT INTO watched (id) (SELECT 5 UNION SELECT 6 ORDER BY 1 LIMIT 1)',
  'INSERT INTO watched TABLE watched ON CONFLICT (id) DO NOTHING',
  "INSERT INTO watched AS w VALUES (1, 'eu', 'n') ON CONFLICT (id) WHERE id > 0 DO UPDATE SET (note, region) = (excluded.note, DEFAULT) WHERE w.id = excluded.id RETURNING w.note, *",
  'INSERT INTO watched VALUES (1) ON CONFLICT ON CONSTRAINT watched_pkey DO UPDATE SET note = (SELECT max(name) FROM customers) RETURNING (SELECT count(*) FROM customers WHERE customers.id = watched.id)',
  'INSERT INTO customers (id, name) SELECT id + 10, name FROM customers WHERE 1 / (id - 3) < 5 RETURNING id AS "new id", email e',
  'INSERT INTO orders (id, customer_id, note) SELECT 20 + c.id, c.id, c.email FROM customers c CROSS JOIN generate_series(1, 1) RETURNING *',
  'INSERT INTO plain (id) SELECT count(*) FROM customers GROUP BY region HAVING count(*) > 0 RETURNING plain, plain.label',
  'MERGE INTO plain p USING (SELECT id FROM customers) c ON p.id = c.id WHEN MATCHED AND p.label IS NOT NULL THEN UPDATE SET label = CASE WHEN c.id = 1 THEN $$x$$ END WHEN NOT MATCHED THEN INSERT (id) VALUES (c.id)',
  'MERGE INTO watched USING plain ON watched.id = plain.id AND lower(watched.note) = $$here$$ WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING',
  'WITH s AS (SELECT 1 AS id) MERGE INTO orders AS o USING s JOIN plain p ON p.id = s.id ON o.id = s.id WHEN NOT MATCHED AND CASE WHEN s.id = 1 THEN true END THEN INSERT (id) VALUES (s.id)',
  'MERGE INTO bookings USING plain ON false WHEN NOT MATCHED THEN INSERT VALUES (plain.id)',
  'EXPLAIN ANALYZE UPDATE customers SET name = name WHERE 1 / (id - 3) < 5',
];

describe.each(([18, 15] as const).filter(isPostgresInstalled))('writes on PostgreSQL %i', (version) => {
  let fixture: WriteFixture;
  beforeAll(async () => {
    fixture = await startWriteFixture(version);
  });
  afterAll(async () => {
    await fixture.stop();
  });

  const check = async ({ sql, expected, options, after }: Case): Promise<void> => {
    const seen: unknown[][] = [];
    const look = after === undefined ? {} : { look: after[0], seen };
    const outcome = await fixture.run(sql, { ...fixture.cursorsOver(options), ...look });
    expect(outcome, fixture.rewrite(sql, fixture.cursorsOver(options))).toMatchObject(expected);
    if (after !== undefined) expect(seen).toEqual(after[1]);
  };
  const forServer = (cases: readonly Case[]): readonly Case[] =>
    cases.filter((each) => (each.minimum ?? 0) <= version * 10_000 && version * 10_000 < (each.below ?? 990_000));

  test.each(forServer(UPDATES))('UPDATE: $name', check);
  test.each(forServer(DELETES))('DELETE: $name', check);
  test.each(forServer(INSERTS))('INSERT: $name', check);
  test.each(forServer(MERGES))('MERGE: $name', check);
  test.each(SHAPES)('runs %s', async (sql) => {
    expect(await fixture.run(sql), fixture.rewrite(sql)).toMatchObject({ kind: 'done' });
  });
  test.each(COPIES)('COPY: $name', check);
  test.each(COPY_TEXTS)('%s', (sql, sent) => {
    expect(fixture.rewrite(sql)).toBe(sent);
  });

  test('a whole table is only qualified', () => {
    expect(fixture.rewrite("UPDATE plain SET label = 'x' WHERE id = 1 RETURNING *")).toBe(
      `UPDATE "public"."plain" SET label = 'x' WHERE id = 1 RETURNING *`,
    );
  });

  test('EXPLAIN hides a check on a table that is seen whole', () => {
    expect(fixture.rewrite('EXPLAIN INSERT INTO orders (id, customer_id) VALUES (12, 3)')).toMatch(
      /^EXPLAIN \(COSTS OFF/,
    );
  });

  test('a key lookup keeps its index, its filter and its plain condition', () => {
    expect(fixture.rewrite('UPDATE customers SET name = $1 WHERE id = $2')).toBe(
      `UPDATE "public"."customers" SET name = $1 WHERE (("customers"."region" = 'eu')) AND (id = $2)`,
    );
  });
});
