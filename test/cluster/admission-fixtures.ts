import { admissionContext, agentPod, injected, type Json, TEMPLATE } from '#test/admission-samples.ts';
import {
  applyAll,
  CLOSED,
  editorOf,
  ensure,
  eventually,
  OPEN,
  OPERATOR_NAMESPACE,
  OPERATOR_URL,
  OPERATOR_USER,
  podsPath,
  refuseInstalledChart,
  removePolicies,
  scopedPolicies,
  send,
} from './admission-cluster.ts';

export const BUNDLE = 'postern-data-shop-0123456789';
export const RUNNING = 'running';
export const INJECTED = 'injected-before';
export const NOW = { ...TEMPLATE, operatorUrl: OPERATOR_URL };
export const CONTEXT = admissionContext({ template: NOW });

export const namedPod = (name: string, spec: Json = {}, annotations: Json = {}): Json => {
  const pod = agentPod({ serviceAccountName: 'default', ...spec }, annotations);
  return { ...pod, metadata: { ...(pod['metadata'] as Json), generateName: undefined, name } };
};

/** A pod with a container called postern-proxy that really runs, for exec, attach and debug containers. */
const SLEEPER = ['node', '-e', 'process.on("SIGTERM", () => process.exit()); setInterval(() => {}, 1000)'];
const runningPod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: RUNNING },
  spec: {
    terminationGracePeriodSeconds: 1,
    initContainers: [
      {
        name: 'postern-proxy',
        image: 'localhost/node:26',
        restartPolicy: 'Always',
        command: SLEEPER,
        env: [{ name: 'SECRET', value: 'the-password' }],
      },
    ],
    containers: [{ name: 'agent', image: 'localhost/node:26', command: SLEEPER }],
    volumes: [{ name: 'postern-spool', emptyDir: {} }],
  },
};

/** Namespaces, an account of the stock role `edit`, running pods, then the policies; ends once they hold. */
export async function setUp(): Promise<void> {
  await refuseInstalledChart();
  for (const namespace of [OPERATOR_NAMESPACE, OPEN, CLOSED]) {
    await ensure('/api/v1/namespaces', { metadata: { name: namespace } });
  }
  for (const namespace of [OPEN, CLOSED]) {
    await ensure(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'editor' } });
    for (const [name, user] of [
      ['edit', 'editor'],
      ['operator', 'operator'],
    ]) {
      await ensure(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
        subjects:
          user === 'editor'
            ? [{ kind: 'ServiceAccount', name: 'editor', namespace }]
            : [{ kind: 'ServiceAccount', name: 'postern-operator', namespace: OPERATOR_NAMESPACE }],
      });
    }
    // The stock role cannot start debug containers; whoever may debug can.
    await ensure(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`, {
      metadata: { name: 'debug' },
      rules: [{ apiGroups: [''], resources: ['pods/ephemeralcontainers'], verbs: ['patch'] }],
    });
    await ensure(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      metadata: { name: 'debug' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'debug' },
      subjects: [{ kind: 'ServiceAccount', name: 'editor', namespace }],
    });
    await eventually('the default account', 30, async () => {
      const answer = await send('GET', `/api/v1/namespaces/${namespace}/serviceaccounts/default`);
      return answer.status === 200 ? true : undefined;
    });
    await ensure(podsPath(namespace), runningPod);
    // Injected by the previous release, and running while this one comes.
    await ensure(podsPath(namespace), injected(namedPod(INJECTED), CONTEXT, namespace));
    await ensure(`/api/v1/namespaces/${namespace}/configmaps`, bundleOf(BUNDLE));
  }
  applyAll(scopedPolicies());
  let notYet: readonly string[] = [];
  await eventually('the policies to hold', 20, async () => {
    const tries = [
      await create(CLOSED, namedPod('probe')),
      await create(CLOSED, {
        ...namedPod('probe'),
        metadata: { name: 'probe', annotations: { 'postern.dev/connections': 'a/b' } },
      }),
      await send('POST', `/api/v1/namespaces/${CLOSED}/configmaps?dryRun=All`, bundleOf('postern-probe-0123456789')),
      await send(
        'POST',
        `/api/v1/namespaces/${CLOSED}/serviceaccounts/editor/token`,
        tokenRequest('postern.dev/operator'),
      ),
      await patchPod(CLOSED, INJECTED, { metadata: { labels: { 'postern.dev/inject': 'no' } } }, '?dryRun=All'),
      await patchPod(
        CLOSED,
        RUNNING,
        debugContainer({ targetContainerName: 'postern-proxy' }),
        '/ephemeralcontainers?dryRun=All',
      ),
      await send(
        'PATCH',
        `${podsPath(CLOSED, RUNNING)}?dryRun=All`,
        { metadata: { labels: { a: 'b' } } },
        { user: OPERATOR_USER },
      ),
      await send('GET', `${podsPath(CLOSED, RUNNING)}/exec?container=postern-proxy&command=true&stdout=true`),
    ];
    notYet = tries
      .filter(({ message }) => !message.includes('ValidatingAdmissionPolicy'))
      .map(({ status, message }) => `${status} ${message}`);
    return notYet.length === 0 ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`not refused by a policy: ${notYet.join('; ')}`, { cause: error });
  });
  for (const namespace of [OPEN, CLOSED]) {
    await eventually(`${namespace}/${RUNNING} to run`, 60, async () => {
      const { body } = await send('GET', podsPath(namespace, RUNNING));
      return JSON.stringify(body).includes('"phase":"Running"') ? true : undefined;
    });
  }
}

export async function tearDown(): Promise<void> {
  await removePolicies();
  for (const namespace of [OPERATOR_NAMESPACE, OPEN, CLOSED]) await send('DELETE', `/api/v1/namespaces/${namespace}`);
}

export function bundleOf(name: string, more: Json = {}): Json {
  return { metadata: { name, labels: { 'postern.dev/connection': 'shop' } }, data: { 'keys.jws': 'e30' }, ...more };
}

export function tokenRequest(audience: string): Json {
  return { spec: { audiences: [audience], expirationSeconds: 3600 } };
}

export function debugContainer(container: Json): Json {
  return {
    spec: { ephemeralContainers: [{ name: 'debug', image: 'localhost/node:26', command: SLEEPER, ...container }] },
  };
}

export const create = (namespace: string, pod: Json): ReturnType<typeof send> =>
  send('POST', `${podsPath(namespace)}?dryRun=All`, pod, editorOf(namespace));

export const patchPod = (namespace: string, name: string, patch: unknown, suffix = ''): ReturnType<typeof send> =>
  send('PATCH', `${podsPath(namespace, name)}${suffix}`, patch, editorOf(namespace));
