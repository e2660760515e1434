import { describe, expect, test } from 'vitest';
import { run, succeed } from '../cluster/programs.ts';
import { type Found, list, RELEASE, SYSTEM } from './cluster.ts';

const CLUSTER_KINDS = [
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'clusterroles',
  'clusterrolebindings',
  'namespaces',
];
const NAMESPACED_KINDS = [
  'deployments',
  'jobs',
  'services',
  'serviceaccounts',
  'roles',
  'rolebindings',
  'leases',
  'configmaps',
  'networkpolicies',
  'poddisruptionbudgets',
  'pods',
];

describe('uninstall', () => {
  test('leaves nothing but CRDs and keys', { timeout: 300_000 }, async () => {
    await succeed('helm', ['uninstall', RELEASE, '--namespace', SYSTEM, '--wait', '--timeout=4m']);
    // A cluster of hack/kind has a node whose name begins so, too.
    const isOfNode = (object: Found): boolean => object.metadata.namespace === 'kube-node-lease';
    const ours = (object: Found): boolean =>
      object.metadata.labels?.['app.kubernetes.io/part-of'] === 'postern' ||
      object.metadata.labels?.['app.kubernetes.io/managed-by'] === 'postern-operator' ||
      (object.metadata.name.startsWith('postern') && object.metadata.name !== SYSTEM && !isOfNode(object));
    const left: string[] = [];
    for (const kind of [...CLUSTER_KINDS, ...NAMESPACED_KINDS]) {
      const objects = await list(kind, ...(NAMESPACED_KINDS.includes(kind) ? ['--all-namespaces'] : []));
      left.push(...objects.filter(ours).map(({ metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`));
    }
    // Which generation was last, and what the keys have signed, outlives the installation.
    expect(left).toEqual([
      `configmaps ${SYSTEM}/postern-digest-public-keys`,
      `configmaps ${SYSTEM}/postern-generations`,
    ]);
    const secrets = await list('secrets', '--namespace', SYSTEM);
    expect(secrets.map(({ metadata }) => metadata.name)).toEqual(
      expect.arrayContaining(['postern-ca', 'postern-digest-key', 'postern-root-key', 'postern-signing-keys']),
    );
    expect(
      (await run('kubectl', ['get', 'crd', 'databaseconnections.postern.dev', 'databaseaccesspolicies.postern.dev']))
        .code,
    ).toBe(0);
    expect(await list('databaseaccesspolicies', '--all-namespaces')).toHaveLength(1);
  });
});
