/** INSERT through the gate: columns, new rows, keys, and what ON CONFLICT does not tell. */
import { test } from 'vitest';
import {
  done,
  changed,
  refused,
  checked,
  failed,
  missing,
  OUTSIDE,
  ORPHAN,
  HIDDEN_KEY,
  type WriteCase,
  describeWrites,
} from './write-cases.ts';

const INSERTS: readonly WriteCase[] = [
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
    name: 'nor one in a sub-query',
    sql: 'INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = (SELECT ssn)',
    expected: missing('column "ssn" does not exist'),
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

describeWrites('INSERT', ({ check, forServer }) => {
  test.each(forServer(INSERTS))('$name', check);
});
