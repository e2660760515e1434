/** What a mask shows is not written back over the value behind it: as a literal it is refused at Parse, as a parameter at Bind. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CorpusGate, startCorpusGate } from '#test/corpus/gate.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';

const SCHEMA = `CREATE ROLE bot LOGIN; CREATE TABLE people (id int PRIMARY KEY, name text, email text, city varchar(20), points int);
INSERT INTO people VALUES (1, 'Ada', 'ada@example.com', 'Ulm', 7); GRANT ALL ON people TO bot`;
const POLICY = `
  tables:
    - name: public.people
      actions: [Select, Insert, Update]
      mask:
        - { columns: [email], with: { method: Redact } }
        - { columns: [city], with: { method: Constant, value: somewhere } }
        - { columns: [points], with: { method: Constant, value: "-5" } }
`;

let server: PostgresServer;
let gate: CorpusGate;
let agent: pg.Client;
let admin: pg.Client;

beforeAll(async () => {
  server = await startPostgres({ hba: ['local all all trust', 'host all all 127.0.0.1/32 trust'] });
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
  agent = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'bot', database: 'shop' });
  await agent.connect();
});

afterAll(async () => {
  await agent.end();
  await admin.end();
  await gate.close();
  await server.stop();
});

const MESSAGE = (column: string): string =>
  `policy data/corpus does not allow writing column public.people.${column}; the value is the one shown in the place of a masked one`;

const REFUSED: readonly (readonly [title: string, text: string, values: readonly unknown[], column: string])[] = [
  ['UPDATE', 'UPDATE people SET email = $1 WHERE id = 1', ['[redacted]'], 'email'],
  ['among others', 'UPDATE people SET name = $2, email = $1 WHERE id = 1', ['[redacted]', 'Ann'], 'email'],
  ['with a cast', 'UPDATE people SET email = $1::text WHERE id = $2', ['[redacted]', 1], 'email'],
  ['a list of columns', 'UPDATE people SET (name, email) = ROW($1, $2) WHERE id = 1', ['x', '[redacted]'], 'email'],
  ['the constant of a mask', 'UPDATE people SET city = $1 WHERE id = 1', ['somewhere'], 'city'],
  ['the word of another mask', 'UPDATE people SET city = $1 WHERE id = 1', ['[redacted]'], 'city'],
  ['INSERT', 'INSERT INTO people (id, email) VALUES ($1, $2)', [2, '[redacted]'], 'email'],
  ['INSERT of several rows', "INSERT INTO people (id, email) VALUES (5, 'a@b'), (6, $1)", ['[redacted]'], 'email'],
  [
    'ON CONFLICT',
    "INSERT INTO people (id, email) VALUES (1, 'x@y') ON CONFLICT (id) DO UPDATE SET email = $1",
    ['[redacted]'],
    'email',
  ],
];

describe('a parameter that writes back what a mask shows', () => {
  test.each(REFUSED)('%s is refused, recorded, and nothing is written', async (_, text, values, column) => {
    const before = gate.events.length;
    await expect(agent.query(text, [...values])).rejects.toMatchObject({ code: '42501', message: MESSAGE(column) });
    const { rows } = await admin.query('SELECT * FROM people');
    expect(rows).toEqual([{ id: 1, name: 'Ada', email: 'ada@example.com', city: 'Ulm', points: 7 }]);
    const denied = gate.events.slice(before).filter((event) => JSON.stringify(event).includes('column_not_writable'));
    expect(denied).toHaveLength(1);
    expect((await agent.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('is refused again by the name of the statement, and another value passes', async () => {
    const named = { name: 'set', text: 'UPDATE people SET email = $1 WHERE id = 1 RETURNING email' };
    await expect(agent.query({ ...named, values: ['[redacted]'] })).rejects.toMatchObject({ code: '42501' });
    expect((await agent.query({ ...named, values: ['new@example.com'] })).rows).toEqual([{ email: '[redacted]' }]);
    await expect(agent.query({ ...named, values: ['[redacted]'] })).rejects.toMatchObject({ code: '42501' });
    expect((await agent.query({ ...named, values: [null] })).rowCount).toBe(1);
    expect((await admin.query('SELECT email FROM people')).rows).toEqual([{ email: null }]);
    await admin.query("UPDATE people SET email = 'ada@example.com'");
  });

  test('aborts the transaction it stands in', async () => {
    await agent.query('BEGIN');
    await expect(agent.query('UPDATE people SET email = $1', ['[redacted]'])).rejects.toMatchObject({ code: '42501' });
    await expect(agent.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
    expect((await agent.query('COMMIT')).command).toBe('ROLLBACK');
  });

  test('is none where the column is compared or not masked', async () => {
    expect((await agent.query('SELECT id FROM people WHERE email = $1', ['[redacted]'])).rows).toEqual([{ id: 1 }]);
    expect((await agent.query('UPDATE people SET name = $1', ['[redacted]'])).rowCount).toBe(1);
  });
});

/** PREPARE, EXECUTE's argument list, and the column that it would write to. */
const EXECUTED: readonly (readonly [title: string, prepared: string, argumentList: string, column: string])[] = [
  ['UPDATE', 'UPDATE people SET email = $1 WHERE id = 1', "'[redacted]'", 'email'],
  ['a declared type', 'p(text) AS UPDATE people SET email = $1 WHERE id = 1', "E'[redacted\\x5d'", 'email'],
  ['a cast there', 'UPDATE people SET email = $1::text WHERE id = 1', "'[redacted]'::text", 'email'],
  ['among others', 'UPDATE people SET name = $2, email = $1 WHERE id = $3', "'[redacted]', 'Ann', 1", 'email'],
  ['the constant of a mask', 'UPDATE people SET city = $1 WHERE id = 1', "'somewhere'", 'city'],
  ['a constant that is a number', 'UPDATE people SET points = $1 WHERE id = 1', '-5', 'points'],
  ['INSERT', 'INSERT INTO people (id, email) VALUES ($1, $2)', '2, $$[redacted]$$', 'email'],
];

describe('an argument of EXECUTE that writes back what a mask shows', () => {
  test.each(EXECUTED)('%s is refused, and nothing is written', async (_, prepared, argumentList, column) => {
    await agent.query(`PREPARE ${prepared.startsWith('p(') ? prepared : `p AS ${prepared}`}`);
    const execute = agent.query(`EXECUTE p(${argumentList})`);
    await expect(execute).rejects.toMatchObject({ code: '42501', message: MESSAGE(column) });
    const explain = agent.query(`EXPLAIN ANALYZE EXECUTE p(${argumentList})`);
    await expect(explain).rejects.toMatchObject({ code: '42501', message: MESSAGE(column) });
    const { rows } = await admin.query('SELECT * FROM people');
    expect(rows).toEqual([{ id: 1, name: expect.any(String), email: 'ada@example.com', city: 'Ulm', points: 7 }]);
    await agent.query('DEALLOCATE p');
  });

  test('another argument passes, before and after one that is refused', async () => {
    await agent.query('PREPARE p AS UPDATE people SET email = $1, name = $2 WHERE id = 1');
    expect((await agent.query("EXECUTE p('new@example.com', '[redacted]')")).rowCount).toBe(1);
    await expect(agent.query("EXECUTE p('[redacted]', 'Ann')")).rejects.toMatchObject({ code: '42501' });
    expect((await agent.query("EXECUTE p('ada@example.com', 'Ada')")).rowCount).toBe(1);
    await agent.query('DEALLOCATE p');
  });
});

test('a negative literal that writes back what a mask shows is refused, also after another of the same shape', async () => {
  expect((await agent.query('UPDATE people SET points = -7 WHERE id = 1')).rowCount).toBe(1);
  await expect(agent.query('UPDATE people SET points = -5 WHERE id = 1')).rejects.toMatchObject({
    code: '42501',
    message: MESSAGE('points'),
  });
  expect((await admin.query('SELECT points FROM people')).rows).toEqual([{ points: -7 }]);
});
