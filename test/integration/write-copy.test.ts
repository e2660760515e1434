/** COPY FROM STDIN into tables with a row filter: a row outside of it fails the whole COPY, as WITH CHECK would. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CorpusGate, startCorpusGate } from '#test/corpus/gate.ts';
import { observe, type Step } from '#test/corpus/observer.ts';
import { isPostgresInstalled, type PostgresServer, startPostgres } from '#test/postgres.ts';

const SCHEMA = `CREATE ROLE bot LOGIN;
CREATE TABLE tasks (id int PRIMARY KEY, region text DEFAULT 'eu', title text, secret text DEFAULT 'none');
CREATE TABLE parts (id int, region text) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
CREATE TABLE notes (id int, task_id int REFERENCES tasks);
CREATE TABLE doubled (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE moved (id int, region text);
CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.region := 'us'; RETURN NEW; END $$;
CREATE TRIGGER move BEFORE INSERT ON moved FOR EACH ROW EXECUTE FUNCTION move();
GRANT ALL ON ALL TABLES IN SCHEMA public TO bot`;
const POLICY = `
  tables:
    - name: public.tasks
      actions: [Select, Insert]
      hide: [secret]
      rowFilter: "region = 'eu' AND title <> 'secret: 50%'"
    - { name: public.parts, actions: [Select, Insert], rowFilter: "region = 'eu'" }
    - { name: public.notes, actions: [Select, Insert] }
    - { name: public.doubled, actions: [Select, Insert], rowFilter: "twice > 5" }
    - { name: public.moved, actions: [Select, Insert], rowFilter: "region = 'eu'" }
`;

const outside = (table: string): string =>
  `E S=ERROR | V=ERROR | C=42501 | M=new row violates the row filter for public.${table} | R=postern:row_filter_violated`;

interface Case {
  readonly name: string;
  readonly copy: string;
  readonly data: string;
  /** Rows that are there then, as `table: rows`; undefined: refused as outside of the filter, and nothing is there. */
  readonly rows: Readonly<Record<string, readonly string[]>> | undefined;
}

const CASES: readonly Case[] = [
  {
    name: 'rows inside',
    copy: 'COPY tasks FROM STDIN',
    data: '2\teu\ta\n3\teu\tb\n',
    rows: { tasks: ['2 eu a', '3 eu b'] },
  },
  { name: 'one row outside', copy: 'COPY tasks FROM STDIN', data: '2\teu\ta\n3\tus\tb\n', rows: undefined },
  { name: 'a NULL in the filter', copy: 'COPY tasks FROM STDIN', data: '2\t\\N\ta\n', rows: undefined },
  { name: 'a default inside', copy: 'COPY tasks (id, title) FROM STDIN', data: '2\ta\n', rows: { tasks: ['2 eu a'] } },
  { name: 'a default outside', copy: 'COPY tasks (id) FROM STDIN', data: '2\n', rows: undefined },
  {
    name: 'options of the old form, and a semicolon',
    copy: "COPY public.tasks FROM STDIN WITH DELIMITER ',' NULL 'none' ; ",
    data: '2,eu,a\n',
    rows: { tasks: ['2 eu a'] },
  },
  { name: 'CSV', copy: 'COPY tasks FROM STDIN (FORMAT csv)', data: '2,us,a\n', rows: undefined },
  {
    name: 'rows that its own WHERE leaves out need not be inside',
    copy: 'COPY tasks FROM STDIN WHERE id < 3 OR title IS NULL -- all others',
    data: '2\teu\ta\n3\tus\tb\n',
    rows: { tasks: ['2 eu a'] },
  },
  { name: 'rows that it keeps must', copy: 'COPY tasks FROM STDIN WHERE id < 3', data: '2\tus\ta\n', rows: undefined },
  { name: 'a partition inside', copy: 'COPY parts FROM STDIN', data: '1\teu\n', rows: { parts: ['1 eu'] } },
  { name: 'a partition outside', copy: 'COPY parts FROM STDIN', data: '1\tus\n', rows: undefined },
];

const REFUSED: readonly (readonly [string, string, string])[] = [
  [
    'a trigger may move a row',
    'COPY moved FROM STDIN',
    'COPY FROM on public.moved, which has a row filter and a trigger or a generated column in it, is not supported through the gate; use INSERT ... VALUES with several rows',
  ],
  [
    'a generated column is not there yet',
    'COPY doubled FROM STDIN',
    'COPY FROM on public.doubled, which has a row filter and a trigger or a generated column in it, is not supported through the gate; use INSERT ... VALUES with several rows',
  ],
  [
    'a foreign key towards a filtered table',
    'COPY notes FROM STDIN',
    'COPY FROM on public.notes, whose foreign key notes_task_id_fkey refers to a table with a row filter, is not supported through the gate; use INSERT ... VALUES with several rows',
  ],
];

describe.each([18, 15] as const)('COPY FROM under a row filter, PostgreSQL %i', (version) => {
  const isThere = isPostgresInstalled(version);
  let server: PostgresServer;
  let gate: CorpusGate;
  let admin: pg.Client;

  beforeAll(async () => {
    if (!isThere) return;
    server = await startPostgres({ version, hba: ['local all all trust', 'host all all 127.0.0.1/32 trust'] });
    admin = new pg.Client({ connectionString: await server.createDatabase('shop') });
    await admin.connect();
    await admin.query(SCHEMA);
    gate = await startCorpusGate({
      serverPort: server.port,
      database: 'shop',
      user: 'bot',
      password: 'none',
      policySpec: POLICY,
    });
  });

  afterAll(async () => {
    if (!isThere) return;
    await admin.end();
    await gate.close();
    await server.stop();
  });

  beforeEach(async () => {
    if (isThere) await admin.query("TRUNCATE tasks, parts, notes; INSERT INTO tasks VALUES (1, 'us', 'hidden')");
  });

  const rowsOf = async (table: string): Promise<readonly string[]> => {
    const columns = table === 'parts' ? 'id, region' : 'id, region, title';
    const text = `SELECT concat_ws(' ', ${columns}) AS row FROM ${table} WHERE id <> 1 OR region = 'eu' OR '${table}' = 'parts' ORDER BY id`;
    return (await admin.query<{ row: string }>(text)).rows.map(({ row }) => row);
  };

  test.runIf(isThere).each(CASES)('$name', async ({ copy, data, rows }) => {
    const steps: readonly Step[] = [{ copyIn: copy, data }, 'SELECT 1'];
    const seen = await observe(gate.port, steps);
    const errors = seen.filter((line) => line.startsWith('E '));
    const table = copy.includes('parts') ? 'parts' : 'tasks';
    expect(errors).toEqual(rows === undefined ? [outside(table)] : []);
    const expected = { tasks: [], parts: [], ...rows };
    expect({ tasks: await rowsOf('tasks'), parts: await rowsOf('parts') }).toEqual(expected);
  });

  test.runIf(isThere)('the key of a hidden row fails without its values', async () => {
    const seen = await observe(gate.port, [{ copyIn: 'COPY tasks FROM STDIN', data: '1\teu\ta\n' }]);
    const errors = seen.filter((line) => line.startsWith('E '));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/C=23505 \| M=duplicate key value violates a unique constraint \| F=/);
    expect(errors[0]).not.toMatch(/hidden|tasks_pkey| D=/);
  });

  test.runIf(isThere).each(REFUSED)('%s: refused, with what to do', async (_, copy, message) => {
    const seen = await observe(gate.port, [{ copyIn: copy, data: '' }]);
    const errors = seen.filter((line) => line.startsWith('E '));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('C=0A000');
    expect(errors[0]).toContain(message);
  });
});
