/**
 * The certificate that this replica serves with. Made by the operator: issued into memory, anew when two thirds of its life are over or its
 * authority changes. From outside: read from files, again every ten seconds.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Log } from '#kubernetes/log.ts';
import type { CertificateAuthority } from './authority.ts';

export interface ServedCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly notAfterMs: number;
}

export interface CertificateSource {
  /** Undefined until the first is there. */
  readonly current: () => ServedCertificate | undefined;
  /** Authorities of certificates from outside, PEM; undefined where the operator makes its own. */
  readonly externalAuthorities: () => readonly string[] | undefined;
  /** Called with each new certificate. */
  readonly onChange: (listener: (certificate: ServedCertificate) => void) => void;
  readonly stop: () => void;
}

const CHECK_INTERVAL_MS = 60_000;
const FILE_INTERVAL_MS = 10_000;

/** Names under which the operator's Service is reached. */
export function serviceNames(service: string, namespace: string): readonly string[] {
  return [
    `${service}.${namespace}.svc`,
    service,
    `${service}.${namespace}`,
    `${service}.${namespace}.svc.cluster.local`,
  ];
}

export interface IssuedCertificateOptions {
  readonly names: readonly string[];
  /** The authority that issues now; undefined: none is known yet. */
  readonly authority: () => CertificateAuthority | undefined;
  readonly log: Log;
  readonly now: () => number;
}

export class IssuedCertificate implements CertificateSource {
  readonly #options: IssuedCertificateOptions;
  readonly #listeners = new Set<(certificate: ServedCertificate) => void>();
  readonly #timer: NodeJS.Timeout;
  #current:
    | (ServedCertificate & { readonly issuerPem: string; readonly notBeforeMs: number; readonly renewAtMs: number })
    | undefined;
  #issuing: Promise<void> = Promise.resolve();

  constructor(options: IssuedCertificateOptions) {
    this.#options = options;
    // Asked each minute instead of once in days: timers stop while a machine sleeps, and clocks jump.
    this.#timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  current = (): ServedCertificate | undefined => this.#current;
  externalAuthorities = (): undefined => undefined;
  onChange = (listener: (certificate: ServedCertificate) => void): void => {
    this.#listeners.add(listener);
  };
  stop = (): void => clearInterval(this.#timer);

  /** Issues a new certificate where one is due. */
  check(): void {
    this.#issuing = this.#issuing.then(async () => await this.#issueIfDue());
  }

  async #issueIfDue(): Promise<void> {
    const { authority, names, log, now } = this.#options;
    const issuer = authority();
    const nowMs = now();
    if (issuer === undefined) return;
    const current = this.#current;
    // After a clock went back far a certificate is not valid yet.
    const valid = current !== undefined && nowMs >= current.notBeforeMs && nowMs < current.renewAtMs;
    if (valid && current.issuerPem === issuer.certificatePem) return;
    try {
      // Loaded here, so that an operator with certificates from outside does without it.
      const { issueLeaf } = await import('./authority.ts');
      const leaf = await issueLeaf(issuer, names, nowMs);
      const renewAtMs = nowMs + ((leaf.notAfterMs - nowMs) * 2) / 3;
      this.#current = { ...leaf, issuerPem: issuer.certificatePem, renewAtMs };
      log.info({ notAfter: new Date(leaf.notAfterMs).toISOString() }, 'a certificate is issued');
      for (const listener of this.#listeners) listener(this.#current);
    } catch (error) {
      log.error({ error: error instanceof Error ? error.message : 'unknown error' }, 'no certificate could be issued');
    }
  }
}

export class FileCertificate implements CertificateSource {
  readonly #folder: string;
  readonly #log: Log;
  readonly #listeners = new Set<(certificate: ServedCertificate) => void>();
  readonly #timer: NodeJS.Timeout;
  #current: ServedCertificate | undefined;
  #authorities: readonly string[] = [];
  #seen = '';

  /** The folder holds `tls.crt`, `tls.key` and `ca.crt`. */
  constructor(folder: string, log: Log) {
    this.#folder = folder;
    this.#log = log;
    this.#timer = setInterval(() => void this.read(), FILE_INTERVAL_MS);
    this.#timer.unref();
  }

  current = (): ServedCertificate | undefined => this.#current;
  externalAuthorities = (): readonly string[] => this.#authorities;
  onChange = (listener: (certificate: ServedCertificate) => void): void => {
    this.#listeners.add(listener);
  };
  stop = (): void => clearInterval(this.#timer);

  /** Reads the files; what is not sound is logged, and what was read last stays. */
  async read(): Promise<void> {
    try {
      const read = async (name: string): Promise<string> => await readFile(join(this.#folder, name), 'utf8');
      const [certificatePem, privateKeyPem, authorities] = await Promise.all([
        read('tls.crt'),
        read('tls.key'),
        read('ca.crt'),
      ]);
      const seen = JSON.stringify([certificatePem, privateKeyPem, authorities]);
      if (seen === this.#seen) return;
      const certificate = new X509Certificate(certificatePem);
      // Throws where the key does not fit; while files are replaced one by one, that is so for a moment.
      createSecureContext({ cert: certificatePem, key: privateKeyPem });
      const list = splitCertificates(authorities);
      if (list.length === 0) throw new Error('ca.crt holds no certificate');
      this.#seen = seen;
      this.#authorities = list;
      this.#current = { certificatePem, privateKeyPem, notAfterMs: certificate.validToDate.getTime() };
      this.#log.info({ notAfter: certificate.validToDate.toISOString() }, 'a certificate is read');
      for (const listener of this.#listeners) listener(this.#current);
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown error';
      this.#log.error(
        { folder: this.#folder, error: message },
        'the certificate files cannot be used; the last good ones stay',
      );
    }
  }
}

/** The certificates of a PEM bundle, one text each. */
export function splitCertificates(pem: string): readonly string[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((certificate) => `${certificate}\n`);
}
