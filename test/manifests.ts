/** The manifests that the tests start a gate from, as text. */

export interface ConnectionOptions {
  readonly port: number | string;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** More lines below `spec` of the connection, indented by two spaces. */
  readonly spec?: string;
  /** More pairs of the Secret: `, mask-key: "..."`. */
  readonly secret?: string;
}

/** The connection data/shop to a server on 127.0.0.1, and its Secret. */
export function connectionManifests(options: ConnectionOptions): string {
  const { port, database, username, password } = options;
  return `
apiVersion: postern.dev/v1alpha1
kind: DatabaseConnection
metadata: { name: shop, namespace: data }
spec:
  engine: Postgres
  host: 127.0.0.1
  port: ${port}
  database: ${database}
  tls: { mode: Disable }
  credentials: { secretRef: { name: shop-agent } }
${options.spec ?? ''}
---
apiVersion: v1
kind: Secret
metadata: { name: shop-agent, namespace: data, labels: { postern.dev/connection: shop } }
stringData: { username: ${username}, password: "${password}"${options.secret ?? ''} }
`;
}

/** A policy data/NAME of that connection. `spec`: what stands below its subjects, indented by two spaces. */
export function policyManifest(spec: string, name = 'support', serviceAccount = 'support-bot'): string {
  return `
apiVersion: postern.dev/v1alpha1
kind: DatabaseAccessPolicy
metadata: { name: ${name}, namespace: data }
spec:
  connectionRef: { name: shop }
  subjects: [{ serviceAccount: { namespace: agents, name: ${serviceAccount} } }]
${spec}
`;
}
