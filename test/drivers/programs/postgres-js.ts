/** npm's `postgres`: named statements, pipelined, types fetched at connect. */
import postgres from 'postgres';
import { check, DENIAL, done, equal, errorOf } from './checks.ts';

const address = {
  host: '127.0.0.1',
  port: Number(process.env['PGPORT']),
  database: 'shop',
  username: 'driver-bot',
  onnotice: () => undefined,
};
const sql = postgres({ ...address, max: 2 });

await check('parameters: text, number, array, null', async () => {
  const rows = await sql`SELECT ${'x'}::text AS t, ${7}::int AS n, ${[1, 2]}::int[] AS a, ${null}::text AS z`;
  equal([...rows], [{ t: 'x', n: 7, a: [1, 2], z: null }]);
});

await check('masked, hidden and filtered columns', async () => {
  const rows = await sql`SELECT * FROM customers WHERE id IN ${sql([1, 2, 5])} ORDER BY id`;
  equal(
    rows.map((row) => [row['id'], row['email']]),
    [
      [2, 'o***@example.net'],
      [5, 'd***@example.net'],
    ],
  );
  equal(
    rows.columns.some((column) => column.name === 'password_hash'),
    false,
  );
});

await check('pipelined statements on one connection', async () => {
  await sql.begin(async (transaction) => {
    const all = Array.from({ length: 100 }, (_, index) => transaction`SELECT ${index}::int AS n`);
    const results = await Promise.all(all);
    equal(
      results.map((rows) => rows[0]?.['n']),
      Array.from({ length: 100 }, (_, index) => index),
    );
  });
});

await check('transaction: commit, rollback, savepoint', async () => {
  await sql.begin(async (transaction) => {
    await transaction`INSERT INTO driver_items ${sql({ driver: 'postgres.js', n: 1 })}`;
    const error = await errorOf(
      transaction.savepoint((inner) => inner`INSERT INTO driver_items ${sql({ driver: 'postgres.js', n: 1 })}`),
    );
    equal(error.code, '23505');
    await transaction`INSERT INTO driver_items ${sql([{ driver: 'postgres.js', n: 2 }])} RETURNING id`;
  });
  await errorOf(
    sql.begin(async (transaction) => {
      await transaction`INSERT INTO driver_items ${sql({ driver: 'postgres.js', n: 3 })}`;
      throw new Error('roll back');
    }),
  );
  const rows = await sql`SELECT n FROM driver_items WHERE driver = 'postgres.js' ORDER BY n`;
  equal([...rows], [{ n: 1 }, { n: 2 }]);
});

await check('COPY in and out as streams', async () => {
  const writable = await sql`COPY driver_items (driver, n, note) FROM STDIN`.writable();
  await new Promise<void>((resolve, reject) => {
    writable.once('error', reject);
    writable.once('finish', resolve);
    writable.end('postgres.js-copy\t1\tone\npostgres.js-copy\t2\t\\N\n');
  });
  const readable = await sql`
    COPY (SELECT n, note FROM driver_items WHERE driver = 'postgres.js-copy' ORDER BY n) TO STDOUT (FORMAT csv)`.readable();
  let text = '';
  for await (const chunk of readable) text += String(chunk);
  equal(text, '1,one\n2,\n');
});

await check('cursor: a portal in portions', async () => {
  const portions: number[] = [];
  await sql`SELECT id FROM orders ORDER BY id LIMIT 25`.cursor(10, (rows) => {
    portions.push(rows.length);
  });
  equal(portions, [10, 10, 5]);
});

await check('a denial, by its exact message, and the session lives', async () => {
  equal(await errorOf(sql`SELECT * FROM payroll`), { code: '42501', message: DENIAL });
  equal(await errorOf(sql`SELECT * FROM payroll WHERE id = ${1}`), { code: '42501', message: DENIAL });
  equal([...(await sql`SELECT 1 AS one`)], [{ one: 1 }]);
});

await check('a denial inside a transaction aborts it', async () => {
  const error = await errorOf(
    sql.begin(async (transaction) => {
      equal((await errorOf(transaction`SELECT * FROM payroll`.execute())).code, '42501');
      await transaction`SELECT 1`;
    }),
  );
  // postgres.js ends the transaction with the first error of any of its statements.
  equal(['42501', '25P02'].includes(error.code), true);
  equal([...(await sql`SELECT 2 AS two`)], [{ two: 2 }]);
});

await check('simple protocol with several statements', async () => {
  const results = await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b');
  equal(JSON.stringify(results), '[[{"a":1}],[{"b":2}]]');
  equal((await errorOf(sql.unsafe('SELECT 1; SELECT * FROM payroll'))).code, '42501');
});

await check('describe', async () => {
  const { string, columns, types } = await sql`SELECT id, email FROM customers WHERE id = ${2}`.describe();
  equal(string, 'SELECT id, email FROM customers WHERE id = $1');
  equal([columns.map((column) => column.name), types], [['id', 'email'], [23]]);
});

await check('session reset', async () => {
  const one = await sql.reserve();
  await one`SET TimeZone = 'Asia/Tokyo'`;
  await one`RESET ALL`;
  equal((await one`SHOW TimeZone`)[0]?.['TimeZone'], 'UTC');
  one.release();
});

await check('cancel', async () => {
  const slow = sql`SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b`.execute();
  setTimeout(() => slow.cancel(), 200);
  equal((await errorOf(slow)).code, '57014');
});

await check('reconnect', async () => {
  await sql.end();
  const again = postgres({ ...address, max: 1 });
  equal([...(await again`SELECT count(*)::int AS n FROM driver_items WHERE driver = 'postgres.js'`)], [{ n: 2 }]);
  await again.end();
});

done();
