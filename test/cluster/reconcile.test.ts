import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acceptBundle, initialState } from '#bundle/accept.ts';
import { BUNDLE_GENERATION_ANNOTATION, bundleConfigMapName } from '#bundle/config-map.ts';
import type { OpenedBundle } from '#bundle/bundle.ts';
import type { CredentialsAnswer } from '#bundle/credentials-exchange.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { EventRecorder } from '#kubernetes/event-recorder.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { admissionContextOf } from '#operator/admission-source.ts';
import { type CacheKind, Caches } from '#operator/caches.ts';
import type { OperatorDependencies } from '#operator/dependencies.ts';
import { createOperatorMetrics } from '#operator/metrics.ts';
import { Reconciler } from '#operator/reconcile/reconciler.ts';
import { readSettings } from '#operator/settings.ts';
import { TrustKeeper, trustRules } from '#operator/signing-keys/trust-keeper.ts';
import { TrustSource } from '#operator/signing-keys/trust-source.ts';
import { injected, TEMPLATE } from '#test/admission-samples.ts';
import { refuseInstalledChart } from './admission-cluster.ts';
import { makeNamespace, openClient, quietLog, until } from './client.ts';

const removals: (() => Promise<void>)[] = [];
let client: ClusterClient;
let system: string;
let data: string;
let agents: string;
let trust: TrustSource;
let caches: ScopedCaches;
let recorder: EventRecorder;
let reconciler: Reconciler;
let server: Server;
let requests = 0;

/** Other suites share the cluster: this operator sees the test's own namespaces only. */
class ScopedCaches extends Caches {
  #isOwn(object: KubernetesObject): boolean {
    return [system, data, agents].includes(object.metadata.namespace ?? '');
  }

  override get(kind: CacheKind, key: string): KubernetesObject | undefined {
    const found = super.get(kind, key);
    return found !== undefined && this.#isOwn(found) ? found : undefined;
  }

  override list(kind: CacheKind): readonly KubernetesObject[] {
    return super.list(kind).filter((object) => this.#isOwn(object));
  }
}

beforeAll(async () => {
  // Another operator would reconcile the same objects, and its guards would refuse the harm that is done here.
  await refuseInstalledChart();
  client = openClient(() => {
    requests += 1;
  });
  for (const set of [(n: string) => (system = n), (n: string) => (data = n), (n: string) => (agents = n)]) {
    const { name, remove } = await makeNamespace(client, 'reconcile');
    set(name);
    removals.push(remove);
  }
  const keeper = new TrustKeeper({
    client,
    namespace: system,
    rules: trustRules(60_000),
    externalAuthorities: () => undefined,
    log: quietLog,
    now: Date.now,
  });
  await keeper.step();
  trust = new TrustSource({ client, namespace: system, externalAuthorities: () => undefined, log: quietLog });
  trust.start();
  await until(() => trust.current() !== undefined, 'keys');
  const settings = readSettings(
    {
      ...{ namespace: system, podName: 'operator-0', service: 'postern-operator', image: TEMPLATE.image },
      ...{ imagePullPolicy: 'IfNotPresent', connectionNamespaces: data, operatorUrl: TEMPLATE.operatorUrl },
      ...{
        collectorUrl: '',
        collectorService: '',
        certificates: 'self',
        certificateDirectory: '',
        sidecarLogLevel: 'info',
      },
      ...{ sidecarResources: JSON.stringify(TEMPLATE.resources), spoolSizeLimit: '256Mi', rotationOverlap: '60' },
      ...{ webhookListen: ':0', credentialsListen: ':0', admin: ':0' },
    },
    TEMPLATE.release,
  );
  caches = new ScopedCaches({ client, connectionNamespaces: [data], log: quietLog });
  recorder = new EventRecorder({ client, controller: 'postern.dev/operator', instance: 'operator-0', log: quietLog });
  const dependencies: OperatorDependencies = {
    settings,
    client,
    caches,
    trust: () => trust.current(),
    admissionContext: () =>
      admissionContextOf({
        caches,
        template: settings.template,
        previousTemplates: () => [],
        trust: () => trust.current(),
      }),
    recorder,
    metrics: createOperatorMetrics(),
    log: quietLog,
    isLeader: () => true,
  };
  reconciler = new Reconciler(dependencies, async () => ({
    kind: 'reached',
    facts: { role: 'agent', serverVersion: '18.1', excess: ['BYPASSRLS'] },
    catalog: { kind: 'unread', message: 'there is no database' },
  }));
  caches.onChange(({ kind, key, object }) => {
    if ([system, data, agents].some((namespace) => key.startsWith(`${namespace}/`)))
      reconciler.changed(kind, key, object);
  });
  caches.start();
  reconciler.lead();
  server = createServer((incoming, response) => void reconciler.handleCredentials(incoming, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  server.close();
  await reconciler.stop();
  await Promise.all([caches.stop(), trust.stop(), recorder.stop()]);
  await Promise.all(removals.map(async (remove) => await remove()));
  client.close();
});

const API = 'postern.dev/v1alpha1';
const keySetVersion = (): number => trust.current()?.keySet.version ?? 0;
const applied = async (object: KubernetesObject): Promise<KubernetesObject> =>
  await client.apply(object, { fieldManager: 'test', force: true });

const connection = (): KubernetesObject => ({
  apiVersion: API,
  kind: 'DatabaseConnection',
  metadata: { name: 'shop', namespace: data },
  spec: {
    engine: 'Postgres',
    host: 'db.example.test',
    database: 'shop',
    credentials: { secretRef: { name: 'shop-agent' } },
  },
});

const policy = (table: Readonly<Record<string, unknown>>): KubernetesObject => ({
  apiVersion: API,
  kind: 'DatabaseAccessPolicy',
  metadata: { name: 'support', namespace: data },
  spec: {
    connectionRef: { name: 'shop' },
    subjects: [{ serviceAccount: { namespace: agents, name: 'bot' } }],
    tables: [{ name: 'public.customers', ...table }],
  },
});

const configMapReference = () => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace: agents,
  name: bundleConfigMapName(data, 'shop'),
});

/** As a fresh sidecar would take it. */
async function bundle(): Promise<OpenedBundle | undefined> {
  const found = await client.find(configMapReference());
  const { binaryData, data: texts } = (found ?? {}) as {
    binaryData?: Record<string, string>;
    data?: Record<string, string>;
  };
  const state = initialState({ namespace: data, name: 'shop' }, agents, trust.current()?.rootKeys ?? []);
  const text = binaryData?.['bundle.jws.gz'];
  const files = { bundle: text === undefined ? undefined : Buffer.from(text, 'base64'), keys: texts?.['keys.jws'] };
  const result = acceptBundle(state, files, 0);
  return result.kind === 'accepted' ? result.bundle : undefined;
}

async function bundleAfter(generation: number): Promise<OpenedBundle> {
  let found: OpenedBundle | undefined;
  await until(async () => ((found = await bundle())?.generation ?? 0) > generation, `a bundle after ${generation}`);
  if (found === undefined) throw new Error('no bundle');
  return found;
}

async function condition(kind: string, name: string, type: string): Promise<string> {
  const object = await client.find({ apiVersion: API, kind, namespace: data, name });
  const { conditions = [] } = (object?.['status'] ?? {}) as { conditions?: Record<string, unknown>[] };
  const found = conditions.find((entry) => entry['type'] === type);
  if (found === undefined || found['observedGeneration'] !== object?.metadata.generation) return '';
  return `${String(found['status'])} ${String(found['reason'])}`;
}

async function becomes(kind: string, name: string, type: string, wanted: string): Promise<void> {
  let last = '';
  await until(async () => (last = await condition(kind, name, type)) === wanted, `${kind} ${type}=${wanted}`).catch(
    (error: unknown) => {
      throw new Error(`${String(error)}; it is ${last}`);
    },
  );
}

const maskOf = (found: OpenedBundle): unknown => found.manifests.policies[0]?.spec.tables[0]?.mask;

describe('from manifests to bundles', () => {
  test('a policy without its connection says so, and nothing is published', async () => {
    await applied(policy({ mask: [{ columns: ['email'], with: { method: 'Redact' } }] }));
    await becomes('DatabaseAccessPolicy', 'support', 'Ready', 'False ConnectionNotFound');
    expect(await bundle()).toBeUndefined();
  });

  test('with the connection a bundle is published that a sidecar accepts; a missing Secret is named', async () => {
    await applied(connection());
    const first = await bundleAfter(0);
    expect(first).toMatchObject({ generation: 1, agentNamespace: agents, serviceAccounts: ['bot'] });
    await becomes('DatabaseAccessPolicy', 'support', 'Ready', 'True Published');
    await becomes('DatabaseAccessPolicy', 'support', 'Enforced', 'Unknown NoPods');
    await becomes('DatabaseConnection', 'shop', 'Ready', 'False SecretNotFound');
  });

  test('with the Secret the connection is ready, and what its role may do too much is said', async () => {
    const labels = { 'postern.dev/connection': 'shop' };
    const stringData = { username: 'agent', password: 'hunter2' };
    await client.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'shop-agent', namespace: data, labels },
      stringData,
    });
    await becomes('DatabaseConnection', 'shop', 'Ready', 'True Published');
    await becomes('DatabaseConnection', 'shop', 'Reachable', 'True LoggedIn');
    await becomes('DatabaseConnection', 'shop', 'LeastPrivilege', 'False ExcessRights');
  });

  test('an invalid edit changes nothing: what the policy said before stays, and it says why', async () => {
    const before = await bundle();
    await applied(policy({ rowFilter: "region = 'eu' AND" }));
    await becomes('DatabaseAccessPolicy', 'support', 'Ready', 'False InvalidPolicy');
    const after = await bundle();
    expect(after?.manifests.policies).toEqual(before?.manifests.policies);
    await applied(policy({ mask: [{ columns: ['email'], with: { method: 'SetNull' } }] }));
    const mended = await bundleAfter(before?.generation ?? 0);
    expect(maskOf(mended)).toEqual([{ columns: ['email'], with: { method: 'SetNull' } }]);
    await becomes('DatabaseAccessPolicy', 'support', 'Ready', 'True Published');
  });

  test.each([
    ['edited', async () => await client.mergePatch(configMapReference(), { binaryData: { 'bundle.jws.gz': 'AAAA' } })],
    ['deleted', async () => await client.delete(configMapReference())],
    [
      'frozen',
      async () =>
        await client.mergePatch(configMapReference(), { immutable: true, binaryData: { 'bundle.jws.gz': 'AAAA' } }),
    ],
  ])('a bundle that is %s is written anew with a higher generation', async (_what, harm) => {
    const before = await bundle();
    await harm();
    const after = await bundleAfter(before?.generation ?? 0);
    expect(after.manifests.policies).toEqual(before?.manifests.policies);
  });
});

describe('pods', () => {
  let token = '';

  beforeAll(async () => {
    await client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'bot', namespace: agents } });
    const context = admissionContextOf({
      caches,
      template: TEMPLATE,
      previousTemplates: () => [],
      trust: () => trust.current(),
    });
    const metadata = {
      name: 'agent',
      namespace: agents,
      labels: { 'postern.dev/inject': 'true' },
      annotations: { 'postern.dev/connections': `${data}/shop` },
    };
    // It stays Pending: no node has this name.
    const spec = {
      serviceAccountName: 'bot',
      nodeSelector: { none: 'such' },
      containers: [{ name: 'agent', image: 'agent' }],
    };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec };
    const created = await client.create(injected(pod, context, agents) as unknown as KubernetesObject);
    const path = `/api/v1/namespaces/${agents}`;
    await client.request('PATCH', `${path}/pods/agent/status`, {
      contentType: 'application/merge-patch+json',
      body: { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } },
    });
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'agent', uid: created.metadata.uid };
    const answer = await client.request<{ status: { token: string } }>('POST', `${path}/serviceaccounts/bot/token`, {
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: ['postern.dev/operator'], boundObjectRef },
      },
    });
    ({ token } = answer.status);
  });

  async function ask(
    body: Readonly<Record<string, unknown>> = {},
    bearer = token,
  ): Promise<{ readonly status: number; readonly body: CredentialsAnswer & { readonly reason?: string } }> {
    const sent = JSON.stringify({ apiVersion: API, release: '0.1.0', connections: [], ...body });
    const { port } = server.address() as AddressInfo;
    return await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${bearer}` };
      const call = httpRequest(
        { host: '127.0.0.1', port, method: 'POST', path: '/v1/credentials', headers, agent: false },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) }),
          );
        },
      );
      call.on('error', reject);
      call.end(sent);
    });
  }

  const report = (appliedGeneration: number, more: object = {}) => ({
    connections: [
      { connection: `${data}/shop`, appliedGeneration, keySetVersion: keySetVersion(), state: 'Enforcing', ...more },
    ],
  });

  test('the pod is told of the generation by its annotation', async () => {
    const { generation = 0 } = (await bundle()) ?? {};
    await until(async () => {
      const pod = await client.get({ apiVersion: 'v1', kind: 'Pod', namespace: agents, name: 'agent' });
      return (
        pod.metadata.annotations?.[BUNDLE_GENERATION_ANNOTATION] === `${data}/shop=${generation}.${keySetVersion()}`
      );
    }, 'the annotation');
  });

  test('its sidecar gets the credentials of the connection and the current generation', async () => {
    const { generation } = (await bundle()) ?? {};
    const { status, body } = await ask();
    expect(status).toBe(200);
    expect(body.connections).toEqual([
      {
        ...{
          connection: `${data}/shop`,
          status: 'Granted',
          generation,
          minimumGeneration: generation,
          keySetVersion: keySetVersion(),
        },
        credentials: { username: 'agent', password: 'hunter2' },
        maskKey: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
      },
    ]);
  });

  test('what it reports as applied is counted', async () => {
    // As a sidecar does, it reports again where a newer generation comes meanwhile.
    await until(async () => {
      await ask(report((await bundle())?.generation ?? 0));
      return (await condition('DatabaseAccessPolicy', 'support', 'Enforced')) === 'True AllPods';
    }, 'DatabaseAccessPolicy Enforced=True AllPods');
    const { status } = await client.get({
      apiVersion: API,
      kind: 'DatabaseAccessPolicy',
      namespace: data,
      name: 'support',
    });
    expect(status).toMatchObject({ pods: { matched: 1, enforcing: 1, outdated: 0 } });
    await ask(report(0, { state: 'Refused', refusal: 'OlderGeneration' }));
    await becomes('DatabaseAccessPolicy', 'support', 'Enforced', 'False BundleRefused');
  });

  test('a long poll is answered when a policy changes and when the password does', async () => {
    const known = (await ask()).body.version;
    const policyChange = ask({ knownVersion: known, waitSeconds: 30 });
    const startedMs = performance.now();
    await applied(policy({ mask: [{ columns: ['email'], with: { method: 'Email' } }] }));
    const next = (await policyChange).body;
    expect(performance.now() - startedMs).toBeLessThan(5000);
    // The generation is set down, and named, before the bundle with it is written.
    const generation = next.connections[0]?.generation ?? 0;
    expect((await bundleAfter(generation - 1)).generation).toBe(generation);
    const passwordChange = ask({ knownVersion: next.version, waitSeconds: 30 });
    await client.mergePatch(
      { apiVersion: 'v1', kind: 'Secret', namespace: data, name: 'shop-agent' },
      { stringData: { password: 'rotated' } },
    );
    expect((await passwordChange).body.connections[0]?.credentials?.password).toBe('rotated');
  });

  test('after the first request, asking costs the API server nothing', async () => {
    await ask();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const before = requests;
    for (let index = 0; index < 10; index++) await ask();
    expect(requests - before).toBeLessThanOrEqual(1);
  });

  test('a token for the API server, and none of a pod, are refused', async () => {
    const made = await client.request<{ status: { token: string } }>(
      'POST',
      `/api/v1/namespaces/${agents}/serviceaccounts/bot/token`,
      {
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: { audiences: ['postern.dev/operator'] },
        },
      },
    );
    expect(await ask({}, made.status.token)).toMatchObject({ status: 401, body: { reason: 'BadToken' } });
    expect(await ask({}, 'nonsense')).toMatchObject({ status: 401, body: { reason: 'BadToken' } });
  });

  test('a Secret that is meant for another connection is not given away', async () => {
    const reference = { apiVersion: 'v1', kind: 'Secret', namespace: data, name: 'shop-agent' };
    await client.mergePatch(reference, { metadata: { labels: { 'postern.dev/connection': 'other' } } });
    await becomes('DatabaseConnection', 'shop', 'Ready', 'False SecretForbidden');
    const { body } = await ask();
    expect(body.connections[0]).toMatchObject({ status: 'SecretForbidden' });
    expect(JSON.stringify(body)).not.toContain('rotated');
    await client.mergePatch(reference, { metadata: { labels: { 'postern.dev/connection': 'shop' } } });
    await becomes('DatabaseConnection', 'shop', 'Ready', 'True Published');
  });

  test('a request from another address than the pod has is refused', async () => {
    await client.request('PATCH', `/api/v1/namespaces/${agents}/pods/agent/status`, {
      contentType: 'application/merge-patch+json',
      body: { status: { podIP: '10.9.9.9', podIPs: [{ ip: '10.9.9.9' }] } },
    });
    await until(async () => (await ask()).status === 403, 'the refusal');
    expect((await ask()).body.reason).toBe('WrongAddress');
    await client.request('PATCH', `/api/v1/namespaces/${agents}/pods/agent/status`, {
      contentType: 'application/merge-patch+json',
      body: { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } },
    });
    await until(async () => (await ask()).status === 200, 'the answer');
  });

  test('a policy that is withdrawn takes the grant with it; the withdrawal stays while the pod uses it, and goes with the pod', async () => {
    const { generation = 0 } = (await bundle()) ?? {};
    await client.delete({ apiVersion: API, kind: 'DatabaseAccessPolicy', namespace: data, name: 'support' });
    const withdrawn = await bundleAfter(generation);
    expect(withdrawn).toMatchObject({ serviceAccounts: [], manifests: { policies: [] } });
    expect((await ask()).body.connections[0]).toMatchObject({ status: 'Forbidden', generation: withdrawn.generation });
    await client.request('DELETE', `/api/v1/namespaces/${agents}/pods/agent`, { query: { gracePeriodSeconds: 0 } });
    await until(async () => (await client.find(configMapReference())) === undefined, 'the ConfigMap is gone');
  });
});
