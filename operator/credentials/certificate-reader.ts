/**
 * Certificates of databases' authorities from Secrets that need not carry our label (an operator of databases makes them, and they are public).
 * Such a Secret may hold a key beside: it is read, the certificates are kept, the rest is dropped.
 */
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { type CertificatesReading, certificatesIn } from './connection-material.ts';

const REMEMBER_MS = 60_000;

interface Known {
  readonly untilMs: number;
  /** By key; undefined: there is no such Secret. */
  readonly certificates: ReadonlyMap<string, string> | undefined;
}

export class CertificateReader {
  readonly #client: Pick<ClusterClient, 'find'>;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();
  readonly #reading = new Map<string, Promise<void>>();

  constructor(client: Pick<ClusterClient, 'find'>, now: () => number = Date.now) {
    this.#client = client;
    this.#now = now;
  }

  /** Reads it, at most once a minute. Where that fails what was read before stays; rejects where nothing was. */
  async read(namespace: string, name: string): Promise<void> {
    const id = `${namespace}/${name}`;
    const known = this.#known.get(id);
    if (known !== undefined && known.untilMs > this.#now()) return;
    let reading = this.#reading.get(id);
    if (reading === undefined) {
      reading = this.#read(namespace, name).finally(() => this.#reading.delete(id));
      this.#reading.set(id, reading);
    }
    try {
      await reading;
    } catch (error) {
      if (known === undefined) throw error;
    }
  }

  find(namespace: string, name: string, key: string): CertificatesReading {
    const known = this.#known.get(`${namespace}/${name}`);
    if (known === undefined) return { kind: 'missing', problem: `Secret ${namespace}/${name} is not read yet` };
    if (known.certificates === undefined)
      return { kind: 'missing', problem: `there is no Secret ${namespace}/${name}` };
    const pem = known.certificates.get(key) ?? '';
    return pem === ''
      ? { kind: 'missing', problem: `Secret ${namespace}/${name} has no certificate in PEM under the key ${key}` }
      : { kind: 'found', pem };
  }

  async #read(namespace: string, name: string): Promise<void> {
    const secret = await this.#client.find({ apiVersion: 'v1', kind: 'Secret', namespace, name });
    const data = (secret?.['data'] ?? {}) as Readonly<Record<string, unknown>>;
    const certificates = Object.entries(data).map(([key, value]) => {
      const text = typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
      return [key, certificatesIn(text)] as const;
    });
    const untilMs = this.#now() + REMEMBER_MS;
    this.#known.set(`${namespace}/${name}`, {
      untilMs,
      certificates: secret === undefined ? undefined : new Map(certificates),
    });
  }
}
