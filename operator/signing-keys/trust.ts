/** What the operator signs and serves with: read from the three Secrets, the same on every replica. Pure. */
import { createPrivateKey } from 'node:crypto';
import { type KeySet, openKeySet } from '#bundle/key-set.ts';
import { keyIdOf, publicKeyText, type Signer, signerOf, verifyCompact } from '#bundle/sign.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { CertificateAuthority } from '../certificates/authority.ts';
import { decodeStoredKeys, type StoredKey, type StoredKeys } from './stored-keys.ts';

export interface Trust {
  /** Signs bundles; its public half is in the key set. */
  readonly signer: Signer;
  readonly keySet: KeySet;
  /** The text of `keys.jws`: the key set signed by each root key that running pods may carry, oldest first. */
  readonly keySetText: string;
  /** Root keys that new pods get: raw public keys, base64url. */
  readonly rootKeys: readonly string[];
  /** Root keys that running pods may still carry. */
  readonly retiringRootKeys: readonly string[];
  /** Issues the operator's certificates; undefined where they come from outside. */
  readonly authority: CertificateAuthority | undefined;
  /** All that clients should trust: current, next and previous, PEM. */
  readonly certificateAuthorities: readonly string[];
}

export type TrustReading =
  | { readonly kind: 'complete'; readonly trust: Trust }
  /** Not all is there yet, or what is there does not fit together (yet). */
  | { readonly kind: 'incomplete'; readonly reason: string };

export interface TrustSecrets {
  readonly root: KubernetesObject | undefined;
  readonly signing: KubernetesObject | undefined;
  readonly authority: KubernetesObject | undefined;
}

/** `external`: the authorities of certificates from outside, PEM; undefined where the operator makes its own. Throws `DamagedKeysError`. */
export function readTrust(secrets: TrustSecrets, external: readonly string[] | undefined): TrustReading {
  const { root, signing, authority } = secrets;
  if (root === undefined || signing === undefined || (authority === undefined && external === undefined)) {
    return { kind: 'incomplete', reason: 'the Secrets with the keys are not made yet' };
  }
  const rootKeys = decodeStoredKeys(root).keys;
  const signingKeys = decodeStoredKeys(signing);
  const authorities = authority === undefined ? [] : decodeStoredKeys(authority).keys;
  const current = signingKeys.keys.find((key) => key.phase === 'Current');
  const keySet = readKeySet(signingKeys.keySetText, rootKeys);
  if (current === undefined || keySet === undefined) {
    return { kind: 'incomplete', reason: 'the key set is not signed yet' };
  }
  // While a rotation is being written, pods with the newest root key would not take a set that the former one signed.
  if (!sameTexts(keySet.rootKeys, newPodRootKeys(rootKeys)) || !isSignedByCurrent(signingKeys.keySetText, rootKeys)) {
    return { kind: 'incomplete', reason: 'the key set is not signed by the root key yet' };
  }
  const signer = signerOf(createPrivateKey(current.privateKeyPem));
  if (!keySet.signingKeys.some((key) => key.kid === signer.kid)) {
    return { kind: 'incomplete', reason: 'the key set does not name the signing key yet' };
  }
  const issuing = external === undefined ? issuingAuthority(authorities) : undefined;
  // A certificate of an authority that the key set does not name would be refused by every sidecar.
  if (issuing !== undefined && !keySet.certificateAuthorities.includes(issuing.certificatePem)) {
    return { kind: 'incomplete', reason: 'the key set does not name the certificate authority yet' };
  }
  return {
    kind: 'complete',
    trust: {
      signer,
      keySet,
      keySetText: signingKeys.keySetText,
      rootKeys: newPodRootKeys(rootKeys),
      retiringRootKeys: rootKeys.filter((key) => key.phase === 'Previous').map(publicKeyOf),
      authority: issuing,
      certificateAuthorities: trustedAuthorities(external, authorities),
    },
  };
}

function isSignedByCurrent(text: string, rootKeys: readonly StoredKey[]): boolean {
  return (
    readKeySet(
      text,
      rootKeys.filter((key) => key.phase === 'Current'),
    ) !== undefined
  );
}

function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}

/** The stored key set where a root key of ours signed it; undefined where there is none. */
export function readKeySet(text: string, rootKeys: readonly StoredKey[]): KeySet | undefined {
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  const trusted = new Map(rootKeys.map((key) => [keyIdOf(publicKeyOf(key)), publicKeyOf(key)]));
  const verified = verifyCompact('postern-keys', last, (kid) => trusted.get(kid));
  if (verified.kind !== 'verified') return undefined;
  const read = openKeySet(verified.payload);
  return read.kind === 'read' ? read.value : undefined;
}

/** What the key set should say, apart from its version. */
export function wantedKeySet(
  root: StoredKeys,
  signing: StoredKeys,
  certificateAuthorities: readonly string[],
): Omit<KeySet, 'version'> {
  return {
    apiVersion: 'postern.dev/v1alpha1',
    signingKeys: signing.keys.map((key) => {
      const publicKey = publicKeyOf(key);
      return { kid: keyIdOf(publicKey), publicKey };
    }),
    rootKeys: newPodRootKeys(root.keys),
    certificateAuthorities,
  };
}

/** Certificates of stored authorities, oldest first: the order does not change when the next one takes over. */
export function certificatesOf(keys: readonly StoredKey[]): readonly string[] {
  const ordered = [...keys].sort((a, b) => a.createdAtMs - b.createdAtMs);
  return ordered.flatMap((key) => key.certificatePem ?? []);
}

/**
 * What clients should trust. Where certificates come from outside too the operator's own authority is among them: when it is to issue again,
 * a replica that does so is trusted before the last one that does not has gone.
 */
export function trustedAuthorities(
  external: readonly string[] | undefined,
  own: readonly StoredKey[],
): readonly string[] {
  return [...(external ?? []), ...certificatesOf(own)];
}

export function publicKeyOf(key: StoredKey): string {
  return publicKeyText(createPrivateKey(key.privateKeyPem));
}

function newPodRootKeys(keys: readonly StoredKey[]): readonly string[] {
  return keys.filter((key) => key.phase !== 'Previous').map(publicKeyOf);
}

function issuingAuthority(keys: readonly StoredKey[]): CertificateAuthority | undefined {
  const current = keys.find((key) => key.phase === 'Current');
  if (current?.certificatePem === undefined) return undefined;
  return { certificatePem: current.certificatePem, privateKeyPem: current.privateKeyPem };
}
