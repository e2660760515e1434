import { describe, expect, test } from 'vitest';
import { kubectl, run } from '../cluster/programs.ts';
import { Agent, agentPod } from './agent.ts';
import { AGENTS, apply, asList, DATA, eventually, type Found, get, list, SYSTEM } from './cluster.ts';
import { policyWithCustomers, samplePolicy } from './samples.ts';

const agent = new Agent(AGENTS, 'agent');
const operatorPods = async (): Promise<readonly Found[]> =>
  list('pods', '--namespace', SYSTEM, '--selector=app.kubernetes.io/component=operator');

async function scale(replicas: number): Promise<void> {
  await kubectl('--namespace', SYSTEM, 'scale', 'deployment/postern-operator', `--replicas=${replicas}`);
  await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-operator', '--timeout=90s');
  if (replicas === 0) {
    await eventually('the operator has stopped', async () => ((await operatorPods()).length === 0 ? true : undefined));
  }
}

describe('the operator is killed', () => {
  test('and comes back: what runs never notices, and a policy edit reaches it again', {
    timeout: 180_000,
  }, async () => {
    const before = (await operatorPods()).map(({ metadata }) => metadata.name);
    await kubectl('--namespace', SYSTEM, 'delete', 'pods', ...before, '--grace-period=0', '--force');
    for (let at = 0; at < 5; at += 1) expect(await agent.ask('SELECT 1')).toBe('1');
    await kubectl('--namespace', SYSTEM, 'rollout', 'status', 'deployment/postern-operator', '--timeout=90s');
    const after = (await operatorPods()).map(({ metadata }) => metadata.name);
    expect(after.filter((name) => before.includes(name))).toEqual([]);
    await apply(policyWithCustomers({ mask: [{ columns: ['city'], with: { method: 'Constant', value: 'after' } }] }));
    // A Lease outlives whoever held it by 15 s.
    await agent.sees('SELECT DISTINCT city FROM customers', 'after', 40_000);
    await apply(samplePolicy());
    await agent.sees('SELECT count(DISTINCT city) > 1 FROM customers', 't');
  });
});

describe('while the operator is away', () => {
  test('what runs goes on, with new sessions too; labelled pods wait for it, others do not', {
    timeout: 240_000,
  }, async () => {
    await scale(0);
    try {
      await new Promise((resolve) => setTimeout(resolve, 20_000));
      expect(await agent.ask('SELECT count(*) > 0 FROM customers')).toBe('t');
      const labelled = await run(
        'kubectl',
        ['create', '--filename', '-'],
        asList([agentPod({ name: 'during-outage' })]),
      );
      expect(labelled.code).not.toBe(0);
      expect(labelled.stderr).toMatch(/failed calling webhook/);
      const plain = agentPod({ name: 'plain-during-outage' });
      const unlabelled = { ...plain, metadata: { name: plain.metadata.name, namespace: AGENTS } };
      await apply(unlabelled);
      await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Ready', 'pod/plain-during-outage', '--timeout=60s');
      await kubectl('--namespace', AGENTS, 'delete', 'pod', 'plain-during-outage', '--grace-period=0', '--force');
    } finally {
      await scale(2);
    }
    expect(await agent.restarts()).toBe(0);
    expect((await get('databaseaccesspolicy', DATA, 'support')).status.pods?.matched).toBeGreaterThan(0);
  });
});
