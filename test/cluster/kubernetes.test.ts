import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiError, ApiUnreachable, isConflict } from '#kubernetes/api-error.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { EventRecorder } from '#kubernetes/event-recorder.ts';
import { LeaderElector } from '#kubernetes/leader-election.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { Reflector } from '#kubernetes/reflector.ts';
import { collectionPath } from '#kubernetes/resources.ts';
import { makeNamespace, openClient, quietLog, until } from './client.ts';

let client: ClusterClient;
let namespace: string;
let remove: () => Promise<void>;

beforeAll(async () => {
  client = openClient();
  ({ name: namespace, remove } = await makeNamespace(client, 'kube-machinery'));
});

afterAll(async () => {
  await remove();
  client.close();
});

function configMap(name: string, more: object = {}): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, ...more };
}

const configMapOf = (name: string): { apiVersion: string; kind: string; namespace: string; name: string } => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace,
  name,
});

describe('the client', () => {
  test('keeps fields that no typed client knows', async () => {
    const name = 'kube-unknown-field.example.test';
    const answer = await client.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview', metadata: {} },
    });
    expect(answer).toMatchObject({ status: { userInfo: { username: expect.any(String) as string } } });
    await expect(client.get(configMapOf(name))).rejects.toMatchObject({ status: 404, reason: 'NotFound' });
    expect(await client.find(configMapOf(name))).toBeUndefined();
  });

  test('applies by field: another manager keeps its own fields, and conflicts unless forced', async () => {
    await client.apply(configMap('applied', { data: { a: '1', b: '1' } }), { fieldManager: 'first' });
    await client.apply(configMap('applied', { data: { c: '3' } }), { fieldManager: 'second' });
    expect((await client.get(configMapOf('applied')))['data']).toEqual({ a: '1', b: '1', c: '3' });
    const taking = configMap('applied', { data: { a: '2', c: '3' } });
    const conflict = await client.apply(taking, { fieldManager: 'second' }).catch((error: unknown) => error);
    expect(conflict).toBeInstanceOf(ApiError);
    expect(isConflict(conflict)).toBe(true);
    await client.apply(taking, { fieldManager: 'second', force: true });
    await client.apply(configMap('applied', { data: { b: '1' } }), { fieldManager: 'first' });
    expect((await client.get(configMapOf('applied')))['data']).toEqual({ a: '2', b: '1', c: '3' });
  });

  test('writes status apart from the rest', async () => {
    const connection: KubernetesObject = {
      apiVersion: 'postern.dev/v1alpha1',
      kind: 'DatabaseConnection',
      metadata: { name: 'shop', namespace },
      spec: { engine: 'Postgres', host: 'db', database: 'shop', credentials: { secretRef: { name: 'x' } } },
    };
    const created = await client.apply(connection, { fieldManager: 'author' });
    const condition = {
      type: 'Ready',
      status: 'Unknown',
      reason: 'Reconciling',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const status = { observedGeneration: 1, conditions: [condition] };
    await client.patchStatus(
      { ...created, spec: { host: 'other' }, status },
      { fieldManager: 'operator', force: true },
    );
    const read = await client.get({ ...connection, namespace, name: 'shop' });
    expect(read['status']).toMatchObject({ observedGeneration: 1 });
    expect(read['spec']).toMatchObject({ host: 'db' });
    expect(read.metadata.generation).toBe(1);
  });

  test('replaces only the version that was read, and deletes only the object that is meant', async () => {
    const first = await client.create(configMap('versioned'));
    await client.replace({ ...first, data: { a: '1' } });
    await expect(client.replace({ ...first, data: { a: '2' } })).rejects.toMatchObject({ status: 409 });
    await expect(client.delete(configMapOf('versioned'), { uid: randomUUID() })).rejects.toMatchObject({ status: 409 });
    await client.delete(configMapOf('versioned'), { uid: first.metadata.uid ?? '' });
    await client.delete(configMapOf('versioned'));
    expect(await client.find(configMapOf('versioned'))).toBeUndefined();
  });

  test('a token review names the account only for the audience that the token was made for', async () => {
    await client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent', namespace } });
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/agent/token`;
    const spec = { audiences: ['postern.dev/operator'], expirationSeconds: 600 };
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    const made = await client.request<{ status: { token: string } }>('POST', path, { body });
    const review = await client.createTokenReview(made.status.token, 'postern.dev/operator');
    expect(review).toMatchObject({ authenticated: true, username: `system:serviceaccount:${namespace}:agent` });
    expect(await client.createTokenReview(made.status.token, 'postern.dev/collector')).toMatchObject({
      authenticated: false,
    });
    expect(await client.createTokenReview('nonsense', 'postern.dev/operator')).toMatchObject({ authenticated: false });
  });
});

describe('a reflector', () => {
  test('follows a labelled part of a collection, also when objects leave it', { timeout: 30_000 }, async () => {
    const labels = { 'kube-test': 'yes' };
    const put = async (name: string, value: string, labelled = true): Promise<void> => {
      const metadata = { name, namespace, labels: labelled ? labels : {} };
      await client.apply({ ...configMap(name), metadata, data: { value } }, { fieldManager: 'test', force: true });
    };
    for (let i = 0; i < 5; i++) await put(`seen-${i}`, '1');
    await put('unseen', '1', false);
    const told: string[] = [];
    const reflector = new Reflector({
      client,
      path: collectionPath({ apiVersion: 'v1', kind: 'ConfigMap', namespace }),
      labelSelector: 'kube-test=yes',
      onChange: (key, object) => told.push(`${key} ${object === undefined ? 'gone' : 'there'}`),
      log: quietLog,
      times: { watchSecondsMin: 1, watchSecondsMax: 2 },
    });
    reflector.start();
    await until(() => reflector.hasSynced(), 'the first list');
    const names = (): readonly string[] => reflector.list().map((item) => item.metadata.name);
    expect([...names()].sort()).toEqual(['seen-0', 'seen-1', 'seen-2', 'seen-3', 'seen-4']);
    await put('seen-1', '2');
    await until(
      () => JSON.stringify(reflector.get(`${namespace}/seen-1`)?.['data']) === '{"value":"2"}',
      'the changed one',
    );
    await put('seen-2', '1', false);
    await client.delete(configMapOf('seen-3'));
    await put('unseen', '2');
    await until(() => names().length === 4 && names().includes('unseen'), 'those that left and came');
    expect(told).toContain(`${namespace}/seen-2 gone`);
    expect(told).toContain(`${namespace}/seen-3 gone`);
    // The server has ended the watch by now, at least once: it goes on.
    await new Promise((resolve) => {
      setTimeout(resolve, 2500);
    });
    await put('late', '1');
    await until(() => names().includes('late'), 'an event after the server ended the watch');
    await reflector.stop();
  });
});

describe('leader election', () => {
  const times = { leaseMs: 1500, renewDeadlineMs: 1000, retryMs: 200 };

  function elector(identity: string, name: string, events: string[]): LeaderElector {
    return new LeaderElector({
      client,
      namespace,
      name,
      identity,
      log: quietLog,
      times,
      onStartedLeading: () => events.push(`${identity} leads`),
      onLost: () => events.push(`${identity} lost`),
    });
  }

  test('one of two leads; when it stops the other leads at once', async () => {
    const events: string[] = [];
    const first = elector('one', 'handed-over', events);
    first.start();
    await until(() => first.isLeader(), 'the first leads');
    const second = elector('two', 'handed-over', events);
    second.start();
    await new Promise((resolve) => {
      setTimeout(resolve, 2500);
    });
    expect(second.isLeader()).toBe(false);
    const begun = performance.now();
    await first.stop();
    await until(() => second.isLeader(), 'the second leads');
    expect(performance.now() - begun).toBeLessThan(times.leaseMs);
    expect(events).toEqual(['one leads', 'two leads']);
    const lease = await client.get({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      namespace,
      name: 'handed-over',
    });
    expect(lease['spec']).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
    await second.stop();
  });

  test('two that begin at the same moment: one leads', async () => {
    const events: string[] = [];
    const both = [elector('left', 'race', events), elector('right', 'race', events)];
    for (const one of both) one.start();
    await until(() => both.some((one) => one.isLeader()), 'one leads');
    await new Promise((resolve) => {
      setTimeout(resolve, 1000);
    });
    expect(both.filter((one) => one.isLeader())).toHaveLength(1);
    await Promise.all(both.map(async (one) => await one.stop()));
  });

  test('a leader whose lease somebody else took says so and leads no more', async () => {
    const events: string[] = [];
    const leader = elector('robbed', 'taken', events);
    leader.start();
    await until(() => leader.isLeader(), 'it leads');
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/taken`;
    const body = { spec: { holderIdentity: 'thief' } };
    await client.request('PATCH', path, { body, contentType: 'application/merge-patch+json' });
    await until(() => events.includes('robbed lost'), 'it noticed');
    expect(leader.isLeader()).toBe(false);
    await leader.stop();
    expect((await client.request<KubernetesObject>('GET', path))['spec']).toMatchObject({ holderIdentity: 'thief' });
  });

  test('a leader that reaches the API server no more gives up before its lease can be taken', async () => {
    let isCut = false;
    // The API server itself stays: only this elector's way to it is cut.
    const request: ClusterClient['request'] = async (method, path, options) => {
      if (isCut) throw new ApiUnreachable('cut off');
      return await client.request(method, path, options);
    };
    const events: string[] = [];
    const common = { namespace, name: 'cut-off', log: quietLog, times };
    const onLost = (): void => void events.push('lost');
    const onStartedLeading = (): void => void events.push('leads');
    const leader = new LeaderElector({ ...common, client: { request }, identity: 'cut', onLost, onStartedLeading });
    leader.start();
    await until(() => leader.isLeader(), 'it leads');
    const heir = elector('heir', 'cut-off', events);
    heir.start();
    isCut = true;
    await until(() => heir.isLeader(), 'the heir leads');
    expect(events).toEqual(['leads', 'lost', 'heir leads']);
    expect(leader.isLeader()).toBe(false);
    await Promise.all([leader.stop(), heir.stop()]);
  });

  test('a lease whose holder died is taken after its time', async () => {
    const events: string[] = [];
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 15, renewTime: '2099-01-01T00:00:00.000000Z' };
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'orphan', namespace },
      spec,
    };
    await client.create(lease);
    const heir = elector('heir', 'orphan', events);
    const begun = performance.now();
    heir.start();
    await until(() => heir.isLeader(), 'the heir leads');
    expect(performance.now() - begun).toBeGreaterThan(times.leaseMs - 50);
    await heir.stop();
  });
});

const seriesCount = (item: KubernetesObject): number | undefined =>
  (item['series'] as { count?: number } | undefined)?.count;

const recorderOn = (on: Pick<ClusterClient, 'create' | 'mergePatch'>): EventRecorder =>
  new EventRecorder({
    client: on,
    controller: 'postern.dev/operator',
    instance: 'test',
    log: quietLog,
    seriesIntervalMs: 200,
  });

describe('events', () => {
  test('the same event is counted as a series, a different one is written', async () => {
    const recorder = recorderOn(client);
    const subject = await client.create(configMap('eventful'));
    const regarding = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace,
      name: 'eventful',
      uid: subject.metadata.uid ?? '',
    };
    const event = { regarding, type: 'Warning', reason: 'SecretForbidden', action: 'Reconcile', note: 'no' } as const;
    for (let i = 0; i < 25; i++) {
      recorder.record(event);
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
    }
    recorder.record({ ...event, type: 'Normal', reason: 'Ready', note: 'x'.repeat(5000) });
    const path = collectionPath({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace });
    const read = async (): Promise<readonly KubernetesObject[]> => (await client.list(path)).items;
    const counted = async (): Promise<boolean> => (await read()).some((item) => seriesCount(item) === 25);
    await until(counted, 'the series of 25');
    const items = await read();
    expect(items.map((item) => `${String(item['reason'])} ${seriesCount(item) ?? 'once'}`).toSorted()).toEqual([
      'Ready once',
      'SecretForbidden 25',
    ]);
    expect(items.find((item) => item['reason'] === 'Ready')?.['note']).toMatch(/^x{1021}…$/);
    await recorder.stop();
  });

  const lost = (): Error => new ApiUnreachable('the answer was lost');
  const faults: readonly {
    readonly what: string;
    readonly create?: readonly (Error | undefined)[];
    readonly patch?: readonly (Error | undefined)[];
  }[] = [
    { what: 'the answer to its creation is lost', create: [lost()] },
    { what: 'the answer to its creation is lost twice', create: [lost(), lost()] },
    { what: 'it is said not to be there though it is', patch: [new ApiError(404, 'NotFound', 'not found')] },
    { what: 'the answer to its count is lost', patch: [lost()] },
  ];
  for (const [index, { what, create = [], patch = [] }] of faults.entries()) {
    test(`one is written once, and counted, where ${what}`, async () => {
      const reason = `Fault${index}`;
      const name = `fault-${index}`;
      const subject = await client.create(configMap(name));
      const creations = [...create];
      const patches = [...patch];
      const recorder = recorderOn({
        create: async (object) => {
          const answer = await client.create(object).catch((error: unknown) => error);
          const fault = creations.shift();
          if (fault !== undefined) throw fault;
          if (answer instanceof Error) throw answer;
          return answer as KubernetesObject;
        },
        mergePatch: async (reference, body) => {
          const fault = patches.shift();
          if (fault !== undefined) throw fault;
          return await client.mergePatch(reference, body);
        },
      });
      const regarding = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name, uid: subject.metadata.uid ?? '' };
      const event = { regarding, type: 'Normal', reason, action: 'Reconcile', note: 'no' } as const;
      const path = collectionPath({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace });
      const written = async (): Promise<readonly KubernetesObject[]> =>
        (await client.list(path)).items.filter((item) => item['reason'] === reason);
      recorder.record(event);
      await until(async () => (await written()).length > 0, 'the event');
      recorder.record(event);
      const counted = async (): Promise<boolean> => (await written()).some((item) => seriesCount(item) === 2);
      await until(counted, 'the series of 2');
      expect(await written()).toHaveLength(1);
      expect([...creations, ...patches]).toEqual([]);
      await recorder.stop();
    });
  }

  test('one that the API server forgot is written again, with its count', async () => {
    const subject = await client.create(configMap('forgotten'));
    const recorder = recorderOn(client);
    const uid = subject.metadata.uid ?? '';
    const regarding = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'forgotten', uid };
    const event = { regarding, type: 'Normal', reason: 'Forgotten', action: 'Reconcile', note: 'no' } as const;
    const kind = { apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace } as const;
    const written = async (): Promise<readonly KubernetesObject[]> =>
      (await client.list(collectionPath(kind))).items.filter((item) => item['reason'] === 'Forgotten');
    recorder.record(event);
    await until(async () => (await written()).length === 1, 'the event');
    for (const item of await written()) await client.delete({ ...kind, name: item.metadata.name });
    expect(await written()).toEqual([]);
    recorder.record(event);
    await until(async () => (await written()).length === 1, 'the event again');
    expect(await written()).toMatchObject([{ series: { count: 2 } }]);
    await recorder.stop();
  });
});
