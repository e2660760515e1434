import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CollectorServer, startServer } from '#collector/server.ts';
import { createAuthority, type TestAuthority } from '#test/certificates.ts';

const NAME = 'postern-collector.postern-system.svc';

const folder = mkdtempSync(join(tmpdir(), 'postern-collector-tls-'));
const files = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
const said: string[] = [];
let server: CollectorServer;
let first: TestAuthority;
let second: TestAuthority;

function write(authority: TestAuthority): void {
  const { certificatePem, keyPem } = authority.issue([NAME]);
  writeFileSync(files.certFile, certificatePem);
  writeFileSync(files.keyFile, keyPem);
}

async function open(authority: TestAuthority): Promise<TLSSocket> {
  return await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: server.port, servername: NAME, ca: authority.caPem };
    const socket = connect(options, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** What a sidecar gets that trusts this authority. */
async function ask(authority: TestAuthority): Promise<string> {
  const socket = await open(authority).catch((error: unknown) => error as NodeJS.ErrnoException);
  if (socket instanceof Error) return socket.code ?? socket.message;
  return await askOver(socket);
}

async function askOver(socket: TLSSocket): Promise<string> {
  const answer = new Promise<string>((resolve) => socket.once('data', (bytes: Buffer) => resolve(bytes.toString())));
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  return (await answer).split('\r\n')[0] ?? '';
}

async function untilSaid(message: string): Promise<void> {
  const deadline = Date.now() + 25_000;
  while (!said.includes(message)) {
    if (Date.now() > deadline) throw new Error(`not said within 25 s: ${message}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

beforeAll(async () => {
  [first, second] = [createAuthority(), createAuthority()];
  write(first);
  const say = (_fields: object, message: string): void => void said.push(message);
  const log = { debug: say, info: say, warn: say, error: say };
  const listen = { host: '127.0.0.1', port: 0 };
  server = await startServer({ listen, tls: files, log }, (_request, response) => response.end('taken'));
});

afterAll(async () => {
  await server.close(0);
  rmSync(folder, { recursive: true });
});

describe("the collector's certificate", () => {
  test('is read again when its files change; what cannot be used changes nothing, and open connections go on', async () => {
    expect(await ask(first)).toBe('HTTP/1.1 200 OK');
    expect(await ask(second)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    const kept = await open(first);
    expect(await askOver(kept)).toBe('HTTP/1.1 200 OK');

    writeFileSync(files.certFile, 'half of a file');
    await untilSaid('the new certificate cannot be used; the old one stays');
    expect(await ask(first)).toBe('HTTP/1.1 200 OK');

    write(second);
    await untilSaid('the certificate was replaced');
    expect(await ask(second)).toBe('HTTP/1.1 200 OK');
    expect(await ask(first)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(await askOver(kept)).toBe('HTTP/1.1 200 OK');
    kept.destroy();
  });

  test('takes nobody who speaks less than TLS 1.3', async () => {
    const options = { host: '127.0.0.1', port: server.port, servername: NAME, ca: second.caPem };
    const code = await new Promise((resolve) => {
      const socket = connect({ ...options, maxVersion: 'TLSv1.2' }, () => resolve('connected'));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    expect(code).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  });
});
