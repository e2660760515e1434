/** How the ConfigMap of a bundle is called and labelled, and where the sidecar finds its keys as files (design §5). */
import { createHash } from 'node:crypto';

export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'postern-operator';
export const CONNECTION_NAMESPACE_LABEL = 'postern.dev/connection-namespace';
export const CONNECTION_LABEL = 'postern.dev/connection';
/** The annotation of a pod that the operator raises after a write, so that the kubelet delivers at once. */
export const BUNDLE_GENERATION_ANNOTATION = 'postern.dev/bundle-generation';

/** Key in `binaryData`, and name of the file. */
export const BUNDLE_FILE = 'bundle.jws.gz';
/** Key in `data`, and name of the file. */
export const KEY_SET_FILE = 'keys.jws';

const READABLE_LENGTH = 40;
const HASH_LENGTH = 10;

/**
 * `postern-<readable, at most 40 characters>-<10 hex of SHA-256 of "ns/name">`: the ConfigMap of a connection in each namespace with
 * agents. At most 59 characters, a DNS label.
 */
export function bundleConfigMapName(connectionNamespace: string, connectionName: string): string {
  const full = `${connectionNamespace}/${connectionName}`;
  const readable = full
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, READABLE_LENGTH)
    .replaceAll(/^-+|-+$/g, '');
  const hash = createHash('sha256').update(full).digest('hex').slice(0, HASH_LENGTH);
  return readable === '' ? `postern-${hash}` : `postern-${readable}-${hash}`;
}

/** The labels by which the operator finds its ConfigMaps again. */
export function bundleConfigMapLabels(
  connectionNamespace: string,
  connectionName: string,
): Readonly<Record<string, string>> {
  return {
    [MANAGED_BY_LABEL]: MANAGED_BY,
    [CONNECTION_NAMESPACE_LABEL]: connectionNamespace,
    [CONNECTION_LABEL]: connectionName,
  };
}

/** The folder of a connection's two files in the sidecar's projected volume. Neither part holds a dot. */
export function bundleFolder(connectionNamespace: string, connectionName: string): string {
  return `${connectionNamespace}.${connectionName}`;
}
