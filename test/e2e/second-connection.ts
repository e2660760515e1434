/** A second connection to the same database, with Secrets and a policy of its own. */
import { kubectl } from '../cluster/programs.ts';
import { apply, DATA, get, type KubernetesObject } from './cluster.ts';
import { sampleConnection, samplePolicy } from './samples.ts';

/** `spec`: what differs from the sample's connection; `tables`: from its policy. */
export async function applySecondConnection(
  name: string,
  spec: Readonly<Record<string, unknown>>,
  tables: readonly Readonly<Record<string, unknown>>[] = samplePolicy().spec.tables,
): Promise<void> {
  const connection = sampleConnection() as KubernetesObject & { readonly spec: object };
  const policy = samplePolicy();
  await apply(
    await copyOfSecret('shop-agent', `${name}-agent`, name),
    await copyOfSecret('shop-ca', `${name}-ca`, name),
    {
      ...connection,
      metadata: { name, namespace: DATA },
      spec: {
        ...connection.spec,
        credentials: { secretRef: { name: `${name}-agent` } },
        tls: { mode: 'VerifyFull', caSecretRef: { name: `${name}-ca`, key: 'ca.crt' } },
        ...spec,
      },
    },
    {
      ...policy,
      metadata: { name, namespace: DATA },
      spec: { ...policy.spec, connectionRef: { name }, tables },
    },
  );
}

export async function removeSecondConnection(name: string): Promise<void> {
  await kubectl(
    ...['--namespace', DATA, 'delete', '--ignore-not-found'],
    ...[`databaseaccesspolicy/${name}`, `databaseconnection/${name}`, `secret/${name}-agent`, `secret/${name}-ca`],
  );
}

/** A Secret is for one connection, by its label. */
async function copyOfSecret(from: string, name: string, connection: string): Promise<KubernetesObject> {
  const { data } = await get('secret', DATA, from);
  const metadata = { name, namespace: DATA, labels: { 'postern.dev/connection': connection } };
  return { apiVersion: 'v1', kind: 'Secret', metadata, data };
}
