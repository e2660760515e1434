/** Puts the collector together: HTTPS (or HTTP, where told so), authentication, batches, S3, digests; drains in order. */
import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { zstdCompress } from 'node:zlib';
import type { Log } from '#kubernetes/log.ts';
import { type Authenticate, remembering } from './authenticate.ts';
import { Batcher } from './batcher.ts';
import { Digests } from './digests.ts';
import { eventsKey, resultsKey } from './layout.ts';
import { type CollectorMetrics, createCollectorMetrics } from './metrics.ts';
import { newObjectUid } from './object-uid.ts';
import { ObjectStore, type ObjectStoreOptions } from './object-store.ts';
import { receive } from './receive.ts';

const compress = promisify(zstdCompress);

export interface CollectorOptions {
  readonly listen: { readonly host: string | undefined; readonly port: number };
  /** Files in PEM, read again when they change; undefined: plain HTTP, for a proxy in front that speaks TLS. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly store: ObjectStoreOptions;
  /** Empty, or ending in a slash. */
  readonly prefix: string;
  /** Ed25519, PKCS 8 in PEM. */
  readonly digestKeyPem: string;
  readonly authenticate: Authenticate;
  readonly maxObjectBytes: number;
  readonly maxDelayMs: number;
  readonly maxPendingBytes: number;
  readonly log: Log;
}

export interface RunningCollector {
  readonly port: number;
  readonly metrics: CollectorMetrics;
  /** Undefined: ready. */
  readonly notReady: () => string | undefined;
  /** Takes nothing new, writes what waits, signs the last digest. Rejects where S3 did not take the digest. */
  readonly close: () => Promise<void>;
}

const ZSTD = 'application/zstd';
const CERTIFICATE_INTERVAL_MS = 10_000;
const CLOSE_GRACE_MS = 20_000;

/** Listens and resolves; rejects where the address is taken or a key cannot be read. */
export async function startCollector(options: CollectorOptions): Promise<RunningCollector> {
  const { log, prefix } = options;
  const store = new ObjectStore(options.store);
  const digests = new Digests({
    prefix,
    signer: digestSigner(options.digestKeyPem),
    put: async (key, body, contentType) => await store.put(key, body, contentType),
    log,
  });
  const put = async (key: string, body: Uint8Array, records: number): Promise<string> => {
    try {
      await store.put(key, body, ZSTD);
    } catch (error) {
      metrics.object('error');
      throw error;
    }
    metrics.object('ok');
    digests.add(key, body, records);
    return key;
  };
  const records = new Batcher({
    ...options,
    write: async (partition, body, count) =>
      await put(eventsKey(prefix, partition, newObjectUid(Date.now())), body, count),
  });
  const metrics = createCollectorMetrics(() => records.pendingBytes);
  let closing = false;
  const notReady = (): string | undefined => (closing ? 'the collector is stopping' : undefined);
  const ports = {
    authenticate: remembering(options.authenticate),
    records,
    writeResults: async (session: string, lines: Buffer) => {
      const nowMs = Date.now();
      return await put(resultsKey(prefix, nowMs, session, newObjectUid(nowMs)), await compress(lines), 0);
    },
    metrics,
    log,
    notReady,
    nowMs: Date.now,
  };
  const server = await listen(options, (request, response) => void receive(request, response, ports));
  for (const doubt of await store.doubts()) log.warn({ bucket: options.store.bucket }, doubt);
  return {
    port: server.port,
    metrics,
    notReady,
    close: async () => {
      closing = true;
      // New batches are refused from here on; those that wait are written and answered.
      await records.drain();
      await server.close();
      await records.drain();
      await digests.close().finally(() => store.close());
    },
  };
}

function digestSigner(pem: string): { readonly kid: string; readonly privateKey: KeyObject } {
  const privateKey = createPrivateKey(pem);
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new Error('the digest key must be Ed25519: openssl genpkey -algorithm ed25519 -out digest-key.pem');
  }
  const publicBytes = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { kid: hash('sha256', publicBytes, 'hex').slice(0, 32), privateKey };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function listen(
  options: CollectorOptions,
  handler: Handler,
): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const limits = { maxHeaderSize: 32_768, requestTimeout: 60_000, headersTimeout: 10_000, keepAliveTimeout: 65_000 };
  const { tls } = options;
  const server =
    tls === undefined ? createHttpServer(limits, handler) : await openHttps(limits, tls, handler, options.log);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen.port, options.listen.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { port, close: async () => await closeServer(server) };
}

async function openHttps(
  limits: object,
  files: NonNullable<CollectorOptions['tls']>,
  handler: Handler,
  log: Log,
): Promise<HttpsServer> {
  const read = async (): Promise<{ readonly cert: string; readonly key: string }> => ({
    cert: await readFile(files.certFile, 'utf8'),
    key: await readFile(files.keyFile, 'utf8'),
  });
  let current = await read();
  const server = createHttpsServer({ ...limits, ...current, minVersion: 'TLSv1.2' }, handler);
  server.on('tlsClientError', () => undefined);
  const renew = async (): Promise<void> => {
    try {
      const next = await read();
      if (next.cert === current.cert && next.key === current.key) return;
      server.setSecureContext({ ...next, minVersion: 'TLSv1.2' });
      current = next;
      log.info({}, 'the certificate was replaced');
    } catch (error) {
      log.warn(
        { error: error instanceof Error ? error.message : 'unknown' },
        'the new certificate cannot be used; the old one stays',
      );
    }
  };
  const timer = setInterval(() => void renew(), CERTIFICATE_INTERVAL_MS);
  timer.unref();
  server.once('close', () => clearInterval(timer));
  return server;
}

async function closeServer(server: Server | HttpsServer): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
  await closed;
  clearTimeout(timer);
}
