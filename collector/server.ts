/** The port that sidecars send to: HTTPS with a certificate that is read again when its files change, or HTTP where told so. */
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Log } from '#kubernetes/log.ts';

export interface ServerOptions {
  readonly listen: { readonly host: string | undefined; readonly port: number };
  /** Files in PEM; undefined: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly log: Log;
}

export interface CollectorServer {
  readonly port: number;
  /** Takes no more connections and resolves when those at work are answered; after the grace they are cut off. */
  readonly close: (graceMs: number) => Promise<void>;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const CERTIFICATE_INTERVAL_MS = 10_000;
const MAX_CONNECTIONS = 2_000;
/** Sidecars send at least a heartbeat every 10 s over one connection. */
const LIMITS = {
  maxHeaderSize: 32_768,
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 65_000,
};

/** Rejects where the address is taken or the certificate cannot be read. */
export async function startServer(options: ServerOptions, handler: Handler): Promise<CollectorServer> {
  const { tls, log } = options;
  const server = tls === undefined ? createHttpServer(LIMITS, handler) : await openHttps(tls, handler, log);
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen.port, options.listen.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { port, close: async (graceMs) => await closeServer(server, graceMs) };
}

async function openHttps(files: NonNullable<ServerOptions['tls']>, handler: Handler, log: Log): Promise<HttpsServer> {
  const read = async (): Promise<{ readonly cert: string; readonly key: string }> => ({
    cert: await readFile(files.certFile, 'utf8'),
    key: await readFile(files.keyFile, 'utf8'),
  });
  let current = await read();
  const server = createHttpsServer({ ...LIMITS, ...current, minVersion: 'TLSv1.3', handshakeTimeout: 10_000 }, handler);
  server.on('tlsClientError', () => undefined);
  const renew = async (): Promise<void> => {
    try {
      const next = await read();
      if (next.cert === current.cert && next.key === current.key) return;
      server.setSecureContext({ ...next, minVersion: 'TLSv1.3' });
      current = next;
      log.info({}, 'the certificate was replaced');
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown error';
      log.warn({ error: message }, 'the new certificate cannot be used; the old one stays');
    }
  };
  const timer = setInterval(() => void renew(), CERTIFICATE_INTERVAL_MS);
  timer.unref();
  server.once('close', () => clearInterval(timer));
  return server;
}

async function closeServer(server: Server | HttpsServer, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
