/**
 * `npm run bench [-- --quick] [-- --only pgbench,bulk,redaction,decide,memory,start,loop,collector,verify]`: measures, prints, and (a full run only) writes
 * figures.json beside this file and the table in README.md.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { indexCatalog } from '#sql/catalog.ts';
import { readCatalog } from '#catalog/read-catalog.ts';
import { readManifests } from '#proxy/manifests.ts';
import pg from 'pg';
import { type PostgresServer } from '#test/postgres.ts';
import { measureBulk } from './bulk.ts';
import { measureCollector } from './collector.ts';
import { measureDecide } from './decide.ts';
import { measurePgbench } from './pgbench.ts';
import { measureRedaction } from './redaction.ts';
import { measureEventLoop, measureMemory, measureStart } from './process-figures.ts';
import {
  DATABASE,
  isInstalled,
  manifests,
  startDatabase,
  startGate,
  startPgBouncer,
  type Target,
  VIEW_DATABASE,
} from './servers.ts';
import { type Figure, figureTable, meetsGoal } from './statistics.ts';
import { measureVerify } from './verify.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } });
const quick = values.quick;
const only = values.only?.split(',');
const wants = (part: string): boolean => only === undefined || only.includes(part);
const wideRows = quick ? 100_000 : 1_000_000;

const run = promisify(execFile);
const figures: Figure[] = [];
const notRun: string[] = [];

async function section(part: string, measure: () => Promise<readonly Figure[]>): Promise<void> {
  if (!wants(part)) return;
  console.log(`-- ${part}`);
  const measured = await measure();
  figures.push(...measured);
  console.log(`${figureTable(measured)}\n`);
}

async function decideFigures(server: PostgresServer): Promise<readonly Figure[]> {
  const client = new pg.Client({ connectionString: server.adminUrl(DATABASE) });
  await client.connect();
  const catalog = indexCatalog(
    await readCatalog(async (sql) => {
      // Values as the server printed them.
      const text = { rowMode: 'array', types: { getTypeParser: () => String } } as const;
      return (await client.query<(string | null)[]>({ text: sql, ...text })).rows;
    }),
  );
  await client.end();
  const directory = await mkdtemp(join(tmpdir(), 'postern-bench-'));
  const file = join(directory, 'shop.yaml');
  await writeFile(file, manifests(server, { name: 'decide', auditRequired: false }));
  const read = await readManifests(file);
  await rm(directory, { recursive: true, force: true });
  const connection = read.kind === 'loaded' ? read.manifests.connections[0] : undefined;
  if (read.kind !== 'loaded' || connection === undefined) throw new Error('the manifests of the bench are not valid');
  return measureDecide({ connection, policies: read.manifests.policies, catalog, count: quick ? 500 : 5_000 });
}

async function comparisons(server: PostgresServer): Promise<void> {
  if (!wants('pgbench') && !wants('bulk')) return;
  if (!isInstalled('pgbouncer') || !isInstalled('pgbench')) {
    notRun.push('pgbench and bulk: Debian packages pgbouncer and postgresql-contrib are not installed');
    return;
  }
  const started: Target[] = [];
  const keep = (target: Target): Target => {
    started.push(target);
    return target;
  };
  try {
    const direct: Target = { name: 'direct', port: server.port, database: DATABASE, stop: async () => {} };
    const bouncer = keep(await startPgBouncer(server));
    const bouncerView = { ...bouncer, name: 'PgBouncer, view', database: VIEW_DATABASE };
    const gate = keep(await startGate(server, { name: 'Postern', auditRequired: false }));
    await section('pgbench', async () => {
      const required = keep(await startGate(server, { name: 'Postern, audit required', auditRequired: true }));
      const options = quick
        ? { rounds: 1, seconds: 1, clients: [1, 8] }
        : { rounds: 5, seconds: 3, clients: [1, 8, 32] };
      return measurePgbench([direct, bouncer, bouncerView, gate, required], options);
    });
    await section('bulk', async () => {
      const detectors = ['EmailAddress', 'CreditCard'];
      const redacting = keep(await startGate(server, { name: 'redacting', auditRequired: false, redact: detectors }));
      return measureBulk({ direct, bouncer, bouncerView, gate, redacting }, quick ? 1 : 7);
    });
  } finally {
    for (const target of started) await target.stop();
  }
}

await run(process.execPath, [new URL('../../hack/build.ts', import.meta.url).pathname]);
await section('collector', async () => {
  const measured = await measureCollector(quick ? 5 : 30);
  if (measured === undefined)
    notRun.push('collector: there is no S3 server here (npm run test:s3 says how to get one)');
  return measured ?? [];
});
await section('verify', () => measureVerify(quick));
const server = await startDatabase(wideRows);
try {
  await section('decide', () => decideFigures(server));
  await section('redaction', measureRedaction);
  await section('start', () => measureStart(server, quick ? 3 : 15));
  await section('loop', () => measureEventLoop(server));
  await section('memory', () => measureMemory(server));
  await comparisons(server);
} finally {
  await server.stop();
}

const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${(totalmem() / 2 ** 30).toFixed(0)} GB, Node ${process.versions.node}, PostgreSQL 18`;
console.log(`${figureTable(figures)}\n\n${machine}`);
for (const line of notRun) console.log(`not run: ${line}`);
const missed = figures.filter((figure) => meetsGoal(figure) === false).length;
console.log(`${figures.length} figures, ${missed} goals missed`);
if (!quick && only === undefined) {
  const folder = new URL('.', import.meta.url).pathname;
  await writeFile(join(folder, 'figures.json'), `${JSON.stringify({ machine, figures, notRun }, undefined, 2)}\n`);
  const readme = new URL('../../README.md', import.meta.url);
  const judged = figureTable(figures.filter((figure) => figure.goal !== undefined));
  const about = `${machine}. All ${figures.length} figures: test/bench/figures.json.`;
  const written = `$1\n\n${judged}\n\n${about}\n\n$2`;
  const marked = /(<!-- figures: [^>]*-->)[\s\S]*?(<!-- end of figures -->)/;
  await writeFile(readme, (await readFile(readme, 'utf8')).replace(marked, written));
}
