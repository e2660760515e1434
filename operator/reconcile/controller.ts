/** Reconciles one connection: reads the world, plans, publishes, says in the statuses what came of it. The leader's only. */
import type { Bundle } from '#bundle/bundle.ts';
import { isBundleTooLarge, signBundle } from '#bundle/sign.ts';
import type { EventRecorder } from '#kubernetes/event-recorder.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import { isNotFound } from '#kubernetes/api-error.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { checkInjectedPod } from '../admission/check-injected-pod.ts';
import type { AdmissionContext } from '../admission/context.ts';
import type { Caches } from '../caches.ts';
import { ensureMaskKey } from '../credentials/mask-keys.ts';
import type { Material } from '../credentials/connection-material.ts';
import type { DatabaseLook } from '../database-look/look.ts';
import type { DatabaseLooker, Found } from '../database-look/looker.ts';
import type { Trust } from '../signing-keys/trust.ts';
import { type AgentPod, readAgentPod } from './agent-pods.ts';
import { CatalogJudge } from './catalog-judge.ts';
import type { ClusterView } from './cluster-view.ts';
import { conditionOf, conditionsOf, hasStatus, type Status } from './conditions.ts';
import { connectionStatus, newConnectionStatus } from './connection-status.ts';
import type { GenerationStore } from './generations.ts';
import { type BundleAction, planBundles, type Target } from './plan.ts';
import { newPolicyStatus, type PodState, type Publication, policyStatus } from './policy-status.ts';
import { type BundleConfigMap, type ConnectionKey, connectionOfConfigMap, readBundleConfigMap } from './published.ts';
import { FIELD_MANAGER, publish, type Published } from './publisher.ts';
import type { ReportBook } from './reports.ts';
import { namedConnection, type Sources } from './sources.ts';

export interface ControllerOptions {
  readonly client: ClusterClient;
  readonly caches: Caches;
  readonly view: ClusterView;
  readonly store: GenerationStore;
  readonly reports: ReportBook;
  readonly looker: DatabaseLooker;
  readonly trust: () => Trust | undefined;
  readonly admissionContext: () => AdmissionContext | undefined;
  readonly recorder: Pick<EventRecorder, 'record'>;
  readonly operatorNamespace: string;
  readonly onWritten: (bundle: Bundle) => void;
  /** Whether sidecars have had the time to speak to this leader. */
  readonly reportsSettled: () => boolean;
  readonly now?: () => number;
}

const NOT_READY_MS = 500;
const RESYNC_MS = 60_000;

interface Outcome {
  readonly publications: readonly Publication[];
  readonly taken: readonly string[];
  readonly errors: readonly unknown[];
}

export class Controller {
  readonly #options: ControllerOptions;
  readonly #now: () => number;
  readonly #judge = new CatalogJudge();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Rejects where something could not be written; all else has been done by then. */
  async reconcile(key: ConnectionKey): Promise<{ readonly requeueAfterMs?: number }> {
    const { view, caches } = this.#options;
    const trust = this.#options.trust();
    const context = this.#options.admissionContext();
    if (trust === undefined || context === undefined || view.notReady() !== undefined) {
      return { requeueAfterMs: NOT_READY_MS };
    }
    const sources = view.sources(key);
    const object = caches.get('DatabaseConnection', nameOf(key));
    const first = this.#greet(key, sources, object);
    const pods = this.#pods(key);
    const outcome = await this.#publish(key, sources, pods, trust);
    const errors = [...outcome.errors];
    const attempt = async (work: Promise<unknown>): Promise<void> => {
      await work.catch((error: unknown) => errors.push(error));
    };
    await attempt(first);
    const material = await this.#material(sources, attempt);
    const found = this.#look(key, sources, material);
    const states = this.#podStates(key, pods, context);
    await Promise.all([
      attempt(this.#writeConnection(object, sources, outcome, material, found?.look)),
      attempt(this.#writePolicies(key, sources, outcome, states, trust, found)),
    ]);
    if (errors.length > 0) throw errors[0];
    if (object === undefined && sources.policies.length === 0) return {};
    return { requeueAfterMs: Math.min(RESYNC_MS, this.#options.looker.dueInMs(nameOf(key))) };
  }

  /** Says Unknown at once of what has no status yet: by its absence it would count as ready. */
  async #greet(key: ConnectionKey, sources: Sources, object: KubernetesObject | undefined): Promise<void> {
    const nowIso = this.#nowIso();
    const greetings: Promise<void>[] = [];
    if (object !== undefined && conditionsOf(object).length === 0) {
      greetings.push(this.#patch(object, newConnectionStatus(object, nowIso)));
    }
    for (const { object: policy } of sources.policies) {
      if (conditionsOf(policy).length > 0 || !isStatusOurs(policy, key)) continue;
      greetings.push(this.#patch(policy, newPolicyStatus(policy, nowIso)));
    }
    await Promise.all(greetings);
  }

  #pods(key: ConnectionKey): readonly AgentPod[] {
    const name = nameOf(key);
    const pods = this.#options.caches.list('Pod').map(readAgentPod);
    return pods.filter((pod) => pod !== undefined).filter((pod) => pod.connections.includes(name));
  }

  async #publish(key: ConnectionKey, sources: Sources, pods: readonly AgentPod[], trust: Trust): Promise<Outcome> {
    const { client, store, view, onWritten } = this.#options;
    const targets = this.#targets(key, pods, trust);
    const actions = planBundles({
      key,
      sources,
      targets,
      kid: trust.signer.kid,
      keySetText: trust.keySetText,
      sign: (bundle) => {
        const bytes = signBundle(bundle, trust.signer);
        return { bytes, isTooLarge: isBundleTooLarge(bytes) };
      },
    });
    const errors: unknown[] = [];
    const done = await Promise.all(
      actions.map(async (action): Promise<readonly [BundleAction, Published | undefined]> => {
        const target = targets.find(({ agentNamespace }) => agentNamespace === action.agentNamespace);
        const own = pods.filter((pod) => pod.namespace === action.agentNamespace);
        try {
          const result = await publish(
            action,
            {
              key,
              keySetText: trust.keySetText,
              keySetVersion: trust.keySet.version,
              pods: own,
              isPresent: target?.configMap !== undefined,
            },
            {
              client,
              store,
              onWritten: (bundle) => {
                view.remember(bundle);
                onWritten(bundle);
              },
            },
          );
          return [action, result];
        } catch (error) {
          errors.push(error);
          return [action, undefined];
        }
      }),
    );
    this.#tellRepairs(key, done);
    return { ...summarize(done), errors };
  }

  #tellRepairs(key: ConnectionKey, done: readonly (readonly [BundleAction, Published | undefined])[]): void {
    const connection = this.#options.caches.get('DatabaseConnection', nameOf(key));
    if (connection === undefined) return;
    for (const [action, result] of done) {
      if (action.kind !== 'write' || !action.isRepair || result?.kind !== 'published') continue;
      this.#event(
        connection,
        'Warning',
        'BundleRepaired',
        `the bundle in namespace ${action.agentNamespace} was changed or deleted by somebody else; it is written anew`,
      );
    }
  }

  #targets(key: ConnectionKey, pods: readonly AgentPod[], trust: Trust): readonly Target[] {
    const { caches, view } = this.#options;
    const configMaps = new Map<string, BundleConfigMap>();
    for (const object of caches.list('ConfigMap')) {
      const connection = connectionOfConfigMap(object);
      if (connection?.namespace !== key.namespace || connection.name !== key.name) continue;
      configMaps.set(object.metadata.namespace ?? '', readBundleConfigMap(object, key, trust.keySet));
    }
    const names = new Set([...view.knownNamespaces(key), ...configMaps.keys()]);
    return [...names].map((agentNamespace) => {
      const own = pods.filter((pod) => pod.namespace === agentNamespace);
      const reported = own.map((pod) => this.#report(pod, key)?.appliedGeneration ?? 0);
      return {
        agentNamespace,
        generation: view.generation(key, agentNamespace).generation,
        configMap: configMaps.get(agentNamespace),
        reportedGeneration: Math.max(0, ...reported),
        podCount: own.length,
      };
    });
  }

  #report(pod: AgentPod, key: ConnectionKey): PodState['report'] {
    return this.#options.reports.find(pod.uid, nameOf(key), this.#now());
  }

  #podStates(key: ConnectionKey, pods: readonly AgentPod[], context: AdmissionContext): readonly PodState[] {
    const { view } = this.#options;
    return pods
      .filter((pod) => view.isGranted(key, { namespace: pod.namespace, name: pod.serviceAccount }))
      .map((pod) => {
        const checked = checkInjectedPod(pod.object, context);
        return { pod, report: this.#report(pod, key), isOutdated: checked.kind === 'injected' && checked.outdated };
      });
  }

  async #material(sources: Sources, attempt: (work: Promise<unknown>) => Promise<void>): Promise<Material | undefined> {
    const { view, client, operatorNamespace } = this.#options;
    const { connection } = sources;
    if (connection.kind !== 'sound') return undefined;
    const { resource } = connection.source;
    await attempt(view.prepare([resource]));
    const material = view.material(resource);
    if (material.kind === 'refused' && material.reason === 'MaskKeyNotMade') {
      // The watch brings it.
      await attempt(ensureMaskKey(client, operatorNamespace, resource));
    }
    return material;
  }

  #look(key: ConnectionKey, sources: Sources, material: Material | undefined): Found | undefined {
    const { connection } = sources;
    if (connection.kind !== 'sound') {
      this.#options.looker.forget(nameOf(key));
      return undefined;
    }
    if (material?.kind !== 'ready') return undefined;
    return this.#options.looker.find(nameOf(key), connection.source.resource, material);
  }

  async #writeConnection(
    object: KubernetesObject | undefined,
    sources: Sources,
    outcome: Outcome,
    material: Material | undefined,
    look: DatabaseLook | undefined,
  ): Promise<void> {
    if (object === undefined || outcome.errors.length > 0) return;
    const { publications, taken } = outcome;
    const reading = sources.connection;
    const unknownPolicies = sources.unknown;
    const status = connectionStatus({
      ...{ object, reading, material, publications, taken, unknownPolicies, look },
      nowIso: this.#nowIso(),
    });
    await this.#writeStatus(object, status, ['Ready', 'Reachable', 'LeastPrivilege']);
  }

  async #writePolicies(
    key: ConnectionKey,
    sources: Sources,
    outcome: Outcome,
    pods: readonly PodState[],
    trust: Trust,
    found: Found | undefined,
  ): Promise<void> {
    if (outcome.errors.length > 0) return;
    const { connection } = sources;
    const catalogOf = this.#judge.judge(sources.policies, found);
    const problem =
      connection.kind === 'invalid'
        ? `DatabaseConnection ${nameOf(key)}: ${connection.problems.join('; ')}`
        : undefined;
    const own = sources.policies.filter(({ object }) => isStatusOurs(object, key));
    await Promise.all(
      own.map(async (reading) => {
        const status = policyStatus({
          reading,
          connectionName: key.name,
          connectionExists: connection.kind !== 'absent',
          connectionProblem: problem,
          publications: outcome.publications,
          keySetVersion: trust.keySet.version,
          pods,
          reportsSettled: this.#options.reportsSettled(),
          catalog: catalogOf(reading),
          nowIso: this.#nowIso(),
        });
        await this.#writeStatus(reading.object, status, ['Ready']);
      }),
    );
  }

  /** Where it says something new; an Event where one of these conditions turned. */
  async #writeStatus(object: KubernetesObject, status: Status, told: readonly string[]): Promise<void> {
    if (hasStatus(object, status)) return;
    await this.#patch(object, status);
    for (const condition of status.conditions) {
      const before = conditionOf(object, condition.type);
      const isNews = before?.status !== condition.status || before.reason !== condition.reason;
      if (!told.includes(condition.type) || !isNews || condition.status === 'Unknown') continue;
      this.#event(
        object,
        condition.status === 'True' ? 'Normal' : 'Warning',
        condition.reason,
        `${condition.type}=${condition.status}: ${condition.message}`,
      );
    }
  }

  async #patch(object: KubernetesObject, status: Status): Promise<void> {
    const { apiVersion, kind, metadata } = object;
    const bare: KubernetesObject = {
      apiVersion,
      kind,
      metadata: { name: metadata.name, namespace: metadata.namespace ?? '' },
      status,
    };
    try {
      await this.#options.client.patchStatus(bare, { fieldManager: FIELD_MANAGER, force: true });
    } catch (error) {
      // Deleted meanwhile.
      if (!isNotFound(error)) throw error;
    }
  }

  #event(
    { apiVersion, kind, metadata }: KubernetesObject,
    type: 'Normal' | 'Warning',
    reason: string,
    note: string,
  ): void {
    const { name, namespace, uid } = metadata;
    const regarding = {
      apiVersion,
      kind,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    };
    this.#options.recorder.record({ regarding, type, reason, action: 'Reconcile', note });
  }

  #nowIso(): string {
    return new Date(this.#now()).toISOString().replace(/\.\d+Z$/, 'Z');
  }
}

/** An invalid policy can be held by one connection and name another: only one of them writes its status. */
function isStatusOurs(policy: KubernetesObject, key: ConnectionKey): boolean {
  const named = namedConnection(policy);
  return named === undefined || named === key.name;
}

function summarize(
  done: readonly (readonly [BundleAction, Published | undefined])[],
): Pick<Outcome, 'publications' | 'taken'> {
  const publications = done.flatMap(([{ agentNamespace }, result]) =>
    result?.kind === 'published'
      ? [{ agentNamespace, generation: result.generation, isTooLarge: result.isTooLarge }]
      : [],
  );
  const taken = done.flatMap(([{ agentNamespace }, result]) => (result?.kind === 'taken' ? [agentNamespace] : []));
  return { publications, taken };
}

function nameOf({ namespace, name }: ConnectionKey): string {
  return `${namespace}/${name}`;
}
