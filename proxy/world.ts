/** What the manifests say about one connection, put together: the database, its credentials, its policies. Pure. */
import { type DatabaseAccessPolicy, type DatabaseConnection, qualifiedName, type Secret } from '#crds/kinds.ts';
import { maskKeySettings } from '#policy/mask-key.ts';
import { policiesOfConnection } from '#policy/match.ts';
import type { OpenedBundle } from '#bundle/bundle.ts';
import type { ConnectionGrant } from '#bundle/credentials-exchange.ts';
import type { Manifests } from './manifests.ts';
import type { UpstreamTarget } from './upstream.ts';

/** One connection as configured. */
export interface World {
  /** Of the bundle; absent without a cluster. */
  readonly generation?: number;
  readonly connection: DatabaseConnection;
  readonly policies: readonly DatabaseAccessPolicy[];
  readonly target: UpstreamTarget;
  /** Start-up settings that carry the key of Hash masks. */
  readonly maskKeySettings: ReadonlyMap<string, string>;
  /** Things that work but deserve a word, for the log. */
  readonly warnings: readonly string[];
}

export type WorldResult =
  | { readonly kind: 'assembled'; readonly world: World }
  /** The manifests are valid and hold no such connection. */
  | { readonly kind: 'absent'; readonly problem: string }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

export interface ConnectionName {
  readonly namespace: string;
  readonly name: string;
}

/** `fallbackMaskKey`: random per process, where the connection names no maskKey. */
export function assembleWorld(manifests: Manifests, wanted: ConnectionName, fallbackMaskKey: Uint8Array): WorldResult {
  const connection = manifests.connections.find((entry) => qualifiedName(entry) === qualifiedName(wanted));
  if (connection === undefined) {
    const names = manifests.connections.map(qualifiedName);
    const known = names.length === 0 ? 'there is none' : `there is ${names.join(', ')}`;
    return { kind: 'absent', problem: `no DatabaseConnection ${qualifiedName(wanted)} in the manifests; ${known}` };
  }
  const problems: string[] = [];
  const lookUp = secretReader(manifests.secrets, connection, problems);
  const { spec } = connection;
  const credentials = spec.credentials.secretRef.name;
  const user = lookUp('spec.credentials.secretRef', credentials, 'username')?.toString('utf8') ?? '';
  const password = lookUp('spec.credentials.secretRef', credentials, 'password')?.toString('utf8') ?? '';
  const { caSecretRef } = spec.tls;
  const ca = caSecretRef && lookUp('spec.tls.caSecretRef', caSecretRef.name, caSecretRef.key)?.toString('utf8');
  const keyRef = spec.maskKey?.secretRef;
  const maskKey = keyRef === undefined ? fallbackMaskKey : lookUp('spec.maskKey.secretRef', keyRef.name, keyRef.key);
  problems.push(...materialProblems(connection, ca, maskKey));
  if (problems.length > 0) return { kind: 'invalid', problems: [...new Set(problems)] };
  return {
    kind: 'assembled',
    world: {
      connection,
      policies: policiesOfConnection(connection, manifests.policies),
      target: targetOf(connection, { username: user, password }, ca),
      maskKeySettings: maskKeySettings(maskKey ?? fallbackMaskKey),
      warnings: warningsOf(manifests, connection),
    },
  };
}

/** The same from a bundle and what the operator has granted for it. `unusedMaskKey`: where none is given and no policy needs one. */
export function worldOfBundle(bundle: OpenedBundle, grant: ConnectionGrant, unusedMaskKey: Uint8Array): WorldResult {
  const { connection, policies } = bundle.manifests;
  const { credentials } = grant;
  if (connection === undefined || credentials === undefined) {
    return { kind: 'absent', problem: `${grant.connection}: nothing is granted` };
  }
  const problems: string[] = [];
  if (credentials.username === '') problems.push(`${label(connection)}: spec.credentials.secretRef: no username`);
  if (`${credentials.username}${credentials.password}`.includes('\0')) {
    problems.push(`${label(connection)}: spec.credentials.secretRef: username or password holds a NUL`);
  }
  if (connection.spec.tls.caSecretRef !== undefined && grant.tlsCa === undefined) {
    problems.push(`${label(connection)}: spec.tls.caSecretRef: the operator has given no certificates`);
  }
  const maskKey = grant.maskKey === undefined ? undefined : Buffer.from(grant.maskKey, 'base64');
  if (maskKey === undefined && policies.some(usesHash)) {
    problems.push(`${label(connection)}: spec.maskKey: the operator has given no key for Hash masks`);
  }
  problems.push(...materialProblems(connection, grant.tlsCa, maskKey));
  if (problems.length > 0) return { kind: 'invalid', problems };
  return {
    kind: 'assembled',
    world: {
      generation: bundle.generation,
      connection,
      policies: [
        ...policiesOfConnection(connection, policies),
        ...(bundle.governing === undefined ? [] : [bundle.governing]),
      ],
      target: targetOf(connection, credentials, grant.tlsCa),
      maskKeySettings: maskKeySettings(maskKey ?? unusedMaskKey),
      warnings: [],
    },
  };
}

function usesHash(policy: DatabaseAccessPolicy): boolean {
  return policy.spec.tables.some((table) => table.mask.some((mask) => mask.with.method === 'Hash'));
}

function materialProblems(
  connection: DatabaseConnection,
  ca: string | undefined,
  maskKey: Uint8Array | undefined,
): readonly string[] {
  const problems: string[] = [];
  if (ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')) {
    problems.push(`${label(connection)}: spec.tls.caSecretRef: expected certificates in PEM`);
  }
  if (maskKey !== undefined && maskKey.length < 16) {
    problems.push(`${label(connection)}: spec.maskKey.secretRef: expected a key of at least 16 bytes`);
  }
  if (connection.spec.host.startsWith('/') && connection.spec.tls.mode !== 'Disable') {
    problems.push(`${label(connection)}: spec.tls.mode: expected Disable, because host is a unix socket`);
  }
  return problems;
}

function targetOf(
  { spec }: DatabaseConnection,
  credentials: { readonly username: string; readonly password: string },
  ca: string | undefined,
): UpstreamTarget {
  return {
    host: spec.host,
    port: spec.port,
    database: spec.database,
    user: credentials.username,
    password: credentials.password,
    tls: { mode: spec.tls.mode, caPem: ca },
  };
}

/** Reads a key of a Secret in the connection's namespace; a fault names the field, the Secret and the key, never a value. */
function secretReader(secrets: readonly Secret[], connection: DatabaseConnection, problems: string[]) {
  return (path: string, name: string, key: string): Buffer | undefined => {
    const secret = secrets.find((entry) => entry.namespace === connection.namespace && entry.name === name);
    const value = secret?.data.get(key);
    if (secret === undefined) {
      problems.push(
        `${label(connection)}: ${path}: expected a Secret ${connection.namespace}/${name} in the manifests`,
      );
    } else if (value === undefined || value.length === 0) {
      problems.push(`${label(connection)}: ${path}: expected the key ${key} in Secret ${connection.namespace}/${name}`);
    } else if (value.includes(0) && path === 'spec.credentials.secretRef') {
      problems.push(
        `${label(connection)}: ${path}: the key ${key} of Secret ${connection.namespace}/${name} holds a NUL`,
      );
    }
    return value;
  };
}

function warningsOf(manifests: Manifests, connection: DatabaseConnection): readonly string[] {
  const { name } = connection.spec.credentials.secretRef;
  const secret = manifests.secrets.find((entry) => entry.namespace === connection.namespace && entry.name === name);
  const warnings: string[] = [];
  if (secret?.labels.get('postern.dev/connection') !== connection.name) {
    warnings.push(
      `Secret ${connection.namespace}/${name} lacks the label postern.dev/connection: ${connection.name}, which a cluster asks for`,
    );
  }
  for (const policy of manifests.policies) {
    const ref = policy.spec.connectionRef.name;
    const isKnown = manifests.connections.some((entry) => entry.namespace === policy.namespace && entry.name === ref);
    if (!isKnown) {
      warnings.push(
        `DatabaseAccessPolicy ${qualifiedName(policy)} names connection ${ref}, which is not in namespace ${policy.namespace}`,
      );
    }
  }
  return warnings;
}

function label(connection: DatabaseConnection): string {
  return `DatabaseConnection ${qualifiedName(connection)}`;
}
