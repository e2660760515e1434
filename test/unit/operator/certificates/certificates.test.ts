import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PeerCertificate, rootCertificates, type TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { type CertificateAuthority, createAuthority, issueLeaf } from '#operator/certificates/authority.ts';
import { caBundlePatch, encodeCaBundle } from '#operator/certificates/ca-bundle.ts';
import {
  type CertificateSource,
  FileCertificate,
  IssuedCertificate,
  serviceNames,
  splitCertificates,
} from '#operator/certificates/server-certificate.ts';
import { startTlsServer } from '#operator/servers/tls-server.ts';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const names = serviceNames('postern-operator', 'postern-system');

describe('the certificate authority', () => {
  test('issues a certificate for the Service, for seven days, that its own certificate verifies', async () => {
    const authority = await createAuthority(Date.now());
    const leaf = await issueLeaf(authority, [...names, '127.0.0.1'], Date.now());
    const issuer = new X509Certificate(authority.certificatePem);
    const certificate = new X509Certificate(leaf.certificatePem);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.checkHost('postern-operator.postern-system.svc')).toBeDefined();
    expect(certificate.checkHost('postern-operator.other.svc')).toBeUndefined();
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.ca).toBe(false);
    expect(issuer.ca).toBe(true);
    const days = (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(6.9);
    expect(days).toBeLessThan(7.1);
  });

  test('gives no certificate a longer life than its own', async () => {
    const authority = await createAuthority(Date.now(), 3_600_000);
    const leaf = await issueLeaf(authority, names, Date.now());
    expect(leaf.notAfterMs).toBeLessThanOrEqual(Date.now() + 3_600_000);
  });
});

async function connect(port: number, ca: readonly string[]): Promise<{ status: number; peer: PeerCertificate }> {
  return await new Promise((resolve, reject) => {
    const options: RequestOptions = { host: '127.0.0.1', port, ca: [...ca], servername: names[0] ?? '', agent: false };
    const outgoing = request(options, (response) => {
      const peer = (response.socket as TLSSocket).getPeerCertificate();
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode ?? 0, peer }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

async function firstCertificate(source: CertificateSource): Promise<void> {
  await new Promise<void>((resolve) => {
    source.onChange(() => resolve());
  });
}

describe('the served certificate', () => {
  test('is replaced under a running server when the authority changes, and a client that knows both notices nothing', async () => {
    const old = await createAuthority(Date.now());
    const next = await createAuthority(Date.now());
    let authority: CertificateAuthority = old;
    const source = new IssuedCertificate({ names, authority: () => authority, log, now: Date.now });
    source.check();
    await firstCertificate(source);
    const server = await startTlsServer({
      listen: { host: '127.0.0.1', port: 0 },
      certificate: source,
      minVersion: 'TLSv1.3',
      requestTimeoutMs: 5000,
      handle: async (_request, response) => {
        response.end('ok');
        return await Promise.resolve();
      },
    });
    const both = [old.certificatePem, next.certificatePem];
    const first = await connect(server.address.port, both);
    expect(first.status).toBe(200);
    authority = next;
    const changed = firstCertificate(source);
    source.check();
    await changed;
    const second = await connect(server.address.port, both);
    expect(second.peer.fingerprint256).not.toBe(first.peer.fingerprint256);
    await expect(connect(server.address.port, [old.certificatePem])).rejects.toThrow(
      /unable to (?:verify|get)|self.signed/,
    );
    source.stop();
    await server.close(100);
  });

  test('is issued anew after two thirds of its life, and not before', async () => {
    const authority = await createAuthority(Date.now());
    let nowMs = Date.now();
    const source = new IssuedCertificate({ names, authority: () => authority, log, now: () => nowMs });
    source.check();
    await firstCertificate(source);
    const first = source.current();
    nowMs += 4 * 86_400_000;
    source.check();
    await new Promise((resolve) => {
      setTimeout(resolve, 30);
    });
    expect(source.current()).toBe(first);
    nowMs += 86_400_000;
    const changed = firstCertificate(source);
    source.check();
    await changed;
    expect(source.current()?.notAfterMs).toBeGreaterThan(first?.notAfterMs ?? Number.POSITIVE_INFINITY);
    source.stop();
  });

  test('from files is read again when they change; a key that does not fit leaves the last good one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-files-'));
    const authority = await createAuthority(Date.now());
    const write = async (): Promise<string> => {
      const leaf = await issueLeaf(authority, names, Date.now());
      writeFileSync(join(folder, 'tls.crt'), leaf.certificatePem);
      writeFileSync(join(folder, 'tls.key'), leaf.privateKeyPem);
      writeFileSync(join(folder, 'ca.crt'), authority.certificatePem);
      return leaf.certificatePem;
    };
    const source = new FileCertificate(folder, log);
    await source.read();
    expect(source.current()).toBeUndefined();
    expect(source.externalAuthorities()).toEqual([]);
    const first = await write();
    await source.read();
    expect(source.current()?.certificatePem).toBe(first);
    expect(source.externalAuthorities().map((pem) => pem.trim())).toEqual([authority.certificatePem.trim()]);
    const other = await issueLeaf(authority, names, Date.now());
    writeFileSync(join(folder, 'tls.crt'), other.certificatePem);
    await source.read();
    expect(source.current()?.certificatePem).toBe(first);
    writeFileSync(join(folder, 'tls.key'), other.privateKeyPem);
    await source.read();
    expect(source.current()?.certificatePem).toBe(other.certificatePem);
    source.stop();
    rmSync(folder, { recursive: true });
  });
});

test('a bundle of certificates is taken apart', () => {
  const some = rootCertificates.slice(0, 3);
  expect(splitCertificates(`# comment\n${some.join('\n')}\n`).map((pem) => pem.trim())).toEqual(
    some.map((pem) => pem.trim()),
  );
  expect(splitCertificates('nothing')).toEqual([]);
});

describe('the caBundle of webhook configurations', () => {
  const service = { namespace: 'postern-system', name: 'postern-operator' };
  const webhook = (name: string, caBundle?: string, of: object = service): object => ({
    name,
    clientConfig: { service: of, ...(caBundle === undefined ? {} : { caBundle }) },
  });
  const configuration = (...webhooks: readonly object[]): Parameters<typeof caBundlePatch>[0] => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'postern' },
    webhooks,
  });
  const wanted = encodeCaBundle(['new', 'old']);

  test('is put where it is missing or another, with a test that the order has not changed', () => {
    const patch = caBundlePatch(configuration(webhook('a.postern.dev'), webhook('b.postern.dev', 'eA==')), service, [
      'new',
      'old',
    ]);
    expect(patch).toEqual([
      { op: 'test', path: '/webhooks/0/name', value: 'a.postern.dev' },
      { op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: wanted },
      { op: 'test', path: '/webhooks/1/name', value: 'b.postern.dev' },
      { op: 'add', path: '/webhooks/1/clientConfig/caBundle', value: wanted },
    ]);
  });

  test('is left alone where it is right, and in webhooks of others', () => {
    const others = webhook('x.example.com', undefined, { ...service, name: 'other' });
    const byUrl = { name: 'y.example.com', clientConfig: { url: 'https://example.com' } };
    const sound = configuration(others, byUrl, webhook('a.postern.dev', wanted));
    expect(caBundlePatch(sound, service, ['new', 'old'])).toEqual([]);
    expect(caBundlePatch({ ...sound, webhooks: undefined }, service, ['new'])).toEqual([]);
  });
});
