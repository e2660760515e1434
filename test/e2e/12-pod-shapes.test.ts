import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kubectl, succeed } from '../cluster/programs.ts';
import { Agent, type AgentPodSpec, agentJob, agentPod, agentTemplate, startAgent } from './agent.ts';
import { AGENTS, apply, asList, eventually, get, type KubernetesObject, list } from './cluster.ts';
import { asOwner } from './database.ts';
import { samplePolicy } from './samples.ts';
import { applySecondConnection, removeSecondConnection } from './second-connection.ts';

const CITIES = 'SELECT count(DISTINCT city) FROM customers';

beforeAll(async () => {
  await apply(samplePolicy());
  await applySecondConnection('crm', {}, [
    { name: 'public.customers', mask: [{ columns: ['city'], with: { method: 'Constant', value: 'crm' } }] },
  ]);
});

afterAll(async () => {
  await kubectl('--namespace', AGENTS, 'delete', '--ignore-not-found', 'deployment/agents', 'pod/two', 'pod/sandbox');
  await removeSecondConnection('crm');
});

describe('one pod with two connections', () => {
  test('has each on a port of its own, with its own policy', { timeout: 120_000 }, async () => {
    const two = await startAgent({ name: 'two', connections: 'data/shop,data/crm' });
    const second = async (sql: string): Promise<string> =>
      (await two.run('bash', '-c', `psql -At "$CRM_DATABASE_URL" -c "${sql}" 2>&1`)).stdout.trim();
    await eventually('the second connection answers', async () =>
      (await second('SELECT 1')) === '1' ? true : undefined,
    );
    expect(await two.ask("SELECT string_agg(DISTINCT region, ',') FROM customers")).toBe('eu');
    expect(Number(await two.ask(CITIES))).toBeGreaterThan(1);
    expect(await second('SELECT DISTINCT city FROM customers')).toBe('crm');
    expect(await second('SELECT count(*) FROM customers')).toBe(await asOwner('SELECT count(*) FROM customers'));
    expect(await second('SELECT count(*) FROM products')).toMatch(/ERROR: .*products/);
    expect((await two.run('bash', '-c', 'echo $PGPORT $CRM_DATABASE_URL')).stdout).toMatch(/^5432 postgres.*:5433\//);
  });
});

describe('a Deployment', () => {
  test('rolls to a new template, and its new pods are served', { timeout: 180_000 }, async () => {
    const deployment = (edition: string): KubernetesObject => {
      const { metadata, spec } = agentTemplate({ name: 'agents' });
      return {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'agents', namespace: AGENTS },
        spec: {
          replicas: 2,
          selector: { matchLabels: { app: 'agents' } },
          template: {
            metadata: {
              labels: { ...metadata.labels, app: 'agents' },
              annotations: { ...metadata.annotations, edition },
            },
            spec,
          },
        },
      };
    };
    for (const edition of ['one', 'two']) {
      await apply(deployment(edition));
      await kubectl('--namespace', AGENTS, 'rollout', 'status', 'deployment/agents', '--timeout=80s');
      const pods = (await list('pods', '--namespace', AGENTS, '--selector=app=agents')).filter(
        ({ metadata }) => !('deletionTimestamp' in metadata),
      );
      expect(pods).toHaveLength(2);
      for (const { metadata } of pods) await new Agent(AGENTS, metadata.name).sees('SELECT 1', '1');
    }
  });
});

describe('a pod as a sandbox controller makes it', () => {
  test('bare, owned by an object that is no workload of Kubernetes, never restarted, with a volume of its own', {
    timeout: 120_000,
  }, async () => {
    const owner = await get('configmap', AGENTS, 'kube-root-ca.crt');
    const pod = agentPod({ name: 'sandbox' });
    const [agent] = pod.spec.containers;
    await apply({
      ...pod,
      metadata: {
        ...pod.metadata,
        ownerReferences: [
          { apiVersion: 'v1', kind: 'ConfigMap', name: owner.metadata.name, uid: owner.metadata.uid, controller: true },
        ],
      } as KubernetesObject['metadata'],
      spec: {
        ...pod.spec,
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        containers: [{ ...agent, volumeMounts: [{ name: 'workspace', mountPath: '/workspace' }] }],
        volumes: [{ name: 'workspace', emptyDir: {} }],
      },
    });
    await new Agent(AGENTS, 'sandbox').sees('SELECT count(*) > 0 FROM customers', 't', 90_000);
  });
});

describe('a pod with a native sidecar of its own', () => {
  test('whose start asks the database: ours is there before it', { timeout: 120_000 }, async () => {
    const withSidecar = (spec: AgentPodSpec): AgentPodSpec => ({
      ...spec,
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [
        {
          ...spec.containers[0],
          name: 'warmer',
          restartPolicy: 'Always',
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          command: [
            'bash',
            '-c',
            'trap "exit 0" TERM; until psql -Atc "SELECT count(*) FROM products" > /shared/count; do sleep 0.5; done; touch /shared/ready; while :; do sleep 1 & wait $!; done',
          ],
          startupProbe: { exec: { command: ['test', '-e', '/shared/ready'] }, periodSeconds: 1, failureThreshold: 60 },
        },
      ],
      containers: [{ ...spec.containers[0], volumeMounts: [{ name: 'shared', mountPath: '/shared' }] }],
    });
    await apply(agentJob({ name: 'with-sidecar', script: 'cat /shared/count' }, withSidecar));
    await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Complete', 'job/with-sidecar', '--timeout=100s');
    expect((await kubectl('--namespace', AGENTS, 'logs', 'job/with-sidecar', '--container=agent')).trim()).toBe(
      await asOwner('SELECT count(*) FROM products'),
    );
  });
});

describe('admission', () => {
  test('a dry run injects, and leaves nothing behind', async () => {
    const before = await bundles();
    const answer = await succeed(
      'kubectl',
      ['create', '--dry-run=server', '--output=json', '--filename', '-'],
      asList([agentPod({ name: 'dry' })]),
    );
    expect(answer).toContain('"postern-proxy"');
    expect(await list('pods', '--namespace', AGENTS, '--field-selector=metadata.name=dry')).toEqual([]);
    expect(await bundles()).toEqual(before);
  });

  test('of a pod that was injected already changes nothing', async () => {
    const pod = agentPod({ name: 'again' });
    const create = async (object: KubernetesObject): Promise<KubernetesObject> =>
      JSON.parse(
        await succeed(
          'kubectl',
          ['create', '--dry-run=server', '--output=json', '--filename', '-'],
          JSON.stringify(object),
        ),
      ) as KubernetesObject;
    const once = await create(pod);
    const { name, namespace, labels, annotations } = once.metadata;
    const again = { ...once, metadata: { name, namespace, labels, annotations } } as KubernetesObject;
    // The token volume of the account has a random name, made anew by the API server.
    const comparable = (object: KubernetesObject): string =>
      JSON.stringify(object['spec']).replaceAll(/kube-api-access-\w+/g, 'kube-api-access');
    expect(comparable(await create(again))).toBe(comparable(once));
  });
});

async function bundles(): Promise<readonly string[]> {
  const maps = await list('configmaps', '--namespace', AGENTS);
  return maps.map(({ metadata }) => metadata.name).toSorted();
}
