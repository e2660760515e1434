/** UPDATE and DELETE through the gate: what is touched, what is left behind, and what cannot be learnt by writing. */
import { expect, test } from 'vitest';
import {
  done,
  changed,
  refused,
  checked,
  failed,
  missing,
  OUTSIDE,
  ORPHAN,
  REGIONS,
  type WriteCase,
  describeWrites,
} from './write-cases.ts';
import type { Outcome } from './write-fixture.ts';

const UPDATES: readonly WriteCase[] = [
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
    name: 'nor does one that compares with a sub-query',
    sql: "UPDATE customers SET name = 'x' WHERE 1 IN (SELECT 1 / (customers.id - 3)) OR id < 3",
    expected: changed(2),
  },
  {
    name: 'nor a scalar sub-query',
    sql: "UPDATE customers SET name = 'x' WHERE (SELECT sum(1 / (customers.id - 3) + p.id) FROM plain p) < 9",
    expected: changed(2),
  },
  {
    name: 'nor a function in FROM of a sub-query',
    sql: "UPDATE customers SET name = 'x' WHERE NOT EXISTS (SELECT FROM generate_series(5, 1 / (customers.id - 3)))",
    expected: changed(2),
  },
  {
    name: 'nor a cast, nor a LIMIT',
    sql: "UPDATE customers SET name = 'x' WHERE EXISTS (SELECT 1 LIMIT 1 / (customers.id - 3) + 2) AND name::text <> (SELECT 'q')",
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
    name: 'RETURNING of a masked column through sub-queries keeps its name',
    sql: 'UPDATE customers SET name = name WHERE id = 1 RETURNING (SELECT email), (SELECT row_to_json(r)::text FROM (SELECT email, id) r)',
    expected: {
      ...done([['a***@example.com', '{"email":"a***@example.com","id":1}']]),
      names: ['email', 'row_to_json'],
    } as Partial<Outcome>,
  },
  {
    name: 'RETURNING of a name that two tables have is ambiguous, also where it is masked; with their names it is not',
    sql: 'UPDATE customers SET name = c.name FROM customers AS c WHERE c.id = customers.id RETURNING email',
    expected: refused('undefined_object', { sqlstate: '42702', subject: 'column reference "email" is ambiguous' }),
  },
  {
    name: 'RETURNING of what two tables have, by their names',
    sql: 'UPDATE customers SET name = c.name FROM customers AS c WHERE c.id = customers.id AND c.id = 1 RETURNING customers.email, c.email AS other',
    expected: done([['a***@example.com', 'a***@example.com']]),
  },
  {
    name: 'a name that only the target has, beside a table without it',
    sql: 'UPDATE customers SET name = name FROM plain WHERE plain.id = customers.id RETURNING email',
    expected: done([['a***@example.com']]),
  },
  {
    name: 'a hidden column cannot be returned by a sub-query',
    sql: 'UPDATE customers SET name = name RETURNING (SELECT ssn)',
    expected: missing('column "ssn" does not exist'),
  },
  {
    name: 'nor by attribute notation',
    sql: 'UPDATE customers SET name = name RETURNING (customers).ssn',
    expected: refused('column_not_readable'),
  },
  {
    name: 'nor as a function of the row',
    sql: 'UPDATE customers SET name = name RETURNING ssn(customers)',
    expected: { kind: 'refused' },
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
    name: 'but not on a row that has left the filter since',
    sql: "UPDATE customers SET name = 'x' WHERE CURRENT OF c RETURNING name",
    expected: OUTSIDE,
    options: {
      cursors: new Map([['c', { generation: 1, relationOids: [] }]]),
      before: 'DECLARE c CURSOR FOR SELECT id FROM customers WHERE id = 3; FETCH c',
    },
  },
  {
    name: 'nor to delete it',
    sql: 'DELETE FROM customers WHERE CURRENT OF c',
    expected: OUTSIDE,
    options: {
      cursors: new Map([['c', { generation: 1, relationOids: [] }]]),
      before: 'DECLARE c CURSOR FOR SELECT id FROM customers WHERE id = 3; FETCH c',
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

const DELETES: readonly WriteCase[] = [
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

describeWrites('UPDATE and DELETE', ({ check, fixture, forServer }) => {
  test.each(forServer(UPDATES))('UPDATE: $name', check);
  test('guardrails see each write by itself', () => {
    const facts = fixture().facts(
      'WITH d AS (DELETE FROM watched RETURNING id) UPDATE orders SET note = $$x$$ WHERE id IN (SELECT id FROM d)',
    );
    expect(facts).toMatchObject({ command: 'UPDATE', hasWhere: true, rowFilters: ['public.watched'] });
    expect(facts?.nested).toMatchObject([{ command: 'DELETE', hasWhere: false, relations: ['public.watched'] }]);
    expect(facts?.columns).toContain('public.orders.note');
  });
  test.each(forServer(DELETES))('DELETE: $name', check);
});
