/**
 * The operator: every replica follows the cluster and answers admission and sidecars; one, the leader, writes. It is ready once it knows the
 * cluster, has a certificate, and what it injects is on record. Who loses the lead exits: a half-stopped leader is worse than a restart.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeConfig } from '@kubernetes/client-node';
import { ClusterClient } from '#kubernetes/cluster-client.ts';
import { EventRecorder } from '#kubernetes/event-recorder.ts';
import { LeaderElector } from '#kubernetes/leader-election.ts';
import type { Log } from '#kubernetes/log.ts';
import { WorkQueue } from '#kubernetes/work-queue.ts';
import { ADMISSION_PATHS, type AdmissionPath, handleAdmission } from './admission/handle.ts';
import { loadManifestValidation } from './admission/validate-manifests.ts';
import { admissionContextOf } from './admission-source.ts';
import { Caches } from './caches.ts';
import {
  type CertificateSource,
  FileCertificate,
  IssuedCertificate,
  serviceNames,
} from './certificates/server-certificate.ts';
import { CollectorSecrets } from './collector/collector-secrets.ts';
import type { OperatorDependencies } from './dependencies.ts';
import { LeaderTasks } from './leader-tasks.ts';
import { createOperatorMetrics, type OperatorMetrics } from './metrics.ts';
import { openReconciling, type Reconciling } from './reconciling.ts';
import { startTlsServer, type TlsServer } from './servers/tls-server.ts';
import { webhookHandler } from './servers/webhook.ts';
import type { ListenAddress, OperatorSettings } from './settings.ts';
import { PART_OF, PART_OF_LABEL } from './signing-keys/stored-keys.ts';
import { TrustKeeper, trustRules } from './signing-keys/trust-keeper.ts';
import { TrustSource } from './signing-keys/trust-source.ts';
import { TemplateKeeper } from './template-keeper.ts';

export const LEASE_NAME = 'postern-operator';

/** /livez, /readyz and /metrics; the same server as the proxy's, given by whoever composes the program. */
export type ServeAdmin = (
  listen: ListenAddress,
  sources: {
    readonly notReady: () => string | undefined;
    readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  },
) => Promise<{ readonly address: { readonly port: number }; readonly close: () => Promise<void> }>;

export interface OperatorOptions {
  readonly settings: OperatorSettings;
  readonly loadKubeConfig: () => KubeConfig;
  readonly serveAdmin: ServeAdmin;
  readonly log: Log;
  /** The lead is lost: end the process, now. */
  readonly onLost: () => void;
}

export interface RunningOperator {
  readonly adminPort: number;
  /** Undefined until there is a certificate. */
  readonly ports: () => { readonly webhook: number; readonly credentials: number } | undefined;
  readonly notReady: () => string | undefined;
  readonly isLeader: () => boolean;
  /** Is not ready any more, gives the lead back, goes on answering for the time given, ends. */
  readonly close: (drainMs: number) => Promise<void>;
}

const CLOSE_GRACE_MS = 5000;
const TEMPLATE_INTERVAL_MS = 300_000;

/** Begins; resolves at once, readiness comes later. Rejects where a port is taken or the kubeconfig cannot be read. */
export async function startOperator(options: OperatorOptions): Promise<RunningOperator> {
  // CEL and the SQL parser, which the validation of manifests needs.
  await loadManifestValidation();
  const operator = new Operator(options);
  await operator.start();
  return {
    adminPort: operator.adminPort,
    ports: () => operator.ports(),
    notReady: () => operator.notReady(),
    isLeader: () => operator.isLeader(),
    close: async (drainMs) => await operator.close(drainMs),
  };
}

class Operator {
  readonly #options: OperatorOptions;
  readonly #metrics: OperatorMetrics;
  readonly #client: ClusterClient;
  readonly #caches: Caches;
  readonly #certificate: CertificateSource & { readonly begin: () => void };
  readonly #trust: TrustSource;
  readonly #templates: TemplateKeeper;
  readonly #templateQueue: WorkQueue;
  readonly #recorder: EventRecorder;
  readonly #elector: LeaderElector;
  readonly #leaderTasks: LeaderTasks;
  readonly #dependencies: OperatorDependencies;
  readonly #reconciling: Reconciling;
  #servers: { readonly webhook: TlsServer; readonly credentials: TlsServer } | undefined;
  #starting: Promise<void> | undefined;
  #admin: Awaited<ReturnType<ServeAdmin>> | undefined;
  #closing = false;

  constructor(options: OperatorOptions) {
    const { settings, log } = options;
    const { namespace } = settings;
    const identity = `${settings.podName}_${randomUUID()}`;
    this.#options = options;
    this.#metrics = createOperatorMetrics();
    const metrics = this.#metrics;
    this.#client = new ClusterClient(options.loadKubeConfig, log, metrics.apiRequest);
    const client = this.#client;
    const { connectionNamespaces } = settings;
    this.#caches = new Caches({ client, connectionNamespaces, log, metrics: metrics.reflector });
    this.#certificate = this.#openCertificate();
    const externalAuthorities = this.#certificate.externalAuthorities;
    this.#trust = new TrustSource({ client, namespace, externalAuthorities, log, metrics: metrics.reflector });
    this.#templates = new TemplateKeeper({
      client,
      namespace,
      template: settings.template,
      log,
      metrics: metrics.reflector,
      onChange: () => this.#templateQueue.add('template'),
    });
    this.#templateQueue = new WorkQueue({
      work: async () => await this.#recordTemplate(),
      onFailure: (_key, error) => {
        const message = error instanceof Error ? error.message : 'unknown error';
        log.error({ error: message }, 'the template of the sidecar could not be recorded; it is tried again');
      },
    });
    this.#recorder = new EventRecorder({ client, controller: 'postern.dev/operator', instance: settings.podName, log });
    this.#dependencies = {
      settings,
      client,
      caches: this.#caches,
      trust: () => this.#trust.current(),
      admissionContext: () => this.#admissionContext(),
      recorder: this.#recorder,
      metrics,
      log,
      isLeader: () => this.#elector.isLeader(),
    };
    this.#reconciling = openReconciling(this.#dependencies);
    this.#leaderTasks = this.#openLeaderTasks();
    this.#elector = new LeaderElector({
      client,
      namespace,
      name: LEASE_NAME,
      identity,
      labels: { [PART_OF_LABEL]: PART_OF },
      log,
      onStartedLeading: () => this.#lead(),
      onLost: options.onLost,
    });
    metrics.measure(() => ({
      certificateEndsAtMs: this.#certificate.current()?.notAfterMs,
      queueDepth: this.#reconciling.queueDepth(),
      nowMs: Date.now(),
    }));
  }

  get adminPort(): number {
    return this.#admin?.address.port ?? 0;
  }

  ports(): { readonly webhook: number; readonly credentials: number } | undefined {
    const servers = this.#servers;
    if (servers === undefined) return undefined;
    return { webhook: servers.webhook.address.port, credentials: servers.credentials.address.port };
  }

  isLeader(): boolean {
    return this.#elector.isLeader();
  }

  notReady(): string | undefined {
    if (this.#closing) return 'the operator is stopping';
    return this.#notJudging() ?? (this.#servers === undefined ? 'there is no certificate yet' : undefined);
  }

  async start(): Promise<void> {
    const { settings, serveAdmin } = this.#options;
    this.#admin = await serveAdmin(settings.adminListen, {
      notReady: () => this.notReady(),
      metrics: async () => ({
        contentType: this.#metrics.registry.contentType,
        text: await this.#metrics.registry.metrics(),
      }),
    });
    this.#caches.onChange(({ kind, key, object }) => this.#reconciling.changed(kind, key, object));
    this.#trust.onChange(() => {
      this.#certificate.begin();
      this.#leaderTasks.wake('caBundle');
      this.#leaderTasks.wake('collector');
      this.#reconciling.trustChanged();
    });
    this.#trust.onSecretChange(() => this.#leaderTasks.wake('keys'));
    this.#certificate.onChange(() => {
      this.#starting ??= this.#startServers();
      if (this.#certificate.externalAuthorities() === undefined) return;
      this.#trust.refresh();
      this.#leaderTasks.wake('keys');
    });
    this.#certificate.begin();
    this.#caches.start();
    this.#trust.start();
    this.#templates.start();
    this.#templateQueue.add('template');
    this.#templateQueue.start();
    this.#elector.start();
  }

  async close(drainMs: number): Promise<void> {
    this.#closing = true;
    const drained = sleep(drainMs);
    await Promise.all([this.#reconciling.stop(), this.#leaderTasks.stop()]);
    await this.#elector.stop();
    this.#metrics.leading(false);
    await drained;
    await this.#starting;
    await Promise.all([
      this.#servers?.webhook.close(CLOSE_GRACE_MS),
      this.#servers?.credentials.close(CLOSE_GRACE_MS),
      this.#templateQueue.stop(),
      this.#recorder.stop(),
    ]);
    this.#certificate.stop();
    await Promise.all([this.#caches.stop(), this.#trust.stop(), this.#templates.stop()]);
    await this.#admin?.close();
    this.#client.close();
  }

  /** Undefined: reviews can be judged. */
  #notJudging(): string | undefined {
    const trust = this.#trust.current();
    if (trust === undefined) return this.#trust.reason();
    if (!this.#templates.isRecorded()) return 'the template of the sidecar is not recorded yet';
    return this.#caches.notSynced();
  }

  #lead(): void {
    this.#metrics.leading(true);
    this.#leaderTasks.start();
    this.#reconciling.lead();
  }

  #admissionContext(): ReturnType<typeof admissionContextOf> {
    return admissionContextOf({
      caches: this.#caches,
      template: this.#options.settings.template,
      previousTemplates: () => this.#templates.previousTemplates(),
      trust: () => this.#trust.current(),
    });
  }

  async #recordTemplate(): Promise<{ readonly requeueAfterMs: number }> {
    await this.#templates.ensure();
    return { requeueAfterMs: TEMPLATE_INTERVAL_MS };
  }

  #openCertificate(): CertificateSource & { readonly begin: () => void } {
    const { settings, log } = this.#options;
    if (settings.certificates !== 'self') {
      const files = new FileCertificate(settings.certificateDirectory, log);
      return withBegin(files, () => void files.read());
    }
    const issued = new IssuedCertificate({
      names: serviceNames(settings.service, settings.namespace),
      authority: () => this.#trust.current()?.authority,
      log,
      now: Date.now,
    });
    return withBegin(issued, () => issued.check());
  }

  #openLeaderTasks(): LeaderTasks {
    const { settings, log } = this.#options;
    const { namespace, service, collectorService } = settings;
    return new LeaderTasks({
      client: this.#client,
      caches: this.#caches,
      trustKeeper: new TrustKeeper({
        client: this.#client,
        namespace,
        rules: trustRules(settings.rotationOverlapMs),
        externalAuthorities: this.#certificate.externalAuthorities,
        log,
        now: Date.now,
      }),
      trust: () => this.#trust.current(),
      admissionContext: () => (this.#notJudging() === undefined ? this.#admissionContext() : undefined),
      webhookService: settings.certificates === 'certManager' ? undefined : { namespace, name: service },
      collectorSecrets:
        collectorService === ''
          ? undefined
          : new CollectorSecrets({
              client: this.#client,
              namespace,
              service: collectorService,
              authority: () => (settings.certificates === 'self' ? this.#trust.current()?.authority : undefined),
              log,
              now: Date.now,
            }),
      recorder: this.#recorder,
      metrics: this.#metrics,
      log,
    });
  }

  async #startServers(): Promise<void> {
    const { settings, log } = this.#options;
    const common = { certificate: this.#certificate, minVersion: 'TLSv1.2', requestTimeoutMs: 10_000 } as const;
    try {
      const handle = webhookHandler({
        paths: ADMISSION_PATHS,
        review: (path, review) => this.#review(path as AdmissionPath, review),
        notReady: () => this.#notJudging(),
        log,
      });
      const webhook = await startTlsServer({ ...common, listen: settings.webhookListen, handle });
      const credentials = await startTlsServer({
        ...common,
        minVersion: 'TLSv1.3',
        listen: settings.credentialsListen,
        handle: async (request, response) => await this.#reconciling.handleCredentials(request, response),
      });
      this.#servers = { webhook, credentials };
      log.info({ webhook: webhook.address.port, credentials: credentials.address.port }, 'serving');
    } catch (error) {
      // A replica that cannot listen must not look alive.
      log.error({ error: error instanceof Error ? error.message : 'unknown error' }, 'a port cannot be served');
      this.#options.onLost();
    }
  }

  #review(path: AdmissionPath, review: unknown): { readonly status: number; readonly body: unknown } {
    const context = this.#admissionContext();
    if (context === undefined) return { status: 503, body: { message: 'postern: not ready: there are no keys yet' } };
    const answer = handleAdmission(path, review, context);
    if (answer.kind === 'malformed') return { status: 400, body: { message: `postern: ${answer.message}` } };
    for (const event of answer.events) this.#recorder.record(event);
    if (path !== '/validate-manifests') this.#metrics.injected(answer.outcome.result, answer.outcome.reason);
    return { status: 200, body: answer.review };
  }
}

function withBegin(source: CertificateSource, begin: () => void): CertificateSource & { readonly begin: () => void } {
  const { current, externalAuthorities, onChange, stop } = source;
  return { current, externalAuthorities, onChange, stop, begin };
}
