/** What a rollback undoes is undone in the gate's books too: afterwards a name means what it means to the server. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CorpusGate, startCorpusGate } from '#test/corpus/gate.ts';
import { observe } from '#test/corpus/observer.ts';
import { isPostgresInstalled, type PostgresServer, startPostgres } from '#test/postgres.ts';

const SQL = `
CREATE ROLE bot LOGIN; CREATE SCHEMA one; CREATE SCHEMA two;
CREATE TABLE one.t (place text); INSERT INTO one.t VALUES ('one'); CREATE TABLE two.t (place text); INSERT INTO two.t VALUES ('two');
GRANT USAGE ON SCHEMA one, two TO bot; GRANT SELECT ON one.t, two.t TO bot; GRANT TEMPORARY ON DATABASE shop TO bot;`;

/** A mask each, so that the gate has to know which table is meant. */
const POLICY = `
  tables: [{ name: one.t, rowFilter: "place = 'one'" }, { name: two.t, rowFilter: "place = 'two'" }]
  statements: { allow: ["CREATE TEMPORARY TABLE"] }`;

const SET_TWO = 'SET search_path = two';
const READ = 'SELECT place FROM t';
const SESSIONS: readonly (readonly [string, readonly string[]])[] = [
  ['ROLLBACK undoes SET search_path', ['BEGIN', SET_TWO, READ, 'ROLLBACK', READ]],
  ['COMMIT keeps it', ['BEGIN', SET_TWO, 'COMMIT', READ]],
  ['COMMIT of a failed transaction undoes it', ['BEGIN', SET_TWO, 'SELECT 1/0', 'COMMIT', READ]],
  [
    'ROLLBACK TO undoes SET search_path',
    ['BEGIN', 'SAVEPOINT s', SET_TWO, READ, 'ROLLBACK TO s', READ, 'COMMIT', READ],
  ],
  [
    'ROLLBACK TO undoes SET LOCAL',
    ['BEGIN', 'SAVEPOINT s', 'SET LOCAL search_path = two', 'ROLLBACK TO SAVEPOINT s', READ],
  ],
  [
    'ROLLBACK TO after an error',
    ['BEGIN', 'SAVEPOINT s', SET_TWO, 'SELECT 1/0', 'ROLLBACK TO s', READ, 'COMMIT', READ],
  ],
  ['RELEASE keeps it', ['BEGIN', 'SAVEPOINT s', SET_TWO, 'RELEASE s', READ, 'COMMIT', READ]],
  [
    'nested savepoints of one name',
    [
      'BEGIN',
      'SAVEPOINT s',
      SET_TWO,
      'SAVEPOINT s',
      'SET search_path = one',
      'ROLLBACK TO s',
      READ,
      'RELEASE s',
      'ROLLBACK TO s',
      READ,
    ],
  ],
  [
    'set_config is undone as well',
    ['BEGIN', 'SAVEPOINT s', "SELECT set_config('search_path', 'two', false)", 'ROLLBACK TO s', READ],
  ],
  ['a savepoint that failed is none', ['SAVEPOINT s', SET_TWO, 'BEGIN', 'ROLLBACK TO s', 'ROLLBACK', READ]],
  [
    'ROLLBACK TO takes a temporary table away',
    [
      'BEGIN',
      'SAVEPOINT s',
      'CREATE TEMP TABLE x AS SELECT 1 AS n',
      'SELECT n FROM x',
      'ROLLBACK TO s',
      'CREATE TEMP TABLE x AS SELECT 2 AS n',
      'SELECT n FROM x',
    ],
  ],
  [
    'ROLLBACK TO brings a dropped temporary table back',
    [
      'CREATE TEMP TABLE x AS SELECT 1 AS n',
      'BEGIN',
      'SAVEPOINT s',
      'DROP TABLE x',
      'ROLLBACK TO s',
      'SELECT n FROM x',
      'COMMIT',
      'SELECT n FROM x',
    ],
  ],
  [
    'ROLLBACK takes a temporary table away',
    [
      'BEGIN',
      'CREATE TEMP TABLE x AS SELECT 1 AS n',
      'ROLLBACK',
      'CREATE TEMP TABLE x AS SELECT 2 AS n',
      'SELECT n FROM x',
    ],
  ],
  [
    'PREPARE outlives a rollback',
    ['BEGIN', 'SAVEPOINT s', `PREPARE p AS ${READ}`, 'ROLLBACK TO s', 'EXECUTE p', 'ROLLBACK', 'EXECUTE p'],
  ],
];

/** Rows, tags, codes of errors, transaction states: what a name means. */
const meaning = (seen: readonly string[]): readonly string[] =>
  seen
    .filter((text) => /^[DCEZ] /.test(text))
    .map((text) => (text.startsWith('E ') ? (/C=\w+/.exec(text)?.[0] ?? '') : text));

describe.each(([18, 15] as const).filter(isPostgresInstalled))('PostgreSQL %i', (version) => {
  let server: PostgresServer;
  let gate: CorpusGate;

  beforeAll(async () => {
    server = await startPostgres({ version, hba: ['local all all trust', 'host all all 127.0.0.1/32 trust'] });
    const client = new pg.Client({ connectionString: await server.createDatabase('shop') });
    await client.connect();
    await client.query(SQL);
    await client.query('ALTER DATABASE shop SET search_path = one, two');
    await client.end();
    gate = await startCorpusGate({
      serverPort: server.port,
      database: 'shop',
      user: 'bot',
      password: 'none',
      policySpec: POLICY,
      searchPath: ['one', 'two'],
    });
  });

  afterAll(async () => {
    await gate.close();
    await server.stop();
  });

  test.each(SESSIONS)('%s', async (_, steps) => {
    const honest = meaning(await observe(server.port, steps));
    expect(meaning(await observe(gate.port, steps))).toEqual(honest);
    expect(honest.filter((text) => text.startsWith('D ')).length).toBeGreaterThan(0);
    expect(gate.faults).toEqual([]);
  });

  test('behind ROLLBACK in one text an unqualified name is refused where the path is not the default one', async () => {
    const seen = await observe(gate.port, ['BEGIN', SET_TWO, `ROLLBACK; ${READ}`]);
    expect(meaning(seen).slice(-2)).toEqual(['C=42501', 'Z E']);
    expect(meaning(await observe(gate.port, ['BEGIN', `ROLLBACK; ${READ}`])).slice(-3)).toContainEqual(
      'C SELECT 1\\x0',
    );
  });
});
