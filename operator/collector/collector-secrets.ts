/**
 * What the collector of this release runs with, kept by the leader: its certificate, of the authority that sidecars trust, and the key that
 * signs digests. That key is made once and never replaced: damaged, it is an error for a person. Its public half stays in a ConfigMap, beside
 * those of earlier keys, for whoever verifies.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { CertificateAuthority } from '../certificates/authority.ts';
import { serviceNames } from '../certificates/server-certificate.ts';
import { PART_OF, PART_OF_LABEL } from '../signing-keys/stored-keys.ts';

export const COLLECTOR_TLS_SECRET = 'postern-collector-tls';
export const DIGEST_KEY_SECRET = 'postern-digest-key';
export const DIGEST_PUBLIC_KEYS = 'postern-digest-public-keys';
/** In the Secret: Ed25519, PKCS 8 in PEM. */
export const DIGEST_KEY_FIELD = 'digest-key.pem';

export interface CollectorSecretsOptions {
  readonly client: Pick<ClusterClient, 'find' | 'create' | 'replace'>;
  readonly namespace: string;
  /** Name of the collector's Service. */
  readonly service: string;
  /** The authority that issues now; undefined: certificates come from outside, or there is none yet. */
  readonly authority: () => CertificateAuthority | undefined;
  readonly log: Log;
  /** Unix milliseconds. */
  readonly now: () => number;
}

const CHECK_INTERVAL_MS = 60_000;

export class CollectorSecrets {
  readonly #options: CollectorSecretsOptions;

  constructor(options: CollectorSecretsOptions) {
    this.#options = options;
  }

  /** Does what is due; run again after the time given. Throws where a write fails or the digest key is damaged: try again. */
  async step(): Promise<{ readonly requeueAfterMs: number }> {
    await this.#keepCertificate();
    await this.#keepDigestKey();
    return { requeueAfterMs: CHECK_INTERVAL_MS };
  }

  async #keepCertificate(): Promise<void> {
    const { namespace, service, authority, now, log } = this.#options;
    const issuer = authority();
    if (issuer === undefined) return;
    const present = await this.#find('Secret', COLLECTOR_TLS_SECRET);
    const names = serviceNames(service, namespace);
    if (isGood(present, issuer, names, now())) return;
    const { issueLeaf } = await import('../certificates/authority.ts');
    const leaf = await issueLeaf(issuer, names, now());
    const data = { 'tls.crt': leaf.certificatePem, 'tls.key': leaf.privateKeyPem };
    await this.#write('Secret', COLLECTOR_TLS_SECRET, encode(data), present);
    log.info({ notAfter: new Date(leaf.notAfterMs).toISOString() }, "the collector's certificate is issued");
  }

  async #keepDigestKey(): Promise<void> {
    const { namespace, log } = this.#options;
    const present = await this.#find('Secret', DIGEST_KEY_SECRET);
    let key: KeyObject;
    if (present === undefined) {
      key = generateKeyPairSync('ed25519').privateKey;
      const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
      await this.#write('Secret', DIGEST_KEY_SECRET, encode({ [DIGEST_KEY_FIELD]: pem }), undefined);
      log.info({}, 'a key for digests is made');
    } else {
      key = readDigestKey(present, namespace);
    }
    const publicKey = createPublicKey(key);
    const name = `${digestKeyId(publicKey)}.pem`;
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const published = await this.#find('ConfigMap', DIGEST_PUBLIC_KEYS);
    const data = (published?.['data'] ?? {}) as Readonly<Record<string, string>>;
    if (data[name] !== pem) await this.#write('ConfigMap', DIGEST_PUBLIC_KEYS, { ...data, [name]: pem }, published);
  }

  async #find(kind: 'Secret' | 'ConfigMap', name: string): Promise<KubernetesObject | undefined> {
    const { client, namespace } = this.#options;
    return await client.find({ apiVersion: 'v1', kind, namespace, name });
  }

  async #write(
    kind: 'Secret' | 'ConfigMap',
    name: string,
    data: Readonly<Record<string, string>>,
    before: KubernetesObject | undefined,
  ): Promise<void> {
    const { client, namespace } = this.#options;
    if (before !== undefined) {
      await client.replace({ ...before, data });
      return;
    }
    const type = name === COLLECTOR_TLS_SECRET ? { type: 'kubernetes.io/tls' } : {};
    const metadata = { name, namespace, labels: { [PART_OF_LABEL]: PART_OF } };
    await client.create({ apiVersion: 'v1', kind, metadata, ...type, data });
  }
}

/** The name of a digest key, as the collector puts it into digests: 32 hexadecimal digits of SHA-256 over its public half (SPKI, DER). */
function digestKeyId(publicKey: KeyObject): string {
  return hash('sha256', publicKey.export({ format: 'der', type: 'spki' }), 'hex').slice(0, 32);
}

/** Whether the certificate fits its key and these names, comes from this authority, and has a third of its life before it. */
function isGood(
  secret: KubernetesObject | undefined,
  issuer: CertificateAuthority,
  names: readonly string[],
  nowMs: number,
): boolean {
  if (secret === undefined) return false;
  try {
    const certificate = new X509Certificate(decode(secret, 'tls.crt'));
    const notBeforeMs = certificate.validFromDate.getTime();
    const notAfterMs = certificate.validToDate.getTime();
    return (
      certificate.checkPrivateKey(createPrivateKey(decode(secret, 'tls.key'))) &&
      certificate.verify(new X509Certificate(issuer.certificatePem).publicKey) &&
      names.every((name) => certificate.checkHost(name) !== undefined) &&
      nowMs >= notBeforeMs &&
      notAfterMs - nowMs > (notAfterMs - notBeforeMs) / 3
    );
  } catch {
    // What cannot be read is replaced.
    return false;
  }
}

/** Throws where it is damaged: a new key over it would make every later digest look forged. */
function readDigestKey(secret: KubernetesObject, namespace: string): KeyObject {
  try {
    const key = createPrivateKey(decode(secret, DIGEST_KEY_FIELD));
    if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('not Ed25519');
    return key;
  } catch {
    throw new Error(
      `Secret ${namespace}/${DIGEST_KEY_SECRET} holds no Ed25519 key under ${DIGEST_KEY_FIELD}: restore it from a backup, or delete it to begin with a new key`,
    );
  }
}

function decode(secret: KubernetesObject, field: string): string {
  const value = ((secret['data'] ?? {}) as Readonly<Record<string, unknown>>)[field];
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
}

function encode(data: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(data).map(([field, value]) => [field, Buffer.from(value).toString('base64')] as const),
  );
}
