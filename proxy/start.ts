/**
 * The proxy without a cluster: manifests → live gate → listener. It accepts connections before the database's catalog is read; until
 * then they get 57P03.
 */
import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { AuditSink } from '#audit/event.ts';
import { qualifiedName } from '#crds/kinds.ts';
import type { Identity } from '#policy/identity.ts';
import { type ConnectionGate, openConnectionGate } from './connection-gate.ts';
import type { ServerTls } from './connection-ports.ts';
import type { Log } from './log.ts';
import { type ManifestsRead, readManifests } from './manifests.ts';
import { beginProcess, runProcess, untilReady } from './proxy-process.ts';
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

/** Starts and resolves when connections are accepted. Rejects with ManifestError, or where an address is taken. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { connection } = options;
  const fallbackMaskKey = randomBytes(32);
  const read = await readManifests(options.manifests);
  const world = worldOf(read, connection, fallbackMaskKey);
  if (world.kind !== 'assembled') throw new ManifestError(world.problems);
  checkExposure(options, world.world);

  const begun = beginProcess(options.sink);
  const gate = await openConnectionGate({
    ...options,
    connection: qualifiedName(connection),
    observer: begun.observer,
    metrics: begun.metrics,
  });
  const loading = gate.live.take(world.world);
  const watcher = watchManifests(options.manifests, read.fingerprint, async (next) => {
    const result = worldOf(next, connection, fallbackMaskKey);
    const refreshed = result.kind === 'assembled' ? 'granted' : 'malformed';
    void begun.metrics.then((metrics) => metrics.credentialRefresh(refreshed));
    await reload(result, options, gate);
  });
  const running = await runProcess(begun, {
    gates: [gate],
    admin: options.admin,
    stop: () => watcher.close(),
    release: () => undefined,
  });
  return {
    address: gate.address,
    adminAddress: running.adminAddress,
    ready: async () => {
      await loading;
      await untilReady(gate);
    },
    close: running.close,
  };
}

type WorldOf =
  | { readonly kind: 'assembled'; readonly world: World }
  | { readonly kind: 'absent' | 'invalid'; readonly problems: readonly string[] };

function worldOf(read: ManifestsRead, wanted: ConnectionName, fallbackMaskKey: Uint8Array): WorldOf {
  if (read.kind === 'invalid') return read;
  const result = assembleWorld(read.manifests, wanted, fallbackMaskKey);
  return result.kind === 'absent' ? { kind: 'absent', problems: [result.problem] } : result;
}

async function reload(result: WorldOf, options: ProxyOptions, { live, access }: ConnectionGate): Promise<void> {
  if (result.kind !== 'assembled') {
    if (result.kind === 'absent') live.withdraw();
    else live.reject(result.problems);
    return;
  }
  const exposure = exposureProblem(options, result.world);
  if (exposure !== undefined) live.reject([exposure]);
  else if (await live.take(result.world)) access.endOutdated();
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
