import { connect, createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openCatalogClient } from '#proxy/catalog-client.ts';
import { DependencyError } from '#proxy/dependency-error.ts';
import { ReadBuffer } from '#proxy/read-buffer.ts';
import { startUpstreamTls, type UpstreamTlsMode } from '#proxy/tls.ts';
import { cancelUpstream, connectUpstream, type OpenedUpstream, type UpstreamTarget } from '#proxy/upstream.ts';
import { createAuthority } from '../certificates.ts';
import { type PostgresServer, startPostgres } from '../postgres.ts';

const authority = createAuthority('sha384');
const stranger = createAuthority();
const password = 'pässwört ☃ \u00a0x';
let server: PostgresServer;
let target: UpstreamTarget;

beforeAll(async () => {
  server = await startPostgres({
    tls: authority.issue(['127.0.0.1', 'localhost']),
    settings: { log_min_messages: 'info' },
    hba: [
      'host postgres md5_user 127.0.0.1/32 md5',
      'host postgres clear_user 127.0.0.1/32 password',
      'host postgres trusted 127.0.0.1/32 trust',
      'host all all 127.0.0.1/32 scram-sha-256',
      'local all all scram-sha-256',
    ],
  });
  const { host, port } = server;
  const admin = { host, port, database: 'postgres', user: server.superuser, password: server.password };
  const client = await openCatalogClient({ ...admin, tls: { mode: 'Disable' } });
  await client.query(`CREATE ROLE agent LOGIN PASSWORD '${password}'`);
  await client.query("ALTER ROLE agent SET search_path = 'elsewhere'");
  await client.query('ALTER ROLE agent SET standard_conforming_strings = off');
  await client.query(`SET password_encryption = 'md5'`);
  await client.query("CREATE ROLE md5_user LOGIN PASSWORD 'md5 secret'");
  await client.query("CREATE ROLE clear_user LOGIN PASSWORD 'clear secret'");
  await client.query('CREATE ROLE trusted LOGIN');
  client.close();
  target = { host, port, database: 'postgres', user: 'agent', password, tls: { mode: 'Disable' } };
}, 60_000);

afterAll(async () => {
  await server.stop();
});

async function open(
  changes: Partial<UpstreamTarget>,
  settings: ReadonlyMap<string, string> = new Map(),
): Promise<OpenedUpstream> {
  return await connectUpstream({ ...target, ...changes }, settings, new ReadBuffer({ sizeBytes: 65_536 }), {
    timeoutMs: 5000,
  });
}

async function failure(changes: Partial<UpstreamTarget>): Promise<DependencyError> {
  try {
    (await open(changes)).socket.destroy();
  } catch (error) {
    if (error instanceof DependencyError) return error;
    throw error;
  }
  throw new Error('the connection was accepted');
}

describe('authentication', () => {
  test('SCRAM works with a password that SASLprep changes', async () => {
    const upstream = await open({});
    expect(upstream.serverVersionNum).toBeGreaterThanOrEqual(180_000);
    expect(upstream.backendKey.secret).toHaveLength(4);
    expect(upstream.leftover).toHaveLength(0);
    upstream.socket.destroy();
  });

  test('a wrong password is told without naming it or the role', async () => {
    const error = await failure({ password: 'wrong-secret' });
    expect(error).toMatchObject({
      sqlstate: '08001',
      retryable: false,
      message: "the database refused the gate's credentials",
    });
    expect(error.detail).toBe('28P01: password authentication failed for user "agent"');
    expect(JSON.stringify(error)).not.toContain('wrong-secret');
  });

  test('no password at all is refused by the server, not by a crash', async () => {
    expect(await failure({ password: '' })).toMatchObject({ sqlstate: '08001' });
  });

  const weak = [
    ['md5_user', 'md5 secret', 'an MD5 password'],
    ['clear_user', 'clear secret', 'a password in clear text'],
  ] as const;
  test.each(weak)('%s gets its password only where the server has proven who it is', async (user, secret, what) => {
    for (const mode of ['Disable', 'Require'] as const) {
      const error = await failure({ user, password: secret, tls: { mode } });
      expect(error.message).toBe(
        `the database asks for ${what}, which the gate sends only with tls.mode VerifyCA or VerifyFull; use SCRAM-SHA-256`,
      );
    }
    const upstream = await open({ user, password: secret, tls: { mode: 'VerifyFull', caPem: authority.caPem } });
    upstream.socket.destroy();
  });

  test('a server that asks for nothing is fine', async () => {
    (await open({ user: 'trusted', password: '' })).socket.destroy();
  });
});

describe('TLS', () => {
  const accepted: readonly (readonly [UpstreamTlsMode, string, string | undefined])[] = [
    ['Require', '127.0.0.1', undefined],
    ['Require', '127.0.0.1', stranger.caPem],
    ['VerifyCA', '127.0.0.1', authority.caPem],
    ['VerifyFull', '127.0.0.1', authority.caPem],
    ['VerifyFull', 'localhost', authority.caPem],
  ];
  test.each(accepted)('%s accepts %s', async (mode, host, caPem) => {
    const client = await openCatalogClient({ ...target, host, tls: { mode, caPem } });
    expect(await client.query('SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).toEqual([
      ['t', 'TLSv1.3'],
    ]);
    client.close();
  });

  const refused: readonly (readonly [UpstreamTlsMode, string | undefined])[] = [
    ['VerifyCA', stranger.caPem],
    ['VerifyCA', undefined],
    ['VerifyFull', stranger.caPem],
    ['VerifyFull', undefined],
  ];
  test.each(refused)('%s refuses a certificate of another authority', async (mode, caPem) => {
    const error = await failure({ tls: { mode, caPem } });
    expect(error).toMatchObject({
      sqlstate: '08001',
      retryable: false,
      message: 'the TLS handshake with the database failed; check tls.mode, its certificate and caSecretRef',
    });
  });

  test('VerifyFull refuses a certificate for another name, VerifyCA does not look', async () => {
    const other = await startPostgres({
      tls: authority.issue(['db.example']),
      hba: ['host all all 127.0.0.1/32 trust'],
    });
    try {
      const place = { port: other.port, user: other.superuser, password: '' };
      expect((await failure({ ...place, tls: { mode: 'VerifyFull', caPem: authority.caPem } })).detail).toContain(
        'ERR_TLS_CERT_ALTNAME_INVALID',
      );
      (await open({ ...place, tls: { mode: 'VerifyCA', caPem: authority.caPem } })).socket.destroy();
    } finally {
      await other.stop();
    }
  });

  test('the proof of the password is bound to the channel: a relay with a certificate of its own gets nowhere', async () => {
    const { certificatePem, keyPem } = stranger.issue(['127.0.0.1']);
    const relay = (socket: Socket): void => {
      socket.once('data', () => {
        socket.write('S');
        const near = new TLSSocket(socket, { isServer: true, cert: certificatePem, key: keyPem });
        near.on('error', () => undefined);
        const raw = connect(server.port, '127.0.0.1', () => {
          void startUpstreamTls(raw, '127.0.0.1', { mode: 'Require' }).then((far) => {
            far.on('error', () => undefined);
            near.pipe(far).pipe(near);
          });
        });
      });
    };
    await withFakeServer(relay, async (port) => {
      const error = await failure({ port, tls: { mode: 'Require' } });
      expect(error.detail).toContain('SCRAM channel binding check failed');
    });
  });

  test('a server without TLS is refused, never spoken to in clear text', async () => {
    const url = new URL(inject('sharedPostgresUrl'));
    const error = await failure({ port: Number(url.port), tls: { mode: 'Require' } });
    expect(error.message).toBe('the database does not offer TLS; tls.mode asks for it');
  });

  test('bytes that follow the answer to SSLRequest end the attempt (CVE-2021-23222)', async () => {
    await withFakeServer(
      (socket) => void socket.once('data', () => socket.write('SE\0\0\0\x10')),
      async (port) => {
        const error = await failure({ port, tls: { mode: 'Require' } });
        expect(error.message).toBe('the database gave no valid answer to the request for TLS');
      },
    );
  });
});

describe('sockets and failures', () => {
  test('a host that starts with / is the folder of a unix socket', async () => {
    (await open({ host: server.socketDirectory })).socket.destroy();
    const error = await failure({ host: server.socketDirectory, tls: { mode: 'VerifyFull' } });
    expect(error.message).toBe(
      `${server.socketDirectory} is a unix socket, which carries no TLS; set tls.mode to Disable`,
    );
  });

  test('nobody listens', async () => {
    expect(await failure({ port: 1 })).toMatchObject({
      sqlstate: '08001',
      message: 'the database cannot be reached',
      retryable: true,
    });
  });

  test('a name that does not resolve', async () => {
    expect(await failure({ host: 'no-such-host.invalid' })).toMatchObject({
      sqlstate: '08001',
      message: 'the database cannot be reached',
    });
  });

  test('no such database', async () => {
    expect(await failure({ database: 'nowhere' })).toMatchObject({
      message: 'the database of the connection does not exist',
    });
  });

  test('a server that does not answer', async () => {
    await withFakeServer(
      () => undefined,
      async (port) => {
        const attempt = connectUpstream({ ...target, port }, new Map(), new ReadBuffer({ sizeBytes: 512 }), {
          timeoutMs: 100,
        });
        await expect(attempt).rejects.toMatchObject({
          sqlstate: '08001',
          message: 'the database did not answer within 100 ms',
        });
      },
    );
  });

  test('a server that closes during start-up', async () => {
    await withFakeServer(
      (socket) => void socket.once('data', () => socket.destroy()),
      async (port) => expect(await failure({ port })).toMatchObject({ sqlstate: '08006' }),
    );
  });

  const garbage: readonly (readonly [string, Buffer])[] = [
    ['is no PostgreSQL', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['says that a password is not needed after asking for SCRAM', scramThenOk()],
    ['asks for Kerberos', authenticationRequest(7)],
  ];
  test.each(garbage)('a server that %s', async (_, bytes) => {
    await withFakeServer(
      (socket) => void socket.once('data', () => socket.write(bytes)),
      async (port) => expect((await failure({ port })).sqlstate).toMatch(/^0800[16]$/),
    );
  });

  test('an agent that has gone stops the attempt', async () => {
    const controller = new AbortController();
    await withFakeServer(
      () => controller.abort(),
      async (port) => {
        const reader = new ReadBuffer({ sizeBytes: 512 });
        const attempt = connectUpstream({ ...target, port }, new Map(), reader, { signal: controller.signal });
        await expect(attempt).rejects.toMatchObject({ message: 'the connection attempt was given up' });
      },
    );
  });
});

test('start-up settings win over those of the role and survive RESET ALL and DISCARD ALL', async () => {
  const settings = new Map([
    ['search_path', 'public, pg_temp'],
    ['standard_conforming_strings', 'on'],
    ['postern.mask_key_inner', 'a1b2'],
  ]);
  const upstream = await open({}, settings);
  const show =
    "SELECT current_setting('search_path'), current_setting('standard_conforming_strings'), current_setting('postern.mask_key_inner')";
  for (const reset of ['', 'RESET ALL', 'DISCARD ALL']) {
    if (reset !== '') await ask(upstream, reset);
    expect(await ask(upstream, show)).toContain('public, pg_temp');
    expect(await ask(upstream, show)).toContain('a1b2');
  }
  upstream.socket.destroy();
});

test('a cancel request ends what the server runs', async () => {
  const upstream = await open({});
  const running = ask(upstream, 'SELECT pg_sleep(30)');
  await new Promise((resolve) => setTimeout(resolve, 100));
  await cancelUpstream(target, upstream.backendKey);
  expect(await running).toContain('57014');
  upstream.socket.destroy();
});

/** Sends one simple query and gives back all bytes of the answer as text. */
function ask(upstream: OpenedUpstream, sql: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    upstream.reader.receive = (bytes) => {
      answer += bytes.toString('latin1');
      if (answer.endsWith('Z\0\0\0\x05I')) resolve(answer);
      return true;
    };
    const body = Buffer.from(`${sql}\0`);
    const header = Buffer.from('Q\0\0\0\0');
    header.writeInt32BE(body.length + 4, 1);
    upstream.socket.write(Buffer.concat([header, body]));
  });
}

function authenticationRequest(code: number, rest = ''): Buffer {
  const message = Buffer.from(`R\0\0\0\0\0\0\0\0${rest}`, 'latin1');
  message.writeInt32BE(message.length - 1, 1);
  message.writeInt32BE(code, 5);
  return message;
}

function scramThenOk(): Buffer {
  return Buffer.concat([authenticationRequest(10, 'SCRAM-SHA-256\0\0'), authenticationRequest(0)]);
}

async function withFakeServer(
  onConnection: (socket: Socket) => void,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const fake: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => fake.listen(0, '127.0.0.1', resolve));
  const address = fake.address();
  try {
    await use(typeof address === 'object' && address !== null ? address.port : 0);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => fake.close(resolve));
  }
}
