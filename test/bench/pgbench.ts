/** pgbench, select-only, in its three protocols, through each target in turn. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Target } from './servers.ts';
import { type Figure, median } from './statistics.ts';

const run = promisify(execFile);
const SCRIPT = '\\set aid random(1, 100000)\nSELECT abalance FROM accounts WHERE aid = :aid;\n';
const GOALS: Readonly<Record<number, number>> = { 1: 0.95, 8: 0.8, 32: 0.8 };

export interface PgbenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly clients: readonly number[];
}

/** Targets by name: direct; PgBouncer, on the table and on the honest view; Postern; Postern with required audit. */
export async function measurePgbench(targets: readonly Target[], options: PgbenchOptions): Promise<readonly Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), 'postern-pgbench-'));
  const script = join(directory, 'select.sql');
  await writeFile(script, SCRIPT);
  const figures: Figure[] = [];
  try {
    for (const mode of ['simple', 'extended', 'prepared'] as const) {
      for (const clients of options.clients) {
        const rates = await measureRates(targets, options, (target) =>
          transactionsPerSecond(script, target, mode, clients, options.seconds),
        );
        figures.push(...ratios(mode, clients, rates));
        console.log(
          figures
            .slice(-5)
            .map((figure) => `${figure.name}: ${figure.value.toFixed(2)}`)
            .join('   '),
        );
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return figures;
}

/** The median rate of each target, over rounds in which all take turns. */
async function measureRates(
  targets: readonly Target[],
  options: PgbenchOptions,
  measure: (target: Target) => Promise<number>,
): Promise<ReadonlyMap<string, number>> {
  const rates = new Map<string, number[]>(targets.map((target) => [target.name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const target of targets) rates.get(target.name)?.push(await measure(target));
  }
  return new Map([...rates].map(([name, values]) => [name, median(values)]));
}

function ratios(mode: string, clients: number, rates: ReadonlyMap<string, number>): readonly Figure[] {
  const rate = (name: string): number => rates.get(name) ?? Number.NaN;
  const group = `pgbench ${mode}, ${clients} client${clients === 1 ? '' : 's'}`;
  return [
    {
      group,
      name: 'Postern / PgBouncer (same view)',
      value: rate('Postern') / rate('PgBouncer, view'),
      unit: '×',
      goal: { min: GOALS[clients] ?? 0.8 },
    },
    { group, name: 'Postern / PgBouncer (plain table)', value: rate('Postern') / rate('PgBouncer'), unit: '×' },
    { group, name: 'Postern / direct', value: rate('Postern') / rate('direct'), unit: '×' },
    {
      group,
      name: 'audit required / not required',
      value: rate('Postern, audit required') / rate('Postern'),
      unit: '×',
      goal: { min: 0.85 },
    },
    { group, name: 'Postern', value: rate('Postern'), unit: 'statements/s' },
  ];
}

async function transactionsPerSecond(
  script: string,
  target: Target,
  mode: string,
  clients: number,
  seconds: number,
): Promise<number> {
  const shape = ['-c', String(clients), '-j', String(Math.min(clients, 2)), '-T', String(seconds)];
  const where = ['-h', '127.0.0.1', '-p', String(target.port), '-U', 'agent', target.database];
  const { stdout } = await run('pgbench', ['-n', '-f', script, '-M', mode, ...shape, ...where], {
    env: { ...process.env, PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' },
  });
  const found = /tps = ([0-9.]+) /.exec(stdout)?.[1];
  if (found === undefined) throw new Error(`pgbench through ${target.name} printed no tps:\n${stdout}`);
  return Number(found);
}
