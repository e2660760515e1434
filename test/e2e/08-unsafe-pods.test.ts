import { describe, expect, test } from 'vitest';
import { agentPod } from './agent.ts';
import { DATA, type KubernetesObject, LAB, wouldCreate } from './cluster.ts';

/** What a pod has besides; `container` goes into the agent's container. */
interface Change {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly container?: Readonly<Record<string, unknown>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly namespace?: string;
}

/** A good pod in a namespace that Pod Security does not watch over, changed in one thing. */
function pod({ spec, container, labels, annotations, namespace = LAB }: Change): KubernetesObject {
  const serviceAccount = namespace === DATA ? 'default' : 'support-bot';
  const good = agentPod({ name: 'unsafe', namespace, serviceAccount });
  return {
    ...good,
    metadata: {
      ...good.metadata,
      labels: labels ?? good.metadata.labels,
      annotations: annotations ?? good.metadata.annotations,
    },
    spec: { ...good.spec, ...spec, containers: [{ ...good.spec.containers[0], ...container }] },
  };
}

const SECRET_KEY = { name: 'shop-agent', key: 'password' };
const volume = (source: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  volumes: [{ name: 'added', ...source }],
});

const OPERATOR_TOKEN = { sources: [{ serviceAccountToken: { audience: 'postern.dev/operator', path: 't' } }] };
const CONNECTIONS = 'postern.dev/connections';

const UNSAFE: readonly (readonly [string, Change, RegExp])[] = [
  ['shareProcessNamespace', { spec: { shareProcessNamespace: true } }, /shareProcessNamespace/],
  ["the host's processes", { spec: { hostPID: true } }, /hostPID/],
  ["the host's network", { spec: { hostNetwork: true } }, /hostNetwork/],
  ["the host's IPC", { spec: { hostIPC: true } }, /hostIPC/],
  ['a path of the host', { spec: volume({ hostPath: { path: '/' } }) }, /hostPath/],
  ['a privileged container', { container: { securityContext: { privileged: true } } }, /privileged/],
  ['added capabilities', { container: { securityContext: { capabilities: { add: ['SYS_PTRACE'] } } } }, /SYS_PTRACE/],
  [
    'procMount Unmasked',
    { spec: { hostUsers: false }, container: { securityContext: { procMount: 'Unmasked' } } },
    /procMount/,
  ],
  ["the sidecar's UID", { container: { securityContext: { runAsUser: 21026 } } }, /21026/],
  ["the sidecar's UID for the whole pod", { spec: { securityContext: { runAsUser: 21026 } } }, /21026/],
  [
    "the connection's Secret in its environment",
    { container: { env: [{ name: 'P', valueFrom: { secretKeyRef: SECRET_KEY } }] }, namespace: DATA },
    /shop-agent/,
  ],
  [
    "the connection's Secret as its environment",
    { container: { envFrom: [{ secretRef: { name: 'shop-agent' } }] }, namespace: DATA },
    /shop-agent/,
  ],
  [
    "the connection's Secret as a volume",
    { spec: volume({ secret: { secretName: 'shop-agent' } }), namespace: DATA },
    /shop-agent/,
  ],
  [
    "the connection's Secret in a projected volume",
    { spec: volume({ projected: { sources: [{ secret: { name: 'shop-agent' } }] } }), namespace: DATA },
    /shop-agent/,
  ],
  [
    "the connection's Secret through a CSI driver",
    { spec: volume({ csi: { driver: 'a.b', nodePublishSecretRef: { name: 'shop-agent' } } }), namespace: DATA },
    /shop-agent/,
  ],
  [
    'a container that mounts a volume of the sidecar',
    { container: { volumeMounts: [{ name: 'postern-token', mountPath: '/t' }] } },
    /postern-token/,
  ],
  ['a token for the operator', { spec: volume({ projected: OPERATOR_TOKEN }) }, /postern\.dev\/operator/],
  ['a port that the gate listens on', { container: { ports: [{ containerPort: 5432 }] } }, /5432/],
  ['a PGHOST of its own', { container: { env: [{ name: 'PGHOST', value: 'shop-db.data.svc' }] } }, /PGHOST/],
  ['the annotation without the label', { labels: {} }, /postern\.dev\/inject/],
  ['the label without the annotation', { annotations: {} }, /postern\.dev\/connections/],
  ['a connection that is no name', { annotations: { [CONNECTIONS]: 'shop' } }, /postern\.dev\/connections/],
];

describe('an unsafe pod is refused, with the reason', () => {
  test.each(UNSAFE)('%s', async (_, change, reason) => {
    const answer = await wouldCreate(pod(change));
    expect(answer).not.toBe('created');
    expect(answer).toMatch(reason);
  });

  test('the same pod without any of it is taken', async () => {
    expect(await wouldCreate(pod({}))).toBe('created');
  });

  test('one that asks for a connection that does not exist yet is taken too', async () => {
    expect(await wouldCreate(pod({ annotations: { [CONNECTIONS]: 'data/later' } }))).toBe('created');
  });

  test('and so is one that asks for nothing, however unsafe', async () => {
    expect(await wouldCreate(pod({ labels: {}, annotations: {}, spec: { hostPID: true } }))).toBe('created');
  });
});
