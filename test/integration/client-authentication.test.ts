import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { AuditSink } from '#audit/event.ts';
import { silentLog } from '#proxy/log.ts';
import { openServerTls } from '#proxy/server-tls.ts';
import { type RunningProxy, startProxy } from '#proxy/start.ts';
import { createAuthority } from '../certificates.ts';
import { connectionManifests, policyManifest } from '../manifests.ts';
import { createDatabase } from '../postgres.ts';

const database = 'client_authentication_test';
const authority = createAuthority();
const records: string[] = [];
const sink: AuditSink = {
  append: (events) => {
    records.push(JSON.stringify(events));
    return true;
  },
  writable: true,
  lastSeq: 0,
  close: async () => undefined,
};
let provider: Server;
let issuer: string;
let folder: string;
let proxy: RunningProxy;
let sign: (claims: Readonly<Record<string, unknown>>, seconds?: number) => Promise<string>;

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' };
  provider = createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    const isDiscovery = request.url === '/.well-known/openid-configuration';
    response.end(JSON.stringify(isDiscovery ? { issuer, jwks_uri: `${issuer}/keys` } : { keys: [jwk] }));
  });
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const address = provider.address();
  issuer = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  sign = (claims, seconds = 60) =>
    new SignJWT({ iss: issuer, aud: 'shop', exp: Math.floor(Date.now() / 1000) + seconds, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .sign(privateKey);
  const url = new URL(inject('sharedPostgresUrl'));
  await prepareDatabase(url);
  folder = await mkdtemp(join(tmpdir(), 'postern-client-'));
  await writeFile(join(folder, 'all.yaml'), manifests(url));
  const { certificatePem, keyPem } = authority.issue(['localhost', '127.0.0.1']);
  await writeFile(join(folder, 'tls.crt'), certificatePem);
  await writeFile(join(folder, 'tls.key'), keyPem);
  proxy = await startProxy({
    manifests: folder,
    connection: { namespace: 'data', name: 'shop' },
    identity: { namespace: 'agents', serviceAccount: 'support-bot', groups: [], claims: {} },
    listen: { host: '127.0.0.1', port: 0 },
    tls: await openServerTls(join(folder, 'tls.crt'), join(folder, 'tls.key')),
    sink,
    log: silentLog,
  });
  await proxy.ready();
});

afterAll(async () => {
  await proxy.close(500);
  await new Promise((resolve) => provider.close(resolve));
  await rm(folder, { recursive: true });
});

async function prepareDatabase(url: URL): Promise<void> {
  await createDatabase(url.href, database);
  const own = new URL(url);
  own.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: own.href });
  await client.connect();
  await client.query(
    "CREATE TABLE tickets (id int, department text); INSERT INTO tickets VALUES (1, 'care'), (2, 'sales')",
  );
  await client.end();
}

const POLICY = `  tables: [{ name: public.tickets, rowFilter: "department = {{ identity.claims.department }}" }]`;

function manifests({ port, username, password }: URL): string {
  const spec = `  clientAuth: { mode: OIDC, oidc: { issuer: "${issuer}", audience: shop } }`;
  const connection = connectionManifests({ port, database, username, password, spec });
  const subject = 'serviceAccount: { namespace: agents, name: support-bot }';
  return `${connection}---${policyManifest(POLICY).replace(subject, `${subject}, group: support`)}`;
}

async function agent(password: string, ssl: pg.ClientConfig['ssl'] = false): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: proxy.address.port, user: 'x', password, ssl });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

describe('a token as the password', () => {
  test('brings groups and claims; the row filter uses them as literals', async () => {
    const client = await agent(await sign({ groups: ['support'], department: 'care' }));
    expect((await client.query('SELECT id FROM tickets')).rows).toEqual([{ id: 1 }]);
    await client.end();
    const hostile = await agent(await sign({ groups: ['support'], department: "x' OR 'a'='a" }));
    expect((await hostile.query('SELECT id FROM tickets')).rows).toEqual([]);
    await hostile.end();
  });

  test('without the group, or without the claim, gets nobody in', async () => {
    await expect(agent(await sign({ department: 'care' }))).rejects.toMatchObject({ code: '28000' });
    await expect(agent(await sign({ groups: ['support'] }))).rejects.toMatchObject({ code: '28000' });
  });

  test('that is none, or has ended, is refused', async () => {
    await expect(agent('secret')).rejects.toMatchObject({ code: '28P01' });
    await expect(agent(await sign({ groups: ['support'], department: 'care' }, -60))).rejects.toMatchObject({
      code: '28P01',
      message: 'the token given as password is refused: it has expired',
    });
  });

  test('ends the session when it ends', async () => {
    // The clock tolerance of 5 seconds holds here too; a token counts whole seconds, so that this one has between one and two left.
    const password = await sign({ groups: ['support'], department: 'care' }, -3);
    const client = new pg.Client({ host: '127.0.0.1', port: proxy.address.port, user: 'x', password });
    const ended = new Promise<string>((resolve) =>
      client.once('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message)),
    );
    client.on('error', () => undefined);
    await client.connect();
    expect(await ended).toBe('28P01');
  });

  test('stands in no record', async () => {
    const token = await sign({ groups: ['support'], department: 'care' });
    const client = await agent(token);
    await client.query('SELECT 1');
    await client.end();
    await expect(agent(`${token}x`)).rejects.toMatchObject({ code: '28P01' });
    expect(records.join('\n')).not.toContain(token.slice(-30));
  });
});

describe('TLS to the agent', () => {
  test('works by SSLRequest', async () => {
    const client = await agent(await sign({ groups: ['support'], department: 'care' }), { ca: authority.caPem });
    expect((await client.query('SELECT count(*)::int AS n FROM tickets')).rows).toEqual([{ n: 1 }]);
    await client.end();
  });

  test('works at once, with ALPN, and not without', async () => {
    const open = (ALPNProtocols?: string[]): Promise<string> =>
      new Promise((resolve) => {
        const options = { host: 'localhost', port: proxy.address.port, ca: authority.caPem, servername: 'localhost' };
        const socket = connectTls(ALPNProtocols === undefined ? options : { ...options, ALPNProtocols }, () => {
          const body = Buffer.from('\0\x03\0\0user\0x\0\0', 'latin1');
          const length = Buffer.alloc(4);
          length.writeInt32BE(body.length + 4);
          socket.write(Buffer.concat([length, body]));
        });
        socket.once('data', (bytes) => {
          resolve(bytes.toString('latin1', 0, 1));
          socket.destroy();
        });
        socket.once('error', () => resolve('error'));
        socket.once('close', () => resolve('closed'));
      });
    expect(await open(['postgresql'])).toBe('R');
    expect(await open()).toMatch(/^(?:error|closed)$/);
    expect(await open(['http/1.1'])).toMatch(/^(?:error|closed)$/);
  });

  test('never takes bytes that came before the handshake (CVE-2021-23222)', async () => {
    const answer = await new Promise<string>((resolve) => {
      let seen = '';
      const socket = connectSocket(proxy.address.port, '127.0.0.1', () => {
        socket.write(Buffer.from('\0\0\0\x08\x04\xd2\x16\x2f' + '\0\0\0\x0f\0\x03\0\0user\0x\0\0', 'latin1'));
      });
      socket.on('data', (bytes) => {
        seen += bytes.toString('latin1');
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(seen));
    });
    expect(answer).not.toMatch(/^S/);
  });
});
