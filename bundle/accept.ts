/**
 * Whether a sidecar takes what lies in its volume (design §5). Whoever may write there is not trusted: only what a trusted key has signed
 * for this connection and this namespace counts, and never one older than what was taken before. Whatever is refused changes nothing, so
 * that the last good bundle stays. Pure: the state goes in and comes out.
 */
import { createHash } from 'node:crypto';
import { isWithdrawal, openBundle, type OpenedBundle } from './bundle.ts';
import type { RefusalReason } from './credentials-exchange.ts';
import { type KeySet, openKeySet } from './key-set.ts';
import { keyIdOf, MAX_BUNDLE_BYTES, MAX_KEY_SET_BYTES, unpackBundle, verifyCompact } from './sign.ts';

/** Whom a process trusts; shared by its connections. */
export interface Trust {
  /** Raw Ed25519 public keys in base64url: those of the environment, and those of key sets that were accepted. */
  readonly rootKeys: readonly string[];
  /** The newest accepted. */
  readonly keySet: KeySet | undefined;
}

/** What was taken so far for one connection. */
export interface AcceptedState {
  readonly connection: { readonly namespace: string; readonly name: string };
  /** The namespace of the pod. */
  readonly agentNamespace: string;
  readonly trust: Trust;
  /** The last good bundle. */
  readonly bundle: OpenedBundle | undefined;
  /** SHA-256 of its payload: another bundle of the same generation is not it. */
  readonly payloadDigest: string | undefined;
}

/** Absent: there is no such file. A reader need not hand over more than the bound of each plus one byte. */
export interface BundleFiles {
  /** `bundle.jws.gz` */
  readonly bundle: Uint8Array | undefined;
  /** `keys.jws`: one or more key sets, one a line, oldest first, so that one root key can vouch for the next. */
  readonly keys: string | undefined;
}

export interface Refusal {
  readonly reason: RefusalReason;
  /** One line for the log; holds nothing of what was signed. */
  readonly message: string;
}

/** `state` is the one to go on with: a refused bundle may come with a key set that is sound. */
export type Acceptance =
  | {
      readonly kind: 'accepted';
      readonly state: AcceptedState;
      readonly bundle: OpenedBundle;
      readonly keySet: KeySet;
      /** False: the very bundle that is in force already. */
      readonly isNew: boolean;
    }
  | ({ readonly kind: 'refused'; readonly state: AcceptedState } & Refusal);

/** Before anything was taken: only the root keys of the pod's environment are trusted. */
export function initialState(
  connection: AcceptedState['connection'],
  agentNamespace: string,
  rootKeys: readonly string[],
): AcceptedState {
  return {
    connection,
    agentNamespace,
    trust: { rootKeys, keySet: undefined },
    bundle: undefined,
    payloadDigest: undefined,
  };
}

/** Judges the files; `minimumGeneration` is what the operator named last (0: nothing yet). */
export function acceptBundle(state: AcceptedState, files: BundleFiles, minimumGeneration: number): Acceptance {
  if (files.keys === undefined) return refused(state, 'MissingFile', 'there is no key set');
  const keys = acceptKeySets(state.trust, files.keys);
  if (keys.kind === 'refused') return { ...keys, state };
  const trusting: AcceptedState = { ...state, trust: keys.trust };
  if (files.bundle === undefined) return refused(trusting, 'MissingFile', 'there is no bundle');
  if (files.bundle.length > MAX_BUNDLE_BYTES) {
    return refused(trusting, 'TooLarge', `the bundle is larger than ${MAX_BUNDLE_BYTES} bytes`);
  }
  const text = unpackBundle(files.bundle);
  if (text === undefined) return refused(trusting, 'Malformed', 'the bundle cannot be unpacked');
  const { keySet } = keys;
  const verified = verifyCompact(
    'postern-bundle',
    text,
    (kid) => keySet.signingKeys.find((key) => key.kid === kid)?.publicKey,
  );
  if (verified.kind === 'refused') return refused(trusting, verified.reason, `bundle: ${verified.message}`);
  return acceptPayload(trusting, keySet, verified.payload, minimumGeneration);
}

function acceptPayload(
  state: AcceptedState,
  keySet: KeySet,
  payload: Uint8Array,
  minimumGeneration: number,
): Acceptance {
  const opened = openBundle(payload);
  if (opened.kind === 'malformed') return refused(state, 'Malformed', opened.message);
  const { connection, agentNamespace, generation } = opened.value;
  if (connection.namespace !== state.connection.namespace || connection.name !== state.connection.name) {
    return refused(state, 'WrongConnection', `it is for connection ${connection.namespace}/${connection.name}`);
  }
  if (agentNamespace !== state.agentNamespace) {
    return refused(state, 'WrongNamespace', `it is for agents in namespace ${agentNamespace}`);
  }
  const payloadDigest = createHash('sha256').update(payload).digest('hex');
  const before = state.bundle?.generation ?? 0;
  const isNew = payloadDigest !== state.payloadDigest;
  if (generation < before || (generation === before && isNew)) {
    return refused(state, 'OlderGeneration', `it has generation ${generation}; ${before} was taken before`);
  }
  if (generation < minimumGeneration) {
    return refused(
      state,
      'OlderGeneration',
      `it has generation ${generation}; the operator asks for ${minimumGeneration}`,
    );
  }
  const bundle = isNew || state.bundle === undefined ? opened.value : state.bundle;
  return { kind: 'accepted', state: { ...state, bundle, payloadDigest }, bundle, keySet, isNew };
}

export type KeySetAcceptance =
  | { readonly kind: 'accepted'; readonly trust: Trust; readonly keySet: KeySet }
  | ({ readonly kind: 'refused' } & Refusal);

/**
 * Judges `keys.jws`. Each line must be signed by a root key that is trusted by then; its own root keys are trusted from then on. The last
 * line is the set that counts, unless a newer one was accepted before.
 */
export function acceptKeySets(trust: Trust, text: string): KeySetAcceptance {
  if (Buffer.byteLength(text) > MAX_KEY_SET_BYTES) {
    return { kind: 'refused', reason: 'TooLarge', message: `the key set is larger than ${MAX_KEY_SET_BYTES} bytes` };
  }
  let current = trust;
  let last: Refusal | undefined;
  for (const line of text.trimEnd().split('\n')) {
    const result = acceptKeySet(current, line);
    // A root key that is gone from this process's trust may have signed the first lines: only the last one must hold.
    last = result.kind === 'refused' ? result : undefined;
    if (result.kind === 'accepted') current = result.trust;
  }
  if (last !== undefined) return { kind: 'refused', reason: last.reason, message: last.message };
  return current.keySet === undefined
    ? { kind: 'refused', reason: 'Malformed', message: 'keys: holds no key set' }
    : { kind: 'accepted', trust: current, keySet: current.keySet };
}

function acceptKeySet(
  trust: Trust,
  text: string,
): { readonly kind: 'accepted'; readonly trust: Trust } | ({ readonly kind: 'refused' } & Refusal) {
  const verified = verifyCompact('postern-keys', text, (kid) => trust.rootKeys.find((key) => keyIdOf(key) === kid));
  if (verified.kind === 'refused') return { ...verified, message: `keys: ${verified.message}` };
  const opened = openKeySet(verified.payload);
  if (opened.kind === 'malformed') return { kind: 'refused', reason: 'Malformed', message: opened.message };
  if (trust.keySet !== undefined && opened.value.version <= trust.keySet.version) return { kind: 'accepted', trust };
  const rootKeys = [...new Set([...trust.rootKeys, ...opened.value.rootKeys])];
  return { kind: 'accepted', trust: { rootKeys, keySet: opened.value } };
}

/** What a bundle means for one account of its namespace. */
export type Grant = 'granted' | 'none';

/** `none`: the account is not among those that may use the connection, or all is withdrawn. */
export function grantFor(bundle: OpenedBundle, serviceAccount: string): Grant {
  if (isWithdrawal(bundle) || bundle.manifests.connection === undefined) return 'none';
  return bundle.serviceAccounts.includes(serviceAccount) ? 'granted' : 'none';
}

function refused(state: AcceptedState, reason: RefusalReason, message: string): Acceptance {
  return { kind: 'refused', state, reason, message };
}
