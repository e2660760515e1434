/** npm's `pg`: what node programs and most MCP servers use. */
import pg from 'pg';
import { check, DENIAL, done, equal, errorOf } from './checks.ts';

const pool = new pg.Pool({ max: 2 });

/** What pg asks of a query of one's own, as pg-copy-streams makes them. */
class Copy {
  readonly #text: string;
  readonly #input: readonly Buffer[];
  readonly #received: Buffer[] = [];
  #settle: { readonly resolve: (data: string) => void; readonly reject: (error: Error) => void } | undefined;
  #error: Error | undefined;
  readonly result: Promise<string>;

  constructor(text: string, input: readonly string[] = []) {
    this.#text = text;
    this.#input = input.map((chunk) => Buffer.from(chunk));
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    for (const chunk of this.#input) connection.sendCopyFromChunk(chunk);
    connection.endCopyFrom();
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    this.#received.push(Buffer.from(chunk));
  }

  handleError(error: Error): void {
    this.#error = error;
    this.#settle?.reject(error);
  }

  handleReadyForQuery(): void {
    if (this.#error === undefined) this.#settle?.resolve(Buffer.concat(this.#received).toString('utf8'));
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}

interface CopyConnection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

async function copy(client: pg.PoolClient, text: string, input?: readonly string[]): Promise<string> {
  const query = new Copy(text, input);
  client.query(query);
  return query.result;
}

await check('parameters: text, number, array, null, date', async () => {
  const text = 'SELECT $1::text AS t, $2::int AS n, $3::int[] AS a, $4::text AS z, $5::date::text AS d';
  const { rows } = await pool.query(text, ['x', 7, [1, 2], null, '2026-01-31']);
  equal(rows, [{ t: 'x', n: 7, a: [1, 2], z: null, d: '2026-01-31' }]);
});

await check('masked, hidden and filtered columns', async () => {
  const { rows, fields } = await pool.query('SELECT * FROM customers WHERE id = ANY($1) ORDER BY id', [[1, 2, 5]]);
  equal(
    rows.map((row) => [row.id, row.email, row.birth_date.getMonth()]),
    [
      [2, 'o***@example.net', 0],
      [5, 'd***@example.net', 0],
    ],
  );
  equal(
    fields.some((field) => field.name === 'password_hash'),
    false,
  );
});

await check('binary results', async () => {
  const config = { text: 'SELECT 258::int4 AS n, true AS b', binary: true };
  const { rows } = await pool.query(config);
  equal(rows, [{ n: 258, b: true }]);
});

await check('named statement, executed again', async () => {
  const client = await pool.connect();
  const named = { name: 'one', text: 'SELECT name FROM customers WHERE id = $1' };
  equal((await client.query({ ...named, values: [2] })).rows, [{ name: 'Oona Dahl' }]);
  equal((await client.query({ ...named, values: [1] })).rows, []);
  client.release();
});

await check('transaction: commit, rollback, savepoint', async () => {
  const client = await pool.connect();
  const add = 'INSERT INTO driver_items (driver, n) VALUES ($1, $2) RETURNING n';
  await client.query('BEGIN');
  equal((await client.query(add, ['pg', 1])).rows, [{ n: 1 }]);
  await client.query('SAVEPOINT s');
  equal((await errorOf(client.query(add, ['pg', 1]))).code, '23505');
  await client.query('ROLLBACK TO SAVEPOINT s');
  await client.query(add, ['pg', 2]);
  await client.query('COMMIT');
  await client.query('BEGIN');
  await client.query(add, ['pg', 3]);
  await client.query('ROLLBACK');
  const { rows } = await client.query("SELECT n FROM driver_items WHERE driver = 'pg' ORDER BY n");
  equal(rows, [{ n: 1 }, { n: 2 }]);
  client.release();
});

await check('a denial, by its exact message, and the session lives', async () => {
  const client = await pool.connect();
  equal(await errorOf(client.query('SELECT * FROM payroll')), { code: '42501', message: DENIAL });
  equal(await errorOf(client.query('SELECT * FROM payroll WHERE id = $1', [1])), { code: '42501', message: DENIAL });
  equal((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  client.release();
});

await check('a denial inside a transaction aborts it', async () => {
  const client = await pool.connect();
  await client.query('BEGIN');
  equal((await errorOf(client.query('SELECT * FROM payroll'))).code, '42501');
  equal((await errorOf(client.query('SELECT 1'))).code, '25P02');
  equal((await client.query('COMMIT')).command, 'ROLLBACK');
  client.release();
});

await check('MCP server: BEGIN TRANSACTION READ ONLY, text, and what would escape it', async () => {
  const client = await pool.connect();
  await client.query('BEGIN TRANSACTION READ ONLY');
  equal((await client.query('SELECT count(*)::int AS n FROM orders')).rows, [{ n: 3000 }]);
  equal((await errorOf(client.query('COMMIT; DROP TABLE orders'))).code, '42501');
  await client.query('ROLLBACK');
  client.release();
});

await check('DBHub: options at start-up, tables and columns', async () => {
  const client = new pg.Client({ options: '-c default_transaction_read_only=on -c search_path=public' });
  await client.connect();
  const tables = await client.query(
    "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 AND table_name !~ 'pgbench' ORDER BY table_name",
    ['public'],
  );
  equal(
    tables.rows.map((row) => row.table_name),
    ['customers', 'driver_items', 'orders', 'products'],
  );
  const columns = await client.query(
    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
    ['customers'],
  );
  equal(
    columns.rows.map((row) => row.column_name).filter((name) => /email|hash/.test(name)),
    ['email'],
  );
  const error = await errorOf(client.query("INSERT INTO driver_items (driver, n) VALUES ('pg', 9)"));
  equal(error.code, '25006');
  await client.end();
});

await check('COPY in and out, of a masked table too, a denial, and the session lives', async () => {
  const client = await pool.connect();
  const rows = ['pg-copy\t1\n', 'pg-copy\t2\npg-co', 'py\t3\n'];
  equal(await copy(client, 'COPY driver_items (driver, n) FROM STDIN', rows), '');
  const mine = "SELECT driver, n FROM driver_items WHERE driver = 'pg-copy' ORDER BY n";
  equal(await copy(client, `COPY (${mine}) TO STDOUT (FORMAT csv)`), 'pg-copy,1\npg-copy,2\npg-copy,3\n');
  equal(await copy(client, 'COPY (SELECT email FROM customers WHERE id = 2) TO STDOUT'), 'o***@example.net\n');
  equal((await copy(client, 'COPY customers TO STDOUT')).includes('o***@example.net'), true);
  equal(await errorOf(copy(client, 'COPY payroll TO STDOUT')), { code: '42501', message: DENIAL });
  equal((await errorOf(copy(client, 'COPY driver_items (driver, n) FROM STDIN', ['pg-copy\tx\n']))).code, '22P02');
  equal((await client.query("SELECT count(*)::int AS n FROM driver_items WHERE driver = 'pg-copy'")).rows, [{ n: 3 }]);
  client.release();
});

await check('many queries at once over a pool', async () => {
  const all = Array.from({ length: 50 }, (_, index) => pool.query('SELECT $1::int AS n', [index]));
  equal(
    (await Promise.all(all)).map((result) => result.rows[0].n),
    Array.from({ length: 50 }, (_, index) => index),
  );
});

await check('session reset: DISCARD ALL keeps the pins', async () => {
  const client = await pool.connect();
  await client.query("SET application_name = 'x'; SET TimeZone = 'Asia/Tokyo'");
  await client.query('DISCARD ALL');
  equal((await client.query('SHOW TimeZone')).rows[0].TimeZone, 'UTC');
  equal((await client.query('SELECT email FROM customers WHERE id = 2')).rows, [{ email: 'o***@example.net' }]);
  client.release();
});

await check('a statement is cancelled by its time', async () => {
  const client = new pg.Client({ statement_timeout: 100 });
  await client.connect();
  const slow = 'SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b';
  equal((await errorOf(client.query(slow))).code, '57014');
  await client.end();
});

await check('reconnect', async () => {
  await pool.end();
  const client = new pg.Client();
  await client.connect();
  equal((await client.query("SELECT count(*)::int AS n FROM driver_items WHERE driver = 'pg'")).rows, [{ n: 2 }]);
  await client.end();
});

done();
