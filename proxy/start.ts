/**
 * The composition of a proxy: manifests → live gate → listener, with audit, metrics, health and log around it. It accepts connections
 * before the database's catalog is read; until then they get 57P03.
 */
import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import { qualifiedName } from '#crds/kinds.ts';
import type { Identity } from '#policy/identity.ts';
import type { SessionObserver } from '#session/observer.ts';
import type { AdminServer } from './admin.ts';
import { loadCatalog } from './catalog-loader.ts';
import { ClientAuthentication } from './client-authentication.ts';
import type { ConnectionDependencies, GateState, ServerTls } from './connection-ports.ts';
import { DatabaseAccess } from './database-access.ts';
import { LiveGate } from './gate-state.ts';
import { type ListenAddress, listenForClients } from './listener.ts';
import { createEarlyObserver } from './early-observer.ts';
import type { Log } from './log.ts';
import { type ManifestsRead, readManifests } from './manifests.ts';
import type { ProxyMetrics } from './metrics.ts';
import { watchManifests } from './watch-manifests.ts';
import { assembleWorld, type ConnectionName, type World } from './world.ts';

export interface ProxyOptions {
  /** File or folder of manifests. */
  readonly manifests: string;
  readonly connection: ConnectionName;
  /** Whom the proxy serves; with OIDC groups and claims come from the token. */
  readonly identity: Identity;
  readonly listen: { readonly host: string; readonly port: number };
  readonly admin?: { readonly host: string; readonly port: number };
  readonly tls?: ServerTls;
  readonly sink: AuditSink;
  readonly log: Log;
  /** How often the database's catalog is looked at; default 30 s. */
  readonly catalogRefreshMs?: number;
}

export interface RunningProxy {
  /** As bound: the port the system chose for port 0. */
  readonly address: { readonly host: string; readonly port: number };
  readonly adminAddress: AddressInfo | undefined;
  /** Resolves when policies and catalog are loaded. */
  readonly ready: () => Promise<void>;
  /** Lets transactions end (57P01), at most `timeoutMs`; then the last record is written. */
  readonly close: (timeoutMs?: number) => Promise<void>;
}

/** The manifests cannot be used: each problem is one line with file, path and what is expected. */
export class ManifestError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ManifestError';
    this.problems = problems;
  }
}

const heartbeatMs = 10_000;
const defaultDrainMs = 20_000;

/** Starts and resolves when connections are accepted. Rejects with ManifestError, or where an address is taken. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { log, sink, connection } = options;
  const fallbackMaskKey = randomBytes(32);
  const read = await readManifests(options.manifests);
  const world = worldOf(read, connection, fallbackMaskKey);
  if (world.kind !== 'assembled') throw new ManifestError(world.problems);
  checkExposure(options, world.world);

  const early = createEarlyObserver();
  const loadedMetrics = new Promise<ProxyMetrics>((resolve) =>
    setImmediate(() => resolve(loadMetrics(early.handOver))),
  );
  const gate = createGate(options, loadedMetrics);
  const authentication = new ClientAuthentication(options.identity, () => gate.world);
  const access = new DatabaseAccess({
    world: () => gate.world,
    failed: (error) => log.error({ sqlstate: error.sqlstate, detail: error.detail }, error.message),
  });
  const dependencies = createDependencies({ options, gate, authentication, access, observer: early.observer });
  sink.append([
    {
      phase: 'session',
      timeMs: Date.now(),
      session: undefined,
      reason: 'process_start',
      sqlstate: '00000',
      policies: [],
      generation: 0,
    },
  ]);

  const listener = await listenForClients(options.listen, dependencies);
  const admin = await openAdmin(options, gate, loadedMetrics).catch(async (error: unknown) => {
    await listener.close(0);
    throw error;
  });
  const loading = gate.take(world.world);
  const watcher = watchManifests(options.manifests, read.fingerprint, async (next) => {
    const result = worldOf(next, connection, fallbackMaskKey);
    void loadedMetrics.then((metrics) => metrics.credentialRefresh(result.kind === 'assembled' ? 'ok' : 'error'));
    await reload(result, { options, gate, access });
  });
  const heartbeat = setInterval(() => {
    sink.append([{ phase: 'heartbeat', timeMs: Date.now(), sessions: listener.connectionCount }]);
  }, heartbeatMs);
  heartbeat.unref();

  let closing: Promise<void> | undefined;
  const close = async (timeoutMs = defaultDrainMs): Promise<void> => {
    watcher.close();
    clearInterval(heartbeat);
    await listener.close(timeoutMs);
    gate.close();
    await admin?.close();
    const generation = gate.generation;
    sink.append([
      {
        phase: 'session',
        timeMs: Date.now(),
        session: undefined,
        reason: 'process_end',
        sqlstate: '00000',
        policies: [],
        generation,
      },
    ]);
    await sink.close();
  };
  return {
    address: tcpAddress(listener.address, options.listen),
    adminAddress: admin?.address,
    ready: async () => {
      await loading;
      await untilReady(gate);
    },
    close: (timeoutMs) => {
      closing ??= close(timeoutMs);
      return closing;
    },
  };
}

interface Wiring {
  readonly options: ProxyOptions;
  readonly gate: LiveGate;
  readonly authentication: ClientAuthentication;
  readonly access: DatabaseAccess;
  readonly observer: SessionObserver;
}

/** Getters, because a reload may change what is asked of agents and of the audit. */
function createDependencies(wiring: Wiring): ConnectionDependencies {
  const { options, gate, authentication, access } = wiring;
  const { log } = options;
  const sink = watchRefusals(options.sink, () => gate.askForRefresh());
  const state: GateState = {
    current: (identity) => authentication.refusal(identity) ?? gate.current(identity),
    subscribe: (listener) => gate.subscribe(listener),
  };
  return {
    get authentication() {
      return authentication.port;
    },
    gate: state,
    tls: options.tls,
    connectUpstream: access.connect,
    get audit() {
      const audit = gate.world?.connection.spec.audit;
      return { sink, required: audit?.required ?? true, parameters: audit?.parameters ?? false };
    },
    get destination() {
      const target = gate.world?.target;
      return { podUid: '', hostname: target?.host ?? '', port: target?.port ?? 0 };
    },
    observer: wiring.observer,
    checkToken: randomBytes(12).toString('hex'),
    reportFault: (error, id) => log.error({ id, err: faultOf(error) }, 'internal error; the session has ended'),
  };
}

/** Where a fault of ours was, without the texts it may carry. */
function faultOf(error: unknown): { readonly name: string; readonly stack: string } {
  if (!(error instanceof Error)) return { name: typeof error, stack: '' };
  const stack = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return { name: error.name, stack: stack.join('\n') };
}

function createGate(options: ProxyOptions, metrics: Promise<ProxyMetrics>): LiveGate {
  const { log, sink } = options;
  const record = (reason: string, generation: number, policies: readonly string[], detail?: string): void => {
    const event: AuditEvent = { phase: 'policy', timeMs: Date.now(), reason, policies, generation };
    sink.append([detail === undefined ? event : { ...event, detail }]);
  };
  const warned = new Set<string>();
  return new LiveGate({
    expected: [options.identity],
    ...(options.catalogRefreshMs === undefined ? {} : { refreshMs: options.catalogRefreshMs }),
    readCatalog: (world, known, signal) => loadCatalog(world.target, known, signal),
    events: {
      loaded: (generation, world) => {
        const policies = world.policies.map(qualifiedName);
        log.info({ generation, policies }, 'policies are in force');
        void metrics.then((loaded) => loaded.bundleLoaded(generation, Date.now()));
        record('loaded', generation, policies);
      },
      rejected: (problems, generation) => {
        log.error({ problems, generation }, 'policies are not valid; the last good ones, if any, stay in force');
        void metrics.then((loaded) => loaded.bundleRejected());
        record('rejected', generation, [], problems.join('; '));
      },
      withdrawn: (generation) => {
        log.warn({ generation }, 'the connection is withdrawn; its sessions end');
        record('withdrawn', generation, []);
      },
      catalogFailed: (error) => log.error({ sqlstate: error.sqlstate, detail: error.detail }, error.message),
      warned: (text) => {
        if (warned.has(text)) return;
        if (warned.size > 1000) warned.clear();
        warned.add(text);
        log.warn({}, text);
      },
    },
  });
}

function tcpAddress(bound: ListenAddress, asked: ProxyOptions['listen']): ProxyOptions['listen'] {
  return 'port' in bound ? bound : asked;
}

/** prom-client loads after the first connections can come in. */
async function loadMetrics(handOver: (observer: SessionObserver) => void): Promise<ProxyMetrics> {
  const { createMetrics } = await import('./metrics.ts');
  const metrics = createMetrics();
  metrics.measureAudit(() => ({ spoolBytes: 0, lagSeconds: 0 }));
  handOver(metrics.observer);
  return metrics;
}

type WorldOf =
  | { readonly kind: 'assembled'; readonly world: World }
  | { readonly kind: 'absent' | 'invalid'; readonly problems: readonly string[] };

function worldOf(read: ManifestsRead, wanted: ConnectionName, fallbackMaskKey: Uint8Array): WorldOf {
  if (read.kind === 'invalid') return read;
  const result = assembleWorld(read.manifests, wanted, fallbackMaskKey);
  return result.kind === 'absent' ? { kind: 'absent', problems: [result.problem] } : result;
}

interface Reloading {
  readonly options: ProxyOptions;
  readonly gate: LiveGate;
  readonly access: DatabaseAccess;
}

async function reload(result: WorldOf, { options, gate, access }: Reloading): Promise<void> {
  if (result.kind !== 'assembled') {
    if (result.kind === 'absent') gate.withdraw();
    else gate.reject(result.problems);
    return;
  }
  const exposure = exposureProblem(options, result.world);
  if (exposure !== undefined) gate.reject([exposure]);
  else if (await gate.take(result.world)) access.endOutdated();
}

/** Without a token anybody who reaches the port is the workload; with one, tokens must not cross a network in clear text. */
function exposureProblem(options: ProxyOptions, world: World): string | undefined {
  const { host } = options.listen;
  if (/^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) return undefined;
  if (world.connection.spec.clientAuth.mode === 'Workload') {
    return `--listen ${host}: with clientAuth.mode Workload only a loopback address may be used, such as 127.0.0.1`;
  }
  return options.tls === undefined
    ? `--listen ${host}: tokens would cross the network in clear text; give --tls-cert and --tls-key`
    : undefined;
}

function checkExposure(options: ProxyOptions, world: World): void {
  const problem = exposureProblem(options, world);
  if (problem !== undefined) throw new ManifestError([problem]);
}

async function openAdmin(
  options: ProxyOptions,
  gate: LiveGate,
  metrics: Promise<ProxyMetrics>,
): Promise<AdminServer | undefined> {
  if (options.admin === undefined) return undefined;
  const { host, port } = options.admin;
  const { startAdmin } = await import('./admin.ts');
  return await startAdmin(host, port, {
    notReady: () => gate.notReady(),
    metrics: async () => {
      const { registry } = await metrics;
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  });
}

/** A refusal that names a relation we do not know may only mean that our snapshot is old. */
function watchRefusals(sink: AuditSink, onUnknown: () => void): AuditSink {
  return {
    append: (events) => {
      if (
        events.some(
          (event) =>
            event.phase === 'decision' &&
            event.disposition === 'Denied' &&
            event.reason.startsWith('relation_not_granted'),
        )
      ) {
        onUnknown();
      }
      return sink.append(events);
    },
    get writable() {
      return sink.writable;
    },
    close: () => sink.close(),
  };
}

async function untilReady(gate: LiveGate): Promise<void> {
  if (gate.notReady() === undefined) return;
  await new Promise<void>((resolve) => {
    const unsubscribe = gate.subscribe(() => {
      if (gate.notReady() !== undefined) return;
      unsubscribe();
      resolve();
    });
  });
}
