/** pgbench in its three protocol modes; the program's path is the first argument. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, DENIAL, done, equal } from './checks.ts';

const pgbench = process.argv[2] ?? 'pgbench';
const folder = await mkdtemp(join(tmpdir(), 'postern-pgbench-'));

async function bench(...words: readonly string[]): Promise<string> {
  return await new Promise((resolve) => {
    execFile(pgbench, words, { timeout: 60_000 }, (_error, out, err) => resolve(out + err));
  });
}

function field(report: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(report)?.[1] ?? `no ${name} in: ${report}`;
}

async function script(name: string, text: string): Promise<string> {
  const file = join(folder, `${name}.sql`);
  await writeFile(file, text);
  return file;
}

for (const mode of ['simple', 'extended', 'prepared']) {
  await check(`${mode}: select only, 4 clients`, async () => {
    const report = await bench('-n', '-S', '-M', mode, '-c', '4', '-j', '1', '-t', '200');
    equal(field(report, 'number of transactions actually processed'), '800/800');
  });
  await check(`${mode}: tpcb-like with writes`, async () => {
    const report = await bench('-n', '-M', mode, '-c', '2', '-t', '50');
    equal(field(report, 'number of transactions actually processed'), '100/100');
  });
  await check(`${mode}: a reconnect for each transaction`, async () => {
    const report = await bench('-n', '-S', '-C', '-M', mode, '-c', '1', '-t', '10');
    equal(field(report, 'number of transactions actually processed'), '10/10');
  });
  await check(`${mode}: a denial`, async () => {
    const report = await bench('-n', '-M', mode, '-t', '1', '-f', await script('denied', 'SELECT * FROM payroll;\n'));
    equal(report.includes(DENIAL), true);
  });
}

for (const mode of ['extended', 'prepared']) {
  await check(`${mode}: pipelines`, async () => {
    const text = `\\startpipeline\n${'SELECT abalance FROM pgbench_accounts WHERE aid = 7;\n'.repeat(50)}\\endpipeline\n`;
    const report = await bench('-n', '-M', mode, '-c', '2', '-t', '20', '-f', await script('pipeline', text));
    equal(field(report, 'number of transactions actually processed'), '40/40');
  });
}

await rm(folder, { recursive: true });
done();
