/** `postern proxy`: the gate without a cluster, or, without --manifests, in a pod that was injected. */
import type { AuditSink } from '#audit/event.ts';
import { openFileSink } from '#audit/file-sink.ts';
import type { ServerTls } from '#proxy/connection-ports.ts';
import { beginStart, finishStart } from '#proxy/engine.ts';
import { type Log, openLog } from '#proxy/log.ts';
import { openServerTls } from '#proxy/server-tls.ts';
import { type PodEnvironment, readPodEnvironment } from '#proxy/pod-environment.ts';
import { openSpool } from '#proxy/spool/spool.ts';
import { withResultFile } from '#proxy/result-file.ts';
import { ManifestError, type RunningProxy, startProxy } from '#proxy/start.ts';
import { type IdentityArguments, parseAddress, parseIdentity, parseObjectName, UsageError } from './arguments.ts';
import { version } from './version.ts';

export interface ProxyArguments extends Omit<IdentityArguments, 'as'> {
  readonly manifests?: string;
  readonly connection?: string;
  readonly as?: string;
  readonly listen: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly auditFile?: string;
  readonly admin: string;
}

/** What the proxy needs without a cluster. */
interface ManifestArguments extends ProxyArguments {
  readonly manifests: string;
  readonly connection: string;
  readonly as: string;
}

/** Pods are given little time to end; the rest is for the last records. */
const POD_DRAIN_MS = 4000;

/** Runs until SIGTERM or SIGINT; resolves to the exit code. */
export async function runProxy(given: ProxyArguments): Promise<number> {
  const { manifests, connection, as } = given;
  if (manifests !== undefined && connection !== undefined && as !== undefined) {
    return await runWithManifests({ ...given, manifests, connection, as });
  }
  const environment = readPodEnvironment(process.env);
  if (manifests !== undefined || connection !== undefined || as !== undefined || environment.kind === 'absent') {
    throw new UsageError(
      'proxy: give --manifests PATH, --connection NAMESPACE/NAME and --as NAMESPACE/SERVICEACCOUNT; without any of them it runs in a pod, where the injector sets POSTERN_CONNECTIONS and the rest of its environment',
    );
  }
  if (environment.kind === 'invalid') throw new UsageError(`proxy: ${environment.problems.join('; ')}`);
  return await runInPod(environment.environment);
}

async function runWithManifests(given: ManifestArguments): Promise<number> {
  const identity = parseIdentity(given);
  const connection = parseObjectName(given.connection, '--connection', 'data/shop');
  const listen = parseAddress(given.listen, '--listen');
  const admin = parseAddress(given.admin, '--admin');
  const tls = await openTls(given);
  beginStart();
  const log = openLog();
  const file = await openFileSink(given.auditFile, { productVersion: version });
  const sink: AuditSink =
    given.auditFile === undefined ? file : withResultFile(file, `${given.auditFile}.results.ndjson`, log);
  let running: RunningProxy;
  try {
    const common = { manifests: given.manifests, connection, identity, listen, admin, sink, log };
    running = await startProxy(tls === undefined ? common : { ...common, tls });
  } catch (error) {
    await sink.close();
    return report(error);
  }
  void running.ready().then(finishStart);
  const { address } = running;
  log.info(
    { address: `${address.host}:${address.port}`, connection: given.connection, as: given.as },
    'accepting connections',
  );
  await untilDrained(log, () => running.close());
  return 0;
}

async function runInPod(environment: PodEnvironment): Promise<number> {
  beginStart();
  const log = openLog();
  const { collectorUrl, tokenDirectory } = environment;
  const spool = openSpool({
    directory: environment.spoolDirectory,
    limitBytes: environment.spoolLimitBytes,
    productVersion: version,
    instanceUid: environment.pod.uid,
    collector: collectorUrl === undefined ? undefined : { url: collectorUrl, tokenDirectory },
    log,
  });
  const { sink } = spool;
  const { startPod } = await import('#proxy/start-pod.ts');
  let running: Awaited<ReturnType<typeof startPod>>;
  try {
    running = await startPod({ environment, sink, spool, log, release: version });
  } catch (error) {
    await sink.close();
    return report(error);
  }
  void running.firstReady().then(finishStart);
  await untilDrained(log, () => running.close(POD_DRAIN_MS));
  return 0;
}

async function untilDrained(log: Log, close: () => Promise<void>): Promise<void> {
  const signal = await untilSignal();
  log.info({ signal }, 'draining: transactions may end, a second signal ends them now');
  process.once('SIGTERM', () => process.exit(1));
  process.once('SIGINT', () => process.exit(1));
  await close();
}

async function openTls(given: ProxyArguments): Promise<ServerTls | undefined> {
  const { tlsCert, tlsKey } = given;
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) throw new UsageError('--tls-cert and --tls-key go together');
  return await openServerTls(tlsCert, tlsKey);
}

function report(error: unknown): number {
  const lines = error instanceof ManifestError ? error.problems : [error instanceof Error ? error.message : 'failed'];
  for (const line of lines) process.stderr.write(`postern proxy: ${line}\n`);
  return 1;
}

async function untilSignal(): Promise<string> {
  return await new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
  });
}
