/**
 * The proxy in a pod: signed bundles from the volume, credentials from the operator, one gate for each connection. It accepts connections
 * at once and tells agents 57P03 until bundle, credentials and catalog are there; nothing it needs has to be up for it to start.
 */
import type { AddressInfo } from 'node:net';
import type { AuditSink } from '#audit/event.ts';
import type { CredentialsAnswer } from '#bundle/credentials-exchange.ts';
import { qualifiedName } from '#crds/kinds.ts';
import type { Identity } from '#policy/identity.ts';
import { watchBundles } from './bundle-source.ts';
import { type ConnectionGate, openConnectionGate } from './connection-gate.ts';
import { CredentialsClient } from './credentials-client.ts';
import { ThreadedDecider } from './decide.ts';
import type { Log } from './log.ts';
import type { CredentialResult } from './metrics.ts';
import { PodConnection, type TrustStore } from './pod-connection.ts';
import type { PodEnvironment } from './pod-environment.ts';
import { beginProcess, type BegunProcess, runProcess, untilReady } from './proxy-process.ts';
import type { Spool } from '#proxy/spool/spool.ts';

export interface PodOptions {
  readonly environment: PodEnvironment;
  readonly sink: AuditSink;
  /** Where the sink writes to; it is sent to the collector as soon as the key set says whom to trust. */
  readonly spool?: Pick<Spool, 'ship' | 'measure'>;
  readonly log: Log;
  /** Version of this program, told to the operator. */
  readonly release: string;
  /** Interface where agents connect; default 127.0.0.1. */
  readonly host?: string;
  /** How often a database's catalog is looked at; default 30 s. */
  readonly catalogRefreshMs?: number;
}

export interface RunningPod {
  /** As bound, by `namespace/name`: the ports the system chose for port 0. */
  readonly addresses: ReadonlyMap<string, { readonly host: string; readonly port: number }>;
  readonly adminAddress: AddressInfo | undefined;
  /** Resolves when one of the connections has policies, credentials and catalog. */
  readonly firstReady: () => Promise<void>;
  /** Lets transactions end (57P01), at most `timeoutMs`; then the last record is written. */
  readonly close: (timeoutMs?: number) => Promise<void>;
}

/** For the decided texts of all connections. */
const CACHES_MAX_BYTES = 16 * 1024 * 1024;

/** What agents are told while the operator has not granted anything; the log says more. */
const WAITING_FOR: Readonly<Record<CredentialResult, string>> = {
  granted: 'the operator has given no credentials yet',
  denied: 'the operator has given no credentials yet',
  unauthorized: 'the operator does not take the token of this pod',
  forbidden: 'the operator does not take this pod; see its Events',
  throttled: 'the operator has given no credentials yet',
  unavailable: 'the operator is not ready, so there are no credentials yet',
  unreachable: 'the operator cannot be reached, so there are no credentials yet',
  malformed: 'the operator is of a release that this gate does not understand',
};

/** Starts and resolves when connections are accepted. Rejects where an address is taken. */
export async function startPod(options: PodOptions): Promise<RunningPod> {
  const { environment, log } = options;
  const begun = beginProcess(options.sink, options.spool?.measure);
  const decider = new ThreadedDecider();
  const gates: ConnectionGate[] = [];
  try {
    for (const connection of environment.connections) gates.push(await openGate(options, begun, connection, decider));
  } catch (error) {
    await Promise.all(gates.map((gate) => gate.close(0)));
    decider.close();
    throw error;
  }
  const parts = connect(options, begun, gates);
  const running = await runProcess(begun, {
    gates,
    admin: { host: undefined, port: environment.adminPort },
    stop: parts.stop,
    release: () => decider.close(),
  });
  log.info({ connections: environment.connections.map(({ name }) => qualifiedName(name)) }, 'accepting connections');
  return {
    addresses: new Map(gates.map((gate) => [gate.connection, gate.address])),
    adminAddress: running.adminAddress,
    firstReady: async () => {
      await Promise.race(gates.map(untilReady));
    },
    close: running.close,
  };
}

async function openGate(
  options: PodOptions,
  begun: BegunProcess,
  connection: PodEnvironment['connections'][number],
  decider: ThreadedDecider,
): Promise<ConnectionGate> {
  const { environment, sink, log } = options;
  return await openConnectionGate({
    connection: qualifiedName(connection.name),
    identity: identityOf(environment),
    listen: { host: options.host ?? '127.0.0.1', port: connection.port },
    sink,
    log,
    observer: begun.observer,
    metrics: begun.metrics,
    // The thread for large texts costs memory: one for all; it is closed at the end of the process.
    decider: { decide: (input) => decider.decide(input), close: () => undefined },
    cacheMaxBytes: Math.floor(CACHES_MAX_BYTES / environment.connections.length),
    ...(options.catalogRefreshMs === undefined ? {} : { catalogRefreshMs: options.catalogRefreshMs }),
  });
}

/** In a pod the account is the identity; groups and claims come from a token only. */
function identityOf({ pod }: PodEnvironment): Identity {
  return { namespace: pod.namespace, serviceAccount: pod.serviceAccount, groups: [], claims: {} };
}

/** Volume and operator on one side, the connections on the other. */
function connect(
  options: PodOptions,
  begun: BegunProcess,
  gates: readonly ConnectionGate[],
): { readonly stop: () => void } {
  const { environment, log } = options;
  const trusted: TrustStore = { trust: { rootKeys: environment.rootKeys, keySet: undefined } };
  const connections = new Map<string, PodConnection>();
  const certificateAuthorities = (): readonly string[] | undefined => trusted.trust.keySet?.certificateAuthorities;
  options.spool?.ship({
    certificateAuthorities,
    onResult: (result) => void begun.metrics.then((metrics) => metrics.auditShipment(result)),
  });
  const client = new CredentialsClient({
    operatorUrl: environment.operatorUrl,
    tokenDirectory: environment.tokenDirectory,
    release: options.release,
    log,
    reports: () => [...connections.values()].map((connection) => connection.report()),
    certificateAuthorities,
    onAnswer: (answer) => deliver(answer, connections),
    onResult: (result) => {
      void begun.metrics.then((metrics) => metrics.credentialRefresh(result));
      if (result === 'granted' || result === 'denied') return;
      for (const connection of connections.values()) connection.waitForOperator(WAITING_FOR[result]);
    },
  });
  const identity = identityOf(environment);
  for (const [index, gate] of gates.entries()) {
    const name = environment.connections[index]?.name;
    if (name === undefined) continue;
    connections.set(
      gate.connection,
      new PodConnection({ name, identity, gate, trusted, changed: () => client.changed() }),
    );
  }
  const source = watchBundles(
    environment.bundleDirectory,
    environment.connections.map(({ name }) => name),
    (name, files) => connections.get(qualifiedName(name))?.takeFiles(files),
  );
  void source.ready.then(() => client.start());
  return {
    stop: () => {
      source.close();
      void client.close();
      for (const connection of connections.values()) connection.close();
    },
  };
}

function deliver(answer: CredentialsAnswer, connections: ReadonlyMap<string, PodConnection>): void {
  for (const grant of answer.connections) connections.get(grant.connection)?.takeGrant(grant);
}
