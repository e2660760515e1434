import { run, succeed } from '../cluster/programs.ts';
import { AGENTS, apply, DATA, type KubernetesObject, LAB, RELEASE, SYSTEM } from './cluster.ts';

/** Removes what an earlier run has left; makes the namespaces of the two teams. */
export async function setup(): Promise<void> {
  // To run one file again on what stands.
  if (process.env['POSTERN_E2E_KEEP'] !== undefined) return;
  await run('helm', ['uninstall', RELEASE, '--namespace', SYSTEM, '--ignore-not-found', '--wait', '--timeout=2m']);
  await succeed('kubectl', [
    ...['delete', 'namespace', SYSTEM, DATA, AGENTS, LAB, '--ignore-not-found', '--timeout=120s'],
  ]);
  await apply(
    namespace(DATA, {}),
    // The agents' namespace takes nothing that Pod Security calls unsafe: neither do we need that.
    namespace(AGENTS, { 'pod-security.kubernetes.io/enforce': 'restricted' }),
    namespace(LAB, {}),
    ...['support-bot', 'ops-bot', 'stranger'].map((name) => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace: AGENTS },
    })),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'support-bot', namespace: LAB } },
  );
}

function namespace(name: string, labels: Readonly<Record<string, string>>): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}
