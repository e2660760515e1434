import { request } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';

/** What the API server answered; `body` is its JSON, `message` that of a Status. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly message: string;
}

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** More of them, e.g. Impersonate-User. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Plain requests to the API server of KUBECONFIG, as its user. */
export class Api {
  readonly #kubeConfig = new KubeConfig();

  constructor() {
    this.#kubeConfig.loadFromDefault();
  }

  async send(path: string, { method = 'GET', body, contentType, accept, headers }: ApiRequest = {}): Promise<Answer> {
    const server = this.#kubeConfig.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('the kubeconfig names no server');
    const options = { method, headers: { ...headers } as Record<string, string> };
    await this.#kubeConfig.applyToHTTPSOptions(options);
    if (body !== undefined) options.headers['content-type'] = contentType ?? 'application/json';
    options.headers['accept'] = accept ?? 'application/json';
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const call = request(new URL(path, server), options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      });
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
    const parsed: unknown = JSON.parse(text);
    return { status, body: parsed, message: messageOf(parsed) };
  }
}

function messageOf(body: unknown): string {
  return typeof body === 'object' && body !== null && 'message' in body && typeof body.message === 'string'
    ? body.message
    : '';
}
