import { randomBytes } from 'node:crypto';
import { ClusterClient } from '#kubernetes/cluster-client.ts';
import { loadKubeConfig } from '#kubernetes/kube-config.ts';
import type { Log } from '#kubernetes/log.ts';

/** A log for tests: what goes wrong is seen, the rest is not. */
export const quietLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A client of the cluster of KUBECONFIG. */
export function openClient(onAnswer?: (method: string, path: string, status: number) => void): ClusterClient {
  return new ClusterClient(() => loadKubeConfig(), quietLog, onAnswer);
}

/** Makes a namespace of our own; `remove` deletes it without waiting. */
export async function makeNamespace(
  client: ClusterClient,
  prefix: string,
): Promise<{ readonly name: string; readonly remove: () => Promise<void> }> {
  const name = `${prefix}-${randomBytes(3).toString('hex')}`;
  const reference = { apiVersion: 'v1', kind: 'Namespace', name };
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return { name, remove: async () => await client.delete(reference) };
}

/** Waits until something holds; rejects, naming it, where it does not within the time. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, withinMs = 15_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
