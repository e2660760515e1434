/**
 * A small API server for one collection that fails on demand, in each way a real one does on a bad day. It keeps the truth (`objects`), so that
 * a test can compare a reflector with it. Faults are taken one a request, in the order given.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { type KubernetesObject, objectKey } from '#kubernetes/object.ts';

export type Fault =
  /** The connection is reset before any answer. */
  | 'reset'
  /** The answer ends in the middle: a list within its JSON, a watch after an event. */
  | 'cut'
  /** A watch ends within a line. */
  | 'half-line'
  | 'server-error'
  | 'throttled'
  /** 410 as the answer's status. */
  | 'gone-status'
  /** 410 as an event of a watch. */
  | 'gone-event'
  /** The token is no longer good; the next one read is. */
  | 'unauthorized'
  /** The watch is open and never says anything. */
  | 'silence'
  /** Every event comes twice. */
  | 'duplicate'
  /** Each event is followed by the first ones of history. */
  | 'stale'
  /** The watch ends at once, properly. */
  | 'ends';

interface HistoryEvent {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubernetesObject;
}

interface OpenWatch {
  readonly response: ServerResponse;
  readonly fault: Fault | undefined;
}

const PATH = '/api/v1/configmaps';

export class FaultApiServer {
  readonly path = PATH;
  readonly faults: Fault[] = [];
  readonly objects = new Map<string, KubernetesObject>();
  readonly seen = { lists: 0, watches: 0, badTokens: 0 };
  pageSize = 2;
  readonly #server: Server;
  readonly #watches = new Set<OpenWatch>();
  readonly #bookmarks: NodeJS.Timeout;
  #history: HistoryEvent[] = [];
  #version = 100;
  /** Watches from before this are 410. */
  #compacted = 0;
  #token = 1;

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#bookmarks = setInterval(() => this.#bookmark(), 20);
  }

  static async open(): Promise<FaultApiServer> {
    const opened = new FaultApiServer();
    await new Promise<void>((resolve) => {
      opened.#server.listen(0, '127.0.0.1', resolve);
    });
    return opened;
  }

  /** A kubeconfig with the token that is good now. */
  kubeConfig(): KubeConfig {
    const config = new KubeConfig();
    const { port } = this.#server.address() as AddressInfo;
    config.loadFromOptions({
      clusters: [{ name: 'faulty', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
      users: [{ name: 'tester', token: `token-${this.#token}` }],
      contexts: [{ name: 'test', cluster: 'faulty', user: 'tester' }],
      currentContext: 'test',
    });
    return config;
  }

  put(name: string, value: string): void {
    const key = `test/${name}`;
    const version = ++this.#version;
    const object: KubernetesObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'test', resourceVersion: String(version) },
      data: { value },
    };
    this.#publish({ version, type: this.objects.has(key) ? 'MODIFIED' : 'ADDED', object });
    this.objects.set(key, object);
  }

  remove(name: string): void {
    const object = this.objects.get(`test/${name}`);
    if (object === undefined) return;
    this.objects.delete(`test/${name}`);
    const version = ++this.#version;
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    this.#publish({ version, type: 'DELETED', object: last });
  }

  /** Forgets history: whoever watches from an older version gets 410. */
  compact(): void {
    this.#compacted = this.#version;
    this.#history = [];
  }

  /** Breaks every open watch off. */
  resetWatches(): void {
    for (const { response } of this.#watches) response.socket?.resetAndDestroy();
    this.#watches.clear();
  }

  async close(): Promise<void> {
    clearInterval(this.#bookmarks);
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://server');
    const fault = this.faults.shift();
    if (fault === 'unauthorized') this.#token++;
    if (request.headers.authorization !== `Bearer token-${this.#token}`) {
      this.seen.badTokens++;
      sendStatus(response, 401, 'Unauthorized');
    } else if (fault === 'reset') request.socket.resetAndDestroy();
    else if (fault === 'server-error') sendStatus(response, 500, 'InternalError');
    else if (fault === 'throttled') sendStatus(response, 429, 'TooManyRequests');
    else if (fault === 'gone-status') sendStatus(response, 410, 'Expired');
    else if (url.searchParams.get('watch') === 'true') this.#watch(url, response, fault);
    else this.#list(url, response, fault);
  }

  #list(url: URL, response: ServerResponse, fault: Fault | undefined): void {
    this.seen.lists++;
    const [startText, versionText] = (url.searchParams.get('continue') ?? `0,${this.#version}`).split(',');
    const start = Number(startText);
    if (start > 0 && Number(versionText) < this.#version) {
      // The real one keeps the old version for five minutes; this one says at once that it is gone.
      sendStatus(response, 410, 'Expired');
      return;
    }
    const all = [...this.objects.values()];
    const next = start + this.pageSize < all.length ? `${start + this.pageSize},${this.#version}` : '';
    const items = all.slice(start, start + this.pageSize).map(({ metadata, data }) => ({ metadata, data }));
    const metadata = { resourceVersion: String(this.#version), continue: next };
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMapList', metadata, items });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    if (fault !== 'cut' && fault !== 'half-line') response.end(text);
    else response.write(text.slice(0, text.length / 2), () => response.socket?.destroy());
  }

  #watch(url: URL, response: ServerResponse, fault: Fault | undefined): void {
    this.seen.watches++;
    const from = Number(url.searchParams.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (fault === 'silence') return;
    if (fault === 'ends') {
      response.end();
      return;
    }
    if (fault === 'gone-event' || from < this.#compacted) {
      const status = {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        code: 410,
        reason: 'Expired',
        message: 'too old',
      };
      response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
      return;
    }
    const watch = { response, fault };
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
    for (const event of this.#history.filter(({ version }) => version > from)) this.#send(watch, event);
  }

  #publish(event: HistoryEvent): void {
    this.#history.push(event);
    for (const watch of this.#watches) this.#send(watch, event);
  }

  #send(watch: OpenWatch, event: HistoryEvent): void {
    const { response, fault } = watch;
    const line = `${JSON.stringify({ type: event.type, object: event.object })}\n`;
    if (fault === 'half-line') {
      this.#watches.delete(watch);
      response.write(line.slice(0, line.length / 2), () => response.socket?.destroy());
      return;
    }
    response.write(line);
    if (fault === 'duplicate') response.write(line);
    if (fault === 'stale') {
      for (const old of this.#history.slice(0, 3)) response.write(`${JSON.stringify(old)}\n`);
    }
    if (fault === 'cut') {
      this.#watches.delete(watch);
      response.socket?.destroy();
    }
  }

  #bookmark(): void {
    const metadata = { resourceVersion: String(this.#version) };
    const line = JSON.stringify({ type: 'BOOKMARK', object: { apiVersion: 'v1', kind: 'ConfigMap', metadata } });
    for (const { response } of this.#watches) response.write(`${line}\n`);
  }
}

/** What a reflector should hold, as key → value. */
export function truthOf(objects: Iterable<KubernetesObject>): Readonly<Record<string, unknown>> {
  const entries = [...objects].map((object) => [objectKey(object), object['data']] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sendStatus(response: ServerResponse, code: number, reason: string): void {
  const retry = code === 429 ? { 'retry-after': '0' } : {};
  response.writeHead(code, { 'content-type': 'application/json', ...retry });
  response.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message: reason }));
}
