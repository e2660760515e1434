/** One HTTP request: node's own client, since a watch needs its body as it comes and no hidden time-out. */
import { request as requestHttp } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { ApiUnreachable } from './api-error.ts';
import type { Access } from './kube-config.ts';

export interface SentRequest {
  readonly access: Access;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly signal: AbortSignal;
}

/** Sends and waits for the answer's head. Rejects with `ApiUnreachable`. */
export async function openResponse(sent: SentRequest): Promise<IncomingMessage> {
  const { access } = sent;
  const base = access.server.pathname.replace(/\/$/, '');
  const headers = {
    ...access.headers,
    accept: 'application/json',
    'user-agent': 'postern',
    ...(sent.body === undefined
      ? {}
      : { 'content-type': sent.contentType, 'content-length': Buffer.byteLength(sent.body) }),
  };
  const request = access.server.protocol === 'http:' ? requestHttp : requestHttps;
  return await new Promise((resolve, reject) => {
    const { signal } = sent;
    const outgoing = request(
      {
        protocol: access.server.protocol,
        // The URL keeps an IPv6 address in brackets; a socket wants it bare.
        hostname: access.server.hostname.replace(/^\[|\]$/g, ''),
        port: access.server.port === '' ? undefined : access.server.port,
        method: sent.method,
        path: `${base}${sent.path}`,
        headers,
        agent: access.agent,
        signal,
      },
      resolve,
    );
    outgoing.on('error', (error) => reject(unreachable(sent, error)));
    outgoing.end(sent.body);
  });
}

/** The whole body. Rejects with `ApiUnreachable` where it is cut off. */
export async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new ApiUnreachable(`the answer was cut off: ${describe(error)}`);
  }
  // An answer cut off after its head may end without an error event.
  if (!response.complete) throw new ApiUnreachable('the answer was cut off');
  return Buffer.concat(chunks).toString('utf8');
}

function unreachable(sent: SentRequest, error: Error): ApiUnreachable {
  return new ApiUnreachable(`${sent.method} ${sent.path.split('?')[0] ?? ''}: ${describe(error)}`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return code === undefined || error.message.includes(code) ? error.message : `${code} ${error.message}`;
}
