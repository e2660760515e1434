import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import type { UpstreamTarget } from '#proxy/upstream.ts';
import { freshTarget, type ProtocolGate, startProtocolGate } from '../protocol-gate.ts';

let target: UpstreamTarget;
let gate: ProtocolGate | undefined;

beforeAll(async () => {
  target = await freshTarget(inject('sharedPostgresUrl'), 'session_confirmed');
});

afterEach(async () => {
  await gate?.close();
});

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: gate?.port, user: 'bot', database: 'shop' });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** A sink whose confirmations come when the test says so. */
function heldSink(): {
  readonly whenConfirmed: () => Promise<void>;
  readonly release: () => void;
  readonly break: () => void;
} {
  const waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  return {
    whenConfirmed: () => new Promise<void>((resolve, reject) => waiting.push({ resolve, reject })),
    release: () => {
      for (const { resolve } of waiting.splice(0)) resolve();
    },
    break: () => {
      for (const { reject } of waiting.splice(0)) reject(new Error('closed'));
    },
  };
}

describe('durability Confirmed', () => {
  test('nothing of a statement reaches the database before its record is confirmed', async () => {
    const sink = heldSink();
    gate = await startProtocolGate({ target, confirmed: sink });
    const direct = new pg.Client({ ...target, tls: undefined } as pg.ClientConfig);
    await direct.connect();
    await direct.query('DROP TABLE IF EXISTS confirmed; CREATE TABLE confirmed (n int)');
    const client = await connect();
    const inserted = client.query('INSERT INTO confirmed VALUES (1)');
    const rows = async (): Promise<number> => (await direct.query('SELECT FROM confirmed')).rowCount ?? -1;
    await sleep(150);
    expect(await rows()).toBe(0);
    sink.release();
    await inserted;
    expect(await rows()).toBe(1);
    await client.end();
    await direct.end();
  });

  test('statements that come while one waits are taken in order, simple and extended', async () => {
    const sink = heldSink();
    gate = await startProtocolGate({ target, confirmed: sink });
    const client = await connect();
    const timer = setInterval(sink.release, 20);
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, n) =>
        n % 2 === 0 ? await client.query(`SELECT ${n} AS n`) : await client.query('SELECT $1::int AS n', [n]),
      ),
    );
    clearInterval(timer);
    expect(answers.map(({ rows }) => (rows as { n: number }[])[0]?.n)).toEqual(Array.from({ length: 12 }, (_, n) => n));
    await client.end();
  });

  test('transactions, prepared statements and errors behave as without waiting', async () => {
    const sink = heldSink();
    gate = await startProtocolGate({ target, confirmed: sink });
    const client = await connect();
    const timer = setInterval(sink.release, 5);
    await client.query('BEGIN');
    await expect(client.query('SELECT 1/0')).rejects.toMatchObject({ code: '22012' });
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
    await client.query('ROLLBACK');
    await client.query('SET search_path = public');
    expect((await client.query('SHOW search_path')).rows).toHaveLength(1);
    const named = { name: 'p', text: 'SELECT $1::text AS t' };
    expect((await client.query({ ...named, values: ['a'] })).rows).toEqual([{ t: 'a' }]);
    expect((await client.query({ ...named, values: ['b'] })).rows).toEqual([{ t: 'b' }]);
    clearInterval(timer);
    await client.end();
  });

  test('a sink that cannot confirm refuses every statement', async () => {
    gate = await startProtocolGate({ target, confirmed: { whenConfirmed: undefined } });
    const client = await connect();
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '58030' });
    await client.end();
  });

  test('a confirmation that will not come any more ends the session', async () => {
    const sink = heldSink();
    gate = await startProtocolGate({ target, confirmed: sink });
    const client = await connect();
    const refused = expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '58030' });
    await sleep(50);
    sink.break();
    await refused;
  });

  test('a confirmation that does not come in time ends the session with 58030; others are refused until records are confirmed again', async () => {
    const sink = heldSink();
    gate = await startProtocolGate({ target, confirmed: { ...sink, timeoutMs: 200 } });
    const { events } = gate;
    const direct = new pg.Client({ ...target, tls: undefined } as pg.ClientConfig);
    await direct.connect();
    await direct.query('DROP TABLE IF EXISTS late; CREATE TABLE late (n int)');
    const refused = { code: '58030', message: expect.stringContaining('the audit record cannot be written') };
    const [first, second] = [await connect(), await connect()];
    await expect(first.query('INSERT INTO late VALUES (1)')).rejects.toMatchObject(refused);
    const written = events.length;
    await expect(second.query('INSERT INTO late VALUES (2)')).rejects.toMatchObject(refused);
    expect(events.slice(written).filter(({ phase }) => phase === 'decision')).toEqual([]);
    sink.release();
    await sleep(20);
    const timer = setInterval(sink.release, 20);
    await second.query('INSERT INTO late VALUES (3)');
    clearInterval(timer);
    // What was decided and not forwarded is on record as such.
    const completions = events.filter((event) => event.phase === 'completion');
    expect(completions.map(({ sqlstate }) => sqlstate)).toContain('58030');
    expect((await direct.query('SELECT n FROM late')).rows).toEqual([{ n: 3 }]);
    await second.end();
    await direct.end();
  });
});
