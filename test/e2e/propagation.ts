/**
 * `node test/e2e/propagation.ts [PODS] [ROUNDS] [MINUTES]`: how long a stricter policy takes from `kubectl apply` until every agent sees it,
 * and what the operator asks of the API server meanwhile; on the cluster of KUBECONFIG, where test:e2e or hack/kind has installed the chart and
 * its samples and an agent pod called `agent` runs.
 */
import { Agent } from './agent.ts';
import { AGENTS, apply } from './cluster.ts';
import { samplePolicy } from './samples.ts';
import { measureApiLoad, measurePropagation, percentile, startFleet, stopFleet } from './scale.ts';

const [pods, rounds, minutes] = [process.argv[2] ?? '20', process.argv[3] ?? '30', process.argv[4] ?? '5'].map(Number);
if (!pods || !rounds || !minutes) throw new Error('usage: node test/e2e/propagation.ts [PODS] [ROUNDS] [MINUTES]');
try {
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
  const { perMinute, perPodMinute } = await measureApiLoad(new Agent(AGENTS, 'agent'), pods, minutes);
  console.log(`${delays.length} samples, ${pods} pods, ${rounds} rounds`);
  console.log(`API calls for each pod a minute: ${perPodMinute.toFixed(2)}`, perMinute);
} finally {
  await stopFleet();
  await apply(samplePolicy());
}
