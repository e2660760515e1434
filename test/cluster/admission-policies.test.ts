import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { admissionContext, injected, type Json } from '#test/admission-samples.ts';
import { agentOf, CHANGED, type Change, type Container, specOf } from './admission-attacks.ts';
import {
  CLOSED,
  editorOf,
  ensure,
  eventually,
  kubectl,
  OPEN,
  OPERATOR_USER,
  PREVIOUS_IMAGE,
  podsPath,
  send,
} from './admission-cluster.ts';
import {
  BUNDLE,
  bundleOf,
  CONTEXT,
  create,
  debugContainer,
  INJECTED,
  namedPod,
  NOW,
  patchPod,
  RUNNING,
  setUp,
  tearDown,
  tokenRequest,
} from './admission-fixtures.ts';

/**
 * Each attempt is made twice: in a namespace that the policies do not look at, where it works, and in one where it is refused. Pods are
 * what `inject` makes of a pod, since the API server of a test cluster cannot call a webhook in this process.
 */
beforeAll(setUp, 180_000);
afterAll(tearDown);

/** The attempt works where no policy looks, and is refused with this text where one does. */
async function refusedOnlyByPolicy(
  attempt: (namespace: string) => ReturnType<typeof send>,
  message: string,
): Promise<void> {
  const open = await attempt(OPEN);
  expect([open.status, open.message]).toEqual([expect.toSatisfy((status) => status === 200 || status === 201), '']);
  const closed = await attempt(CLOSED);
  expect(closed.message).toContain(message);
  expect(closed.status).toBe(403);
}

describe('a labelled pod is created as this or the previous release injects it', () => {
  test('what the injector makes is created, by this and by the previous release', async () => {
    for (const template of [NOW, { ...NOW, release: '0.0.9', image: PREVIOUS_IMAGE }]) {
      const answer = await create(CLOSED, injected(namedPod('fine'), admissionContext({ template }), CLOSED));
      expect([answer.message, answer.status]).toEqual(['', 201]);
    }
  });

  test('with several connections, an own port, own init containers, and after Istio', async () => {
    const spec = {
      initContainers: [
        {
          name: 'istio-init',
          image: 'localhost/node:26',
          securityContext: { capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
        },
        { name: 'istio-proxy', image: 'localhost/node:26', restartPolicy: 'Always' },
        { name: 'migrate', image: 'localhost/node:26' },
      ],
    };
    const annotations = { 'postern.dev/connections': 'data/shop, data/bill-2', 'postern.dev/port': '6000' };
    const answer = await create(CLOSED, injected(namedPod('fine', spec, annotations), CONTEXT, CLOSED));
    expect([answer.message, answer.status]).toEqual(['', 201]);
  });

  test.each(CHANGED)('%s: refused', async (_what, change, message) => {
    await refusedOnlyByPolicy((namespace) => {
      const pod = injected(namedPod('changed'), CONTEXT, namespace);
      change(pod);
      return create(namespace, pod);
    }, message);
  });
});

describe('a pod without the label has nothing of the sidecar', () => {
  const plain = (change: Change): Json => {
    const pod = namedPod('plain');
    pod['metadata'] = { name: 'plain' };
    change(pod);
    return pod;
  };
  test.each([
    [
      'the annotation',
      (pod) => void (pod['metadata'] = { name: 'plain', annotations: { 'postern.dev/connections': 'data/shop' } }),
      'add the label to the pod',
    ],
    [
      'a projected token',
      (pod) =>
        void (specOf(pod).volumes = [
          {
            name: 'mine',
            projected: { sources: [{ serviceAccountToken: { audience: 'postern.dev/operator', path: 'x' } }] },
          },
        ]),
      'projects a token',
    ],
    ['a container postern-proxy', (pod) => void (agentOf(pod)['name'] = 'postern-proxy'), "the sidecar's name"],
    [
      'an init container postern-proxy',
      (pod) =>
        void (specOf(pod).initContainers = [
          { name: 'postern-proxy', image: 'localhost/node:26' } as unknown as Container,
        ]),
      'lacks the label',
    ],
  ] as readonly (readonly [string, Change, string])[])('%s: refused', async (_what, change, message) => {
    await refusedOnlyByPolicy((namespace) => create(namespace, plain(change)), message);
  });

  test('any other pod is created', async () => {
    expect(
      (
        await create(
          CLOSED,
          plain(() => undefined),
        )
      ).status,
    ).toBe(201);
  });
});

describe('what was injected stays as it is while the pod runs', () => {
  test.each([
    [
      'the image of the sidecar',
      { spec: { initContainers: [{ name: 'postern-proxy', image: 'localhost/postgres:15' }] } },
      'sidecar postern-proxy of a running pod',
    ],
    ['the label', { metadata: { labels: { 'postern.dev/inject': null } } }, 'the label postern.dev/inject'],
    [
      'the connections',
      { metadata: { annotations: { 'postern.dev/connections': 'data/other' } } },
      'the annotations postern.dev/connections',
    ],
    [
      'the mark of the injection',
      { metadata: { annotations: { 'postern.dev/injected': 'x' } } },
      'the annotations postern.dev/connections',
    ],
    [
      'the port',
      { metadata: { annotations: { 'postern.dev/port': '7000' } } },
      'the annotations postern.dev/connections',
    ],
  ])('%s: refused', async (_what, patch, message) => {
    await refusedOnlyByPolicy((namespace) => patchPod(namespace, INJECTED, patch, '?dryRun=All'), message);
  });

  test('a label that comes when the pod runs already: refused, since it would do nothing', async () => {
    const patch = { metadata: { labels: { 'postern.dev/inject': 'true' } } };
    await refusedOnlyByPolicy(
      (namespace) => patchPod(namespace, RUNNING, patch, '?dryRun=All'),
      'the label postern.dev/inject',
    );
  });

  test('everything else may change, also of a pod that no release would inject so: a Job must be able to finish', async () => {
    const patch = {
      metadata: { labels: { other: 'x' }, annotations: { 'postern.dev/bundle-generation': '7' }, finalizers: [] },
    };
    for (const name of [INJECTED, RUNNING]) {
      const answer = await patchPod(CLOSED, name, patch, '?dryRun=All');
      expect([answer.message, answer.status]).toEqual(['', 200]);
    }
  });
});

describe('nobody works inside the sidecar', () => {
  test.each([
    ['targets the sidecar', { targetContainerName: 'postern-proxy' }, 'targets postern-proxy'],
    [
      'mounts the spool',
      { volumeMounts: [{ name: 'postern-spool', mountPath: '/spool' }] },
      'mounts a volume postern-*',
    ],
    ['is privileged', { securityContext: { privileged: true } }, 'is privileged'],
    ["runs as the sidecar's user", { securityContext: { runAsUser: 21026 } }, 'user 21026'],
  ])('a debug container that %s: refused', async (_what, container, message) => {
    await refusedOnlyByPolicy(
      (namespace) => patchPod(namespace, RUNNING, debugContainer(container), '/ephemeralcontainers?dryRun=All'),
      message,
    );
  });

  test('a debug container for the agent starts', async () => {
    const patch = debugContainer({ targetContainerName: 'agent' });
    const answer = await patchPod(CLOSED, RUNNING, patch, '/ephemeralcontainers?dryRun=All');
    expect([answer.message, answer.status]).toEqual(['', 200]);
  });

  const printSecret = (namespace: string, ...where: readonly string[]): ReturnType<typeof kubectl> =>
    kubectl(
      'exec',
      '-n',
      namespace,
      `--as=${editorOf(namespace).user}`,
      RUNNING,
      ...where,
      '--',
      'node',
      '-p',
      'process.env.SECRET',
    );

  test('exec into it prints its secrets, and is refused', () => {
    expect(printSecret(OPEN, '-c', 'postern-proxy')).toEqual({ ok: true, text: 'the-password\n' });
    const closed = printSecret(CLOSED, '-c', 'postern-proxy');
    expect(closed.ok).toBe(false);
    expect(closed.text).toContain('nobody works inside the sidecar postern-proxy');
  });

  test('exec without a container is exec into the agent, which stays open', () => {
    expect(printSecret(CLOSED)).toEqual({ ok: true, text: 'undefined\n' });
    expect(printSecret(CLOSED, '-c', 'agent')).toEqual({ ok: true, text: 'undefined\n' });
  });

  test('the API server itself takes no init container where none is named', async () => {
    const path = `${podsPath(OPEN, RUNNING)}/exec?command=true&stdout=true`;
    const unnamed = await send('GET', path);
    const named = await send('GET', `${path}&container=agent`);
    expect([unnamed.status, unnamed.message]).toEqual([named.status, named.message]);
  });

  test('attach to it is refused', async () => {
    const attach = (namespace: string): ReturnType<typeof send> =>
      send(
        'GET',
        `${podsPath(namespace, RUNNING)}/attach?container=postern-proxy&stdout=true`,
        undefined,
        editorOf(namespace),
      );
    // Past admission the kubelet asks for the upgrade that this plain request lacks.
    expect((await attach(OPEN)).message).toContain('Upgrade request required');
    expect((await attach(CLOSED)).message).toContain('nobody works inside the sidecar postern-proxy');
  });
});

describe('tokens for the operator come by the kubelet only', () => {
  const mint = (namespace: string, audience: string): ReturnType<typeof send> =>
    send(
      'POST',
      `/api/v1/namespaces/${namespace}/serviceaccounts/default/token`,
      tokenRequest(audience),
      editorOf(namespace),
    );

  test.each(['postern.dev/operator', 'postern.dev/collector'])(
    'an editor mints one for %s: refused',
    async (audience) => {
      await refusedOnlyByPolicy((namespace) => mint(namespace, audience), 'by the kubelet only');
    },
  );

  test('pod-bound, and beside another audience: refused', async () => {
    const { body } = await send('GET', podsPath(OPEN, RUNNING));
    const { uid } = (body as { metadata: { uid: string } }).metadata;
    const closedBody = (await send('GET', podsPath(CLOSED, RUNNING))).body as { metadata: { uid: string } };
    await refusedOnlyByPolicy(
      (namespace) =>
        send(
          'POST',
          `/api/v1/namespaces/${namespace}/serviceaccounts/default/token`,
          {
            spec: {
              audiences: ['vault', 'postern.dev/operator'],
              boundObjectRef: {
                apiVersion: 'v1',
                kind: 'Pod',
                name: RUNNING,
                uid: namespace === OPEN ? uid : closedBody.metadata.uid,
              },
            },
          },
          editorOf(namespace),
        ),
      'by the kubelet only',
    );
  });

  test('other audiences are not our business', async () => {
    expect((await mint(CLOSED, 'vault')).status).toBe(201);
  });

  test('the kubelet gets one: an injected pod mounts its volumes and starts its sidecar', async () => {
    const name = 'mounts';
    await send('DELETE', podsPath(CLOSED, name));
    await ensure(podsPath(CLOSED), injected(namedPod(name), CONTEXT, CLOSED));
    // The image is not Postern's, so the program ends; but it ran, which takes every volume.
    const statuses = await eventually('the sidecar to run', 60, async () => {
      const answer = await send('GET', podsPath(CLOSED, name));
      const text = JSON.stringify(answer.body);
      return text.includes('"containerID":"containerd://') ? text : undefined;
    });
    expect(statuses).not.toContain('"reason":"FailedMount"');
    await send('DELETE', `${podsPath(CLOSED, name)}?gracePeriodSeconds=0`);
  });
});

describe('bundles are written by the operator only', () => {
  const maps = (namespace: string, name = ''): string =>
    `/api/v1/namespaces/${namespace}/configmaps${name === '' ? '' : `/${name}`}`;
  const editor = (method: 'POST' | 'PATCH', path: string, namespace: string, body: unknown): ReturnType<typeof send> =>
    send(method, `${path}?dryRun=All`, body, editorOf(namespace));

  test.each([
    ['freezes one', { immutable: true }],
    ['edits one', { data: { 'keys.jws': 'mine' } }],
    ['takes the labels off', { metadata: { labels: null } }],
  ])('an editor %s: refused', async (_what, patch) => {
    await refusedOnlyByPolicy(
      (namespace) => editor('PATCH', maps(namespace, BUNDLE), namespace, patch),
      'by its operator only',
    );
  });

  test('an editor makes one first, by name or by label: refused', async () => {
    for (const body of [{ metadata: { name: 'postern-data-next-0123456789' } }, bundleOf('any-name')]) {
      await refusedOnlyByPolicy(
        (namespace) => editor('POST', maps(namespace), namespace, body),
        'by its operator only',
      );
    }
  });

  test('the operator writes bundles, never frozen, and nothing else there', async () => {
    const operator = { user: OPERATOR_USER };
    const written = await send(
      'PATCH',
      `${maps(CLOSED, BUNDLE)}?dryRun=All`,
      { data: { 'keys.jws': 'new' } },
      operator,
    );
    expect([written.message, written.status]).toEqual(['', 200]);
    const frozen = await send('PATCH', `${maps(CLOSED, BUNDLE)}?dryRun=All`, { immutable: true }, operator);
    expect(frozen.message).toContain('cannot be immutable');
    const other = await send('POST', `${maps(CLOSED)}?dryRun=All`, { metadata: { name: 'app-settings' } }, operator);
    expect(other.message).toContain('writes bundles and no other ConfigMaps');
  });

  test('other ConfigMaps are not our business', async () => {
    const answer = await editor('POST', maps(CLOSED), CLOSED, { metadata: { name: 'postern-docs' } });
    expect([answer.message, answer.status]).toEqual(['', 201]);
  });
});

describe("the operator's own rights over pods end at one annotation", () => {
  const operator = { user: OPERATOR_USER };
  const patch = (namespace: string, body: unknown): ReturnType<typeof send> =>
    send('PATCH', `${podsPath(namespace, RUNNING)}?dryRun=All`, body, operator);

  test('it raises that annotation', async () => {
    for (const value of ['7', null]) {
      const answer = await patch(CLOSED, { metadata: { annotations: { 'postern.dev/bundle-generation': value } } });
      expect([answer.message, answer.status]).toEqual(['', 200]);
    }
  });

  test.each([
    [
      'an image',
      { spec: { containers: [{ name: 'agent', image: 'localhost/postgres:15' }] } },
      'changes no pod but for the annotation',
    ],
    ['a label', { metadata: { labels: { app: 'x' } } }, 'changes no pod but for the annotation'],
    ['a finalizer', { metadata: { finalizers: ['example.com/x'] } }, 'changes no pod but for the annotation'],
    [
      'another annotation',
      { metadata: { annotations: { other: 'x' } } },
      'changes no annotation but postern.dev/bundle-generation',
    ],
  ])('%s: refused', async (_what, body, message) => {
    await refusedOnlyByPolicy((namespace) => patch(namespace, body), message);
  });

  test('it creates no pod', async () => {
    const pod = (): Json => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x' },
      spec: { containers: [{ name: 'a', image: 'localhost/node:26' }] },
    });
    await refusedOnlyByPolicy(
      (namespace) => send('POST', `${podsPath(namespace)}?dryRun=All`, pod(), operator),
      'patches pods and nothing else',
    );
  });
});

describe('pod security', () => {
  test('an injected pod passes restricted:latest, where the pod itself does', async () => {
    const namespace = CLOSED;
    await send('PATCH', `/api/v1/namespaces/${namespace}`, {
      metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    try {
      const spec = {
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'agent',
            image: 'localhost/node:26',
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
      };
      const answer = await create(namespace, injected(namedPod('restricted', spec), CONTEXT, namespace));
      expect([answer.message, answer.status]).toEqual(['', 201]);
      const loose = await create(namespace, injected(namedPod('loose'), CONTEXT, namespace));
      expect(loose.message).toContain('violates PodSecurity "restricted:latest"');
      expect(loose.message).not.toContain('postern-proxy');
    } finally {
      await send('PATCH', `/api/v1/namespaces/${namespace}`, {
        metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } },
      });
    }
  });
});
