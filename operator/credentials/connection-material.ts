/**
 * What a connection needs from Secrets: user name and password, the key of Hash masks, the database's certificate authority. Passwords and
 * keys come only from Secrets that say which connection they are for: else whoever edits a connection could send any Secret to a host of
 * theirs. Pure.
 */
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { SECRET_LABEL } from '../caches.ts';

export interface SecretLookup {
  /** Whether the operator has a Role for Secrets there (`connectionNamespaces` of the chart). */
  readonly isFollowed: (namespace: string) => boolean;
  /** Whether the labelled Secrets there are known by now. */
  readonly isSynced: (namespace: string) => boolean;
  /** A Secret with the label `postern.dev/connection`, whatever its value. */
  readonly labelled: (namespace: string, name: string) => KubernetesObject | undefined;
  /** Certificates in PEM from one key of a Secret, labelled or not: they are public, and nothing else of it is kept. */
  readonly certificates: (namespace: string, name: string, key: string) => CertificatesReading;
  /** The key that the operator made; undefined: not yet. */
  readonly madeMaskKey: (connection: DatabaseConnection) => Buffer | undefined;
}

export type CertificatesReading =
  | { readonly kind: 'found'; readonly pem: string }
  | { readonly kind: 'missing'; readonly problem: string };

export type MaterialProblem =
  | 'SecretForbidden'
  | 'SecretNotFound'
  | 'SecretIncomplete'
  | 'SecretsNotListed'
  | 'MaskKeyNotMade';

export interface ReadyMaterial {
  readonly kind: 'ready';
  readonly username: string;
  readonly password: string;
  readonly maskKey: Buffer;
  readonly tlsCa: string | undefined;
}

export type Material =
  | ReadyMaterial
  /** `message` holds nothing of a Secret, and says what to do. */
  | { readonly kind: 'refused'; readonly reason: MaterialProblem; readonly message: string };

export function readMaterial(connection: DatabaseConnection, lookup: SecretLookup): Material {
  const { namespace, name, spec } = connection;
  if (!lookup.isFollowed(namespace)) {
    return refused(
      'SecretForbidden',
      `the operator may not read Secrets in namespace ${namespace}; allow it: helm upgrade postern charts/postern --namespace postern-system --reuse-values --set-json 'connectionNamespaces=["${namespace}"]' (with those it has already)`,
    );
  }
  if (!lookup.isSynced(namespace)) {
    return refused(
      'SecretsNotListed',
      `the Secrets of namespace ${namespace} are not listed yet; is there a Role for the operator?`,
    );
  }
  const credentials = readLabelled(connection, spec.credentials.secretRef.name, ['username', 'password'], lookup);
  if (credentials.kind === 'refused') return credentials;
  const maskKey = readMaskKey(connection, lookup);
  if (maskKey.kind === 'refused') return maskKey;
  const authority = spec.tls.caSecretRef;
  const certificates =
    authority === undefined ? undefined : lookup.certificates(namespace, authority.name, authority.key);
  if (certificates?.kind === 'missing')
    return refused('SecretNotFound', `spec.tls.caSecretRef: ${certificates.problem}`);
  const [username, password] = credentials.values.map((value) => value.toString('utf8'));
  if (username === undefined || password === undefined) return refused('SecretIncomplete', `${namespace}/${name}`);
  return { kind: 'ready', username, password, maskKey: maskKey.key, tlsCa: certificates?.pem };
}

/** The command that says which connection a Secret is for. */
export function labelCommand(
  connection: { readonly namespace: string; readonly name: string },
  secret: string,
): string {
  return `kubectl --namespace ${connection.namespace} label --overwrite secret ${secret} ${SECRET_LABEL}=${connection.name}`;
}

type LabelledValues =
  | { readonly kind: 'found'; readonly values: readonly Buffer[] }
  | Extract<Material, { kind: 'refused' }>;

function readLabelled(
  connection: DatabaseConnection,
  secretName: string,
  keys: readonly string[],
  lookup: SecretLookup,
): LabelledValues {
  const { namespace } = connection;
  const secret = lookup.labelled(namespace, secretName);
  if (secret === undefined) {
    return refused(
      'SecretNotFound',
      `there is no Secret ${namespace}/${secretName} with the label ${SECRET_LABEL}: ${connection.name}; create it with the label, or where it exists: ${labelCommand(connection, secretName)}`,
    );
  }
  if (secret.metadata.labels?.[SECRET_LABEL] !== connection.name) {
    return refused(
      'SecretForbidden',
      `Secret ${namespace}/${secretName} is for another connection by its label ${SECRET_LABEL}; if it is meant for this one: ${labelCommand(connection, secretName)}`,
    );
  }
  const data = (secret['data'] ?? {}) as Readonly<Record<string, unknown>>;
  const values: Buffer[] = [];
  for (const key of keys) {
    const text = Object.hasOwn(data, key) ? data[key] : undefined;
    if (typeof text !== 'string' || text === '') {
      return refused('SecretIncomplete', `Secret ${namespace}/${secretName} has no key ${key}; add it`);
    }
    values.push(Buffer.from(text, 'base64'));
  }
  return { kind: 'found', values };
}

function readMaskKey(
  connection: DatabaseConnection,
  lookup: SecretLookup,
): { readonly kind: 'found'; readonly key: Buffer } | Extract<Material, { kind: 'refused' }> {
  const reference = connection.spec.maskKey?.secretRef;
  if (reference !== undefined) {
    const found = readLabelled(connection, reference.name, [reference.key], lookup);
    const [key] = found.kind === 'found' ? found.values : [];
    if (found.kind === 'refused') return found;
    return key === undefined ? refused('SecretIncomplete', 'spec.maskKey: no key') : { kind: 'found', key };
  }
  const key = lookup.madeMaskKey(connection);
  if (key !== undefined) return { kind: 'found', key };
  return refused('MaskKeyNotMade', 'the operator has not made the key for Hash masks yet');
}

function refused(reason: MaterialProblem, message: string): Extract<Material, { kind: 'refused' }> {
  return { kind: 'refused', reason, message };
}

/** The certificates in a text, and nothing else of it. */
export function certificatesIn(text: string): string {
  const found = text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((certificate) => `${certificate}\n`).join('');
}
