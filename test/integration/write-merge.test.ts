/** MERGE and COPY through the gate. */
import { expect, test } from 'vitest';
import {
  done,
  changed,
  refused,
  missing,
  OUTSIDE,
  ORPHAN,
  REGIONS,
  type WriteCase,
  describeWrites,
} from './write-cases.ts';

const SOURCE = "(VALUES (1, 'one'), (3, 'three'), (8, 'eight')) AS s (id, name)";
const NEW_ROW = "(VALUES (8, 'eight')) AS s (id, name)";
const MERGES: readonly WriteCase[] = [
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
  {
    name: 'unless literals say that they are inside',
    sql: `MERGE INTO customers c USING ${NEW_ROW} ON c.id = s.id WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.id, 'eu')`,
    expected: changed(1),
  },
  {
    name: 'literals that lie outside of the filter raise',
    sql: `MERGE INTO customers c USING ${NEW_ROW} ON c.id = s.id WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.id, 'us')`,
    expected: OUTSIDE,
  },
  {
    name: 'but only where a row is made',
    sql: "MERGE INTO customers c USING (SELECT 1 AS id) s ON c.id = s.id WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.id, 'us')",
    expected: changed(0),
  },
  {
    name: 'and where the condition of the branch holds',
    sql: `MERGE INTO customers c USING ${NEW_ROW} ON c.id = s.id WHEN NOT MATCHED AND s.id < 0 THEN INSERT (id, region) VALUES (s.id, 'us') WHEN NOT MATCHED AND s.id > 0 THEN INSERT (id, region) VALUES (s.id, 'eu')`,
    expected: changed(1),
  },
  {
    name: 'what the source gives is no literal',
    sql: `MERGE INTO customers c USING ${NEW_ROW} ON c.id = s.id WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.id, s.name)`,
    expected: refused('not_supported'),
    below: 170_000,
  },
  {
    name: 'a trigger may change what a literal says',
    sql: "MERGE INTO watched w USING (SELECT 40 AS id) s ON w.id = s.id WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.id, 'eu')",
    expected: refused('not_supported'),
    below: 170_000,
  },
];

const COPIES: readonly WriteCase[] = [
  {
    name: 'COPY FROM on a filtered table with a trigger is not supported',
    sql: 'COPY watched FROM STDIN',
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

describeWrites('MERGE and COPY', ({ check, fixture, forServer }) => {
  test.each(forServer(MERGES))('MERGE: $name', check);
  test.each(COPIES)('COPY: $name', check);
  test.each(COPY_TEXTS)('%s', (sql, sent) => {
    expect(fixture().rewrite(sql)).toBe(sent);
  });
});
