import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acceptKeySets } from '#bundle/accept.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { ROTATE_ANNOTATION } from '#operator/signing-keys/stored-keys.ts';
import type { Trust } from '#operator/signing-keys/trust.ts';
import { TrustKeeper, trustRules } from '#operator/signing-keys/trust-keeper.ts';
import { TrustSource } from '#operator/signing-keys/trust-source.ts';
import { makeNamespace, openClient, quietLog, until } from './client.ts';

const OVERLAP_MS = 60_000;

let client: ClusterClient;
let namespace: string;
let remove: () => Promise<void>;
let source: TrustSource;
/** The keeper's clock: tests turn it. */
let nowMs = Date.now();

beforeAll(async () => {
  client = openClient();
  ({ name: namespace, remove } = await makeNamespace(client, 'kube-keys'));
  source = new TrustSource({ client, namespace, externalAuthorities: () => undefined, log: quietLog });
  source.start();
});

afterAll(async () => {
  await source.stop();
  await remove();
  client.close();
});

function keeper(externalAuthorities: () => readonly string[] | undefined = () => undefined): TrustKeeper {
  return new TrustKeeper({
    client,
    namespace,
    rules: trustRules(OVERLAP_MS),
    externalAuthorities,
    log: quietLog,
    now: () => nowMs,
  });
}

async function trustOnce(holds: (trust: Trust) => boolean, what: string): Promise<Trust> {
  const check = (): boolean => {
    const trust = source.current();
    return trust !== undefined && holds(trust);
  };
  await until(check, `${what}; ${source.reason()}`);
  const trust = source.current();
  if (trust === undefined) throw new Error('no trust');
  return trust;
}

const secretOf = (name: string): { apiVersion: string; kind: string; namespace: string; name: string } => ({
  apiVersion: 'v1',
  kind: 'Secret',
  namespace,
  name,
});

async function askToRotate(name: string, value: string): Promise<void> {
  await client.mergePatch(secretOf(name), { metadata: { annotations: { [ROTATE_ANNOTATION]: value } } });
}

/** What a pod that was started with these root keys makes of a key set. */
function judge(rootKeys: readonly string[], text: string): ReturnType<typeof acceptKeySets> {
  return acceptKeySets({ rootKeys, keySet: undefined }, text);
}

describe("the operator's keys in Secrets", () => {
  test('are made once, and every replica reads the same', async () => {
    const leader = keeper();
    await leader.step();
    const first = await trustOnce(() => true, 'the first keys');
    expect(first.rootKeys).toHaveLength(1);
    expect(first.certificateAuthorities).toHaveLength(1);
    expect(new X509Certificate(first.authority?.certificatePem ?? '').ca).toBe(true);
    expect(judge(first.rootKeys, first.keySetText)).toMatchObject({ kind: 'accepted' });
    await leader.step();
    await keeper().step();
    expect(source.current()?.keySet.version).toBe(first.keySet.version);
    const secret = await client.get(secretOf('postern-ca'));
    expect(secret.metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'postern' });
  });

  test('two leaders for a moment do not both write', async () => {
    const before = source.current();
    nowMs += 1000;
    await client.delete(secretOf('postern-signing-keys'));
    const results = await Promise.allSettled([keeper().step(), keeper().step()]);
    expect(results.filter((result) => result.status === 'fulfilled').length).toBeGreaterThan(0);
    const after = await trustOnce((trust) => trust.signer.kid !== before?.signer.kid, 'a new signing key');
    const named = after.keySet.signingKeys.map((key) => key.kid);
    expect(named).toEqual([after.signer.kid]);
    // A pod that accepted the former set takes this one, though the Secret with its version was lost.
    expect(after.keySet.version).toBeGreaterThan(before?.keySet.version ?? Number.POSITIVE_INFINITY);
  });

  test.each([
    ['postern-signing-keys', (trust: Trust) => trust.signer.kid, (trust: Trust) => trust.keySet.signingKeys.length],
    [
      'postern-ca',
      (trust: Trust) => trust.authority?.certificatePem ?? '',
      (trust: Trust) => trust.keySet.certificateAuthorities.length,
    ],
  ] as const)('%s rotates: known first, used after the overlap, the old one known on', async (name, used, known) => {
    const leader = keeper();
    await leader.step();
    const before = await trustOnce(() => true, 'keys');
    const knownBefore = known(before);
    await askToRotate(name, `asked ${name}`);
    await leader.step();
    const announced = await trustOnce((trust) => known(trust) === knownBefore + 1, 'the next key is announced');
    expect(used(announced)).toBe(used(before));
    expect(announced.keySet.version).toBe(before.keySet.version + 1);
    await leader.step();
    nowMs += OVERLAP_MS + 1;
    await leader.step();
    const after = await trustOnce((trust) => used(trust) !== used(before), 'the next key is used');
    expect(known(after)).toBe(knownBefore + 1);
    expect(judge(before.rootKeys, after.keySetText).kind).toBe('accepted');
    await leader.step();
    expect(source.current()?.keySet.version).toBe(after.keySet.version);
    nowMs += 8 * 24 * 3_600_000;
    await leader.step();
    await trustOnce((trust) => known(trust) === knownBefore, 'the old key is forgotten');
  });

  test('the root key rotates under pods that know only the old one, restarted ones too', async () => {
    const leader = keeper();
    await leader.step();
    const before = await trustOnce(() => true, 'keys');
    await askToRotate('postern-root-key', 'asked');
    await leader.step();
    const announced = await trustOnce((trust) => trust.rootKeys.length === 2, 'the next root key is announced');
    nowMs += OVERLAP_MS + 1;
    await leader.step();
    const after = await trustOnce((trust) => trust.retiringRootKeys.length === 1, 'the next root key is used');
    expect(after.rootKeys).not.toContain(before.rootKeys[0]);
    expect(after.retiringRootKeys).toEqual(before.rootKeys);
    for (const roots of [before.rootKeys, announced.rootKeys, after.rootKeys]) {
      expect(judge(roots, after.keySetText)).toMatchObject({
        kind: 'accepted',
        keySet: { version: after.keySet.version },
      });
    }
    const stranger = Buffer.alloc(32, 7).toString('base64url');
    expect(judge([stranger], after.keySetText)).toMatchObject({ kind: 'refused', reason: 'UnknownKey' });
  });

  test('with certificates from outside the own authority stays trusted: a replica that issues again is ready under such a leader', async () => {
    const outside = ['-----BEGIN CERTIFICATE-----\noutside\n-----END CERTIFICATE-----\n'];
    const before = await trustOnce(() => true, 'trust');
    await keeper(() => outside).step();
    const issuing = await trustOnce(({ keySet }) => keySet.version > before.keySet.version, 'another key set');
    expect(issuing.keySet.certificateAuthorities).toEqual([...outside, ...before.keySet.certificateAuthorities]);
    expect(issuing.authority).toEqual(before.authority);
    expect(source.reason()).toBe('');

    const externalAuthorities = (): readonly string[] => outside;
    const other = new TrustSource({ client, namespace, externalAuthorities, log: quietLog });
    other.start();
    await until(() => other.current() !== undefined, 'the trust of a replica with a certificate from outside');
    expect(other.current()?.authority).toBeUndefined();
    expect(other.current()?.certificateAuthorities).toEqual(issuing.keySet.certificateAuthorities);
    await other.stop();

    await keeper().step();
    await trustOnce(({ keySet }) => keySet.version > issuing.keySet.version, 'a key set without the outside');
    expect(source.current()?.keySet.certificateAuthorities).toEqual(before.keySet.certificateAuthorities);
  });

  test('a deleted root key comes back as it was, as pods trust no other', async () => {
    const leader = keeper();
    await leader.step();
    const before = await trustOnce(() => true, 'keys');
    await client.delete(secretOf('postern-root-key'));
    await leader.step();
    await until(async () => (await client.find(secretOf('postern-root-key'))) !== undefined, 'the Secret');
    await leader.step();
    const after = await trustOnce(() => source.reason() === '', 'keys');
    expect(after.rootKeys).toEqual(before.rootKeys);
    expect(after.keySet.version).toBe(before.keySet.version);
  });

  test('a damaged Secret is never overwritten, and the last good keys stay', async () => {
    const leader = keeper();
    await leader.step();
    const before = await trustOnce(() => true, 'keys');
    const secret: KubernetesObject = await client.get(secretOf('postern-root-key'));
    await client.mergePatch(secretOf('postern-root-key'), {
      data: { 'keys.json': Buffer.from('{').toString('base64') },
    });
    await expect(leader.step()).rejects.toThrow(
      `Secret ${namespace}/postern-root-key cannot be read: restore it from a backup, or delete it and restart the operator to begin with a new key`,
    );
    await until(() => source.reason() !== '', 'the replica sees the damage');
    expect(source.current()?.rootKeys).toEqual(before.rootKeys);
    await client.mergePatch(secretOf('postern-root-key'), { data: secret['data'] });
    await until(() => source.reason() === '', 'all is well again');
  });
});
