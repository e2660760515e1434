/** The gate of one connection: its live state, and the port where its agents connect. A process may hold several. */
import { randomBytes } from 'node:crypto';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import { qualifiedName } from '#crds/kinds.ts';
import type { Identity } from '#policy/identity.ts';
import type { SessionObserver } from '#session/observer.ts';
import { loadCatalog } from './catalog-loader.ts';
import { ClientAuthentication } from './client-authentication.ts';
import type { ConnectionDependencies, GateState, ServerTls } from './connection-ports.ts';
import { DatabaseAccess } from './database-access.ts';
import type { Decider } from './decide.ts';
import { LiveGate } from './gate-state.ts';
import { type ListenAddress, listenForClients } from './listener.ts';
import type { Log } from './log.ts';
import type { ProxyMetrics } from './metrics.ts';

export interface ConnectionGateOptions {
  /** `namespace/name`, for log and metrics. */
  readonly connection: string;
  /** Whom the proxy serves; with OIDC groups and claims come from the token. */
  readonly identity: Identity;
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls?: ServerTls;
  readonly sink: AuditSink;
  readonly log: Log;
  readonly observer: SessionObserver;
  readonly metrics: Promise<ProxyMetrics>;
  /** For records; empty outside a cluster. */
  /** Shared by the connections of a process, which then closes it. */
  readonly decider?: Decider;
  /** Of decided texts; default 16 MiB. */
  readonly cacheMaxBytes?: number;
  /** How often the database's catalog is looked at; default 30 s. */
  readonly catalogRefreshMs?: number;
}

export interface ConnectionGate {
  readonly connection: string;
  readonly live: LiveGate;
  readonly access: DatabaseAccess;
  /** As bound: the port the system chose for port 0. */
  readonly address: { readonly host: string; readonly port: number };
  /** Open client connections. */
  readonly connectionCount: () => number;
  /** Lets transactions end (57P01), at most `timeoutMs`. */
  readonly close: (timeoutMs: number) => Promise<void>;
}

/** Listens; agents get 57P03 until the live state has policies and catalog. Rejects where the address is taken. */
export async function openConnectionGate(options: ConnectionGateOptions): Promise<ConnectionGate> {
  const { log, listen } = options;
  const live = createLiveGate(options);
  const authentication = new ClientAuthentication(options.identity, () => live.world);
  const access = new DatabaseAccess({
    world: () => live.world,
    failed: (error) => log.error({ ...about(options), sqlstate: error.sqlstate, detail: error.detail }, error.message),
  });
  const dependencies = createDependencies({ options, live, authentication, access });
  const listener = await listenForClients(listen, dependencies, options.decider, options.cacheMaxBytes);
  return {
    connection: options.connection,
    live,
    access,
    address: tcpAddress(listener.address, listen),
    connectionCount: () => listener.connectionCount,
    close: async (timeoutMs) => {
      await listener.close(timeoutMs);
      live.close();
    },
  };
}

interface Wiring {
  readonly options: ConnectionGateOptions;
  readonly live: LiveGate;
  readonly authentication: ClientAuthentication;
  readonly access: DatabaseAccess;
}

/** Getters, because a reload may change what is asked of agents and of the audit. */
function createDependencies(wiring: Wiring): ConnectionDependencies {
  const { options, live, authentication, access } = wiring;
  const { log } = options;
  const sink = watchRefusals(options.sink, () => live.askForRefresh());
  const state: GateState = {
    current: (identity) => authentication.refusal(identity) ?? live.current(identity),
    subscribe: (listener) => live.subscribe(listener),
  };
  return {
    get authentication() {
      return authentication.port;
    },
    gate: state,
    tls: options.tls,
    connectUpstream: access.connect,
    get audit() {
      const audit = live.world?.connection.spec.audit;
      return {
        sink,
        required: audit?.required ?? true,
        parameters: audit?.parameters ?? false,
        durability: audit?.durability ?? 'Spool',
        results: audit?.results ?? 'None',
      };
    },
    get destination() {
      const target = live.world?.target;
      return { hostname: target?.host ?? '', port: target?.port ?? 0 };
    },
    observer: options.observer,
    checkToken: randomBytes(12).toString('hex'),
    reportFault: (error, id) =>
      log.error({ ...about(options), id, err: faultOf(error) }, 'internal error; the session has ended'),
  };
}

/** Where a fault of ours was, without the texts it may carry. */
function faultOf(error: unknown): { readonly name: string; readonly stack: string } {
  if (!(error instanceof Error)) return { name: typeof error, stack: '' };
  const stack = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return { name: error.name, stack: stack.join('\n') };
}

function createLiveGate(options: ConnectionGateOptions): LiveGate {
  const { log, sink, metrics, connection } = options;
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
        const policies = world.policies.filter((policy) => policy.spec.subjects.length > 0).map(qualifiedName);
        log.info({ ...about(options), generation, policies }, 'policies are in force');
        void metrics.then((loaded) => loaded.bundleLoaded(connection, generation, Date.now()));
        record('loaded', generation, policies);
      },
      rejected: (problems, generation) => {
        log.error(
          { ...about(options), problems, generation },
          'policies are not valid; the last good ones, if any, stay in force',
        );
        void metrics.then((loaded) => loaded.bundleRejected(connection));
        record('rejected', generation, [], problems.join('; '));
      },
      withdrawn: (generation) => {
        log.warn({ ...about(options), generation }, 'no policy grants access; the sessions of the connection end');
        void metrics.then((loaded) => loaded.bundleLoaded(connection, generation, Date.now()));
        record('withdrawn', generation, []);
      },
      catalogFailed: (error) =>
        log.error({ ...about(options), sqlstate: error.sqlstate, detail: error.detail }, error.message),
      warned: (text) => {
        if (warned.has(text)) return;
        if (warned.size > 1000) warned.clear();
        warned.add(text);
        log.warn(about(options), text);
      },
    },
  });
}

function about(options: ConnectionGateOptions): { readonly connection: string } {
  return { connection: options.connection };
}

function tcpAddress(bound: ListenAddress, asked: ConnectionGateOptions['listen']): ConnectionGateOptions['listen'] {
  return 'port' in bound ? bound : asked;
}

/** A refusal that names a relation we do not know may only mean that our snapshot is old. */
function watchRefusals(sink: AuditSink, onUnknown: () => void): AuditSink {
  return {
    append: (events) => {
      if (
        events.some(
          (event) =>
            event.phase === 'decision' &&
            event.about.disposition === 'Denied' &&
            event.about.reason.startsWith('relation_not_granted'),
        )
      ) {
        onUnknown();
      }
      return sink.append(events);
    },
    get writable() {
      return sink.writable;
    },
    get lastSeq() {
      return sink.lastSeq;
    },
    ...(sink.whenConfirmed === undefined ? {} : { whenConfirmed: sink.whenConfirmed }),
    ...(sink.appendResult === undefined ? {} : { appendResult: sink.appendResult }),
    close: () => sink.close(),
  };
}
