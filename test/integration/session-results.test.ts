import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { RecordedResult } from '#audit/event.ts';
import { freshTarget, type ProtocolGate, startProtocolGate } from '../protocol-gate.ts';

const results: RecordedResult[] = [];
let gate: ProtocolGate;

beforeAll(async () => {
  const target = await freshTarget(inject('sharedPostgresUrl'), 'session_results');
  const rules = [
    {
      when: /masked/,
      replace: { pattern: /masked/g, by: "(SELECT 1 AS id, '[redacted]' AS email) AS masked" },
    },
    { when: /stripped/, accepted: { shape: { strippedColumns: 1, hidesRows: false } } },
  ];
  gate = await startProtocolGate({ target, rules, results });
});

afterAll(async () => {
  await gate.close();
});

async function recorded(query: pg.QueryConfig | string): Promise<readonly RecordedResult[]> {
  results.length = 0;
  const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'bot', database: 'shop' });
  await client.connect();
  await client.query(query).catch(() => undefined);
  await client.end();
  return results;
}

describe('recorded results are what the agent received', () => {
  test('rows with their columns, after masking, under the uid of the statement', async () => {
    const [result] = await recorded('SELECT id, email, NULL AS nothing FROM masked');
    const decision = gate.events.findLast((event) => event.phase === 'decision');
    expect(result).toMatchObject({
      statement: decision?.phase === 'decision' ? decision.statementUid : undefined,
      columns: ['id', 'email', 'nothing'],
      rows: [['1', '[redacted]', null]],
    });
    expect(result?.truncated).toBeUndefined();
  });

  test('columns that the gate strips are not recorded', async () => {
    const [result] = await recorded("SELECT 'a' AS kept, 'secret' AS stripped");
    expect(result).toMatchObject({ columns: ['kept'], rows: [['a']] });
  });

  test('values in binary format stand in hexadecimal', async () => {
    const [result] = await recorded({ text: 'SELECT $1::int4 AS n', values: [258], binary: true } as pg.QueryConfig);
    expect(result?.rows).toEqual([['\\x00000102']]);
  });

  test('each statement of a text has its own', async () => {
    const found = await recorded('SELECT 1 AS one; SELECT 2 AS two');
    expect(found.map(({ columns, rows }) => [columns, rows])).toEqual([
      [['one'], [['1']]],
      [['two'], [['2']]],
    ]);
  });

  test('a long result is cut off at 64 KiB and says so', async () => {
    const [result] = await recorded("SELECT repeat('x', 1000) FROM generate_series(1, 1000)");
    expect(result?.truncated).toBe(true);
    expect(JSON.stringify(result).length).toBeLessThan(70_000);
    expect(result?.rows.length).toBeGreaterThan(50);
  });

  test('a row larger than what is read at once is left out, not half recorded', async () => {
    const [result] = await recorded("SELECT repeat('x', 3000000)");
    expect(result).toMatchObject({ rows: [], truncated: true });
  });

  test('a statement that fails has none', async () => {
    expect(await recorded('SELECT 1/0')).toEqual([]);
  });
});
