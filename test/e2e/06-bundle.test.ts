import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleConfigMapName } from '#bundle/config-map.ts';
import { kubectl, run, succeed } from '../cluster/programs.ts';
import { Agent, agentPod } from './agent.ts';
import { AGENTS, apply, eventually, type Found, get, list, SYSTEM, wouldCreate } from './cluster.ts';
import { policyWithCustomers, samplePolicy } from './samples.ts';

const agent = new Agent(AGENTS, 'agent');
const NAME = bundleConfigMapName('data', 'shop');
const CITY = 'SELECT DISTINCT city FROM customers';

/** A policy whose view says by itself which edition it is. */
async function applyEdition(value: string): Promise<void> {
  await apply(policyWithCustomers({ mask: [{ columns: ['city'], with: { method: 'Constant', value } }] }));
}

const bundle = async (): Promise<Found> => get('configmap', AGENTS, NAME);

/** As an administrator who has taken the guard away: what no editor of the namespace can do. */
async function write(patch: unknown): Promise<void> {
  await kubectl('--namespace', AGENTS, 'patch', 'configmap', NAME, '--type=merge', `--patch=${JSON.stringify(patch)}`);
}

/** Has the kubelet look at the pod's volumes now, instead of within a minute. */
async function deliver(pod: string): Promise<void> {
  await kubectl('--namespace', AGENTS, 'annotate', '--overwrite', 'pod', pod, `e2e/poke=${Date.now()}`);
}

/** How many bundles the sidecar says it has refused. */
async function refusals(): Promise<number> {
  return Number(/^postern_bundle_rejected_total\{[^}]*\} (\d+)/m.exec(await agent.metrics())?.[1] ?? '0');
}

async function refusedMoreThan(before: number): Promise<void> {
  await eventually('the sidecar has refused it', async () => ((await refusals()) > before ? true : undefined), {
    seen: async () => agent.metrics(),
  });
}

async function startOperator(): Promise<void> {
  await kubectl('--namespace', SYSTEM, 'scale', 'deployment/postern-operator', '--replicas=2');
  await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-operator', '--timeout=90s');
  // Ready is not yet reached: the Service's rules follow a moment later.
  let last = '';
  await eventually(
    'labelled pods can be made',
    async () => {
      last = await wouldCreate(agentPod({ name: 'probe' }));
      return last === 'created' || undefined;
    },
    { seen: async () => last },
  );
}

const HOLD = { apiVersion: 'admissionregistration.k8s.io/v1', metadata: { name: 'e2e-hold-bundle' } };

/** Nobody can change or remove the bundle, the operator neither: an attacker who is always faster. */
async function holdBundle(): Promise<void> {
  const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE', 'DELETE'], resources: ['configmaps'] };
  await apply(
    {
      ...HOLD,
      kind: 'ValidatingAdmissionPolicy',
      spec: {
        matchConstraints: { resourceRules: [rule] },
        matchConditions: [
          { name: 'bundle', expression: `request.namespace == '${AGENTS}' && request.name == '${NAME}'` },
        ],
        validations: [{ expression: 'false', message: 'held' }],
      },
    },
    {
      ...HOLD,
      kind: 'ValidatingAdmissionPolicyBinding',
      spec: { policyName: HOLD.metadata.name, validationActions: ['Deny'] },
    },
  );
  await eventually('the bundle is held', async () => {
    const { stderr } = await run('kubectl', ['delete', '--dry-run=server', '--namespace', AGENTS, 'configmap', NAME]);
    return stderr.includes('held') || undefined;
  });
}

async function releaseBundle(): Promise<void> {
  for (const kind of ['validatingadmissionpolicybinding', 'validatingadmissionpolicy'])
    await kubectl('delete', kind, HOLD.metadata.name);
}

const GUARDS = 'validatingadmissionpolicybindings.admissionregistration.k8s.io';
let guards = '';

describe("with its guard in place the bundle is the operator's alone", () => {
  test.each([
    ['tampered with', { binaryData: { 'bundle.jws.gz': 'AAAA' } }],
    ['frozen', { immutable: true }],
    ['given away', { metadata: { labels: { 'app.kubernetes.io/managed-by': 'somebody' } } }],
  ])('it cannot be %s, not even by an administrator', async (_, patch) => {
    const { code, stderr } = await run('kubectl', [
      ...['--namespace', AGENTS, 'patch', 'configmap', NAME],
      ...['--type=merge', `--patch=${JSON.stringify(patch)}`],
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('ValidatingAdmissionPolicy');
  });
});

describe('without the guard, and with the operator away', () => {
  let first: Found;

  beforeAll(async () => {
    await applyEdition('first');
    await agent.sees(CITY, 'first', 15_000);
    first = await bundle();
    await applyEdition('second');
    await agent.sees(CITY, 'second', 15_000);
    const found = (await list(GUARDS)).filter(({ metadata }) => metadata.name.startsWith('postern'));
    guards = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: found });
    await kubectl('delete', GUARDS, ...found.map(({ metadata }) => metadata.name));
    await kubectl('--namespace', SYSTEM, 'scale', 'deployment/postern-operator', '--replicas=0');
    await eventually('the operator has stopped', async () => {
      const pods = await list('pods', '--namespace', SYSTEM, '--selector=app.kubernetes.io/component=operator');
      return pods.length === 0 ? true : undefined;
    });
  });

  afterAll(async () => {
    await succeed('kubectl', ['replace', '--force', '--filename', '-'], guards);
    await startOperator();
  });

  test('a bundle that is tampered with is refused by the sidecar: the last good one stays, and its metric says so', async () => {
    const before = await refusals();
    const { binaryData } = await bundle();
    const bytes = Buffer.from(binaryData['bundle.jws.gz'] ?? '', 'base64');
    bytes.writeUInt8((bytes.at(-10) ?? 0) ^ 0xff, bytes.length - 10);
    await write({ binaryData: { 'bundle.jws.gz': bytes.toString('base64') } });
    await deliver('agent');
    await refusedMoreThan(before);
    expect(await agent.ask(CITY)).toBe('second');
  });

  test('a bundle of an older generation is refused: a wider view does not come back', async () => {
    const before = await refusals();
    await write({ binaryData: first.binaryData, data: first.data });
    await deliver('agent');
    await refusedMoreThan(before);
    expect(await agent.ask(CITY)).toBe('second');
  });

  test('a bundle that is deleted changes nothing', async () => {
    await kubectl('--namespace', AGENTS, 'delete', 'configmap', NAME);
    await deliver('agent');
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(await agent.ask(CITY)).toBe('second');
  });

  test('one that is replayed to a fresh pod is refused too, an Event says so, and once it can the operator puts it right', {
    timeout: 240_000,
  }, async () => {
    await apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: NAME, namespace: AGENTS, labels: first.metadata.labels ?? {} },
      binaryData: first.binaryData,
      data: first.data,
    });
    await holdBundle();
    const fresh = new Agent(AGENTS, 'fresh');
    const answers = new Set<string>();
    const until = async (what: string, wanted: (answer: string) => boolean): Promise<true> =>
      eventually(
        what,
        async () => {
          const answer = await fresh.ask(CITY);
          answers.add(answer);
          return wanted(answer) || undefined;
        },
        { timeoutMs: 90_000, everyMs: 100, seen: async () => [...answers].join('\n') },
      );
    try {
      await startOperator();
      await apply(agentPod({ name: 'fresh' }));
      await until('the fresh pod has refused the bundle', (answer) => answer.includes('are refused (OlderGeneration)'));
      await eventually('an Event says so', async () => {
        const events = await list('events.events.k8s.io', '--namespace', AGENTS);
        return events.some(({ reason }) => reason === 'BundleRefused') || undefined;
      });
      expect(await agent.ask(CITY)).toBe('second');
    } finally {
      await releaseBundle();
    }
    await until('the fresh pod sees the present edition', (answer) => answer === 'second');
    expect([...answers]).not.toContain('first');
    await kubectl('--namespace', AGENTS, 'delete', 'pod', 'fresh', '--wait=false');
  });
});

describe('afterwards', () => {
  test('the policy as it stands in Git holds again', async () => {
    await apply(samplePolicy());
    await agent.sees('SELECT count(DISTINCT city) > 1 FROM customers', 't', 60_000);
    expect(await agent.restarts()).toBe(0);
  });
});
