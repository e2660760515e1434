import { kubectl } from '../cluster/programs.ts';
import { type Agent, agentTemplate } from './agent.ts';
import { AGENTS, apply, eventually, get, list, SYSTEM } from './cluster.ts';
import { policyWithCustomers } from './samples.ts';

/**
 * Each agent asks four times a second in one long session, and prints when the answer changes: `SECONDS ANSWER`, by the node's clock. So what
 * is measured is what agents see, not what anybody reports.
 */
const WATCH = `
exec {never}<> <(:)
until psql -Atc 'SELECT 1' >/dev/null 2>&1; do sleep 1; done
while :; do
  while :; do echo 'SELECT city FROM customers LIMIT 1;'; read -rt 0.25 -u "$never"; done |
    psql --no-psqlrc --no-align --tuples-only 2>&1 |
    while read -r line; do [ "$line" = "$last" ] || { last=$line; echo "$EPOCHREALTIME $line"; }; done
  sleep 1
done
`;

const FLEET = 'app=fleet';

/** A Deployment of agents, of which each is asking. */
export async function startFleet(pods: number): Promise<void> {
  const { metadata, spec } = agentTemplate({ name: 'fleet', script: WATCH });
  await apply({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'fleet', namespace: AGENTS },
    spec: {
      replicas: pods,
      selector: { matchLabels: { app: 'fleet' } },
      template: { metadata: { ...metadata, labels: { ...metadata.labels, app: 'fleet' } }, spec },
    },
  });
  await kubectl('--namespace', AGENTS, 'rollout', 'status', 'deployment/fleet', '--timeout=240s');
  await eventually(
    'every agent of the fleet has had an answer',
    async () => ((await answers()).size === pods ? true : undefined),
    { timeoutMs: 120_000, everyMs: 2_000, seen: async () => `${(await answers()).size} of ${pods}` },
  );
}

export async function stopFleet(): Promise<void> {
  await kubectl('--namespace', AGENTS, 'delete', 'deployment', 'fleet', '--wait=false');
}

/** By pod: each answer and when it was first seen, in milliseconds. */
async function answers(): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  const text = await kubectl(
    ...['--namespace', AGENTS, 'logs', `--selector=${FLEET}`, '--container=agent', '--prefix'],
    ...['--max-log-requests=50', '--tail=5'],
  );
  const seen = new Map<string, Map<string, number>>();
  for (const [, pod = '', seconds = '', answer = ''] of text.matchAll(/^\[pod\/([^/]+)\/agent\] (\d+\.\d+) (.*)$/gm)) {
    const own = seen.get(pod) ?? new Map<string, number>();
    if (!own.has(answer)) own.set(answer, Number(seconds) * 1_000);
    seen.set(pod, own);
  }
  return seen;
}

/**
 * Milliseconds from the start of `kubectl apply` to the first answer under the new policy, for each round and pod; sorted. The clock of
 * this machine and of the nodes must agree.
 */
export async function measurePropagation(pods: number, rounds: number): Promise<readonly number[]> {
  const delays: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const value = `round-${round}-${Date.now()}`;
    const startedAt = Date.now();
    await apply(policyWithCustomers({ mask: [{ columns: ['city'], with: { method: 'Constant', value } }] }));
    const seen = await eventually(
      `every agent sees ${value}`,
      async () => {
        const found = [...(await answers()).values()].flatMap((own) => own.get(value) ?? []);
        return found.length === pods ? found : undefined;
      },
      {
        timeoutMs: 60_000,
        everyMs: 1_000,
        seen: async () => JSON.stringify([...(await answers())].map(([pod, own]) => [pod, [...own]])),
      },
    );
    delays.push(...seen.map((at) => at - startedAt));
  }
  return delays.toSorted((one, other) => one - other);
}

/** The value that this share of them does not exceed. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Requests of all operator replicas to the API server so far, by `method resource`. */
async function apiRequests(agent: Agent): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const { metadata } of await list(
    'pods',
    '--namespace',
    SYSTEM,
    '--selector=app.kubernetes.io/component=operator',
  )) {
    const address = (await get('pod', SYSTEM, metadata.name)).status.podIP ?? '';
    const text = await agent.metrics(address);
    for (const [, labels = '', value = '0'] of text.matchAll(/^postern_api_requests_total\{([^}]*)\} (\S+)$/gm)) {
      const label = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
      const key = `${label('method')} ${label('resource')}`;
      counts.set(key, (counts.get(key) ?? 0) + Number(value));
    }
  }
  return counts;
}

/** What the operator asks of the API server in a minute while nothing changes, by `method resource`. `agent`: from where its metrics are read. */
export async function measureApiLoad(agent: Agent, minutes: number): Promise<ReadonlyMap<string, number>> {
  const before = await apiRequests(agent);
  await new Promise((resolve) => setTimeout(resolve, minutes * 60_000));
  const after = await apiRequests(agent);
  return new Map([...after].map(([key, count]) => [key, (count - (before.get(key) ?? 0)) / minutes] as const));
}

/** What each of so many pods adds to that: Leases, watches begun anew and the care of keys cost the same without any pod. */
export function costOfEachPod(
  without: ReadonlyMap<string, number>,
  with_: ReadonlyMap<string, number>,
  pods: number,
): number {
  const sum = (load: ReadonlyMap<string, number>): number =>
    [...load].filter(([key]) => !key.endsWith(' leases')).reduce((total, [, count]) => total + count, 0);
  return Math.max(0, sum(with_) - sum(without)) / pods;
}
