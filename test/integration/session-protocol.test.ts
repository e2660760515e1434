import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import pg from 'pg';
import type { UpstreamTarget } from '#proxy/upstream.ts';
import { DENIED, freshTarget, type ProtocolGate, startProtocolGate, testPolicy } from '../protocol-gate.ts';

let target: UpstreamTarget;
let gate: ProtocolGate;

beforeAll(async () => {
  target = await freshTarget(inject('sharedPostgresUrl'), 'session_protocol');
  gate = await startProtocolGate({ target });
});

afterAll(async () => {
  await gate.close();
});

async function connect(port = gate.port): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'bot', database: 'shop' });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string; routine?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('did not fail');
}

describe('simple and extended queries pass', () => {
  test('a simple query gives its rows', async () => {
    const client = await connect();
    const result = await client.query('SELECT 1 AS one, $$x$$ AS two');
    expect(result.rows).toEqual([{ one: 1, two: 'x' }]);
    await client.end();
  });

  test('several statements in one query give all their results', async () => {
    const client = await connect();
    const results = (await client.query('SELECT 1; SELECT 2; SELECT 3')) as unknown as { rows: unknown[] }[];
    expect(results.map((result) => result.rows.length)).toEqual([1, 1, 1]);
    await client.end();
  });

  test('parameters, named statements and repeated executions', async () => {
    const client = await connect();
    for (let n = 0; n < 3; n++) {
      const result = await client.query({ name: 'add', text: 'SELECT $1::int + 1 AS n', values: [n] });
      expect(result.rows).toEqual([{ n: n + 1 }]);
    }
    await client.end();
  });

  test('an empty query is answered', async () => {
    const client = await connect();
    const result = await client.query('  ');
    expect(result.rows).toEqual([]);
    await client.end();
  });
});

describe('denials', () => {
  test('a denied simple query is an error with code, message and routine, and the session lives', async () => {
    const client = await connect();
    const error = await failure(client.query('SELECT * FROM secret'));
    expect(error).toMatchObject({ code: '42501', message: DENIED.message, routine: 'postern:relation_not_granted' });
    expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await client.end();
  });

  test('a denied extended query is an error, and the session lives', async () => {
    const client = await connect();
    const error = await failure(client.query('SELECT * FROM secret WHERE id = $1', [1]));
    expect(error).toMatchObject({ code: '42501', message: DENIED.message });
    expect((await client.query('SELECT $1::int AS n', [5])).rows).toEqual([{ n: 5 }]);
    await client.end();
  });

  test.each([
    ['simple', (client: pg.Client) => client.query('SELECT * FROM secret')],
    ['extended', (client: pg.Client) => client.query('SELECT * FROM secret WHERE id = $1', [1])],
  ])('inside a block the %s denial really aborts the transaction', async (_, run) => {
    const client = await connect();
    await client.query('CREATE TABLE IF NOT EXISTS aborted (id int)');
    await client.query('TRUNCATE aborted');
    await client.query('BEGIN');
    await client.query('INSERT INTO aborted VALUES (1)');
    expect(await failure(run(client))).toMatchObject({ code: '42501', message: DENIED.message });
    expect(await failure(client.query('SELECT 1'))).toMatchObject({ code: '25P02' });
    expect((await client.query('COMMIT')).command).toBe('ROLLBACK');
    expect((await client.query('SELECT count(*)::int AS n FROM aborted')).rows).toEqual([{ n: 0 }]);
    await client.end();
  });
});

describe('audit', () => {
  test('a record that cannot be written stops the statement, and the session recovers', async () => {
    const client = await connect();
    gate.auditWorks = false;
    expect(await failure(client.query('SELECT 1'))).toMatchObject({ code: '58030' });
    expect(await failure(client.query('SELECT $1::int', [1]))).toMatchObject({ code: '58030' });
    gate.auditWorks = true;
    expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await client.end();
  });

  test('each statement has a decision and a completion', async () => {
    const client = await connect();
    await new Promise((resolve) => setTimeout(resolve, 60));
    gate.events.length = 0;
    await client.query('SELECT generate_series(1, 7)');
    await client.query('SELECT $1::int', [1]);
    await failure(client.query('SELECT 1/0'));
    await failure(client.query('SELECT * FROM secret'));
    await client.end();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const phases = gate.events.map((event) => event.phase);
    expect(phases.filter((phase) => phase === 'decision')).toHaveLength(4);
    const completions = gate.events.filter((event) => event.phase === 'completion');
    expect(completions.map((event) => [event.rows, event.sqlstate])).toEqual([
      [7, '00000'],
      [1, '00000'],
      [0, '22012'],
    ]);
    expect(phases.at(-1)).toBe('session');
  });
});

describe('limits', () => {
  test('a result over maxRows is cut off with 53400 and the session goes on', async () => {
    const limited = await startProtocolGate({
      target,
      policy: testPolicy({ limits: { maxRows: 10, maxStatementBytes: 1000 } }),
    });
    const client = await connect(limited.port);
    expect((await client.query('SELECT generate_series(1, 10)')).rows).toHaveLength(10);
    expect(await failure(client.query('SELECT generate_series(1, 100000)'))).toMatchObject({
      code: '53400',
      message: 'result exceeds 10 rows; add a LIMIT',
    });
    expect(await failure(client.query('SELECT generate_series(1, $1::int)', [100000]))).toMatchObject({
      code: '53400',
    });
    expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    expect(await failure(client.query(`SELECT '${'x'.repeat(1000)}'`))).toMatchObject({ code: '54000' });
    await client.end();
    await limited.close();
  });

  test('a statement over its time is cancelled with 57014', async () => {
    const policy = testPolicy({ limits: { statementTimeoutMs: 100, maxStatementBytes: 1000 } });
    const limited = await startProtocolGate({ target, policy });
    const client = await connect(limited.port);
    expect(await failure(client.query('SELECT pg_sleep(5)'))).toMatchObject({ code: '57014' });
    expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await client.end();
    await limited.close();
  });

  test('statements per minute and connections are limited for the identity', async () => {
    const policy = testPolicy({ limits: { statementsPerMinute: 2, maxConnections: 1, maxStatementBytes: 1000 } });
    const limited = await startProtocolGate({ target, policy });
    const client = await connect(limited.port);
    expect(await failure(connect(limited.port))).toMatchObject({ code: '53300' });
    await client.query('SELECT 1');
    await client.query('SELECT 1');
    expect(await failure(client.query('SELECT 1'))).toMatchObject({ code: '53400' });
    await client.end();
    await limited.close();
  });
});

describe('policy changes', () => {
  test('a withdrawn policy ends the session with 57P01', async () => {
    const own = await startProtocolGate({ target });
    const client = await connect(own.port);
    const ended = new Promise<{ code?: string }>((resolve) => {
      client.on('error', (error: Error & { code?: string }) => resolve(error));
    });
    own.state = { kind: 'unavailable', ends: true, denial: { ...DENIED, severity: 'FATAL' } };
    own.changed();
    expect((await ended).code).toBe('57P01');
    await own.close();
  });

  test('a prepared statement is decided again under a new policy', async () => {
    let isDenied = false;
    const rules = [{ when: /never/, denial: DENIED }];
    const own = await startProtocolGate({
      target,
      rules: [
        {
          when: /watched/,
          get denial() {
            return isDenied ? DENIED : undefined;
          },
        } as (typeof rules)[0],
      ],
    });
    const client = await connect(own.port);
    const query = { name: 'w', text: 'SELECT $1::int AS watched', values: [1] };
    expect((await client.query(query)).rows).toEqual([{ watched: 1 }]);
    isDenied = true;
    own.policy = testPolicy({ generation: 2 });
    own.changed();
    expect(await failure(client.query(query))).toMatchObject({ code: '42501' });
    isDenied = false;
    own.policy = testPolicy({ generation: 3 });
    expect((await client.query(query)).rows).toEqual([{ watched: 1 }]);
    await client.end();
    await own.close();
  });
});
