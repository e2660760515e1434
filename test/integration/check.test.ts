import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { connectionManifests, policyManifest } from '../manifests.ts';
import { createDatabase } from '../postgres.ts';

const database = 'check_test';
const program = new URL('../../cli/main.ts', import.meta.url).pathname;
let folder: string;

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the program as a user does. */
function postern(...parameters: string[]): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...parameters], { timeout: 20_000 }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
    });
  });
}

function check(sql: string, ...more: string[]): Promise<Answer> {
  return postern(
    'check',
    '--manifests',
    folder,
    '--connection',
    'data/shop',
    '--as',
    'agents/support-bot',
    ...more,
    sql,
  );
}

const POLICY = `  tables:
    - name: public.customers
      actions: [Select, Delete]
      mask: [{ columns: [email], with: { method: Redact } }]
      rowFilter: "region = {{ identity.claims.region }}"
  guardrails:
    - { name: human-for-deletes, when: "statement.command == 'DELETE'", action: RequireApproval }
  approval: { approvers: [{ group: dba }] }`;

beforeAll(async () => {
  const url = new URL(inject('sharedPostgresUrl'));
  await createDatabase(url.href, database);
  const own = new URL(url);
  own.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: own.href });
  await client.connect();
  await client.query('CREATE TABLE customers (id int PRIMARY KEY, email text, region text)');
  await client.end();
  folder = await mkdtemp(join(tmpdir(), 'postern-check-'));
  const { port, username, password } = url;
  const connection = connectionManifests({ port, database, username, password });
  await writeFile(join(folder, 'all.yaml'), `${connection}---${policyManifest(POLICY)}`);
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe('postern check', () => {
  const eu = ['--claim', 'region=eu'];

  test('shows what the database would get: exit 0', async () => {
    const { code, out } = await check('SELECT email FROM customers', ...eu);
    expect(code).toBe(0);
    expect(out).toContain('decision: Masked\n');
    expect(out).toContain('policies: data/support\n');
    expect(out).toContain('masked: public.customers.email\n');
    expect(out).toContain('row filters: public.customers\n');
    expect(out).toMatch(/\nsent: SELECT email FROM \(SELECT .*'\[redacted\]'.*'eu'/s);
  });

  test('shows why not: exit 3', async () => {
    const { code, out } = await check('SELECT * FROM pg_authid', ...eu);
    expect(code).toBe(3);
    expect(out).toContain('decision: Denied\n');
    expect(out).toContain('error: 42501 ');
    expect(out).not.toContain('sent:');
  });

  test('shows that somebody must approve: exit 4', async () => {
    const { code, out } = await check('DELETE FROM customers WHERE id = 1', ...eu);
    expect(code).toBe(4);
    expect(out).toContain('decision: ApprovalRequired\n');
    expect(out).toContain('group dba');
  });

  test('what cannot be parsed is denied', async () => {
    const { code, out } = await check('SELEC 1', ...eu);
    expect([code, out]).toEqual([3, expect.stringContaining('error: 42601 ')]);
  });

  test('an identity that lacks a claim gets no connection', async () => {
    const { code, out } = await check('SELECT 1');
    expect([code, out]).toEqual([
      3,
      expect.stringMatching(/^decision: Denied\n {2}error: 28000 a row filter of policy data\/support needs/),
    ]);
  });

  test('prints JSON', async () => {
    const { code, out } = await check('SELECT email FROM customers', ...eu, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      decision: 'Masked',
      statements: [
        { disposition: 'Masked', command: 'SELECT', masked: ['public.customers.email'], policies: ['data/support'] },
      ],
      sent: expect.stringContaining("'[redacted]'"),
    });
  });
});

describe('exit codes and help', () => {
  test('faults of the command line: 2', async () => {
    for (const parameters of [
      ['check'],
      ['nonsense'],
      ['proxy', '--manifests', folder, '--connection', 'shop', '--as', 'a/b'],
    ]) {
      expect((await postern(...parameters)).code, parameters.join(' ')).toBe(2);
    }
    const { code, err } = await check('SELECT 1', '--as', 'support-bot');
    expect([code, err]).toEqual([
      2,
      'postern: --as: expected NAMESPACE/NAME such as agents/support-bot, found "support-bot"\n',
    ]);
  });

  test('faults of the manifests: 1, each on a line', async () => {
    const broken = join(folder, 'all.yaml');
    const { code, err } = await postern(
      'check',
      '--manifests',
      broken,
      '--connection',
      'data/other',
      '--as',
      'a/b',
      'SELECT 1',
    );
    expect([code, err]).toEqual([
      1,
      'postern check: no DatabaseConnection data/other in the manifests; there is data/shop\n',
    ]);
  });

  test('help and version: 0', async () => {
    const help = await postern('--help');
    expect(help.code).toBe(0);
    for (const command of ['proxy', 'check', 'demo', 'verify']) expect(help.out).toContain(`\n  ${command} `);
    expect(await postern('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    const proxyHelp = await postern('proxy', '--help');
    for (const option of [
      '--manifests',
      '--connection',
      '--as',
      '--group',
      '--claim',
      '--listen',
      '--tls-cert',
      '--tls-key',
      '--audit-file',
      '--admin',
    ]) {
      expect(proxyHelp.out).toContain(option);
    }
  });
});
