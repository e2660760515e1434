/** The operator's own certificate authority and the certificates that it issues: ECDSA P-256, which every TLS client takes. */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

export interface CertificateAuthority {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly privateKeyPem: string;
}

export interface LeafCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export const AUTHORITY_LIFETIME_MS = 365 * 24 * 3_600_000;
export const LEAF_LIFETIME_MS = 7 * 24 * 3_600_000;
/** Other clocks may be behind ours. */
const BACKDATE_MS = 3_600_000;
const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** A self-signed authority. Its name holds the serial number: two of them in one bundle differ in it, else verifiers try the wrong one. */
export async function createAuthority(
  nowMs: number,
  lifetimeMs = AUTHORITY_LIFETIME_MS,
): Promise<CertificateAuthority> {
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const serialNumber = newSerialNumber();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=Postern ${serialNumber.slice(0, 16)},O=Postern`,
    serialNumber,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + lifetimeMs),
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: certificate.toString('pem'), privateKeyPem: await exportKey(keys.privateKey) };
}

/** A server certificate for these DNS names and addresses. It never outlives its authority. */
export async function issueLeaf(
  authority: CertificateAuthority,
  names: readonly string[],
  nowMs: number,
  lifetimeMs = LEAF_LIFETIME_MS,
): Promise<LeafCertificate> {
  const issuer = new X509Certificate(authority.certificatePem);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const [der] = PemConverter.decode(authority.privateKeyPem);
  if (der === undefined) throw new Error('the private key of the certificate authority is no PEM');
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, KEY, false, ['sign']);
  const notBeforeMs = nowMs - BACKDATE_MS;
  const notAfterMs = Math.min(nowMs + lifetimeMs, issuer.notAfter.getTime());
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${names[0] ?? 'postern-operator'}`,
    issuer: issuer.subject,
    serialNumber: newSerialNumber(),
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: /^[\d.]+$|:/.test(value) ? 'ip' : 'dns', value }) as const),
      ),
      await AuthorityKeyIdentifierExtension.create(issuer, false),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const privateKeyPem = await exportKey(keys.privateKey);
  return { certificatePem: certificate.toString('pem'), privateKeyPem, notBeforeMs, notAfterMs };
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

/** 16 random bytes, positive, in hex. */
function newSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
