import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { loadKubeConfig } from '#kubernetes/kube-config.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { readSettings } from '#operator/settings.ts';
import { ROTATE_ANNOTATION } from '#operator/signing-keys/stored-keys.ts';
import { type RunningOperator, startOperator } from '#operator/start.ts';
import { startAdmin } from '#proxy/admin.ts';
import { makeNamespace, openClient, quietLog, until } from './client.ts';

let client: ClusterClient;
let namespace: string;
let remove: () => Promise<void>;
const running: RunningOperator[] = [];
const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

beforeAll(async () => {
  client = openClient();
  ({ name: namespace, remove } = await makeNamespace(client, 'kube-operator'));
});

afterAll(async () => {
  await Promise.all(running.map(async (operator) => await operator.close(0)));
  await client.request('DELETE', `${WEBHOOKS}/${namespace}`).catch(() => undefined);
  await remove();
  client.close();
});

async function start(podName: string): Promise<RunningOperator> {
  const settings = readSettings(
    {
      namespace,
      podName,
      service: 'postern-operator',
      image: 'localhost/postern:dev',
      imagePullPolicy: 'IfNotPresent',
      connectionNamespaces: namespace,
      operatorUrl: '',
      collectorUrl: '',
      collectorService: '',
      certificates: 'self',
      certificateDirectory: '',
      sidecarResources: '{}',
      sidecarLogLevel: 'info',
      spoolSizeLimit: '64Mi',
      rotationOverlap: '2',
      webhookListen: '127.0.0.1:0',
      credentialsListen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
    },
    '0.0.1',
  );
  const operator = await startOperator({
    settings,
    loadKubeConfig: () => loadKubeConfig(),
    serveAdmin: async ({ host, port }, sources) => await startAdmin(host, port, sources),
    log: quietLog,
    onLost: () => undefined,
  });
  running.push(operator);
  return operator;
}

async function authorities(): Promise<string> {
  const secret = await client.get({ apiVersion: 'v1', kind: 'Secret', namespace, name: 'postern-ca' });
  return Buffer.from((secret['data'] as { 'ca.crt': string })['ca.crt'], 'base64').toString('utf8');
}

interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly issuer: string;
}

/** As the API server calls: by the Service's name, trusting the caBundle alone. */
async function call(port: number, ca: string, path: string, body: string): Promise<Reply> {
  return await new Promise((resolve, reject) => {
    const servername = `postern-operator.${namespace}.svc`;
    const outgoing = request(
      { host: '127.0.0.1', port, path, method: 'POST', ca, servername, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        const socket = response.socket as TLSSocket;
        const issuer = JSON.stringify(socket.getPeerCertificate().issuer);
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text), issuer });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function reviewOf(pod: object): string {
  const request_ = {
    uid: 'review-1',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    operation: 'CREATE',
    namespace,
    userInfo: { username: 'someone' },
    object: pod,
    dryRun: true,
  };
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: request_ });
}

function agentPod(annotations: Readonly<Record<string, string>>): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'agent', namespace, labels: { 'postern.dev/inject': 'true' }, annotations },
    spec: {
      serviceAccountName: 'bot',
      containers: [{ name: 'agent', image: 'x', securityContext: { runAsUser: 1000 } }],
    },
  };
}

function webhookConfiguration(): KubernetesObject {
  const webhook = {
    name: 'pods.kube-test.postern.dev',
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Ignore',
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
    clientConfig: { service: { namespace, name: 'postern-operator', path: '/mutate-pods' } },
  };
  const apiVersion = 'admissionregistration.k8s.io/v1';
  return { apiVersion, kind: 'MutatingWebhookConfiguration', metadata: { name: namespace }, webhooks: [webhook] };
}

async function caBundle(): Promise<string> {
  const configuration = await client.request<KubernetesObject>('GET', `${WEBHOOKS}/${namespace}`);
  const [webhook] = configuration['webhooks'] as readonly { readonly clientConfig: { readonly caBundle?: string } }[];
  return Buffer.from(webhook?.clientConfig.caBundle ?? '', 'base64').toString('utf8');
}

const certificatesIn = (pem: string): number => pem.match(/BEGIN CERTIFICATE/g)?.length ?? 0;

describe('the operator against a real API server', () => {
  test('begins with nothing: keys, certificate and record are made, then it is ready', async () => {
    const operator = await start('replica-1');
    expect(operator.notReady()).toBeDefined();
    await until(() => operator.notReady() === undefined, `ready: ${operator.notReady() ?? ''}`);
    expect(operator.isLeader()).toBe(true);
    const record = await client.get({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace,
      name: 'postern-sidecar-templates',
    });
    expect(JSON.stringify(record['data'])).toContain('localhost/postern:dev');
  });

  test('a second replica uses the same keys, serves too, and does not lead', async () => {
    const operator = await start('replica-2');
    await until(() => operator.notReady() === undefined, 'ready');
    expect(operator.isLeader()).toBe(false);
    const ca = await authorities();
    expect(certificatesIn(ca)).toBe(1);
    for (const each of running) {
      const reply = await call(each.ports()?.webhook ?? 0, ca, '/mutate-pods', reviewOf(agentPod({})));
      expect(reply.status).toBe(200);
      expect(reply.body).toMatchObject({ response: { uid: 'review-1', allowed: false } });
    }
  });

  test('injects the sidecar for a connection, with the root key of the Secret', async () => {
    const ca = await authorities();
    const pod = agentPod({ 'postern.dev/connections': `${namespace}/shop` });
    const reply = await call(running[0]?.ports()?.webhook ?? 0, ca, '/mutate-pods', reviewOf(pod));
    expect(reply.body).toMatchObject({ response: { allowed: true, patchType: 'JSONPatch' } });
    const { response } = reply.body as { readonly response: { readonly patch: string } };
    const patch = Buffer.from(response.patch, 'base64').toString('utf8');
    expect(patch).toContain('"name":"postern-proxy"');
    expect(patch).toContain('localhost/postern:dev');
  });

  test.each([
    ['/mutate-pods', 'no json', 400],
    ['/mutate-pods', '{"kind":"Other"}', 400],
    ['/elsewhere', '{}', 404],
  ])('%s with %s is answered with an error, which refuses', async (path, body, status) => {
    const reply = await call(running[0]?.ports()?.webhook ?? 0, await authorities(), path, body);
    expect(reply.status).toBe(status);
  });

  test('puts the caBundle into the webhooks that name its Service, and again when it is wiped', async () => {
    await client.create(webhookConfiguration());
    await until(async () => certificatesIn(await caBundle()) === 1, 'the caBundle');
    const operations = [{ op: 'remove', path: '/webhooks/0/clientConfig/caBundle' }];
    const options = { body: operations, contentType: 'application/json-patch+json' };
    await client.request('PATCH', `${WEBHOOKS}/${namespace}`, options);
    await until(async () => certificatesIn(await caBundle()) === 1, 'the caBundle again');
  });

  test('rotates its authority: both are trusted before the new one is used, and no call fails', async () => {
    const before = await authorities();
    const port = running[1]?.ports()?.webhook ?? 0;
    const first = await call(port, before, '/mutate-pods', reviewOf(agentPod({})));
    const annotations = { [ROTATE_ANNOTATION]: 'now' };
    await client.mergePatch(
      { apiVersion: 'v1', kind: 'Secret', namespace, name: 'postern-ca' },
      { metadata: { annotations } },
    );
    await until(async () => certificatesIn(await caBundle()) === 2, 'both in the caBundle');
    let issuer = first.issuer;
    await until(
      async () => {
        const reply = await call(port, await caBundle(), '/mutate-pods', reviewOf(agentPod({})));
        expect(reply.status).toBe(200);
        ({ issuer } = reply);
        return issuer !== first.issuer;
      },
      'a certificate of the new authority',
      20_000,
    );
    await expect(call(port, before, '/mutate-pods', '{}')).rejects.toThrow(/unable to|certificate/);
  });

  test('when the leader ends the other leads at once, and still answers', async () => {
    const [leader, other] = running;
    await leader?.close(0);
    await until(() => other?.isLeader() === true, 'the other leads', 5000);
    const reply = await call(other?.ports()?.webhook ?? 0, await caBundle(), '/mutate-pods', reviewOf(agentPod({})));
    expect(reply.status).toBe(200);
    running.shift();
  });
});
