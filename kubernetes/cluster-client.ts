/**
 * Requests to the API server as raw JSON. Typed clients drop the fields they do not know; this one keeps every field. Each request has a
 * deadline; 429 is waited out a few times; after a 401 the credentials are read again, once.
 */
import type { IncomingMessage } from 'node:http';
import type { KubeConfig } from '@kubernetes/client-node';
import { ApiError, ApiUnreachable, isExpired, isNotFound } from './api-error.ts';
import { sleep } from './back-off.ts';
import { openResponse, readText, type SentRequest } from './http.ts';
import { type PreparedAccess, prepareAccess } from './kube-config.ts';
import type { Log } from './log.ts';
import type { KubernetesObject, ObjectReference } from './object.ts';
import { collectionPath, objectPath } from './resources.ts';
import { readJsonLines } from './watch-stream.ts';

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** For the whole answer; default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ListOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal?: AbortSignal;
}

export interface ObjectList {
  readonly items: readonly KubernetesObject[];
  readonly resourceVersion: string;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: KubernetesObject;
}

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Takes fields over from other managers; for objects that are ours. */
  readonly force?: boolean;
}

export interface TokenReviewStatus {
  readonly authenticated: boolean;
  readonly audiences: readonly string[];
  readonly username: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
  readonly error?: string;
}

/** Tokens of a service account live an hour and are renewed on disk; a minute late is early enough. */
const ACCESS_MAX_AGE_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;
const MAX_THROTTLED = 3;
const MAX_RETRY_AFTER_MS = 10_000;
const APPLY = 'application/apply-patch+yaml';
const MERGE_PATCH = 'application/merge-patch+json';

export class ClusterClient {
  readonly #load: () => KubeConfig;
  readonly #log: Log;
  readonly #onAnswer: (method: string, path: string, status: number) => void;
  #config: KubeConfig;
  #access: PreparedAccess | undefined;
  #preparedAtMs = 0;

  /**
   * `load` reads the configuration; it is called again when the API server refuses our credentials. `onAnswer` is told of each answer's status,
   * for metrics; the path holds names and its query.
   */
  constructor(
    load: () => KubeConfig,
    log: Log,
    onAnswer: (method: string, path: string, status: number) => void = () => undefined,
  ) {
    this.#load = load;
    this.#onAnswer = onAnswer;
    this.#log = log;
    this.#config = load();
  }

  /** Sends one request and parses the answer. Throws `ApiError` where the server refuses, `ApiUnreachable` where no whole answer comes. */
  async request<T = KubernetesObject>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const deadline = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
    for (let throttled = 0; ; throttled++) {
      const response = await this.#send({ ...describe(method, path, options), signal });
      const text = await readText(response);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return parseJson(text) as T;
      const error = toApiError(status, text, response.headers['retry-after']);
      if (status !== 429 || throttled >= MAX_THROTTLED) throw error;
      await sleep(Math.min(error.retryAfterMs ?? 1000, MAX_RETRY_AFTER_MS), signal);
    }
  }

  async get(reference: ObjectReference, signal?: AbortSignal): Promise<KubernetesObject> {
    return await this.request('GET', objectPath(reference), signal === undefined ? {} : { signal });
  }

  /** As `get`; undefined where there is no such object. */
  async find(reference: ObjectReference): Promise<KubernetesObject | undefined> {
    try {
      return await this.get(reference);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** A whole collection, read in pages of one resource version; begins again where the continue token expires. */
  async list(path: string, options: ListOptions = {}): Promise<ObjectList> {
    for (;;) {
      try {
        return await this.#listPages(path, options);
      } catch (error) {
        if (!isExpired(error) || options.signal?.aborted === true) throw error;
        this.#log.info({ path }, 'the continue token expired within a list; listing again');
        await sleep(1000, options.signal);
      }
    }
  }

  /** Events as they come. Ends where the server ends the watch between two events; throws where it is cut off. No deadline of its own. */
  async *watch(path: string, query: RequestOptions['query'], signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const response = await this.#send({ ...describe('GET', path, { query: { ...query, watch: true } }), signal });
    const status = response.statusCode ?? 0;
    if (status !== 200) throw toApiError(status, await readText(response), response.headers['retry-after']);
    for await (const line of readJsonLines(response)) yield toWatchEvent(line);
  }

  /** Creates an object. 409 `AlreadyExists` where the name is taken. */
  async create(object: KubernetesObject, options: { readonly dryRun?: boolean } = {}): Promise<KubernetesObject> {
    const { namespace } = object.metadata;
    const path = collectionPath({ ...kindOf(object), ...(namespace === undefined ? {} : { namespace }) });
    return await this.request('POST', path, {
      body: object,
      query: { dryRun: options.dryRun === true ? 'All' : undefined },
    });
  }

  /** Writes a whole object; 409 where its `resourceVersion` is no longer the newest. */
  async replace(object: KubernetesObject): Promise<KubernetesObject> {
    return await this.request('PUT', objectPath(referenceOf(object)), { body: object });
  }

  /** Server-side apply: owns exactly the fields given. */
  async apply(object: KubernetesObject, options: ApplyOptions): Promise<KubernetesObject> {
    return await this.#apply(objectPath(referenceOf(object)), object, options);
  }

  /** Server-side apply of `status`; nothing else of the object is sent. */
  async patchStatus(object: KubernetesObject, options: ApplyOptions): Promise<KubernetesObject> {
    const { name, namespace } = object.metadata;
    const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
    const body: KubernetesObject = { ...kindOf(object), metadata, status: object['status'] };
    return await this.#apply(`${objectPath(referenceOf(object))}/status`, body, options);
  }

  /** JSON merge patch: null deletes a field. */
  async mergePatch(reference: ObjectReference, patch: object): Promise<KubernetesObject> {
    return await this.request('PATCH', objectPath(reference), { body: patch, contentType: MERGE_PATCH });
  }

  /** Deletes; an object that is gone already is no error. With `uid`, only that very object. */
  async delete(reference: ObjectReference, preconditions?: { readonly uid: string }): Promise<void> {
    try {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', preconditions };
      await this.request('DELETE', objectPath(reference), { body });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Asks the API server whose token this is, and whether it was made for the audience. */
  async createTokenReview(token: string, audience: string): Promise<TokenReviewStatus> {
    const kind = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' };
    const body = { ...kind, metadata: {}, spec: { token, audiences: [audience] } };
    const answer = await this.request<{ readonly status?: RawTokenReviewStatus }>('POST', collectionPath(kind), {
      body,
    });
    const status = answer.status ?? {};
    const audiences = status.audiences ?? [];
    return {
      // A server that ignores audiences returns none: such a token proves nothing about us.
      authenticated: status.authenticated === true && audiences.includes(audience),
      audiences,
      username: status.user?.username ?? '',
      groups: status.user?.groups ?? [],
      extra: status.user?.extra ?? {},
      ...(status.error === undefined ? {} : { error: status.error }),
    };
  }

  /** Ends idle connections. */
  close(): void {
    this.#access?.agent.destroy();
  }

  async #apply(path: string, body: KubernetesObject, options: ApplyOptions): Promise<KubernetesObject> {
    const query = { fieldManager: options.fieldManager, force: options.force === true ? true : undefined };
    return await this.request('PATCH', path, { body, query, contentType: APPLY });
  }

  async #listPages(path: string, options: ListOptions): Promise<ObjectList> {
    const { labelSelector, fieldSelector, signal } = options;
    const items: KubernetesObject[] = [];
    let next: string | undefined;
    for (;;) {
      const query = { limit: PAGE_SIZE, labelSelector, fieldSelector, continue: next };
      const page = await this.request<RawList>('GET', path, { query, ...(signal === undefined ? {} : { signal }) });
      if (page.items === undefined) throw new ApiUnreachable(`the answer to a list of ${path} is no list`);
      // Items of a list come without kind and apiVersion; the list names them.
      const kind = { apiVersion: page.apiVersion, kind: page.kind.replace(/List$/, '') };
      for (const item of page.items) items.push({ ...kind, ...item });
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
      if (next === undefined) return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  async #send(request: Omit<SentRequest, 'access'>): Promise<IncomingMessage> {
    const response = await this.#sendOnce(request);
    if (response.statusCode !== 401) return response;
    response.resume();
    this.#log.warn({ path: request.path }, 'the API server refused our credentials; reading them again');
    this.#config = this.#load();
    this.#preparedAtMs = 0;
    return await this.#sendOnce(request);
  }

  async #sendOnce(request: Omit<SentRequest, 'access'>): Promise<IncomingMessage> {
    const response = await openResponse({ ...request, access: await this.#prepare() });
    this.#onAnswer(request.method, request.path, response.statusCode ?? 0);
    return response;
  }

  async #prepare(): Promise<PreparedAccess> {
    const now = Date.now();
    if (this.#access === undefined || now - this.#preparedAtMs > ACCESS_MAX_AGE_MS || now < this.#preparedAtMs) {
      this.#access = await prepareAccess(this.#config, this.#access);
      this.#preparedAtMs = now;
    }
    return this.#access;
  }
}

interface RawList {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items?: readonly KubernetesObject[];
}

interface RawTokenReviewStatus {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly error?: string;
  readonly user?: {
    readonly username?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

function describe(method: string, path: string, options: RequestOptions): Omit<SentRequest, 'access' | 'signal'> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  const full = text === '' ? path : `${path}?${text}`;
  const common = { method, path: full };
  return body === undefined ? common : { ...common, body, contentType: options.contentType ?? 'application/json' };
}

function kindOf(object: KubernetesObject): { readonly apiVersion: string; readonly kind: string } {
  return { apiVersion: object.apiVersion, kind: object.kind };
}

function referenceOf(object: KubernetesObject): ObjectReference {
  const { name, namespace } = object.metadata;
  return { ...kindOf(object), name, ...(namespace === undefined ? {} : { namespace }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiUnreachable('the API server answered something that is not JSON');
  }
}

function toApiError(status: number, text: string, retryAfter: string | undefined): ApiError {
  const seconds = Number(retryAfter);
  const retryAfterMs = retryAfter !== undefined && Number.isFinite(seconds) ? seconds * 1000 : undefined;
  try {
    const body = JSON.parse(text) as { readonly reason?: unknown; readonly message?: unknown };
    const reason = typeof body.reason === 'string' ? body.reason : 'Unknown';
    const message = typeof body.message === 'string' ? body.message : `the API server answered ${status}`;
    return new ApiError(status, reason, message, retryAfterMs);
  } catch {
    return new ApiError(status, 'Unknown', `the API server answered ${status}`, retryAfterMs);
  }
}

function toWatchEvent(line: unknown): WatchEvent {
  const event = line as Partial<WatchEvent> | null;
  if (event === null || typeof event.type !== 'string' || typeof event.object !== 'object') {
    throw new ApiUnreachable('a watch sent something that is no event');
  }
  if (event.type === 'ERROR') {
    const status = event.object as unknown as {
      readonly code?: number;
      readonly reason?: string;
      readonly message?: string;
    };
    throw new ApiError(status.code ?? 500, status.reason ?? 'Unknown', status.message ?? 'the watch failed');
  }
  return { type: event.type, object: event.object };
}
