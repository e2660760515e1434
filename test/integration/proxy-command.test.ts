import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { connectionManifests, policyManifest } from '../manifests.ts';

const program = new URL('../../cli/main.ts', import.meta.url).pathname;
const password = 'command-test-secret';
let folder: string;
let manifests: string;

beforeAll(async () => {
  const url = new URL(inject('sharedPostgresUrl'));
  const root = new pg.Client({ connectionString: url.href });
  await root.connect();
  await root.query('DROP ROLE IF EXISTS command_agent');
  await root.query(`CREATE ROLE command_agent LOGIN PASSWORD '${password}'`);
  await root.end();
  folder = await mkdtemp(join(tmpdir(), 'postern-command-'));
  manifests = join(folder, 'shop.yaml');
  const credentials = { username: 'command_agent', password };
  const connection = connectionManifests({ port: url.port, database: 'postgres', ...credentials });
  await writeFile(manifests, `${connection}---${policyManifest('')}`);
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

interface Command {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
}

function start(...more: string[]): Command {
  const base = ['proxy', '--manifests', manifests, '--connection', 'data/shop', '--as', 'agents/support-bot'];
  const child = spawn(process.execPath, [program, ...base, '--admin', '127.0.0.1:0', ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (bytes) => (out += String(bytes)));
  child.stderr.on('data', (bytes) => (err += String(bytes)));
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return { child, out: () => out, err: () => err, ended };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function agent(port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'x', database: 'x', password: 'x' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function untilServed(command: Command, port: number): Promise<pg.Client> {
  for (;;) {
    if (command.child.exitCode !== null) throw new Error(command.err());
    try {
      return await agent(port);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      if (code !== 'ECONNREFUSED' && code !== '57P03') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

describe('postern proxy', () => {
  test('serves, records to the file, and ends well on SIGTERM', async () => {
    const port = await freePort();
    const audit = join(folder, 'audit.ndjson');
    const command = start('--listen', `127.0.0.1:${port}`, '--audit-file', audit);
    const client = await untilServed(command, port);
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    command.child.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    const records = (await readFile(audit, 'utf8')).trim().split('\n');
    expect(records[0]).toContain('process_start');
    expect(records.some((line) => line.includes('SELECT 1 AS one'))).toBe(true);
    expect(records.at(-1)).toContain('process_end');
    expect(command.out()).toBe('');
    for (const text of [command.err(), records.join('\n')]) expect(text).not.toContain(password);
    const log: unknown = JSON.parse(command.err().split('\n')[0] ?? '');
    expect(log).toMatchObject({ level: 'info', program: 'postern' });
  });

  test('without a file records go to stdout', async () => {
    const port = await freePort();
    const command = start('--listen', `127.0.0.1:${port}`);
    await (await untilServed(command, port)).end();
    command.child.kill('SIGINT');
    expect(await command.ended).toBe(0);
    expect(command.out()).toContain('process_end');
  });

  const failures: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    ['an audit file that cannot be written', ['--audit-file', '/nowhere/audit.ndjson'], 1, /\/nowhere\/audit\.ndjson/],
    ['a certificate without a key', ['--tls-cert', 'x.pem'], 2, /--tls-cert and --tls-key go together/],
    [
      'a certificate that is not there',
      ['--tls-cert', '/nowhere.pem', '--tls-key', '/nowhere.key'],
      1,
      /\/nowhere\.(?:pem|key) cannot be read/,
    ],
    [
      'an address that is none',
      ['--listen', 'here'],
      2,
      /--listen: expected HOST:PORT such as 127\.0\.0\.1:5432, found "here"/,
    ],
    ['an address of somebody else', ['--listen', '192.0.2.1:0'], 1, /only a loopback address/],
  ];
  test.each(failures)('%s ends it', async (_, more, code, message) => {
    const command = start(...more);
    expect(await command.ended).toBe(code);
    expect(command.err()).toMatch(message);
  });
});
