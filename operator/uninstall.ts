/** What the operator has written goes before the chart does: bundles and Leases. Keys stay, and what tells which generation was last. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MANAGED_BY, MANAGED_BY_LABEL } from '#bundle/config-map.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import { TEMPLATE_RECORD_NAME } from './admission/template-record.ts';

export interface UninstallSettings {
  readonly namespace: string;
  /** Name of the operator's Deployment, as of its Service. */
  readonly deployment: string;
  /** How long its pods may take to stop. */
  readonly stopTimeoutMs: number;
}

const OPERATOR_PODS = 'app.kubernetes.io/name=postern,app.kubernetes.io/component=operator';
const LEASE = 'postern-operator';

/** Stops the operator, since it would write everything anew, then removes it. Throws where that cannot be done. */
export async function uninstall(client: ClusterClient, settings: UninstallSettings, log: Log): Promise<void> {
  await stopOperator(client, settings);
  const { items } = await client.list('/api/v1/configmaps', { labelSelector: `${MANAGED_BY_LABEL}=${MANAGED_BY}` });
  for (const { metadata } of items) {
    await client.delete({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      name: metadata.name,
      namespace: metadata.namespace ?? settings.namespace,
    });
  }
  const { namespace } = settings;
  await client.delete({ apiVersion: 'v1', kind: 'ConfigMap', name: TEMPLATE_RECORD_NAME, namespace });
  await client.delete({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: LEASE, namespace });
  log.info({ bundles: items.length }, 'bundles and Leases are removed; keys stay');
}

async function stopOperator(client: ClusterClient, settings: UninstallSettings): Promise<void> {
  const { namespace, deployment, stopTimeoutMs } = settings;
  await client.request('PATCH', `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}/scale`, {
    contentType: 'application/merge-patch+json',
    body: { spec: { replicas: 0 } },
  });
  const deadline = Date.now() + stopTimeoutMs;
  for (;;) {
    const { items } = await client.list(`/api/v1/namespaces/${namespace}/pods`, { labelSelector: OPERATOR_PODS });
    if (items.length === 0) return;
    if (Date.now() > deadline) {
      const names = items.map(({ metadata }) => metadata.name).join(', ');
      throw new Error(
        `the operator has not stopped within ${stopTimeoutMs / 1000} s: ${names}; delete its pods and try again`,
      );
    }
    await sleep(500);
  }
}
