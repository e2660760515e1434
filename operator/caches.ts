/**
 * What the operator knows of the cluster: a reflector for each collection that it follows, on every replica (admission and credentials are
 * answered from these). Pods and ConfigMaps are kept without what nobody reads.
 */
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import type { KubernetesObject, ObjectMeta } from '#kubernetes/object.ts';
import { Reflector, type ReflectorMetrics } from '#kubernetes/reflector.ts';
import { collectionPath } from '#kubernetes/resources.ts';
import { MANAGED_BY, MANAGED_BY_LABEL } from '#bundle/config-map.ts';
import { INJECT_LABEL } from './admission/context.ts';
import { WEBHOOK_CONFIGURATIONS } from './certificates/ca-bundle.ts';

export type CacheKind =
  | 'DatabaseConnection'
  | 'DatabaseAccessPolicy'
  | 'Pod'
  | 'ConfigMap'
  | 'Secret'
  | 'MutatingWebhookConfiguration'
  | 'ValidatingWebhookConfiguration';

/** An object was added, changed or (undefined) is gone; `before` is as it was known. */
export interface CacheChange {
  readonly kind: CacheKind;
  /** `namespace/name`. */
  readonly key: string;
  readonly object: KubernetesObject | undefined;
  readonly before: KubernetesObject | undefined;
}

export type CacheListener = (change: CacheChange) => void;

export interface CachesOptions {
  readonly client: ClusterClient;
  /** Namespaces whose Secrets with the label `postern.dev/connection` are followed. */
  readonly connectionNamespaces: readonly string[];
  readonly log: Log;
  readonly metrics?: ReflectorMetrics;
}

interface Cache {
  readonly kind: CacheKind;
  /** Of Secrets; undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly reflector: Reflector;
}

/** The label of a Secret that a connection may use; its value is the connection's name. */
export const SECRET_LABEL = 'postern.dev/connection';
const POSTERN = 'postern.dev/v1alpha1';

export class Caches {
  readonly #caches: readonly Cache[];
  readonly #listeners = new Set<CacheListener>();

  constructor(options: CachesOptions) {
    const open = (kind: CacheKind, apiVersion: string, more: CacheDetails = {}): Cache => {
      const { namespace, labelSelector, transform } = more;
      const reflector = new Reflector({
        client: options.client,
        path: collectionPath({ apiVersion, kind, ...(namespace === undefined ? {} : { namespace }) }),
        ...(labelSelector === undefined ? {} : { labelSelector }),
        transform: transform ?? dropManagedFields,
        onChange: (key, object, before) => {
          for (const listener of this.#listeners) listener({ kind, key, object, before });
        },
        log: options.log,
        ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
      });
      return { kind, namespace, reflector };
    };
    this.#caches = [
      open('DatabaseConnection', POSTERN),
      open('DatabaseAccessPolicy', POSTERN),
      open('Pod', 'v1', { labelSelector: `${INJECT_LABEL}=true` }),
      open('ConfigMap', 'v1', { labelSelector: `${MANAGED_BY_LABEL}=${MANAGED_BY}` }),
      ...options.connectionNamespaces.map((namespace) =>
        open('Secret', 'v1', { namespace, labelSelector: SECRET_LABEL }),
      ),
      open('MutatingWebhookConfiguration', WEBHOOK_CONFIGURATIONS.mutating.apiVersion),
      open('ValidatingWebhookConfiguration', WEBHOOK_CONFIGURATIONS.validating.apiVersion),
    ];
  }

  start(): void {
    for (const { reflector } of this.#caches) reflector.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#caches.map(async ({ reflector }) => await reflector.stop()));
  }

  /** Undefined: all is known, Secrets apart (see `secretsSynced`); else what is not yet. */
  notSynced(): string | undefined {
    const missing = this.#caches.find(({ kind, reflector }) => kind !== 'Secret' && !reflector.hasSynced());
    return missing === undefined ? undefined : `${missing.kind} objects are not listed yet`;
  }

  /** Whether the labelled Secrets of a namespace are known. False where the chart gives no Role for it: one such must not stop the rest. */
  secretsSynced(namespace: string): boolean {
    const cache = this.#caches.find((one) => one.kind === 'Secret' && one.namespace === namespace);
    return cache?.reflector.hasSynced() === true;
  }

  /** By `namespace/name`; cluster-wide objects by `/name`. */
  get(kind: CacheKind, key: string): KubernetesObject | undefined {
    for (const cache of this.#caches) {
      const found = cache.kind === kind ? cache.reflector.get(key) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }

  list(kind: CacheKind): readonly KubernetesObject[] {
    return this.#caches.flatMap((cache) => (cache.kind === kind ? cache.reflector.list() : []));
  }

  /** Called for each object of the first lists, and for each change. Must not throw. */
  onChange(listener: CacheListener): void {
    this.#listeners.add(listener);
  }
}

interface CacheDetails {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly transform?: (object: KubernetesObject) => KubernetesObject;
}

/** They are as long as the object and nobody reads them. */
function dropManagedFields(object: KubernetesObject): KubernetesObject {
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  const kept: ObjectMeta = metadata as ObjectMeta;
  return { ...object, metadata: kept };
}
