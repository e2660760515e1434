/** `postern collector`: takes records from sidecars and writes them to S3. */
import { readFile } from 'node:fs/promises';
import { byJwks, byTokenReview } from '#collector/authenticate.ts';
import { type CollectorOptions, startCollector } from '#collector/start.ts';
import { startAdmin } from '#proxy/admin.ts';
import { type Log, openLog } from '#proxy/log.ts';
import { parseAddress, UsageError } from './arguments.ts';

export interface CollectorArguments {
  readonly bucket?: string;
  readonly prefix: string;
  readonly endpoint?: string;
  readonly region: string;
  readonly pathStyle?: boolean;
  readonly kmsKeyId?: string;
  readonly lockMode: string;
  readonly lockDays?: string;
  readonly digestKey?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly plainHttp?: boolean;
  readonly issuer?: string;
  readonly jwksUri?: string;
  readonly maxObjectMebibytes: string;
  readonly maxDelayMs: string;
  readonly maxPendingMebibytes: string;
  readonly drainSeconds: string;
  readonly listen: string;
  readonly admin: string;
}

const MEBIBYTE = 1024 * 1024;

/** Runs until SIGTERM or SIGINT; resolves to the exit code. */
export async function runCollector(given: CollectorArguments): Promise<number> {
  const log = openLog();
  const options = await readOptions(given, log);
  const drainMs = wholeNumber('--drain-seconds', given.drainSeconds, 0) * 1_000;
  const running = await startCollector(options);
  const admin = parseAddress(given.admin, '--admin');
  const adminServer = await startAdmin(admin.host, admin.port, {
    notReady: running.notReady,
    metrics: async () => ({
      contentType: running.metrics.registry.contentType,
      text: await running.metrics.registry.metrics(),
    }),
  });
  log.info({ port: running.port, bucket: options.store.bucket }, 'taking records');
  const signal = await untilSignal();
  log.info({ signal }, 'draining: what waits is written to S3');
  try {
    await running.close(drainMs);
    return 0;
  } catch (error) {
    log.error({ error: error instanceof Error ? error.message : 'unknown error' }, 'the last digest was not written');
    return 1;
  } finally {
    await adminServer.close();
  }
}

async function readOptions(given: CollectorArguments, log: Log): Promise<CollectorOptions> {
  const { bucket, digestKey, tlsCert, tlsKey } = given;
  if (bucket === undefined) throw new UsageError('--bucket (or POSTERN_S3_BUCKET) is required');
  if (digestKey === undefined) {
    throw new UsageError('--digest-key is required: openssl genpkey -algorithm ed25519 -out digest-key.pem');
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new UsageError('--tls-cert and --tls-key go together');
  if (tlsCert === undefined && given.plainHttp !== true) {
    throw new UsageError(
      'give --tls-cert and --tls-key, or --plain-http where something in front speaks TLS: tokens must not travel in clear',
    );
  }
  return {
    listen: parseAddress(given.listen, '--listen'),
    tls: tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey },
    store: {
      bucket,
      endpoint: given.endpoint,
      region: given.region,
      forcePathStyle: given.pathStyle === true,
      kmsKeyId: given.kmsKeyId,
      lock: readLock(given),
    },
    prefix: given.prefix === '' || given.prefix.endsWith('/') ? given.prefix : `${given.prefix}/`,
    digestKeyPem: await readFile(digestKey, 'utf8').catch(() => {
      throw new UsageError(`--digest-key ${digestKey} cannot be read`);
    }),
    authenticate: await readAuthentication(given, log),
    maxObjectBytes: wholeNumber('--max-object-mebibytes', given.maxObjectMebibytes) * MEBIBYTE,
    maxDelayMs: wholeNumber('--max-delay-ms', given.maxDelayMs),
    maxPendingBytes: wholeNumber('--max-pending-mebibytes', given.maxPendingMebibytes) * MEBIBYTE,
    log,
  };
}

function readLock(given: CollectorArguments): CollectorOptions['store']['lock'] {
  if (given.lockDays === undefined) return undefined;
  const mode = given.lockMode;
  if (mode !== 'GOVERNANCE' && mode !== 'COMPLIANCE') throw new UsageError('--lock-mode is GOVERNANCE or COMPLIANCE');
  return { mode, days: wholeNumber('--lock-days', given.lockDays) };
}

async function readAuthentication(given: CollectorArguments, log: Log): Promise<CollectorOptions['authenticate']> {
  const { issuer, jwksUri } = given;
  if ((issuer === undefined) !== (jwksUri === undefined)) throw new UsageError('--issuer and --jwks-uri go together');
  if (issuer !== undefined && jwksUri !== undefined) return byJwks(issuer, jwksUri);
  // Loaded here: the Kubernetes client takes 50 MB, which a collector outside of a cluster does without.
  const [{ ClusterClient }, { loadKubeConfig }] = await Promise.all([
    import('#kubernetes/cluster-client.ts'),
    import('#kubernetes/kube-config.ts'),
  ]);
  return byTokenReview(new ClusterClient(() => loadKubeConfig(), log));
}

function wholeNumber(name: string, text: string, least = 1): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < least)
    throw new UsageError(`${name} must be a whole number from ${least}, found ${JSON.stringify(text)}`);
  return Number(text);
}

async function untilSignal(): Promise<string> {
  return await new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
  });
}
