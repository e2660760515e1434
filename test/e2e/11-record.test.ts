import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kubectl, succeed } from '../cluster/programs.ts';
import { type Agent, startAgent } from './agent.ts';
import { AGENTS, apply, DATA, eventually, get, helmInstall, IMAGE, SYSTEM } from './cluster.ts';
import { asOwner } from './database.ts';
import { policyWithCustomers } from './samples.ts';
import { applySecondConnection, removeSecondConnection } from './second-connection.ts';
import { COLLECTOR_VALUES, installStore, type Store, type StoredRecord } from './store.ts';

const PODS = ['recorded', 'seen', 'forced', 'evicted', 'confirmed'];

let store: Store;
let keyFile: string;
let agentOfShop: Agent;

const uidOf = async (pod: string): Promise<string> => (await get('pod', AGENTS, pod)).metadata.uid;

async function scaleCollector(replicas: number): Promise<void> {
  await kubectl('--namespace', SYSTEM, 'scale', 'deployment/postern-collector', `--replicas=${replicas}`);
  const selector = '--selector=app.kubernetes.io/component=collector';
  if (replicas === 0) {
    await kubectl('--namespace', SYSTEM, 'wait', '--for=delete', 'pod', selector, '--timeout=100s');
  } else {
    await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-collector', '--timeout=60s');
  }
}

const textsOf = (records: readonly StoredRecord[], podUid: string, phase = 'decision'): readonly string[] =>
  records
    .filter(({ src_endpoint: from, unmapped }) => from.instance_uid === podUid && unmapped.phase === phase)
    .toSorted((a, b) => a.unmapped.chain.seq - b.unmapped.chain.seq)
    .map(({ query_info: info }) => info?.query_string ?? '');

/** Waits until a statement of the pod is in the bucket. */
async function untilStored(podUid: string, text: string): Promise<void> {
  await eventually(
    `the bucket has ${text}`,
    async () => (textsOf(await store.records(), podUid).includes(text) ? true : undefined),
    { timeoutMs: 30_000, seen: async () => JSON.stringify(textsOf(await store.records(), podUid)) },
  );
}

beforeAll(async () => {
  store = await installStore();
  await helmInstall(`image.tag="${IMAGE.nextTag}"`, ...COLLECTOR_VALUES);
  await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-collector', '--timeout=90s');
  const { data } = await get('configmap', SYSTEM, 'postern-digest-public-keys');
  keyFile = join(mkdtempSync(join(tmpdir(), 'postern-e2e-')), 'digest.pem');
  writeFileSync(keyFile, Object.values(data)[0] ?? '');
  await apply(policyWithCustomers({}));
});

afterAll(async () => {
  store.close();
  await kubectl('--namespace', AGENTS, 'delete', 'pod', '--ignore-not-found', ...PODS);
  await removeSecondConnection('confirmed');
  await removeSecondConnection('seen');
  await kubectl('--namespace', DATA, 'delete', '--ignore-not-found', 'pod/store');
});

describe('the record of an agent', () => {
  let uid: string;

  test('comes to S3, in the layout: what it asked, what was decided, what came of it', {
    timeout: 120_000,
  }, async () => {
    agentOfShop = await startAgent({ name: 'recorded' });
    uid = await uidOf('recorded');
    expect(await agentOfShop.ask('SELECT count(*) > 0 FROM customers')).toBe('t');
    expect(await agentOfShop.ask('DROP TABLE customers')).toMatch(/42501/);
    await untilStored(uid, 'DROP TABLE customers');
    const keys = await store.keys();
    const layout =
      /^audit\/(?:events\/event_date=\d{4}-\d\d-\d\d\/hour=\d\d|digests\/event_date=\d{4}-\d\d-\d\d)\/[0-9a-f-]{36}\.(?:ndjson\.zst|jws)$/;
    expect(keys.filter((key) => !layout.test(key))).toEqual([]);
    const own = (await store.records()).filter(({ src_endpoint: from }) => from.instance_uid === uid);
    const dispositions = own
      .filter(({ unmapped }) => unmapped.phase === 'decision')
      .map(({ query_info: info, disposition }) => [info?.query_string, disposition]);
    expect(dispositions).toContainEqual(['SELECT count(*) > 0 FROM customers', 'Allowed']);
    expect(dispositions).toContainEqual(['DROP TABLE customers', 'Denied']);
    expect(textsOf(own, uid, 'completion').length).toBeGreaterThan(0);
  });

  test('cannot be deleted from the bucket: its versions are locked', async () => {
    const [version] =
      (await store.client.send(new ListObjectVersionsCommand({ Bucket: store.bucket, Prefix: 'audit/events/' })))
        .Versions ?? [];
    expect(version?.VersionId).toBeDefined();
    const { Key, VersionId } = version ?? {};
    await expect(
      store.client.send(new DeleteObjectCommand({ Bucket: store.bucket, Key, VersionId })),
    ).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } });
  });

  test('is proved by verify while it grows: chains, digests and their signatures', async () => {
    const { code, stdout, stderr } = await store.postern('verify', '--digest-key', keyFile, '--open');
    expect([code, stdout], stderr).toEqual([0, expect.stringMatching(/\d+ records in \d+ chains: all hold\n$/)]);
  });

  test('is replayed: the session, its statements and what was decided', async () => {
    const sessions = await store.postern('replay');
    expect(sessions.code, sessions.stderr).toBe(0);
    const about = (await store.records()).find(
      ({ query_info: info, src_endpoint: from }) =>
        from.instance_uid === uid && info?.query_string === 'DROP TABLE customers',
    ) as (StoredRecord & { readonly actor: { readonly session: { readonly uid: string } } }) | undefined;
    const session = about?.actor.session.uid ?? '';
    expect(sessions.stdout).toContain(session);
    const replayed = await store.postern('replay', '--session', session, '--speed', '0');
    expect(replayed.code, replayed.stderr).toBe(0);
    expect(replayed.stdout).toContain('DROP TABLE customers');
    expect(replayed.stdout).toMatch(/denied/i);
  });
});

describe('the results of an agent, where its connection asks for them', () => {
  test('come to S3 as it received them, and are replayed with its session: masked, and nothing that it did not see', {
    timeout: 120_000,
  }, async () => {
    await applySecondConnection('seen', { audit: { results: 'Masked' } });
    const agent = await startAgent({ name: 'seen', connections: 'data/seen' });
    const email = await asOwner("SELECT email FROM customers WHERE region = 'eu' ORDER BY id LIMIT 1");
    const masked = `${email[0]}***@${email.split('@')[1]}`;
    const question = 'SELECT id, email, NULL AS nothing FROM customers ORDER BY id LIMIT 1';
    expect(await agent.ask(question)).toContain(`|${masked}|`);
    const results = await eventually('the bucket has the result', async () => {
      const objects = await store.results();
      return objects.find(({ text }) => text.includes(masked));
    });
    const { session, columns, rows } = JSON.parse(results.text.split('\n').find((line) => line.includes(masked)) ?? '');
    expect(results.key).toMatch(
      new RegExp(String.raw`^audit/results/event_date=\d{4}-\d\d-\d\d/${session}/[0-9a-f-]{36}\.ndjson\.zst$`),
    );
    expect([columns, rows]).toEqual([['id', 'email', 'nothing'], [[expect.stringMatching(/^\d+$/), masked, null]]]);
    const all = (await store.results()).map(({ text }) => text).join('');
    expect(all).not.toContain(email);
    await untilStored(await uidOf('seen'), question);
    const { code, stdout, stderr } = await store.postern('replay', '--session', session, '--speed', '0');
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(masked);
    expect(stdout).toMatch(/id +\| email +\| nothing/);
    await kubectl('--namespace', AGENTS, 'delete', 'pod', 'seen', '--timeout=90s');
  });

  test('are not recorded for a connection that does not ask', async () => {
    expect(await agentOfShop.ask('SELECT count(*) AS unrecorded_result FROM orders')).toMatch(/^\d+$/);
    await untilStored(await uidOf('recorded'), 'SELECT count(*) AS unrecorded_result FROM orders');
    expect((await store.results()).map(({ text }) => text).join('')).not.toContain('unrecorded_result');
  });
});

describe('with the collector away', () => {
  test('Spool goes on, and loses with its pod what is after the last confirmed record; Confirmed refuses, and loses nothing', {
    timeout: 300_000,
  }, async () => {
    const [forced, evicted] = [await startAgent({ name: 'forced' }), await startAgent({ name: 'evicted' })];
    await applySecondConnection('confirmed', { audit: { required: true, durability: 'Confirmed' } });
    const confirmed = await startAgent({ name: 'confirmed', connections: 'data/confirmed' });
    const [forcedUid, evictedUid, confirmedUid] = [
      await uidOf('forced'),
      await uidOf('evicted'),
      await uidOf('confirmed'),
    ];
    for (const [agent, uid] of [
      [forced, forcedUid],
      [evicted, evictedUid],
      [confirmed, confirmedUid],
    ] as const) {
      expect(await agent.ask('SELECT 1 AS before')).toBe('1');
      await untilStored(uid, 'SELECT 1 AS before');
    }

    await scaleCollector(0);
    expect(await forced.ask('SELECT 2 AS unsent')).toBe('2');
    expect(await evicted.ask('SELECT 2 AS unsent')).toBe('2');
    expect(await confirmed.ask('SELECT 2 AS unsent')).toMatch(/58030/);
    await kubectl('--namespace', AGENTS, 'delete', 'pod', 'forced', '--force', '--grace-period=0');
    await evict('evicted');
    await kubectl('--namespace', AGENTS, 'wait', '--for=delete', 'pod/forced', 'pod/evicted', '--timeout=90s');

    await scaleCollector(2);
    await confirmed.sees('SELECT 3 AS again', '3', 60_000);
    await untilStored(confirmedUid, 'SELECT 3 AS again');
    const records = await store.records();
    expect(textsOf(records, confirmedUid)).toContain('SELECT 3 AS again');
    for (const uid of [forcedUid, evictedUid]) {
      expect(textsOf(records, uid)).toContain('SELECT 1 AS before');
      expect(textsOf(records, uid)).not.toContain('SELECT 2 AS unsent');
    }

    // Every other chain ends, so that what is left without an end is what was lost.
    await kubectl('--namespace', AGENTS, 'delete', 'pod', 'recorded', 'confirmed', '--timeout=90s');
    await eventually('the ends of the chains are in the bucket', async () => {
      const ended = (await store.records()).filter(
        ({ unmapped }) => (unmapped as { readonly reason?: string }).reason === 'process_end',
      );
      return ended.length >= 3 ? true : undefined;
    });
    await scaleCollector(0);
    const { code, stdout, stderr } = await store.postern('verify', '--digest-key', keyFile, '--json');
    expect(code, stderr).toBe(1);
    const { findings } = JSON.parse(stdout) as {
      readonly findings: readonly { readonly kind: string; readonly chain: string; readonly seq: number }[];
    };
    const last = (uid: string): { readonly chain: string; readonly seq: number } => {
      const own = records
        .filter(({ src_endpoint: from }) => from.instance_uid === uid)
        .map(({ unmapped }) => unmapped.chain);
      return { chain: own[0]?.id ?? '', seq: Math.max(...own.map(({ seq }) => seq)) };
    };
    expect(findings.map(({ kind, chain, seq }) => ({ kind, chain, seq })).toSorted(byChain)).toEqual(
      [last(forcedUid), last(evictedUid)].map((end) => ({ kind: 'unclosed', ...end })).toSorted(byChain),
    );
  });

  test('verify without the key of the digests is not taken for a proof', async () => {
    const { code, stderr } = await store.postern('verify');
    expect([code, stderr]).toEqual([2, expect.stringContaining('give --digest-key PUBLIC.pem')]);
  });
});

const byChain = (one: { readonly chain: string }, other: { readonly chain: string }): number =>
  one.chain.localeCompare(other.chain);

async function evict(pod: string): Promise<void> {
  const path = `/api/v1/namespaces/${AGENTS}/pods/${pod}/eviction`;
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod, namespace: AGENTS } };
  await succeed('kubectl', ['create', '--raw', path, '--filename', '-'], JSON.stringify(eviction));
}
