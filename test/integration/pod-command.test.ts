import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { createAuthority } from '#test/certificates.ts';
import { errorText, PodFixture } from '#test/pod-fixture.ts';

const program = new URL('../../cli/main.ts', import.meta.url).pathname;
let fixture: PodFixture;

beforeAll(async () => {
  const url = new URL(inject('sharedPostgresUrl'));
  const root = new pg.Client({ connectionString: url.href });
  await root.connect();
  await root.query('DROP ROLE IF EXISTS pod_command_agent');
  await root.query("CREATE ROLE pod_command_agent LOGIN PASSWORD 'pod command secret'");
  await root.end();
  url.pathname = '/postgres';
  fixture = await PodFixture.create(url, createAuthority());
});

afterAll(async () => {
  await fixture.close();
});

interface Command {
  readonly child: ChildProcess;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
}

function start(variables: Readonly<Record<string, string>>, ...more: string[]): Command {
  const child = spawn(process.execPath, [program, 'proxy', ...more], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], ...variables },
  });
  let err = '';
  child.stderr.on('data', (bytes) => (err += String(bytes)));
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return { child, err: () => err, ended };
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

describe('postern proxy in a pod', () => {
  test('serves from the environment, records to the spool, and ends well within 5 s of SIGTERM with a transaction open', async () => {
    await fixture.deliver(fixture.bundle(1, { name: 'public.nothing' }));
    const credentials = { username: 'pod_command_agent', password: 'pod command secret' };
    fixture.endpoint.grant(fixture.granted(1, { credentials }));
    const port = await freePort();
    const variables = fixture.variables(`data/shop=${port}`);
    const command = start(variables);
    const client = await vi.waitFor(async () => await agent(port), { timeout: 20_000, interval: 100 });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await client.query('BEGIN');
    const ended = new Promise<string>((resolve) => {
      client.once('error', (error: unknown) => resolve(errorText(error)));
    });
    const startedMs = performance.now();
    command.child.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(await ended).not.toBe('');
    const spool = variables['POSTERN_SPOOL_DIRECTORY'] ?? '';
    const segments = (await readdir(spool, { recursive: true })).filter((name) => name.endsWith('.ndjson'));
    expect(segments).toEqual([expect.stringMatching(/^[0-9a-f-]{36}\/1\.ndjson$/)]);
    const lines = (await readFile(join(spool, segments[0] ?? ''), 'utf8')).trimEnd().split('\n');
    expect(lines[0]).toContain('"reason":"process_start"');
    expect(lines.at(-1)).toContain('"reason":"process_end"');
    expect(lines.join('\n')).toContain('"instance_uid":"pod-uid-1"');
    expect(lines.join('\n') + command.err()).not.toContain('pod command secret');
  });

  test.each([
    [
      'outside a pod without options',
      {},
      [],
      'postern: proxy: give --manifests PATH, --connection NAMESPACE/NAME and --as NAMESPACE/SERVICEACCOUNT; without any of them it runs in a pod, where the injector sets POSTERN_CONNECTIONS and the rest of its environment\n',
    ],
    [
      'with some of the options',
      {},
      ['--manifests', 'x'],
      'postern: proxy: give --manifests PATH, --connection NAMESPACE/NAME and --as NAMESPACE/SERVICEACCOUNT; without any of them it runs in a pod, where the injector sets POSTERN_CONNECTIONS and the rest of its environment\n',
    ],
    [
      'with an environment that is not whole',
      { POSTERN_ROOT_KEYS: 'short', POSTERN_OPERATOR_URL: 'http://operator', POD_UID: '' },
      [],
      'postern: proxy: POSTERN_ROOT_KEYS: expected Ed25519 public keys, 32 bytes in base64url, separated by commas; POSTERN_OPERATOR_URL: expected an https URL, found "http://operator"; POD_UID: is required in a pod\n',
    ],
  ])('%s is a usage error that says what is expected', async (_what, changes, parameters, expected) => {
    const isPod = Object.keys(changes).length > 0;
    const command = start(isPod ? { ...fixture.variables(), ...changes } : {}, ...parameters);
    expect(await command.ended).toBe(2);
    expect(command.err()).toBe(expected);
  });
});
