/** Writes in many shapes, and the text that the database gets. */
import { expect, test } from 'vitest';
import { describeWrites } from './write-cases.ts';

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

describeWrites('writes', ({ fixture }) => {
  test.each(SHAPES)('runs %s', async (sql) => {
    expect(await fixture().run(sql), fixture().rewrite(sql)).toMatchObject({ kind: 'done' });
  });
  test('a whole table is only qualified', () => {
    expect(fixture().rewrite("UPDATE plain SET label = 'x' WHERE id = 1 RETURNING *")).toBe(
      `UPDATE "public"."plain" SET label = 'x' WHERE id = 1 RETURNING *`,
    );
  });

  test('EXPLAIN hides a check on a table that is seen whole', () => {
    expect(fixture().rewrite('EXPLAIN INSERT INTO orders (id, customer_id) VALUES (12, 3)')).toMatch(
      /^EXPLAIN \(COSTS OFF/,
    );
  });

  test('a key lookup keeps its index, its filter and its plain condition', () => {
    expect(fixture().rewrite('UPDATE customers SET name = $1 WHERE id = $2')).toBe(
      `UPDATE "public"."customers" SET name = $1 WHERE (("customers"."region" = 'eu')) AND (id = $2)`,
    );
  });
});
