import { describe, expect, test } from 'vitest';
import { kubectl } from '../cluster/programs.ts';
import { Agent, agentJob, startAgent } from './agent.ts';
import { AGENTS, apply, DATA, eventually, get, helmInstall, IMAGE, list, SYSTEM } from './cluster.ts';

describe('the chart is upgraded under a running labelled Job', () => {
  test('which completes, asking all the while', { timeout: 300_000 }, async () => {
    const script = [
      'until psql -Atc "SELECT 1" >/dev/null 2>&1; do sleep 0.5; done',
      'touch /tmp/started',
      'while [ ! -e /tmp/stop ]; do psql -Atc "SELECT 1 FROM products LIMIT 1" > /dev/null || echo failed; sleep 0.5; done',
      'echo done',
    ].join('\n');
    await apply(agentJob({ name: 'through-upgrade', script }));
    const pod = await eventually('the Job has a pod that asks', async () => {
      const [found] = await list('pods', '--namespace', AGENTS, '--selector=job-name=through-upgrade');
      const name: string | undefined = found?.metadata.name;
      if (name === undefined) return undefined;
      return (await new Agent(AGENTS, name).run('test', '-e', '/tmp/started')).code === 0 ? name : undefined;
    });
    await helmInstall(`image.tag="${IMAGE.nextTag}"`, 'sidecar.resources.requests={"cpu":"20m","memory":"96Mi"}');
    const deployment = await get('deployment', SYSTEM, 'postern-operator');
    expect(deployment.spec.template.spec.containers[0]?.image).toBe(`${IMAGE.repository}:${IMAGE.nextTag}`);
    await new Agent(AGENTS, pod).run('touch', '/tmp/stop');
    await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Complete', 'job/through-upgrade', '--timeout=90s');
    expect(await kubectl('--namespace', AGENTS, 'logs', pod, '--container=agent')).toBe('done\n');
  });

  test('a pod made before it keeps its sidecar and is counted as outdated; a new one gets the new sidecar', {
    timeout: 120_000,
  }, async () => {
    const image = async (name: string): Promise<string | undefined> =>
      (await get('pod', AGENTS, name)).spec.initContainers[0]?.image;
    expect(await image('agent')).toBe(`${IMAGE.repository}:${IMAGE.tag}`);
    await eventually(
      'the policy counts an outdated pod',
      async () => {
        const { status } = await get('databaseaccesspolicy', DATA, 'support');
        return (status.pods?.outdated ?? 0) >= 1 ? true : undefined;
      },
      {
        timeoutMs: 90_000,
        seen: async () => JSON.stringify((await get('databaseaccesspolicy', DATA, 'support')).status),
      },
    );
    await startAgent({ name: 'agent-new' });
    expect(await image('agent-new')).toBe(`${IMAGE.repository}:${IMAGE.nextTag}`);
    await kubectl('--namespace', AGENTS, 'delete', 'pod', 'agent-new', '--wait=false');
  });
});
