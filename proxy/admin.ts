/** Health and metrics over HTTP: /livez, /readyz and /metrics, and nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AdminSources {
  /** `undefined`: ready; else why not, without any secret. */
  readonly notReady: () => string | undefined;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

export interface AdminServer {
  readonly address: AddressInfo;
  readonly close: () => Promise<void>;
}

/** Listens, without a host on every address of both families; rejects where the address is taken. */
export async function startAdmin(host: string | undefined, port: number, sources: AdminSources): Promise<AdminServer> {
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: 10_000 }, (request, response) => {
    answer(request, response, sources).catch(() => {
      if (!response.headersSent) send(response, 500, 'internal error\n');
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the admin server has no address');
  return { address, close: () => closeServer(server) };
}

async function answer(request: IncomingMessage, response: ServerResponse, sources: AdminSources): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0];
  if (path !== '/livez' && path !== '/readyz' && path !== '/metrics') return send(response, 404, 'not found\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return send(response, 405, 'method not allowed\n');
  }
  if (path === '/livez') return send(response, 200, 'ok\n');
  if (path === '/readyz') {
    const reason = sources.notReady();
    return reason === undefined ? send(response, 200, 'ok\n') : send(response, 503, `not ready: ${reason}\n`);
  }
  const { contentType, text } = await sources.metrics();
  response.setHeader('Content-Type', contentType);
  return send(response, 200, text);
}

/** Node leaves the body out of an answer to HEAD by itself. */
function send(response: ServerResponse, status: number, text: string): void {
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.statusCode = status;
  response.end(text);
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
