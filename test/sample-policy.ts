/** Policies and connections written as their owners write them, through the decoder. */
import { decodeResource, formatProblem, type Resource } from '#crds/decode.ts';
import type { DatabaseAccessPolicy, DatabaseConnection } from '#crds/kinds.ts';
import type { Identity } from '#policy/identity.ts';

export const BOT: Identity = {
  namespace: 'agents',
  serviceAccount: 'support-bot',
  groups: ['support'],
  claims: { department: 'care', level: 3 },
};

function decoded(value: unknown): Resource {
  const result = decodeResource(value);
  if (result.kind === 'decoded') return result.resource;
  throw new Error(result.kind === 'invalid' ? result.problems.map(formatProblem).join('\n') : 'ignored');
}

export function samplePolicy(spec: Readonly<Record<string, unknown>>, name = 'support'): DatabaseAccessPolicy {
  const resource = decoded({
    apiVersion: 'postern.dev/v1alpha1',
    kind: 'DatabaseAccessPolicy',
    metadata: { name, namespace: 'data' },
    spec: {
      connectionRef: { name: 'shop' },
      subjects: [{ serviceAccount: { namespace: 'agents', name: 'support-bot' } }],
      ...spec,
    },
  });
  if (resource.kind !== 'DatabaseAccessPolicy') throw new Error('not a policy');
  return resource;
}

export function sampleConnection(spec: Readonly<Record<string, unknown>> = {}): DatabaseConnection {
  const resource = decoded({
    apiVersion: 'postern.dev/v1alpha1',
    kind: 'DatabaseConnection',
    metadata: { name: 'shop', namespace: 'data' },
    spec: {
      engine: 'Postgres',
      host: 'localhost',
      database: 'shop',
      credentials: { secretRef: { name: 'shop-agent' } },
      ...spec,
    },
  });
  if (resource.kind !== 'DatabaseConnection') throw new Error('not a connection');
  return resource;
}
