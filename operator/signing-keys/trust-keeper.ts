/**
 * Makes, rotates and restores the operator's keys; run by the leader only. Every write names the version that it was made from, so that two
 * leaders for a moment cannot both win. A Secret that was deleted while we knew it is written again as it was: pods trust what was in it.
 */
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { KeySet } from '#bundle/key-set.ts';
import { keyIdOf, publicKeyText, signerOf, signKeySet } from '#bundle/sign.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { AUTHORITY_LIFETIME_MS, createAuthority } from '../certificates/authority.ts';
import { nextRotationStep, promote, type RotationRules } from './rotation.ts';
import {
  AUTHORITY_SECRET,
  decodeStoredKeys,
  encodeStoredKeys,
  NO_KEYS,
  ROOT_KEY_SECRET,
  rotateRequest,
  SIGNING_KEYS_SECRET,
  type StoredKey,
  type StoredKeys,
} from './stored-keys.ts';
import { readKeySet, trustedAuthorities, wantedKeySet } from './trust.ts';

export interface TrustRules {
  readonly root: RotationRules;
  readonly signing: RotationRules;
  readonly authority: RotationRules;
}

export interface TrustKeeperOptions {
  readonly client: Pick<ClusterClient, 'find' | 'create' | 'replace'>;
  readonly namespace: string;
  readonly rules: TrustRules;
  /** Authorities of certificates from outside, PEM; undefined where the operator makes its own. */
  readonly externalAuthorities: () => readonly string[] | undefined;
  readonly log: Log;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** A step that nobody asked for is not forgotten for longer than this, whatever clocks do. */
const MAX_WAIT_MS = 60_000;
const DAY_MS = 24 * 3_600_000;

/** `overlapMs`: how long a new key is known before it is used; pods must have got the key set by then. */
export function trustRules(overlapMs: number): TrustRules {
  const forever = Number.POSITIVE_INFINITY;
  return {
    // Pods carry root keys for as long as they run: only who asks gets a new one.
    root: { lifetimeMs: forever, maxAgeMs: forever, overlapMs, keepPreviousMs: 365 * DAY_MS },
    signing: { lifetimeMs: forever, maxAgeMs: 90 * DAY_MS, overlapMs, keepPreviousMs: DAY_MS },
    // Two thirds of its lifetime; the certificates that a previous one issued live for a week at most.
    authority: {
      lifetimeMs: AUTHORITY_LIFETIME_MS - DAY_MS,
      maxAgeMs: 240 * DAY_MS,
      overlapMs,
      keepPreviousMs: 7 * DAY_MS,
    },
  };
}

interface Held {
  readonly secret: KubernetesObject;
  readonly stored: StoredKeys;
  readonly waitMs: number;
}

export class TrustKeeper {
  readonly #options: TrustKeeperOptions;
  /** What each Secret held when it was seen last. */
  readonly #known = new Map<string, StoredKeys>();

  constructor(options: TrustKeeperOptions) {
    this.#options = options;
  }

  /** Does what is due; run again after the time given. Throws where a write fails or a Secret is damaged: try again. */
  async step(): Promise<{ readonly requeueAfterMs: number }> {
    const { rules, externalAuthorities } = this.#options;
    const root = await this.#advance(ROOT_KEY_SECRET, rules.root, makeSigningKey);
    const authority = await this.#advance(AUTHORITY_SECRET, rules.authority, makeAuthority);
    const signing = await this.#advance(SIGNING_KEYS_SECRET, rules.signing, makeSigningKey);
    await this.#signKeySet(root.stored, signing, trustedAuthorities(externalAuthorities(), authority.stored.keys));
    const waits = [root.waitMs, signing.waitMs, authority.waitMs, MAX_WAIT_MS];
    return { requeueAfterMs: Math.max(10, Math.min(...waits)) };
  }

  /** Takes the rotation of one Secret as far as it goes now. */
  async #advance(name: string, rules: RotationRules, make: MakeKey): Promise<Held> {
    let secret = await this.#load(name);
    for (;;) {
      const nowMs = this.#options.now();
      const stored = secret === undefined ? NO_KEYS : decodeStoredKeys(secret);
      const request = secret === undefined ? '' : rotateRequest(secret);
      const step = nextRotationStep(stored.keys, rules, nowMs, request !== '' && request !== stored.rotated);
      if (step.kind === 'wait' && secret !== undefined) {
        this.#known.set(name, stored);
        return { secret, stored, waitMs: step.ms };
      }
      let { keys, rotated } = stored;
      if (step.kind === 'make') {
        keys = [...keys, { ...(await make(nowMs)), phase: step.phase, phaseSinceMs: nowMs }];
        rotated = request;
      } else if (step.kind === 'promote') keys = promote(keys, nowMs);
      else if (step.kind === 'forget') keys = keys.filter((key) => key.id !== step.id);
      this.#options.log.info({ name, step: step.kind }, 'a key changes');
      secret = await this.#write(name, { ...stored, keys, rotated }, secret);
    }
  }

  async #load(name: string): Promise<KubernetesObject | undefined> {
    const { client, namespace, log } = this.#options;
    const secret = await client.find({ apiVersion: 'v1', kind: 'Secret', namespace, name });
    const known = this.#known.get(name);
    if (secret !== undefined || known === undefined) return secret;
    log.error({ name }, 'the Secret was deleted; it is written again as it was');
    return await this.#write(name, known, undefined);
  }

  async #write(name: string, stored: StoredKeys, before: KubernetesObject | undefined): Promise<KubernetesObject> {
    const { client, namespace } = this.#options;
    const wanted = encodeStoredKeys(namespace, name, stored);
    if (before === undefined) return await client.create(wanted);
    const labels = { ...before.metadata.labels, ...wanted.metadata.labels };
    return await client.replace({ ...before, metadata: { ...before.metadata, labels }, data: wanted['data'] });
  }

  async #signKeySet(root: StoredKeys, signing: Held, certificateAuthorities: readonly string[]): Promise<void> {
    const wanted = wantedKeySet(root, signing.stored, certificateAuthorities);
    const present = readKeySet(signing.stored.keySetText, root.keys);
    const current = root.keys.filter((key) => key.phase === 'Current');
    const signed = readKeySet(signing.stored.keySetText, current) !== undefined;
    if (present !== undefined && signed && sameKeySet(present, wanted)) return;
    // A version that pods have seen must never come back with another meaning, even where the stored text was lost.
    const version = present === undefined ? Math.floor(this.#options.now()) : present.version + 1;
    const keySetText = signByRoots({ ...wanted, version }, root);
    await this.#write(SIGNING_KEYS_SECRET, { ...signing.stored, keySetText }, signing.secret);
    this.#known.set(SIGNING_KEYS_SECRET, { ...signing.stored, keySetText });
    this.#options.log.info({ version }, 'the key set is signed');
  }
}

/** One line for each root key that pods may carry, oldest first, the current one last. */
function signByRoots(keySet: KeySet, root: StoredKeys): string {
  const signing = root.keys.filter((key) => key.phase !== 'Next');
  const oldestFirst = [...signing].sort((a, b) => a.createdAtMs - b.createdAtMs);
  return oldestFirst.map((key) => signKeySet(keySet, signerOf(createPrivateKey(key.privateKeyPem)))).join('\n');
}

function sameKeySet(present: KeySet, wanted: Omit<KeySet, 'version'>): boolean {
  const { version: _version, ...rest } = present;
  const order = ({ apiVersion, signingKeys, rootKeys, certificateAuthorities }: Omit<KeySet, 'version'>): string =>
    JSON.stringify([
      apiVersion,
      signingKeys.map(({ kid, publicKey }) => [kid, publicKey]),
      rootKeys,
      certificateAuthorities,
    ]);
  return order(rest) === order(wanted);
}

type MakeKey = (nowMs: number) => Promise<Omit<StoredKey, 'phase' | 'phaseSinceMs'>>;

async function makeSigningKey(nowMs: number): Promise<Omit<StoredKey, 'phase' | 'phaseSinceMs'>> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const privateKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return await Promise.resolve({ id: keyIdOf(publicKeyText(privateKey)), createdAtMs: nowMs, privateKeyPem });
}

async function makeAuthority(nowMs: number): Promise<Omit<StoredKey, 'phase' | 'phaseSinceMs'>> {
  const authority = await createAuthority(nowMs);
  return {
    id: createHash('sha256').update(authority.certificatePem).digest('base64url').slice(0, 22),
    createdAtMs: nowMs,
    ...authority,
  };
}
