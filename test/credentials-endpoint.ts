/** The operator's credentials endpoint as its contract says it, over real HTTPS, for tests of the sidecar. */
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type ConnectionGrant,
  CREDENTIALS_PATH,
  type CredentialsRequest,
  decodeCredentialsRequest,
} from '#bundle/credentials-exchange.ts';
import { API_VERSION } from '#crds/kinds.ts';

export interface ServerIdentity {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface SeenRequest {
  readonly authorization: string;
  readonly body: CredentialsRequest;
}

export class CredentialsEndpoint {
  readonly seen: SeenRequest[] = [];
  /** Answered in place of what is granted. */
  failure: { readonly status: number; readonly body: string } | undefined;
  #server: Server | undefined;
  #port = 0;
  #version = 1;
  #grants: readonly ConnectionGrant[] = [];
  readonly #held = new Set<() => void>();

  get url(): URL {
    return new URL(`https://127.0.0.1:${this.#port}`);
  }

  async open(identity: ServerIdentity): Promise<void> {
    const server = createServer({ cert: identity.certificatePem, key: identity.keyPem }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    this.#server = server;
  }

  /** As if the process were killed. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    this.#held.clear();
  }

  /** From now on; held requests are answered. */
  grant(...grants: readonly ConnectionGrant[]): void {
    this.#grants = grants;
    this.#version++;
    for (const release of this.#held) release();
  }

  /** What was reported last about a connection. */
  lastReport(connection: string): CredentialsRequest['connections'][number] | undefined {
    return this.seen.at(-1)?.body.connections.find((report) => report.connection === connection);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const decoded = decodeCredentialsRequest(text);
    if (request.url !== CREDENTIALS_PATH || request.method !== 'POST' || decoded.kind !== 'read') {
      response.writeHead(400).end();
      return;
    }
    this.seen.push({ authorization: request.headers.authorization ?? '', body: decoded.value });
    if (decoded.value.knownVersion === String(this.#version) && this.failure === undefined) {
      await this.#hold(decoded.value.waitSeconds ?? 0);
    }
    const { failure } = this;
    if (failure !== undefined) {
      response.writeHead(failure.status, { 'Content-Type': 'application/json' }).end(failure.body);
      return;
    }
    const answer = { apiVersion: API_VERSION, version: String(this.#version), connections: this.#grants };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ ...answer, newField: 1 }));
  }

  async #hold(waitSeconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const release = (): void => {
        clearTimeout(timer);
        this.#held.delete(release);
        resolve();
      };
      const timer = setTimeout(release, waitSeconds * 1000);
      timer.unref();
      this.#held.add(release);
    });
  }
}
