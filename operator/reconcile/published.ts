/**
 * What lies in the ConfigMaps of bundles, as far as our own signature proves it. It is what sidecars hold, and so the last good word of a
 * policy that has become invalid since.
 */
import { type Bundle, openBundle } from '#bundle/bundle.ts';
import {
  BUNDLE_FILE,
  bundleConfigMapLabels,
  bundleConfigMapName,
  CONNECTION_LABEL,
  CONNECTION_NAMESPACE_LABEL,
  KEY_SET_FILE,
} from '#bundle/config-map.ts';
import { unpackBundle, verifyCompact } from '#bundle/sign.ts';
import type { KeySet } from '#bundle/key-set.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';

export interface ConnectionKey {
  readonly namespace: string;
  readonly name: string;
}

/** `agentNamespace.connectionNamespace.connectionName`: the key of a bundle in `postern-generations`. No part holds a dot. */
export function targetKey(connection: ConnectionKey, agentNamespace: string): string {
  return `${agentNamespace}.${connection.namespace}.${connection.name}`;
}

/** A bundle that one of our signing keys has signed, for exactly this place. */
export interface SignedBundle {
  readonly bundle: Bundle;
  /** Name of the key. */
  readonly kid: string;
}

export interface BundleConfigMap {
  readonly uid: string;
  /** `bundle.jws.gz`, base64. */
  readonly bundleText: string;
  /** `keys.jws`. */
  readonly keySetText: string;
  /** Undefined: what lies there is not signed by us, or is meant for another place. */
  readonly signed: SignedBundle | undefined;
  readonly isImmutable: boolean;
  /** The labels by which we find it, and nothing amiss with them. */
  readonly isLabelled: boolean;
}

/** Whose bundle a ConfigMap says it holds; undefined where its name does not fit its labels: such a one is not ours. */
export function connectionOfConfigMap(object: KubernetesObject): ConnectionKey | undefined {
  const namespace = object.metadata.labels?.[CONNECTION_NAMESPACE_LABEL];
  const name = object.metadata.labels?.[CONNECTION_LABEL];
  if (namespace === undefined || name === undefined) return undefined;
  return object.metadata.name === bundleConfigMapName(namespace, name) ? { namespace, name } : undefined;
}

export function readBundleConfigMap(
  object: KubernetesObject,
  connection: ConnectionKey,
  keySet: Pick<KeySet, 'signingKeys'>,
): BundleConfigMap {
  const bundleText = textIn(object['binaryData'], BUNDLE_FILE);
  const wanted = Object.entries(bundleConfigMapLabels(connection.namespace, connection.name));
  return {
    uid: object.metadata.uid ?? '',
    bundleText,
    keySetText: textIn(object['data'], KEY_SET_FILE),
    signed: openSigned(Buffer.from(bundleText, 'base64'), connection, object.metadata.namespace ?? '', keySet),
    isImmutable: object['immutable'] === true,
    isLabelled: wanted.every(([label, value]) => object.metadata.labels?.[label] === value),
  };
}

function openSigned(
  bytes: Buffer,
  connection: ConnectionKey,
  agentNamespace: string,
  keySet: Pick<KeySet, 'signingKeys'>,
): SignedBundle | undefined {
  const text = bytes.length === 0 ? undefined : unpackBundle(bytes);
  if (text === undefined) return undefined;
  const verified = verifyCompact(
    'postern-bundle',
    text,
    (kid) => keySet.signingKeys.find((key) => key.kid === kid)?.publicKey,
  );
  if (verified.kind !== 'verified') return undefined;
  const bundle = readPayload(verified.payload);
  if (bundle === undefined) return undefined;
  const isHere =
    bundle.agentNamespace === agentNamespace &&
    bundle.connection.namespace === connection.namespace &&
    bundle.connection.name === connection.name;
  return isHere ? { bundle, kid: verified.kid } : undefined;
}

/** The shape is checked; whether each manifest still decodes with this release is not: a last good word stays one. */
function readPayload(payload: Buffer): Bundle | undefined {
  // We signed it, so it is JSON of a bundle; an earlier release may have known other fields in manifests.
  const value = JSON.parse(payload.toString('utf8')) as Bundle;
  const opened = openBundle(JSON.stringify({ ...value, manifests: { policies: [] }, serviceAccounts: [] }));
  return opened.kind === 'read' ? value : undefined;
}

function textIn(map: unknown, key: string): string {
  const value = typeof map === 'object' && map !== null ? (map as Readonly<Record<string, unknown>>)[key] : undefined;
  return typeof value === 'string' ? value : '';
}
