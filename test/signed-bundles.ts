/** Keys, key sets and bundles for tests, as an operator would sign them. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Bundle } from '#bundle/bundle.ts';
import { BUNDLE_FILE, bundleFolder, KEY_SET_FILE } from '#bundle/config-map.ts';
import { compileBundle, sourceConnection, sourcePolicy, withdrawalBundle } from '#bundle/compile.ts';
import type { KeySet } from '#bundle/key-set.ts';
import { publicKeyText, signBundle, type Signer, signerOf, signKeySet } from '#bundle/sign.ts';
import { API_VERSION } from '#crds/kinds.ts';

export function newKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

export interface TestKeys {
  readonly root: KeyObject;
  readonly signing: KeyObject;
  readonly signer: Signer;
  readonly rootText: string;
}

export function newKeys(): TestKeys {
  const root = newKey();
  const signing = newKey();
  return { root, signing, signer: signerOf(signing), rootText: publicKeyText(root) };
}

export function keySetOf(keys: TestKeys, changes: Partial<KeySet> = {}): KeySet {
  return {
    apiVersion: API_VERSION,
    version: 1,
    signingKeys: [{ kid: keys.signer.kid, publicKey: publicKeyText(keys.signing) }],
    rootKeys: [keys.rootText],
    certificateAuthorities: [],
    ...changes,
  };
}

export function signedKeySet(keys: TestKeys, changes: Partial<KeySet> = {}): string {
  return signKeySet(keySetOf(keys, changes), signerOf(keys.root));
}

export function connectionJson(name: string, spec: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    apiVersion: API_VERSION,
    kind: 'DatabaseConnection',
    metadata: { name, namespace: 'data', uid: `uid-${name}`, managedFields: [], resourceVersion: '7' },
    spec: {
      engine: 'Postgres',
      host: 'db.example',
      database: 'shop',
      tls: { mode: 'Disable' },
      credentials: { secretRef: { name: `${name}-agent` } },
      ...spec,
    },
    status: { observedGeneration: 1 },
  };
}

export function policyJson(
  name: string,
  connection: string,
  spec: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    apiVersion: API_VERSION,
    kind: 'DatabaseAccessPolicy',
    metadata: { name, namespace: 'data', uid: `uid-${name}` },
    spec: {
      connectionRef: { name: connection },
      subjects: [{ serviceAccount: { namespace: 'agents', name: 'support-bot' } }],
      ...spec,
    },
  };
}

export function bundleOf(
  connection: Record<string, unknown>,
  policies: readonly Record<string, unknown>[],
  generation: number,
  agentNamespace = 'agents',
): Bundle {
  const source = sourceConnection(connection, 'uid-1');
  if (source === undefined) throw new Error('the connection of the test is not sound');
  const sources = policies.map((json) => {
    const policy = sourcePolicy(json);
    if (policy === undefined) throw new Error('a policy of the test is not sound');
    return policy;
  });
  return compileBundle(source, sources, agentNamespace, generation);
}

export function withdrawn(name: string, generation: number): Bundle {
  return withdrawalBundle({ namespace: 'data', name, uid: 'uid-1' }, 'agents', generation);
}

/** The files of one connection in the volume. */
export function bundleFiles(
  name: string,
  bundle: Bundle | Uint8Array | undefined,
  keys: TestKeys,
  keySet: string = signedKeySet(keys),
): Record<string, Uint8Array | string | undefined> {
  const folder = bundleFolder('data', name);
  const bytes = bundle === undefined || bundle instanceof Uint8Array ? bundle : signBundle(bundle, keys.signer);
  return { [`${folder}/${BUNDLE_FILE}`]: bytes, [`${folder}/${KEY_SET_FILE}`]: keySet };
}
