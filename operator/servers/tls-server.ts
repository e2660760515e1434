/** An HTTPS server whose certificate is replaced while it runs. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { CertificateSource } from '../certificates/server-certificate.ts';
import type { ListenAddress } from '../settings.ts';

export interface TlsServer {
  readonly address: AddressInfo;
  /** Takes no new connection; requests under way may end within the time, then they are cut off. */
  readonly close: (graceMs: number) => Promise<void>;
}

export interface TlsServerOptions {
  readonly listen: ListenAddress;
  /** Must have a certificate already. */
  readonly certificate: CertificateSource;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** For a whole request to arrive; its answer may take longer. */
  readonly requestTimeoutMs: number;
  /** Never rejects. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
}

/** Listens; rejects where the address is taken or there is no certificate. */
export async function startTlsServer(options: TlsServerOptions): Promise<TlsServer> {
  const { certificate, listen } = options;
  const first = certificate.current();
  if (first === undefined) throw new Error('there is no certificate to serve with');
  const server = createServer(
    {
      cert: first.certificatePem,
      key: first.privateKeyPem,
      minVersion: options.minVersion,
      maxHeaderSize: 32_768,
      requestTimeout: options.requestTimeoutMs,
      headersTimeout: options.requestTimeoutMs,
      handshakeTimeout: 10_000,
      keepAliveTimeout: 65_000,
    },
    (request, response) => void options.handle(request, response),
  );
  // A client that speaks no TLS, or trusts another authority, is its own trouble.
  server.on('tlsClientError', () => undefined);
  certificate.onChange(({ certificatePem, privateKeyPem }) => {
    server.setSecureContext({ cert: certificatePem, key: privateKeyPem, minVersion: options.minVersion });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no address');
  return { address, close: async (graceMs) => await closeServer(server, graceMs) };
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
