import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleConfigMapName } from '#bundle/config-map.ts';
import { kubectl, run, succeed } from '../cluster/programs.ts';
import { Agent, agentPod } from './agent.ts';
import { AGENTS, apply, eventually, type Found, get, list, SYSTEM } from './cluster.ts';
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
    await kubectl('--namespace', SYSTEM, 'scale', 'deployment/postern-operator', '--replicas=2');
    await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-operator', '--timeout=90s');
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

  test('when the operator is back, a replayed and frozen bundle is put right, and a fresh pod never acts on it', {
    timeout: 180_000,
  }, async () => {
    await apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: NAME, namespace: AGENTS, labels: first.metadata.labels ?? {} },
      binaryData: first.binaryData,
      data: first.data,
      immutable: true,
    });
    await kubectl('--namespace', SYSTEM, 'scale', 'deployment/postern-operator', '--replicas=2');
    await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-operator', '--timeout=90s');
    await apply(agentPod({ name: 'fresh' }));
    const fresh = new Agent(AGENTS, 'fresh');
    const answers = new Set<string>();
    await eventually(
      'the fresh pod sees the present edition',
      async () => {
        const answer = await fresh.ask(CITY);
        answers.add(answer);
        return answer === 'second' ? true : undefined;
      },
      { timeoutMs: 90_000, everyMs: 100, seen: async () => [...answers].join('\n') },
    );
    expect([...answers]).not.toContain('first');
    await kubectl('--namespace', AGENTS, 'delete', 'pod', 'fresh', '--wait=false');
    const events = await list('events.events.k8s.io', '--namespace', AGENTS);
    expect(events.map(({ reason }) => reason)).toContain('BundleRefused');
  });
});

describe('afterwards', () => {
  test('the policy as it stands in Git holds again', async () => {
    await apply(samplePolicy());
    await agent.sees('SELECT count(DISTINCT city) > 1 FROM customers', 't', 60_000);
    expect(await agent.restarts()).toBe(0);
  });
});
