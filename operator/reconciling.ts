/** The seam between the machinery (start.ts) and what reconciles connections and policies and answers sidecars. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { sourcePolicy } from '#bundle/compile.ts';
import type { ConnectionGrant } from '#bundle/credentials-exchange.ts';
import type { DatabaseAccessPolicy } from '#crds/kinds.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { WorkQueue } from '#kubernetes/work-queue.ts';
import type { CacheKind } from './caches.ts';
import { TokenReviews } from './credentials/caller.ts';
import { CredentialsEndpoint } from './credentials/endpoint.ts';
import { grantOf, type PodAccount } from './credentials/grants.ts';
import { MaskKeys } from './credentials/mask-keys.ts';
import { ReportBoard, REPORTS_PREFIX } from './credentials/reports.ts';
import type { OperatorDependencies } from './dependencies.ts';
import { connectionsOfPod } from './reconcile/connection-pods.ts';
import { readConnectionSecrets } from './reconcile/connection-secrets.ts';
import { connectionsConcerned, Controller } from './reconcile/controller.ts';
import { generationKey, GENERATIONS_CONFIG_MAP, type Generations, readGenerations } from './reconcile/generations.ts';

export interface Reconciling {
  /** A followed object was added, changed or (undefined) is gone; on every replica. */
  readonly changed: (kind: CacheKind, key: string, object: KubernetesObject | undefined) => void;
  /** Keys, key set or authorities changed: every bundle is to be signed anew. */
  readonly trustChanged: () => void;
  /** This replica leads from now on. */
  readonly lead: () => void;
  readonly stop: () => Promise<void>;
  readonly queueDepth: () => number;
  /** `POST /v1/credentials`; never rejects. */
  readonly handleCredentials: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
}

export function openReconciling(dependencies: OperatorDependencies): Reconciling {
  const reconciler = new Reconciler(dependencies);
  return {
    changed: (kind, key, object) => reconciler.changed(kind, key, object),
    trustChanged: () => reconciler.trustChanged(),
    lead: () => reconciler.lead(),
    stop: async () => await reconciler.stop(),
    queueDepth: () => reconciler.queueDepth(),
    handleCredentials: async (request, response) => await reconciler.endpoint.handle(request, response),
  };
}

const REPORT_DELAY_MS = 1_000;
const CONCURRENCY = 4;

class Reconciler {
  readonly endpoint: CredentialsEndpoint;
  readonly #dependencies: OperatorDependencies;
  readonly #reports: ReportBoard;
  readonly #maskKeys: MaskKeys;
  readonly #controller: Controller;
  readonly #queue: WorkQueue;
  /** What an object concerned before it changed or went: that has to be reconciled too. */
  readonly #concerned = new Map<string, readonly string[]>();
  #reportTimer: NodeJS.Timeout | undefined;

  constructor(dependencies: OperatorDependencies) {
    const { client, settings, metrics, log } = dependencies;
    this.#dependencies = dependencies;
    this.#reports = new ReportBoard(metrics.propagated);
    this.#maskKeys = new MaskKeys(client, settings.namespace);
    this.#controller = new Controller(dependencies, this.#reports, (key) => this.#queue.add(key));
    this.#queue = new WorkQueue({
      work: async (key) => await this.#work(key),
      concurrency: CONCURRENCY,
      backOff: { firstMs: 200, capMs: 30_000 },
      onFailure: (key, error, delayMs) => {
        const message = error instanceof Error ? error.message : 'unknown error';
        log.error({ connection: key, error: message, retryInMs: delayMs }, 'a connection could not be reconciled');
      },
    });
    this.endpoint = this.#openEndpoint();
  }

  changed(kind: CacheKind, key: string, object: KubernetesObject | undefined): void {
    const { settings } = this.#dependencies;
    if (kind === 'ConfigMap' && key.startsWith(`${settings.namespace}/`)) this.#ownConfigMapChanged(key, object);
    const id = `${kind} ${key}`;
    const before = this.#concerned.get(id) ?? [];
    const now = object === undefined ? [] : connectionsConcerned(kind, object);
    if (object === undefined) this.#concerned.delete(id);
    else this.#concerned.set(id, now);
    for (const connection of new Set([...before, ...now])) this.#queue.add(connection);
    this.endpoint.wake();
  }

  trustChanged(): void {
    for (const connection of this.#known()) this.#queue.add(connection);
    this.endpoint.wake();
  }

  lead(): void {
    this.#controller.forgetGenerations();
    for (const connection of this.#known()) this.#queue.add(connection);
    this.#queue.start();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#reportTimer);
    await this.#queue.stop();
  }

  queueDepth(): number {
    return this.#queue.depth();
  }

  async #work(key: string): Promise<{ readonly requeueAfterMs?: number }> {
    // A list that is not complete looks like deletions: nothing is withdrawn by mistake.
    if (this.#dependencies.caches.notSynced() !== undefined) return { requeueAfterMs: 500 };
    if (this.#dependencies.caches.get('DatabaseConnection', key) !== undefined) await this.#maskKeys.ensure(key);
    return await this.#controller.reconcile(key);
  }

  /** Connections that exist, are named by a policy, or once had a bundle. */
  #known(): ReadonlySet<string> {
    const known = new Set([...this.#concerned.values()].flat());
    for (const entry of this.#generations().keys()) {
      const [, namespace = '', name = ''] = entry.split('.');
      known.add(`${namespace}/${name}`);
    }
    return known;
  }

  #ownConfigMapChanged(key: string, object: KubernetesObject | undefined): void {
    const name = key.slice(key.indexOf('/') + 1);
    if (name === GENERATIONS_CONFIG_MAP) {
      this.#controller.forgetGenerations();
      return;
    }
    const { settings } = this.#dependencies;
    if (!name.startsWith(REPORTS_PREFIX) || name === `${REPORTS_PREFIX}${settings.podName}`) return;
    this.#reports.read(name, object);
    for (const pod of this.#dependencies.caches.list('Pod')) {
      for (const connection of connectionsOfPod(pod)) this.#queue.add(connection);
    }
  }

  /** As this replica follows them. */
  #generations(): Generations {
    const { caches, settings } = this.#dependencies;
    return readGenerations(caches.get('ConfigMap', `${settings.namespace}/${GENERATIONS_CONFIG_MAP}`));
  }

  #openEndpoint(): CredentialsEndpoint {
    const { caches, client, admissionContext, recorder, metrics, log } = this.#dependencies;
    return new CredentialsEndpoint({
      reviews: new TokenReviews(client),
      context: admissionContext,
      cachedPod: (namespace, name) => caches.get('Pod', `${namespace}/${name}`),
      livePod: async (namespace, name) => await client.find({ apiVersion: 'v1', kind: 'Pod', namespace, name }),
      grants: async (account, connections) => await this.#grants(account, connections),
      report: (caller, pod, request) => {
        const says = this.#reports.take(caller.podUid, caller.namespace, request.connections, Date.now());
        if (!says) return;
        if (this.#dependencies.isLeader()) for (const connection of connectionsOfPod(pod)) this.#queue.add(connection);
        else this.#showReports();
        for (const { connection, state, refusal } of request.connections) {
          if (state === 'Refused') this.#tellRefused(pod, connection, refusal ?? 'Unknown');
        }
      },
      event: (event) => recorder.record(event),
      answered: metrics.credentialsAnswered,
      log,
      nowMs: Date.now,
    });
  }

  #tellRefused(pod: KubernetesObject, connection: string, refusal: string): void {
    const { name, namespace = '', uid } = pod.metadata;
    this.#dependencies.recorder.record({
      regarding: { apiVersion: 'v1', kind: 'Pod', namespace, name, ...(uid === undefined ? {} : { uid }) },
      type: 'Warning',
      reason: 'BundleRefused',
      action: 'Enforce',
      note: `the sidecar refuses the bundle of ${connection} (${refusal}); the last good one stays in force. Somebody may have changed its ConfigMap`,
    });
  }

  async #grants(account: PodAccount, connections: readonly string[]): Promise<readonly ConnectionGrant[]> {
    const { caches, admissionContext, trust } = this.#dependencies;
    const generations = this.#generations();
    const keySetVersion = trust()?.keySet.version ?? 0;
    const policies = caches.list('DatabaseAccessPolicy').flatMap(decodedPolicy);
    const grants: ConnectionGrant[] = [];
    for (const connection of connections) {
      const [namespace = '', name = ''] = connection.split('/');
      const resource = admissionContext()?.connection(namespace, name);
      const secrets =
        resource === undefined
          ? undefined
          : readConnectionSecrets(resource, {
              isOpen: caches.secretsSynced(namespace),
              find: (secret) => caches.get('Secret', `${namespace}/${secret}`),
            });
      const madeMaskKey =
        resource === undefined || resource.spec.maskKey !== undefined
          ? undefined
          : await this.#maskKeys.look(connection);
      const generation = generations.get(generationKey(account.namespace, namespace, name))?.generation ?? 0;
      const facts = { connection, resource, policies, secrets, madeMaskKey, generation, keySetVersion };
      grants.push(grantOf(facts, account));
    }
    return grants;
  }

  /** What is reported here is shown to the leader, many reports at once. */
  #showReports(): void {
    this.#reportTimer ??= setTimeout(() => {
      this.#reportTimer = undefined;
      const { client, settings, log } = this.#dependencies;
      this.#reports.forgetOld(Date.now());
      const object = this.#reports.toConfigMap(settings.namespace, settings.podName);
      client.apply(object, { fieldManager: 'postern-operator-reports', force: true }).catch((error: unknown) => {
        log.warn(
          { error: error instanceof Error ? error.message : 'unknown' },
          'reports could not be shown to the leader',
        );
      });
    }, REPORT_DELAY_MS);
  }
}

/** An object in a cache is never changed, only replaced: each is decoded once. */
const decodedPolicies = new WeakMap<KubernetesObject, readonly DatabaseAccessPolicy[]>();

function decodedPolicy(object: KubernetesObject): readonly DatabaseAccessPolicy[] {
  let known = decodedPolicies.get(object);
  if (known === undefined) {
    const source = sourcePolicy(object);
    known = source === undefined ? [] : [source.resource];
    decodedPolicies.set(object, known);
  }
  return known;
}
