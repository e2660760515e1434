import { readFileSync } from 'node:fs';
import { createAuthority } from '../certificates.ts';
import { succeed } from '../cluster/programs.ts';
import { apply, DATA, eventually, exec, type KubernetesObject, POSTGRES_IMAGE, POSTGRES_UID } from './cluster.ts';

export const FIRST_PASSWORD = 'the-first-password-of-shop';

const START = `
set -eu
export PATH="$PATH:/usr/lib/postgresql/15/bin"
initdb --pgdata=/data/pg --username=postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 >/dev/null
cat >> /data/pg/postgresql.conf <<EOF
listen_addresses = '*'
unix_socket_directories = '/data'
ssl = on
ssl_cert_file = '/tls/tls.crt'
ssl_key_file = '/tls/tls.key'
fsync = off
max_connections = 200
EOF
echo 'local all all trust' > /data/pg/pg_hba.conf
echo 'hostssl all all all scram-sha-256' >> /data/pg/pg_hba.conf
exec postgres -D /data/pg
`;

/** A PostgreSQL server that takes nothing but TLS and SCRAM, in the namespace of the database's team, with the sample shop in it. */
export async function installDatabase(): Promise<void> {
  const host = `shop-db.${DATA}.svc`;
  const authority = createAuthority();
  const { certificatePem, keyPem } = authority.issue([host]);
  await apply(
    secret('shop-db-tls', { 'tls.crt': certificatePem, 'tls.key': keyPem }, {}),
    secret('shop-ca', { 'ca.crt': authority.caPem }, { 'postern.dev/connection': 'shop' }),
    secret('shop-agent', { username: 'shop_agent', password: FIRST_PASSWORD }, { 'postern.dev/connection': 'shop' }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'shop-db', namespace: DATA },
      spec: { selector: { app: 'shop-db' }, ports: [{ port: 5432 }] },
    },
    server(),
  );
  await succeed('kubectl', ['--namespace', DATA, 'rollout', 'status', 'deployment/shop-db', '--timeout=120s']);
  const sql = readFileSync(new URL('../../demo/shop.sql', import.meta.url), 'utf8');
  const pod = await databasePod();
  await succeed(
    'kubectl',
    ['exec', '--stdin', '--namespace', DATA, pod, '--', ...PSQL, '--dbname=postgres'],
    'CREATE DATABASE shop',
  );
  await succeed('kubectl', ['exec', '--stdin', '--namespace', DATA, pod, '--', ...PSQL, '--dbname=shop'], sql);
  await asOwner(`ALTER ROLE shop_agent PASSWORD '${FIRST_PASSWORD}'`);
}

const PSQL = ['psql', '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--host=/data', '--username=postgres'];

async function databasePod(): Promise<string> {
  return eventually('the database has a pod', async () => {
    const name = await succeed('kubectl', [
      ...['get', 'pods', '--namespace', DATA, '--selector=app=shop-db'],
      '--output=jsonpath={.items[?(@.status.phase=="Running")].metadata.name}',
    ]);
    return name === '' ? undefined : name;
  });
}

/** A statement past the gate, as the database's owner. */
export async function asOwner(sql: string): Promise<string> {
  const pod = await databasePod();
  const { code, stdout, stderr } = await exec({ namespace: DATA, pod, container: 'postgres' }, [
    ...PSQL,
    '--dbname=shop',
    '--no-align',
    '--tuples-only',
    `--command=${sql}`,
  ]);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
}

export function secret(
  name: string,
  stringData: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): KubernetesObject {
  // Not stringData: server-side apply would own both it and data.
  const data = Object.fromEntries(
    Object.entries(stringData).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: DATA, labels }, data };
}

function server(): KubernetesObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'shop-db', namespace: DATA },
    spec: {
      selector: { matchLabels: { app: 'shop-db' } },
      template: {
        metadata: { labels: { app: 'shop-db' } },
        spec: {
          securityContext: { runAsUser: POSTGRES_UID, fsGroup: 21000 },
          containers: [
            {
              name: 'postgres',
              image: POSTGRES_IMAGE,
              command: ['bash', '-c', START],
              readinessProbe: {
                exec: { command: ['psql', '--host=/data', '--username=postgres', '--command=SELECT 1'] },
                periodSeconds: 2,
              },
              volumeMounts: [
                { name: 'data', mountPath: '/data' },
                { name: 'tls', mountPath: '/tls', readOnly: true },
              ],
            },
          ],
          volumes: [
            { name: 'data', emptyDir: {} },
            { name: 'tls', secret: { secretName: 'shop-db-tls', defaultMode: 0o440 } },
          ],
        },
      },
    },
  };
}
