/**
 * What every replica knows of connections: manifests, the bundles that lie in the cluster, the last generations, Secrets. The leader plans from
 * it, and every replica answers sidecars from it, so that both mean the same.
 */
import type { Bundle } from '#bundle/bundle.ts';
import { agentNamespaces, compileBundle } from '#bundle/compile.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import { type KubernetesObject, splitKey } from '#kubernetes/object.ts';
import { Reflector, type ReflectorMetrics } from '#kubernetes/reflector.ts';
import { collectionPath } from '#kubernetes/resources.ts';
import type { Caches } from '../caches.ts';
import { CertificateReader } from '../credentials/certificate-reader.ts';
import type { Material, SecretLookup } from '../credentials/connection-material.ts';
import { readMaterial } from '../credentials/connection-material.ts';
import type { Account, GrantSources } from '../credentials/grants.ts';
import { MASK_KEYS_SECRET, maskKeyName } from '../credentials/mask-keys.ts';
import type { OperatorSettings } from '../settings.ts';
import type { Trust } from '../signing-keys/trust.ts';
import {
  type Generations,
  GENERATIONS_NAME,
  NO_GENERATION,
  readGenerations,
  type StoredGeneration,
} from './generations.ts';
import { type ConnectionKey, connectionOfConfigMap, readBundleConfigMap, targetKey } from './published.ts';
import { grantingSources, readSources, type Sources } from './sources.ts';

export interface ClusterViewOptions {
  readonly client: ClusterClient;
  readonly caches: Caches;
  readonly trust: () => Trust | undefined;
  readonly settings: Pick<OperatorSettings, 'namespace' | 'connectionNamespaces'>;
  readonly log: Log;
  readonly metrics: ReflectorMetrics;
  /** The generations, or the keys that the operator made, changed. */
  readonly onChange: () => void;
}

interface Known {
  readonly stamp: string;
  readonly sources: Sources;
  /** `namespace/account`. */
  readonly granted: ReadonlySet<string>;
}

export class ClusterView {
  readonly #options: ClusterViewOptions;
  readonly #generationsReflector: Reflector;
  readonly #maskKeysReflector: Reflector;
  readonly #certificates: CertificateReader;
  /** The newest bundle that was seen signed for each target. */
  readonly #published = new Map<string, Bundle>();
  /** Of these, the newest that was the current one at some time. */
  readonly #confirmed = new Map<string, Bundle>();
  /** Change counters by connection namespace. */
  readonly #changes = new Map<string, number>();
  readonly #known = new Map<string, Known>();
  #allChanges = 0;
  #generations: Generations | undefined;
  #generationsVersion = 0;

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    const { client, settings, log, metrics } = options;
    const { namespace } = settings;
    const follow = (
      kind: 'ConfigMap' | 'Secret',
      name: string,
      onChange: (object: KubernetesObject | undefined) => void,
    ) =>
      new Reflector({
        client,
        path: collectionPath({ apiVersion: 'v1', kind, namespace }),
        fieldSelector: `metadata.name=${name}`,
        onChange: (_key, object) => onChange(object),
        metrics,
        log,
      });
    this.#generationsReflector = follow('ConfigMap', GENERATIONS_NAME, (object) => this.takeGenerations(object));
    this.#maskKeysReflector = follow('Secret', MASK_KEYS_SECRET, () => options.onChange());
    this.#certificates = new CertificateReader(client);
  }

  start(): void {
    this.#generationsReflector.start();
    this.#maskKeysReflector.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#generationsReflector.stop(), this.#maskKeysReflector.stop()]);
  }

  /** Undefined: all is known; else what is not. Without it nothing is written and nobody is answered. */
  notReady(): string | undefined {
    if (this.#options.trust() === undefined) return 'there are no keys yet';
    if (!this.#generationsReflector.hasSynced() || !this.#maskKeysReflector.hasSynced()) {
      return "the operator's own ConfigMaps and Secrets are not listed yet";
    }
    if (this.#generationsReflector.list().length > 0 && this.#generations === undefined) {
      return `ConfigMap ${GENERATIONS_NAME} cannot be read; restore it from a backup`;
    }
    return this.#options.caches.notSynced();
  }

  /** An object of the caches changed. */
  changed(kind: string, key: string, object: KubernetesObject | undefined): void {
    if (kind === 'DatabaseConnection' || kind === 'DatabaseAccessPolicy') this.#touch(splitKey(key).namespace);
    if (kind !== 'ConfigMap' || object === undefined) return;
    const connection = connectionOfConfigMap(object);
    if (connection === undefined) return;
    this.#rememberObject(connection, object);
  }

  /** The keys changed, or came: bundles that could not be verified before may be now. */
  trustChanged(): void {
    for (const object of this.#options.caches.list('ConfigMap')) this.changed('ConfigMap', '', object);
    this.#allChanges += 1;
  }

  /** Has been written, or was found signed. */
  remember(bundle: Bundle): void {
    const key = targetKey(bundle.connection, bundle.agentNamespace);
    if ((this.#published.get(key)?.generation ?? 0) >= bundle.generation) return;
    this.#published.set(key, bundle);
    this.#touch(bundle.connection.namespace);
  }

  takeGenerations(object: KubernetesObject | undefined): void {
    const version = Number(object?.metadata.resourceVersion ?? 0);
    // The answer to our own write may be newer than what the watch brings.
    if (object !== undefined && version < this.#generationsVersion) return;
    this.#generationsVersion = version;
    try {
      const read = readGenerations(object);
      // A ConfigMap that was deleted takes nothing back: what was set down once stays known while this process lives.
      this.#generations = new Map([...(this.#generations ?? []), ...highest(read, this.#generations)]);
    } catch (error) {
      this.#options.log.error(
        { error: error instanceof Error ? error.message : 'unknown error' },
        'generations cannot be read',
      );
    }
    this.#allChanges += 1;
    this.#options.onChange();
  }

  generation(connection: ConnectionKey, agentNamespace: string): StoredGeneration {
    return this.#generations?.get(targetKey(connection, agentNamespace)) ?? NO_GENERATION;
  }

  /** Namespaces of agents for which a generation of this connection was set down. */
  knownNamespaces(connection: ConnectionKey): readonly string[] {
    const suffix = `.${connection.namespace}.${connection.name}`;
    return [...(this.#generations?.keys() ?? [])].flatMap((key) =>
      key.endsWith(suffix) ? [key.slice(0, -suffix.length)] : [],
    );
  }

  /** Connections for which a generation was ever set down. */
  knownConnections(): readonly ConnectionKey[] {
    return [...(this.#generations?.keys() ?? [])].flatMap((key) => {
      const [, namespace, name] = key.split('.');
      return namespace === undefined || name === undefined ? [] : [{ namespace, name }];
    });
  }

  sources(key: ConnectionKey): Sources {
    return this.#state(key).sources;
  }

  isGranted(key: ConnectionKey, account: Account): boolean {
    return this.#state(key).granted.has(`${account.namespace}/${account.name}`);
  }

  material(connection: DatabaseConnection): Material {
    return readMaterial(connection, this.#lookup());
  }

  /** Reads what no watch brings: the certificates of authorities. */
  async prepare(connections: readonly ConnectionKey[]): Promise<void> {
    const references = connections.flatMap((key) => {
      const { connection } = this.sources(key);
      const reference = connection.kind === 'sound' ? connection.source.resource.spec.tls.caSecretRef : undefined;
      if (reference === undefined || !this.#isFollowed(key.namespace)) return [];
      return [{ namespace: key.namespace, name: reference.name }];
    });
    await Promise.all(references.map(async ({ namespace, name }) => await this.#certificates.read(namespace, name)));
  }

  /** Undefined while `notReady`. */
  grantSources(): GrantSources | undefined {
    const trust = this.#options.trust();
    if (trust === undefined || this.notReady() !== undefined) return undefined;
    return {
      connection: (namespace, name) => this.sources({ namespace, name }).connection,
      isGranted: (connection, account) => this.isGranted(connection, account),
      generation: (connection, agentNamespace) => this.generation(connection, agentNamespace).generation,
      material: (connection) => this.material(connection),
      keySetVersion: trust.keySet.version,
    };
  }

  #lookup(): SecretLookup {
    const { caches } = this.#options;
    return {
      isFollowed: (namespace) => this.#isFollowed(namespace),
      isSynced: (namespace) => caches.secretsSynced(namespace),
      labelled: (namespace, name) => caches.get('Secret', `${namespace}/${name}`),
      certificates: (namespace, name, key) => this.#certificates.find(namespace, name, key),
      madeMaskKey: (connection) => this.#madeMaskKey(connection),
    };
  }

  #isFollowed(namespace: string): boolean {
    return this.#options.settings.connectionNamespaces.includes(namespace);
  }

  #madeMaskKey(connection: DatabaseConnection): Buffer | undefined {
    const [secret] = this.#maskKeysReflector.list();
    const data = (secret?.['data'] ?? {}) as Readonly<Record<string, unknown>>;
    const text = data[maskKeyName(connection)];
    return typeof text === 'string' && text !== '' ? Buffer.from(text, 'base64') : undefined;
  }

  #touch(namespace: string): void {
    this.#changes.set(namespace, (this.#changes.get(namespace) ?? 0) + 1);
  }

  #rememberObject(connection: ConnectionKey, object: KubernetesObject): void {
    const trust = this.#options.trust();
    if (trust === undefined) return;
    const { signed } = readBundleConfigMap(object, connection, trust.keySet);
    if (signed !== undefined) this.remember(signed.bundle);
  }

  #state(key: ConnectionKey): Known {
    const name = `${key.namespace}/${key.name}`;
    const stamp = `${this.#allChanges}.${this.#changes.get(key.namespace) ?? 0}`;
    let known = this.#known.get(name);
    if (known?.stamp !== stamp) {
      known = { stamp, ...this.#read(key) };
      this.#known.set(name, known);
    }
    return known;
  }

  #read(key: ConnectionKey): Omit<Known, 'stamp'> {
    const { caches } = this.#options;
    const sources = readSources({
      key,
      connection: caches.get('DatabaseConnection', `${key.namespace}/${key.name}`),
      policies: caches.list('DatabaseAccessPolicy').filter(({ metadata }) => metadata.namespace === key.namespace),
      published: this.knownNamespaces(key).flatMap((agentNamespace) => this.#inForce(key, agentNamespace)),
    });
    return { sources, granted: grantedAccounts(sources) };
  }

  /** Nothing where all is withdrawn; `[undefined]`: a bundle was published, and what it said is not known. */
  #inForce(key: ConnectionKey, agentNamespace: string): readonly (Bundle | undefined)[] {
    const { generation, isWithdrawn } = this.generation(key, agentNamespace);
    if (isWithdrawn) return [];
    const target = targetKey(key, agentNamespace);
    const published = this.#published.get(target);
    if (published?.generation === generation) this.#confirmed.set(target, published);
    // Between the setting down of a generation and its bundle the one before is the last good word. One that this process never knew to be
    // current may be a replay.
    return [this.#confirmed.get(target)];
  }
}

function highest(read: Generations, before: Generations | undefined): Generations {
  const entries = [...read].filter(([key, { generation }]) => generation >= (before?.get(key)?.generation ?? 0));
  return new Map(entries);
}

function grantedAccounts(sources: Sources): ReadonlySet<string> {
  const granting = grantingSources(sources);
  if (granting === undefined) return new Set();
  const { connection, policies } = granting;
  const resources = policies.map(({ resource }) => resource);
  const accounts = agentNamespaces(connection.resource, resources).flatMap((namespace) =>
    compileBundle(connection, policies, namespace, 1).serviceAccounts.map((name) => `${namespace}/${name}`),
  );
  return new Set(accounts);
}
