/** Puts the collector together: server, authentication, batches, S3, digests; drains in order. */
import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Authenticate, remembering } from './authenticate.ts';
import { Batcher, packObject } from './batcher.ts';
import { Digests } from './digests.ts';
import { eventsKey, resultsKey } from './layout.ts';
import { MemoryBudget } from './memory-budget.ts';
import { type CollectorMetrics, createCollectorMetrics } from './metrics.ts';
import { newObjectUid } from './object-uid.ts';
import { ObjectStore, type ObjectStoreOptions, PutError, sha256Of } from './object-store.ts';
import { receive, type ReceiverPorts } from './receive.ts';
import { type ServerOptions, startServer } from './server.ts';
import { Turnstile } from './turnstile.ts';

export interface CollectorOptions extends ServerOptions {
  readonly store: ObjectStoreOptions;
  /** Empty, or ending in a slash. */
  readonly prefix: string;
  /** Ed25519, PKCS 8 in PEM. */
  readonly digestKeyPem: string;
  readonly authenticate: Authenticate;
  readonly maxObjectBytes: number;
  readonly maxDelayMs: number;
  /** Bytes of all batches in memory, packed as they were sent. */
  readonly maxPendingBytes: number;
  /** Between two digests; default a minute. */
  readonly digestIntervalMs?: number;
}

export interface RunningCollector {
  readonly port: number;
  readonly metrics: CollectorMetrics;
  /** Undefined: ready. */
  readonly notReady: () => string | undefined;
  /**
   * Not ready at once; takes batches for `drainMs` more, until nobody is sent here; then takes nothing new, writes and answers what waits,
   * signs the last digest. Rejects where S3 did not take the digest.
   */
  readonly close: (drainMs: number) => Promise<void>;
}

const ZSTD = 'application/zstd';
/** Longer than S3 may take. */
const CLOSE_GRACE_MS = 27_000;
const UNPACK_AT_ONCE = 2;

/** Listens and resolves; rejects where the address is taken or a key cannot be read. */
export async function startCollector(options: CollectorOptions): Promise<RunningCollector> {
  const { log, prefix } = options;
  const signer = digestSigner(options.digestKeyPem);
  const budget = new MemoryBudget(options.maxPendingBytes);
  const metrics = createCollectorMetrics(() => budget.heldBytes);
  const store = new ObjectStore(options.store);
  const digests = new Digests({
    prefix,
    signer,
    put: async (key, body, contentType) => await store.put(key, body, contentType),
    holds: async (key, sha256) => await store.holds(key, sha256),
    onResult: metrics.digest,
    log,
    ...(options.digestIntervalMs === undefined ? {} : { intervalMs: options.digestIntervalMs }),
  });
  const put = openPut(store, digests, metrics);
  const records = new Batcher({
    maxObjectBytes: options.maxObjectBytes,
    maxDelayMs: options.maxDelayMs,
    write: async (partition, body, count) =>
      await put(eventsKey(prefix, partition, newObjectUid(Date.now())), body, count),
  });
  let state: 'open' | 'draining' | 'closed' = 'open';
  const notTaking = (): string | undefined => {
    if (state === 'closed') return 'the collector is stopping';
    return digests.isBehind() ? 'digests cannot be written to S3' : undefined;
  };
  const ports: ReceiverPorts = {
    authenticate: remembering(options.authenticate),
    records,
    budget,
    unpacking: new Turnstile(UNPACK_AT_ONCE),
    ofPod: new Map(),
    writeResults: async (session, podUid, lines) => {
      const nowMs = Date.now();
      return await put(resultsKey(prefix, nowMs, session, newObjectUid(nowMs)), await packObject([lines]), 0, {
        pod: podUid,
      });
    },
    metrics,
    log,
    notTaking,
    nowMs: Date.now,
  };
  const server = await startServer(options, (request, response) => void receive(request, response, ports));
  // In the background: S3 may be away now, and senders are told so.
  void store.doubts().then((doubts) => {
    for (const doubt of doubts) log.warn({ bucket: options.store.bucket }, doubt);
  });
  return {
    port: server.port,
    metrics,
    notReady: () => (state === 'draining' ? 'the collector is stopping' : notTaking()),
    close: async (drainMs) => {
      state = 'draining';
      await sleep(drainMs);
      state = 'closed';
      // Requests at work may still add lines after this; those are written when their time has come.
      await records.drain();
      await server.close(CLOSE_GRACE_MS);
      await records.drain();
      await digests.close().finally(() => store.close());
    },
  };
}

type Put = (
  key: string,
  body: Uint8Array,
  records: number,
  metadata?: Readonly<Record<string, string>>,
) => Promise<string>;

/** Writes an object and keeps account of it for the next digest. */
function openPut(store: ObjectStore, digests: Digests, metrics: CollectorMetrics): Put {
  return async (key, body, records, metadata) => {
    const object = { key, sha256: sha256Of(body), bytes: body.length, records };
    try {
      await store.put(key, body, ZSTD, metadata);
    } catch (error) {
      metrics.object('error');
      if (error instanceof PutError && error.outcome === 'unknown') digests.addDoubtful(object);
      throw error;
    }
    metrics.object('ok');
    digests.add(object);
    return key;
  };
}

function digestSigner(pem: string): { readonly kid: string; readonly privateKey: KeyObject } {
  const privateKey = createPrivateKey(pem);
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new Error('the digest key must be Ed25519: openssl genpkey -algorithm ed25519 -out digest-key.pem');
  }
  return { kid: digestKeyId(privateKey), privateKey };
}

/** The name of a digest key: the first 32 hexadecimal digits of SHA-256 over its public key (SPKI, DER). */
export function digestKeyId(privateKey: KeyObject): string {
  const publicBytes = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return hash('sha256', publicBytes, 'hex').slice(0, 32);
}
