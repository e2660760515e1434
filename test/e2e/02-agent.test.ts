import { describe, expect, test } from 'vitest';
import { kubectl, succeed } from '../cluster/programs.ts';
import { Agent, agentJob, startAgent } from './agent.ts';
import { AGENTS, apply, asList, eventually, get, list } from './cluster.ts';
import { asOwner } from './database.ts';

describe('a labelled agent Job', () => {
  test('runs psql on localhost and gets masked rows, is refused DROP, and finishes: the sidecar does not hold the Job', {
    timeout: 180_000,
  }, async () => {
    const script = [
      'until psql -Atc "SELECT 1" >/dev/null 2>&1; do sleep 0.5; done',
      'echo "host $PGHOST:$PGPORT user $PGUSER"',
      'echo "rows $(psql -AtF" " -c "SELECT id, email, phone, region FROM customers ORDER BY id LIMIT 2" | tr "\\n" "|")"',
      'echo "regions $(psql -Atc "SELECT string_agg(DISTINCT region, \',\') FROM customers")"',
      'psql -v VERBOSITY=verbose -c "DROP TABLE customers" 2>&1',
      'psql -v VERBOSITY=verbose -c "SELECT password_hash FROM customers" 2>&1',
      'exit 0',
    ].join('\n');
    await apply(agentJob({ name: 'first', script }));
    await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Complete', 'job/first', '--timeout=150s');
    const log = await kubectl('--namespace', AGENTS, 'logs', 'job/first', '--container=agent');
    const plain = await asOwner("SELECT email FROM customers WHERE region = 'eu' ORDER BY id LIMIT 1");
    expect(log).toContain('host 127.0.0.1:5432 user support-bot');
    expect(log).toContain(`${plain[0]}***@${plain.split('@')[1]}`);
    expect(log).not.toContain(plain);
    expect(log).toContain('regions eu\n');
    expect(log).toMatch(/ERROR: +42501: .*DROP TABLE/);
    expect(log).toMatch(/ERROR: +42703: .*password_hash/);
    expect(await asOwner('SELECT count(*) > 0 FROM customers')).toBe('t');
  });

  test('its pod finished by itself: every container ended with 0, none was restarted', async () => {
    const [pod] = await list('pods', '--namespace', AGENTS, '--selector=job-name=first');
    if (pod === undefined) throw new Error('the Job has no pod');
    expect(pod.status.phase).toBe('Succeeded');
    const states = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])].map(
      ({ name, restartCount, state }) => ({ name, restartCount, exitCode: state.terminated?.exitCode }),
    );
    expect(states).toEqual([
      { name: 'postern-proxy', restartCount: 0, exitCode: 0 },
      { name: 'agent', restartCount: 0, exitCode: 0 },
    ]);
  });
});

describe('what else is injected', () => {
  test('a bare pod: it is served too, and the policy counts it', { timeout: 120_000 }, async () => {
    await startAgent({ name: 'agent' });
    await eventually('the policy counts the pod as enforcing', async () => {
      const { status } = await get('databaseaccesspolicy', 'data', 'support');
      const { matched, enforcing } = status.pods ?? { matched: 0, enforcing: 0 };
      return enforcing >= 1 && matched === enforcing ? true : undefined;
    });
  });

  test('a pod with init containers of its own: they have the database as well', { timeout: 120_000 }, async () => {
    const mounts = { volumeMounts: [{ name: 'shared', mountPath: '/shared' }] };
    const command = [
      'bash',
      '-c',
      'until psql -Atc "SELECT count(*) FROM products" > /shared/count; do sleep 0.5; done',
    ];
    const job = agentJob({ name: 'with-init', script: 'cat /shared/count' }, (spec) => ({
      ...spec,
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [{ ...spec.containers[0], ...mounts, name: 'prepare', command }],
      containers: [{ ...spec.containers[0], ...mounts }],
    }));
    await succeed('kubectl', ['apply', '--filename', '-'], asList([job]));
    await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Complete', 'job/with-init', '--timeout=100s');
    expect((await kubectl('--namespace', AGENTS, 'logs', 'job/with-init', '--container=agent')).trim()).toBe(
      await asOwner('SELECT count(*) FROM products'),
    );
  });

  test('an agent whose account no policy names is told so, and its pod runs all the same', async () => {
    await succeed(
      'kubectl',
      ['apply', '--filename', '-'],
      asList([agentJob({ name: 'ops', serviceAccount: 'ops-bot', script: ASK })]),
    );
    await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Complete', 'job/ops', '--timeout=100s');
    expect(await kubectl('--namespace', AGENTS, 'logs', 'job/ops', '--container=agent')).toMatch(/no policy grants/);
  });

  test('an agent that the connection does not allow gets nothing: neither bundle nor password', async () => {
    await succeed(
      'kubectl',
      ['apply', '--filename', '-'],
      asList([agentJob({ name: 'stranger', serviceAccount: 'stranger', script: ASK })]),
    );
    await kubectl('--namespace', AGENTS, 'wait', '--for=condition=Complete', 'job/stranger', '--timeout=100s');
    expect(await kubectl('--namespace', AGENTS, 'logs', 'job/stranger', '--container=agent')).toMatch(
      /no policy grants|the policies of data\/shop have not come/,
    );
  });

  test('the long-running agent was never restarted', async () => {
    expect(await new Agent(AGENTS, 'agent').restarts()).toBe(0);
  });
});

/** Asks for a while, and prints the last answer. */
const ASK =
  'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; answer=$(PGOPTIONS= psql -v VERBOSITY=verbose -Atc "SELECT 1" 2>&1); done; echo "$answer"';
