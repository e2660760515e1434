/**
 * `node test/e2e/propagation.ts [PODS] [ROUNDS] [MINUTES]`: how long a stricter policy takes from `kubectl apply` until every agent sees it,
 * and what the operator asks of the API server meanwhile; on the cluster of KUBECONFIG, where test:e2e or hack/kind has installed the chart and
 * its samples and an agent pod called `agent` runs.
 */
import { Agent } from './agent.ts';
import { AGENTS, apply } from './cluster.ts';
import { samplePolicy } from './samples.ts';
import { costOfEachPod, measureApiLoad, measurePropagation, percentile, startFleet, stopFleet } from './scale.ts';

const [pods, rounds, minutes] = [process.argv[2] ?? '20', process.argv[3] ?? '30', process.argv[4] ?? '5'].map(Number);
if (!pods || !rounds || !minutes) throw new Error('usage: node test/e2e/propagation.ts [PODS] [ROUNDS] [MINUTES]');
const agent = new Agent(AGENTS, 'agent');
try {
  const without = await measureApiLoad(agent, minutes);
  await startFleet(pods);
  const delays = await measurePropagation(pods, rounds);
  for (const [name, share] of [
    ['p50', 0.5],
    ['p90', 0.9],
    ['p99', 0.99],
    ['max', 1],
  ] as const) {
    console.log(`${name} ${percentile(delays, share).toFixed(0)} ms`);
  }
  console.log(`${delays.length} samples, ${pods} pods, ${rounds} rounds`);
  const load = await measureApiLoad(agent, minutes);
  console.log(`API calls that each pod adds in a minute: ${costOfEachPod(without, load, pods).toFixed(2)}`);
  console.log('without', Object.fromEntries(without), 'with', Object.fromEntries(load));
} finally {
  await stopFleet();
  await apply(samplePolicy());
}
