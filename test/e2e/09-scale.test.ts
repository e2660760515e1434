import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from './agent.ts';
import { AGENTS, apply } from './cluster.ts';
import { samplePolicy } from './samples.ts';
import { measureApiLoad, measurePropagation, percentile, startFleet, stopFleet } from './scale.ts';

const PODS = 20;
const ROUNDS = 10;

describe(`with ${PODS} pods`, () => {
  beforeAll(async () => startFleet(PODS));
  afterAll(async () => {
    await stopFleet();
    await apply(samplePolicy());
  });

  test('a stricter policy is enforced in each within 5 s of kubectl apply, p99', { timeout: 240_000 }, async () => {
    const delays = await measurePropagation(PODS, ROUNDS);
    const [median, p99, worst] = [percentile(delays, 0.5), percentile(delays, 0.99), percentile(delays, 1)];
    console.log(
      `propagation, ${delays.length} samples: p50 ${median.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, max ${worst.toFixed(0)} ms`,
    );
    expect(delays).toHaveLength(PODS * ROUNDS);
    expect(p99).toBeLessThan(5_000);
  });

  test('while nothing changes each pod costs at most 0.6 API calls a minute', { timeout: 240_000 }, async () => {
    const load = await measureApiLoad(new Agent(AGENTS, 'agent'), PODS, 2);
    console.log(
      `API calls of the operator a minute: ${JSON.stringify(load.perMinute)}; for each pod ${load.perPodMinute.toFixed(2)}`,
    );
    expect(load.perPodMinute).toBeLessThanOrEqual(0.6);
  });
});
