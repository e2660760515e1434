/** The DuckDB statements of docs/audit.md, taken from the page, on objects as the collector writes them. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runExport } from '#cli/export.ts';
import { chainLines, edge, RecordFolder, sessionOf, START_MS, statement } from '#test/record-folder.ts';

const page = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
const statements = [...page.matchAll(/^```sql duckdb\n([\s\S]*?)^```$/gm)].map(([, sql]) => sql ?? '');
const session = sessionOf('01998877-1111-7abc-8def-001122334455');
const folder = new RecordFolder();
const parquet = join(mkdtempSync(join(tmpdir(), 'postern-parquet-')), 'copy');
let instance: DuckDBInstance;
let connection: DuckDBConnection;

async function rows(sql: string): Promise<readonly unknown[]> {
  const reader = await connection.runAndReadAll(sql.replaceAll('BUCKET', folder.path).replaceAll('DIRECTORY', parquet));
  return reader.getRowObjectsJson();
}

beforeAll(async () => {
  const lines = await chainLines([
    edge('process_start', START_MS),
    ...statement(session, 'u1', "SELECT 'é', name\nFROM customers", START_MS),
    ...statement(session, 'u2', 'SELECT salary FROM employees', START_MS + 1, 'Denied'),
    // The next day begins.
    ...statement(session, 'u3', 'SELECT email FROM customers', START_MS + 5_000),
    edge('process_end', START_MS + 5_100),
  ]);
  await folder.addRecords(lines.slice(0, 4));
  await folder.addRecords(lines.slice(4), START_MS + 5_000);
  // Sent again: its confirmation was lost.
  await folder.addRecords(lines.slice(1, 4));
  const about = { session: session.sessionUid, statement: 'u1', part: 1, time: START_MS };
  await folder.addResults(session.sessionUid, [{ ...about, columns: ['a', 'name'], rows: [['é', null]] }]);
  await folder.close();
  expect(await runExport(folder.path, { parquet })).toBe(0);
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  // The view comes first on the page.
  await rows(statements[0] ?? '');
});
afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

const USER = 'system:serviceaccount:agents:support-bot';

describe('the statements of docs/audit.md', () => {
  test('are all tested here', () => {
    expect(statements).toHaveLength(5);
  });

  test('see every record once', async () => {
    expect(await rows('SELECT count(*) AS n, count(DISTINCT uid) AS uids FROM records')).toEqual([
      { n: '7', uids: '7' },
    ]);
    expect(await rows("SELECT query FROM records WHERE statement = 'u1' AND phase = 'decision'")).toEqual([
      { query: "SELECT 'é', name\nFROM customers" },
    ]);
  });

  test('say what was refused, and why', async () => {
    expect(await rows(statements[1] ?? '')).toEqual([
      { user: USER, reason: 'column salary is not granted', times: '1' },
    ]);
  });

  test('say who read which table', async () => {
    expect(await rows(statements[2] ?? '')).toEqual([
      { user: USER, relation: 'public.customers', executions: '1', rows: '2' },
    ]);
  });

  test('say what the agent received', async () => {
    expect(await rows(statements[3] ?? '')).toEqual([
      { statement: 'u1', columns: '["a","name"]', rows: '[["é",null]]' },
    ]);
  });

  test('read the columnar copy', async () => {
    expect(await rows(statements[4] ?? '')).toEqual([{ namespace: 'agents', statements: '3' }]);
  });
});

describe('the columnar copy', () => {
  test('holds every record once, by day, with typed columns', async () => {
    const from = "FROM read_parquet('DIRECTORY/*/*.parquet', hive_partitioning = true)";
    expect(await rows(`SELECT event_date::VARCHAR AS day, count(*) AS n ${from} GROUP BY 1 ORDER BY 1`)).toEqual([
      { day: '2026-11-22', n: '4' },
      { day: '2026-11-23', n: '3' },
    ]);
    expect(
      await rows(
        `SELECT epoch_ms(time) AS ms, seq, query, disposition, status, "rows", duration_ms, relations, rewritten ${from} WHERE statement = 'u1' ORDER BY seq`,
      ),
    ).toEqual([
      {
        ...{ ms: String(START_MS), seq: '2', query: "SELECT 'é', name\nFROM customers", disposition: 'Masked' },
        ...{ status: '00000', rows: null, duration_ms: null, relations: '["public.customers"]', rewritten: true },
      },
      {
        ...{ ms: String(START_MS + 4), seq: '3', query: null, disposition: 'Masked' },
        ...{ status: '00000', rows: '2', duration_ms: 3.5, relations: null, rewritten: null },
      },
    ]);
  });

  test('is not put where something is', async () => {
    await expect(runExport(folder.path, { parquet })).rejects.toThrow(
      `--parquet ${parquet} is not empty: give a new folder, so that no record stands there twice`,
    );
  });
});
