/** Many rows: SELECT and COPY of the whole `wide` table, read by a client that drops them. */
import { connectRaw } from './raw-client.ts';
import type { Target } from './servers.ts';
import { type Figure, median } from './statistics.ts';

export interface BulkTargets {
  readonly direct: Target;
  readonly bouncer: Target;
  /** PgBouncer on the honest view: the same work for the server. */
  readonly bouncerView: Target;
  readonly gate: Target;
  readonly redacting: Target;
}

const STATEMENTS = [
  { name: 'SELECT', sql: 'SELECT * FROM wide' },
  { name: 'COPY TO STDOUT', sql: 'COPY (SELECT * FROM wide) TO STDOUT' },
] as const;

export async function measureBulk(targets: BulkTargets, rounds: number): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const { name, sql } of STATEMENTS) {
    const seconds = { direct: [], bouncer: [], bouncerView: [], gate: [], redacting: [] } as Record<
      keyof BulkTargets,
      number[]
    >;
    for (let round = 0; round < rounds; round++) {
      for (const key of ['direct', 'bouncer', 'bouncerView', 'gate', 'redacting'] as const) {
        seconds[key].push(await timeOne(targets[key], sql));
      }
    }
    const time = (key: keyof BulkTargets): number => median(seconds[key]);
    const group = `10^6 rows × 6 columns, ${name}`;
    figures.push(
      {
        group,
        name: 'Postern (2 masks, filter) / PgBouncer (same view)',
        value: time('bouncerView') / time('gate'),
        unit: '×',
        goal: { min: 1.1 },
      },
      {
        group,
        name: 'Postern (2 masks, filter) / PgBouncer (plain table)',
        value: time('bouncer') / time('gate'),
        unit: '×',
      },
      {
        group,
        name: 'Postern (2 masks, filter) / direct (plain table)',
        value: time('direct') / time('gate'),
        unit: '×',
      },
      {
        group,
        name: 'with content redaction / PgBouncer',
        value: time('bouncer') / time('redacting'),
        unit: '×',
        goal: { min: 0.9 },
      },
      { group, name: 'Postern', value: time('gate'), unit: 's' },
    );
  }
  return figures;
}

async function timeOne(target: Target, sql: string): Promise<number> {
  const client = await connectRaw(target.port, target.database);
  const started = performance.now();
  await client.query(sql);
  const seconds = (performance.now() - started) / 1_000;
  await client.end();
  return seconds;
}
