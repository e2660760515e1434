/** `postern proxy`: the gate without a cluster. */
import type { AuditSink } from '#audit/event.ts';
import { openFileSink } from '#audit/file-sink.ts';
import type { ServerTls } from '#proxy/connection-ports.ts';
import { beginStart, finishStart } from '#proxy/engine.ts';
import { openLog } from '#proxy/log.ts';
import { openServerTls } from '#proxy/server-tls.ts';
import { ManifestError, type RunningProxy, startProxy } from '#proxy/start.ts';
import { type IdentityArguments, parseAddress, parseIdentity, parseObjectName, UsageError } from './arguments.ts';
import { version } from './version.ts';

export interface ProxyArguments extends IdentityArguments {
  readonly manifests: string;
  readonly connection: string;
  readonly listen: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly auditFile?: string;
  readonly admin: string;
}

/** Runs until SIGTERM or SIGINT; resolves to the exit code. */
export async function runProxy(given: ProxyArguments): Promise<number> {
  const identity = parseIdentity(given);
  const connection = parseObjectName(given.connection, '--connection', 'data/shop');
  const listen = parseAddress(given.listen, '--listen');
  const admin = parseAddress(given.admin, '--admin');
  const tls = await openTls(given);
  beginStart();
  const log = openLog();
  const sink: AuditSink = await openFileSink(given.auditFile, { productVersion: version });
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
  const signal = await untilSignal();
  log.info({ signal }, 'draining: transactions may end, a second signal ends them now');
  process.once('SIGTERM', () => process.exit(1));
  process.once('SIGINT', () => process.exit(1));
  await running.close();
  return 0;
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
