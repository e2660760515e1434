/** Puts the parts together: what changes becomes keys of connections in a queue (leader), and wakes sidecars that wait (every replica). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Bundle } from '#bundle/bundle.ts';
import type { ConnectionGrant, CredentialsAnswer, CredentialsRequest } from '#bundle/credentials-exchange.ts';
import { CONNECTION_LABEL, CONNECTION_NAMESPACE_LABEL } from '#bundle/config-map.ts';
import { type KubernetesObject, splitKey } from '#kubernetes/object.ts';
import { WorkQueue } from '#kubernetes/work-queue.ts';
import type { CacheKind } from '../caches.ts';
import { CredentialsEndpoint } from '../credentials/endpoint.ts';
import { TokenReviews } from '../credentials/token-reviews.ts';
import { DatabaseLooker } from '../database-look/looker.ts';
import type { Look } from '../database-look/looker.ts';
import type { OperatorDependencies } from '../dependencies.ts';
import { readAgentPod } from './agent-pods.ts';
import { ClusterView } from './cluster-view.ts';
import { Controller } from './controller.ts';
import { GenerationMoved, GenerationStore } from './generations.ts';
import { targetKey } from './published.ts';
import { ReportBook } from './reports.ts';
import { ReportSharing } from './report-sharing.ts';
import { namedConnection } from './sources.ts';

/** Sidecars ask at least every 30 s. */
const REPORTS_SETTLE_MS = 45_000;
const STATUS_DELAY_MS = 250;
const MAX_WRITES = 2000;

interface Write {
  readonly generation: number;
  readonly atMs: number;
  readonly reached: Set<string>;
}

export class Reconciler {
  readonly #dependencies: OperatorDependencies;
  readonly #view: ClusterView;
  readonly #controller: Controller;
  readonly #endpoint: CredentialsEndpoint;
  readonly #queue: WorkQueue;
  readonly #reports = new ReportBook();
  readonly #sharing: ReportSharing;
  /** The connection that a policy named last; it may name another now. */
  readonly #policyConnections = new Map<string, string>();
  /** What pods were told last about a connection without a grant, by UID and connection. */
  readonly #told = new Map<string, string>();
  /** The newest write for each target. */
  readonly #writes = new Map<string, Write>();
  /** What a pod asked for when it was last seen. */
  readonly #podConnections = new Map<string, readonly string[]>();
  #leadingSinceMs: number | undefined;

  constructor(dependencies: OperatorDependencies, look: Look) {
    this.#dependencies = dependencies;
    const { client, caches, settings, log, metrics, trust } = dependencies;
    this.#view = new ClusterView({
      ...{ client, caches, settings, log, trust, metrics: metrics.reflector },
      onChange: () => this.#endpoint.changed(),
    });
    this.#queue = new WorkQueue({
      work: async (key) => await this.#reconcile(key),
      concurrency: 4,
      backOff: { firstMs: 200, capMs: 30_000 },
      onFailure: (key, error) => {
        const message = error instanceof Error ? error.message : 'unknown error';
        log.error({ connection: key, error: message }, 'a connection could not be reconciled; it is tried again');
      },
    });
    this.#controller = new Controller({
      ...{ client, caches, trust, view: this.#view, reports: this.#reports },
      store: new GenerationStore(client, settings.namespace, (object) => this.#view.takeGenerations(object)),
      looker: new DatabaseLooker(look, (key) => this.#queue.add(key)),
      admissionContext: dependencies.admissionContext,
      recorder: dependencies.recorder,
      operatorNamespace: settings.namespace,
      onWritten: (bundle) => this.#written(bundle),
      reportsSettled: () => Date.now() - (this.#leadingSinceMs ?? Date.now()) > REPORTS_SETTLE_MS,
    });
    this.#sharing = new ReportSharing({
      ...{ client, log, book: this.#reports, isLeader: dependencies.isLeader },
      namespace: settings.namespace,
      podName: settings.podName,
    });
    this.#endpoint = new CredentialsEndpoint({
      tokenReviews: new TokenReviews(client),
      followedPod: (namespace, name) => caches.get('Pod', `${namespace}/${name}`),
      livePod: async (namespace, name) => await client.find({ apiVersion: 'v1', kind: 'Pod', namespace, name }),
      admissionContext: dependencies.admissionContext,
      grantSources: () => this.#view.grantSources(),
      prepare: async (connections) => await this.#view.prepare(connections),
      onExchange: (pod, request, answer) => this.#exchanged(pod, request, answer),
      onStatus: (status) => metrics.credentialsAnswered(status),
      log,
    });
    this.#view.start();
  }

  changed(kind: CacheKind, key: string, object: KubernetesObject | undefined): void {
    this.#view.changed(kind, key, object);
    switch (kind) {
      case 'DatabaseConnection':
        this.#queue.add(key);
        this.#endpoint.changed();
        break;
      case 'DatabaseAccessPolicy':
        this.#policyChanged(key, object);
        this.#endpoint.changed();
        break;
      case 'Secret':
        this.#connectionsIn(splitKey(key).namespace);
        this.#endpoint.changed();
        break;
      case 'ConfigMap':
        this.#configMapChanged(key, object);
        break;
      case 'Pod':
        this.#podChanged(key, object);
        break;
      case 'MutatingWebhookConfiguration':
      case 'ValidatingWebhookConfiguration':
        break;
    }
  }

  trustChanged(): void {
    this.#view.trustChanged();
    this.#endpoint.changed();
    this.#queueAll();
  }

  lead(): void {
    this.#leadingSinceMs = Date.now();
    this.#queueAll();
    this.#queue.start();
  }

  async stop(): Promise<void> {
    this.#endpoint.close();
    await Promise.all([this.#queue.stop(), this.#sharing.stop(), this.#view.stop()]);
  }

  queueDepth(): number {
    return this.#leadingSinceMs === undefined ? 0 : this.#queue.depth();
  }

  async handleCredentials(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#endpoint.handle(request, response);
  }

  async #reconcile(key: string): Promise<{ readonly requeueAfterMs?: number }> {
    const { metrics, caches } = this.#dependencies;
    try {
      const result = await this.#controller.reconcile(splitKey(key));
      metrics.reconciled('DatabaseConnection', 'ok');
      await this.#sharing.sweep(caches.list('ConfigMap'));
      return result;
    } catch (error) {
      // Somebody else has set down a generation: the world is read again.
      if (error instanceof GenerationMoved) return { requeueAfterMs: 100 };
      metrics.reconciled('DatabaseConnection', 'error');
      throw error;
    }
  }

  /** Everything that is, and everything for which a bundle was ever written. */
  #queueAll(): void {
    const { caches } = this.#dependencies;
    for (const { metadata } of caches.list('DatabaseConnection'))
      this.#queue.add(`${metadata.namespace ?? ''}/${metadata.name}`);
    for (const policy of caches.list('DatabaseAccessPolicy')) {
      const name = namedConnection(policy);
      if (name !== undefined) this.#queue.add(`${policy.metadata.namespace ?? ''}/${name}`);
    }
    for (const { namespace, name } of this.#view.knownConnections()) this.#queue.add(`${namespace}/${name}`);
    for (const { metadata } of caches.list('ConfigMap')) this.#queueLabelled(metadata.labels);
  }

  #connectionsIn(namespace: string): void {
    for (const { metadata } of this.#dependencies.caches.list('DatabaseConnection')) {
      if (metadata.namespace === namespace) this.#queue.add(`${namespace}/${metadata.name}`);
    }
  }

  #policyChanged(key: string, object: KubernetesObject | undefined): void {
    const { namespace } = splitKey(key);
    const named = object === undefined ? undefined : namedConnection(object);
    const before = this.#policyConnections.get(key);
    for (const name of [named, before]) if (name !== undefined) this.#queue.add(`${namespace}/${name}`);
    // One that is not sound may be held by any connection of its namespace.
    if (before !== named) this.#connectionsIn(namespace);
    if (named === undefined) this.#policyConnections.delete(key);
    else this.#policyConnections.set(key, named);
  }

  #configMapChanged(key: string, object: KubernetesObject | undefined): void {
    for (const report of this.#sharing.take(object, key)) {
      this.#reported(report.namespace, report.uid, report.connections, true);
    }
    if (object !== undefined) this.#queueLabelled(object.metadata.labels);
    else this.#queueAllOf(splitKey(key).namespace);
  }

  /** A ConfigMap is gone, and with it its labels: whichever connection has agents there looks after it. */
  #queueAllOf(agentNamespace: string): void {
    for (const connection of this.#view.knownConnections()) {
      if (this.#view.knownNamespaces(connection).includes(agentNamespace)) {
        this.#queue.add(`${connection.namespace}/${connection.name}`);
      }
    }
  }

  #queueLabelled(labels: Readonly<Record<string, string>> | undefined): void {
    const namespace = labels?.[CONNECTION_NAMESPACE_LABEL];
    const name = labels?.[CONNECTION_LABEL];
    if (namespace !== undefined && name !== undefined) this.#queue.add(`${namespace}/${name}`);
  }

  #podChanged(key: string, object: KubernetesObject | undefined): void {
    const now = object === undefined ? [] : (readAgentPod(object)?.connections ?? []);
    const before = this.#podConnections.get(key) ?? [];
    for (const connection of new Set([...now, ...before])) this.#queue.addAfter(connection, STATUS_DELAY_MS);
    if (now.length === 0) this.#podConnections.delete(key);
    else this.#podConnections.set(key, now);
    const uid = object?.metadata.uid;
    if (uid !== undefined) this.#endpoint.changedPod(uid);
  }

  #exchanged(pod: KubernetesObject, request: CredentialsRequest, answer: CredentialsAnswer): void {
    const { namespace = '', name, uid = '' } = pod.metadata;
    const asked = new Set(answer.connections.map(({ connection }) => connection));
    const connections = request.connections.filter(({ connection }) => asked.has(connection));
    const isNews = this.#reports.record({ namespace, name, uid, atMs: Date.now(), connections });
    this.#reported(namespace, uid, connections, isNews);
    if (isNews && !this.#dependencies.isLeader()) this.#sharing.news();
    for (const grant of answer.connections) this.#tellRefused(pod, grant);
    if (!isNews) return;
    for (const report of connections.filter(({ state }) => state === 'Refused')) {
      const note = `the sidecar refuses the bundle of ${report.connection}: ${report.refusal ?? 'no reason given'}; what it applied before (generation ${report.appliedGeneration}) stays in force`;
      this.#podEvent(pod, 'BundleRefused', note);
    }
  }

  #tellRefused(pod: KubernetesObject, { connection, status, message }: ConnectionGrant): void {
    const key = `${pod.metadata.uid ?? ''} ${connection}`;
    if (status === 'Granted') {
      this.#told.delete(key);
      return;
    }
    if (this.#told.get(key) === status) return;
    if (this.#told.size >= MAX_WRITES) this.#told.clear();
    this.#told.set(key, status);
    this.#podEvent(pod, status === 'Forbidden' ? 'NotGranted' : `Connection${status}`, message ?? status);
  }

  #podEvent({ metadata }: KubernetesObject, reason: string, note: string): void {
    const { namespace = '', name, uid = '' } = metadata;
    const regarding = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid };
    this.#dependencies.recorder.record({ regarding, type: 'Warning', reason, action: 'Authorize', note });
  }

  #written(bundle: Bundle): void {
    const key = targetKey(bundle.connection, bundle.agentNamespace);
    if (this.#writes.size >= MAX_WRITES) this.#writes.clear();
    this.#writes.set(key, { generation: bundle.generation, atMs: Date.now(), reached: new Set() });
  }

  /** Measures how long a bundle took to a pod, and has the statuses counted anew. */
  #reported(
    agentNamespace: string,
    uid: string,
    connections: CredentialsRequest['connections'],
    isNews: boolean,
  ): void {
    if (!isNews) return;
    for (const { connection, appliedGeneration, state } of connections) {
      this.#queue.addAfter(connection, STATUS_DELAY_MS);
      const write = this.#writes.get(targetKey(splitKey(connection), agentNamespace));
      if (write === undefined || state !== 'Enforcing' || appliedGeneration < write.generation) continue;
      if (write.reached.has(uid)) continue;
      write.reached.add(uid);
      this.#dependencies.metrics.propagated((Date.now() - write.atMs) / 1000);
    }
  }
}
