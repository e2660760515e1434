/** What a sidecar is answered about its connections, from what this replica knows. Pure. */
import { createHash } from 'node:crypto';
import type { ConnectionGrant, CredentialsAnswer } from '#bundle/credentials-exchange.ts';
import { API_VERSION, type DatabaseConnection } from '#crds/kinds.ts';
import type { ConnectionReading } from '../reconcile/sources.ts';
import type { Material } from './connection-material.ts';

export interface GrantSources {
  readonly connection: (namespace: string, name: string) => ConnectionReading;
  /** Whether the account stands in `allowedWorkloads`; where that is absent, in a policy. */
  readonly isGranted: (connection: ConnectionName, account: Account) => boolean;
  /** The last generation that was set down for the agents of a namespace; 0: none. */
  readonly generation: (connection: ConnectionName, agentNamespace: string) => number;
  readonly material: (connection: DatabaseConnection) => Material;
  readonly keySetVersion: number;
}

export interface ConnectionName {
  readonly namespace: string;
  readonly name: string;
}

export interface Account {
  readonly namespace: string;
  readonly name: string;
}

/** One grant for each connection that the pod asks for; what its request names beside them does not count. */
export function decideGrants(
  connections: readonly ConnectionName[],
  account: Account,
  sources: GrantSources,
): readonly ConnectionGrant[] {
  return connections.map((connection) => decideGrant(connection, account, sources));
}

function decideGrant(name: ConnectionName, account: Account, sources: GrantSources): ConnectionGrant {
  const connection = `${name.namespace}/${name.name}`;
  const generation = sources.generation(name, account.namespace);
  const common = { connection, generation, minimumGeneration: generation, keySetVersion: sources.keySetVersion };
  const reading = sources.connection(name.namespace, name.name);
  if (reading.kind === 'absent') {
    return { ...common, status: 'NotFound', message: `there is no DatabaseConnection ${connection}` };
  }
  // Before anything else is told: who has no grant learns nothing of the connection.
  if (!sources.isGranted(name, account)) {
    const message = `${connection} does not let in service account ${account.namespace}/${account.name}; its owner names it in spec.allowedWorkloads or in a policy's subjects`;
    return { ...common, status: 'Forbidden', message };
  }
  if (reading.kind === 'invalid') {
    return {
      ...common,
      status: 'Unavailable',
      message: `DatabaseConnection ${connection} is not valid; its status says why`,
    };
  }
  const material = sources.material(reading.source.resource);
  if (material.kind === 'refused') {
    const status = material.reason === 'SecretForbidden' ? 'SecretForbidden' : 'Unavailable';
    return { ...common, status, message: material.message };
  }
  const { username, password, maskKey, tlsCa } = material;
  return {
    ...common,
    status: 'Granted',
    credentials: { username, password },
    maskKey: maskKey.toString('base64'),
    ...(tlsCa === undefined ? {} : { tlsCa }),
  };
}

/** The answer; its version changes with anything in it, on every replica alike. */
export function answerOf(connections: readonly ConnectionGrant[]): CredentialsAnswer {
  const version = createHash('sha256').update(JSON.stringify(connections)).digest('base64url').slice(0, 32);
  return { apiVersion: API_VERSION, version, connections };
}
