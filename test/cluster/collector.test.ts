import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byTokenReview, remembering } from '#collector/authenticate.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { type CertificateAuthority, createAuthority } from '#operator/certificates/authority.ts';
import { CollectorSecrets } from '#operator/collector/collector-secrets.ts';
import { makeNamespace, openClient, quietLog, until } from './client.ts';
import { kubectl } from './programs.ts';

const DAY_MS = 24 * 3_600_000;

let client: ClusterClient;
let namespace: string;
let remove: () => Promise<void>;

beforeAll(async () => {
  client = openClient();
  ({ name: namespace, remove } = await makeNamespace(client, 'collector'));
  await client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'bot', namespace } });
});
afterAll(async () => {
  await remove();
  client.close();
});

describe('by TokenReview', () => {
  const authenticate = remembering(async (token) => await byTokenReview(client)(token));
  const tokenFor = async (audience: string, ...more: readonly string[]): Promise<string> =>
    (await kubectl('create', 'token', 'bot', '--namespace', namespace, '--audience', audience, ...more)).trim();

  test('the token of a pod names the pod, until the pod is gone', async () => {
    // On no node that exists: what counts is that it is there.
    const pod = await client.create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'agent', namespace },
      spec: {
        serviceAccountName: 'bot',
        nodeName: 'nobody',
        containers: [{ name: 'a', image: 'localhost/none:1' }],
      },
    });
    const uid = pod.metadata.uid ?? '';
    const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', 'agent', '--bound-object-uid', uid];
    // As its kubelet, since no one else gets such tokens where the product is installed.
    const kubelet = ['--as', 'system:node:nobody', '--as-group', 'system:nodes', '--as-group', 'system:masters'];
    const token = await tokenFor('postern.dev/collector', ...bound, ...kubelet);
    expect(await authenticate(token)).toEqual({
      kind: 'sender',
      sender: { podUid: uid, account: `system:serviceaccount:${namespace}:bot` },
    });
    await kubectl('delete', 'pod', 'agent', '--namespace', namespace, '--grace-period=0', '--force');
    // The API server itself remembers what it has looked at, for ten seconds.
    const isRefused = async (): Promise<boolean> => (await byTokenReview(client)(token)).kind === 'refused';
    await until(isRefused, 'the token of a pod that is gone is refused', 40_000);
  });

  test('a token for another audience and one that is none are refused', async () => {
    const notValid = { kind: 'refused', message: 'the token is not valid for audience postern.dev/collector' };
    expect(await authenticate(await tokenFor('https://elsewhere.example'))).toEqual(notValid);
    expect(await authenticate('abc')).toEqual(notValid);
  });
});

describe("the operator, for the collector's sake", () => {
  let authority: CertificateAuthority;
  let nowMs = Date.now();
  const open = (): CollectorSecrets =>
    new CollectorSecrets({
      client,
      namespace,
      service: 'postern-collector',
      authority: () => authority,
      log: quietLog,
      now: () => nowMs,
    });
  const read = async (kind: 'Secret' | 'ConfigMap', name: string): Promise<KubernetesObject | undefined> =>
    await client.find({ apiVersion: 'v1', kind, namespace, name });
  const dataOf = async (kind: 'Secret' | 'ConfigMap', name: string): Promise<Readonly<Record<string, string>>> =>
    ((await read(kind, name))?.['data'] ?? {}) as Readonly<Record<string, string>>;
  const certificate = async (): Promise<X509Certificate> =>
    new X509Certificate(Buffer.from((await dataOf('Secret', 'postern-collector-tls'))['tls.crt'] ?? '', 'base64'));

  beforeAll(async () => {
    authority = await createAuthority(nowMs);
    await open().step();
  });

  test('keeps a certificate for its Service, of the authority that sidecars trust, and leaves it while it is good', async () => {
    const first = await certificate();
    expect(first.checkHost(`postern-collector.${namespace}.svc`)).toBeDefined();
    expect(first.verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true);
    expect((await read('Secret', 'postern-collector-tls'))?.['type']).toBe('kubernetes.io/tls');
    await open().step();
    expect((await certificate()).serialNumber).toBe(first.serialNumber);
  });

  test('renews it when two thirds of its life are over, and when another authority issues', async () => {
    const first = await certificate();
    nowMs += 5 * DAY_MS;
    await open().step();
    const second = await certificate();
    expect(second.serialNumber).not.toBe(first.serialNumber);
    expect(second.validToDate.getTime() - nowMs).toBeGreaterThan(6 * DAY_MS);
    authority = await createAuthority(nowMs);
    await open().step();
    expect((await certificate()).verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true);
  });

  test('makes the key of digests once, and publishes its other half', async () => {
    const before = await dataOf('Secret', 'postern-digest-key');
    await open().step();
    expect(await dataOf('Secret', 'postern-digest-key')).toEqual(before);
    const key = createPrivateKey(Buffer.from(before['digest-key.pem'] ?? '', 'base64').toString());
    expect(key.asymmetricKeyType).toBe('ed25519');
    const published = await dataOf('ConfigMap', 'postern-digest-public-keys');
    expect(Object.values(published)).toEqual([createPublicKey(key).export({ type: 'spki', format: 'pem' })]);
    expect(Object.keys(published)[0]).toMatch(/^[0-9a-f]{32}\.pem$/);
  });

  test('does not make another over a damaged one, and keeps the other half of a key that was replaced', async () => {
    const secret = await read('Secret', 'postern-digest-key');
    if (secret === undefined) throw new Error('no Secret');
    await client.replace({ ...secret, data: { 'digest-key.pem': Buffer.from('x').toString('base64') } });
    await expect(open().step()).rejects.toThrow(
      `Secret ${namespace}/postern-digest-key holds no Ed25519 key under digest-key.pem: restore it from a backup, or delete it to begin with a new key`,
    );
    await client.delete({ apiVersion: 'v1', kind: 'Secret', namespace, name: 'postern-digest-key' });
    await open().step();
    expect(Object.keys(await dataOf('ConfigMap', 'postern-digest-public-keys'))).toHaveLength(2);
  });
});
