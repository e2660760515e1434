/** From a connection and its policies to the bundle that one namespace of agents gets. Pure; used by the operator. */
import { decodeResource } from '#crds/decode.ts';
import { API_VERSION, type DatabaseAccessPolicy, type DatabaseConnection, type SubjectSpec } from '#crds/kinds.ts';
import { policiesOfConnection } from '#policy/match.ts';
import type { Bundle, ManifestJson } from './bundle.ts';

/** A manifest as the API server holds it, beside what it means. */
export interface SourceManifest<T> {
  readonly json: ManifestJson;
  readonly resource: T;
}

export interface SourceConnection extends SourceManifest<DatabaseConnection> {
  /** `metadata.uid`. */
  readonly uid: string;
}

/** Namespaces that hold an account which may use the connection; each gets a bundle of its own. In order of their names. */
export function agentNamespaces(
  connection: DatabaseConnection,
  policies: readonly DatabaseAccessPolicy[],
): readonly string[] {
  const named = allowedAccounts(connection, policies).map((account) => account.namespace);
  return [...new Set(named)].sort();
}

/**
 * The bundle of a connection for one namespace of agents. Accounts: those of `allowedWorkloads`; absent, those that the policies name; `[]`
 * is nobody. Policies: those that could match one of these accounts, of all others only which tables they govern; where no account is left
 * nothing is granted, which is a withdrawal.
 */
export function compileBundle(
  connection: SourceConnection,
  policies: readonly SourceManifest<DatabaseAccessPolicy>[],
  agentNamespace: string,
  generation: number,
): Bundle {
  const { namespace, name } = connection.resource;
  const own = policiesOfConnection(
    connection.resource,
    policies.map((policy) => policy.resource),
  );
  const serviceAccounts = allowedAccounts(connection.resource, own)
    .filter((account) => account.namespace === agentNamespace)
    .map((account) => account.name);
  const accounts = [...new Set(serviceAccounts)].sort();
  const matching = own.filter((policy) => accounts.some((account) => couldMatch(policy, agentNamespace, account)));
  const others = accounts.length === 0 ? [] : own.filter((policy) => !matching.includes(policy));
  const governed = [...new Set(others.flatMap((policy) => policy.spec.tables.map((table) => table.name.text)))].sort();
  const jsonOf = new Map(policies.map((policy) => [policy.resource, policy.json]));
  return {
    apiVersion: API_VERSION,
    connection: { namespace, name, uid: connection.uid },
    agentNamespace,
    generation,
    manifests: {
      connection: bareManifest(connection.json, namespace, name),
      policies: matching.map((policy) => bareManifest(jsonOf.get(policy) ?? {}, policy.namespace, policy.name)),
    },
    serviceAccounts: accounts,
    ...(governed.length === 0 ? {} : { governedTables: governed }),
  };
}

/** The bundle that takes back all earlier ones: it grants nothing. */
export function withdrawalBundle(connection: Bundle['connection'], agentNamespace: string, generation: number): Bundle {
  return {
    apiVersion: API_VERSION,
    connection,
    agentNamespace,
    generation,
    manifests: { policies: [] },
    serviceAccounts: [],
  };
}

/** The same but for the generation: nothing needs to be published. Texts are compared, in canonical order of what compileBundle makes. */
export function isSameBundle(one: Bundle, other: Bundle): boolean {
  const { generation: _one, ...a } = one;
  const { generation: _other, ...b } = other;
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Decodes a DatabaseConnection as the API server gives it; `undefined` where it is not sound or another kind. */
export function sourceConnection(json: ManifestJson, uid: string): SourceConnection | undefined {
  const decoded = decodeResource(json);
  if (decoded.kind !== 'decoded' || decoded.resource.kind !== 'DatabaseConnection') return undefined;
  return { json, resource: decoded.resource, uid };
}

/** Decodes a DatabaseAccessPolicy as the API server gives it; `undefined` where it is not sound or another kind. */
export function sourcePolicy(json: ManifestJson): SourceManifest<DatabaseAccessPolicy> | undefined {
  const decoded = decodeResource(json);
  if (decoded.kind !== 'decoded' || decoded.resource.kind !== 'DatabaseAccessPolicy') return undefined;
  return { json, resource: decoded.resource };
}

interface Account {
  readonly namespace: string;
  readonly name: string;
}

function allowedAccounts(
  connection: DatabaseConnection,
  policies: readonly DatabaseAccessPolicy[],
): readonly Account[] {
  const { allowedWorkloads } = connection.spec;
  if (allowedWorkloads !== undefined) {
    return allowedWorkloads.flatMap(({ namespace, serviceAccounts }) =>
      serviceAccounts.map((name) => ({ namespace, name })),
    );
  }
  return policiesOfConnection(connection, policies).flatMap((policy) =>
    policy.spec.subjects.flatMap((subject) => subject.serviceAccount ?? []),
  );
}

/** Whether some token could make this policy match the account: groups and claims are known to the sidecar alone. */
function couldMatch(policy: DatabaseAccessPolicy, namespace: string, account: string): boolean {
  return policy.spec.subjects.some((subject) => couldMean(subject, namespace, account));
}

function couldMean({ serviceAccount }: SubjectSpec, namespace: string, account: string): boolean {
  return serviceAccount === undefined || (serviceAccount.namespace === namespace && serviceAccount.name === account);
}

/** Without status, managedFields, annotations and whatever else does not bear on the decision. */
function bareManifest(json: ManifestJson, namespace: string, name: string): ManifestJson {
  return { apiVersion: json['apiVersion'], kind: json['kind'], metadata: { namespace, name }, spec: json['spec'] };
}
