/**
 * `POST /v1/credentials`: sidecars report what they enforce and get credentials and the current generation. Any replica answers, from what it
 * follows of the cluster. A request that knows the answer already is held until the answer changes, or for the time it names.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CREDENTIALS_PATH,
  type CredentialsAnswer,
  type CredentialsRequest,
  decodeCredentialsRequest,
  MAX_EXCHANGE_BYTES,
} from '#bundle/credentials-exchange.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { Log } from '#kubernetes/log.ts';
import type { AdmissionContext } from '../admission/context.ts';
import { readBody } from '../servers/read-body.ts';
import { checkEligible, type Eligibility, plainAddress, type TokenSubject } from './eligible-pod.ts';
import { answerOf, type ConnectionName, decideGrants, type GrantSources } from './grants.ts';
import { RateLimit } from './rate-limit.ts';
import type { TokenReviews } from './token-reviews.ts';

export interface CredentialsEndpointOptions {
  readonly tokenReviews: TokenReviews;
  /** The pod as the watch tells. */
  readonly followedPod: (namespace: string, name: string) => KubernetesObject | undefined;
  /** The pod as the API server tells now; undefined: there is none. Rejects where it cannot be asked. */
  readonly livePod: (namespace: string, name: string) => Promise<KubernetesObject | undefined>;
  /** Undefined: not all is known yet. */
  readonly admissionContext: () => AdmissionContext | undefined;
  /** Undefined: not all is known yet. */
  readonly grantSources: () => GrantSources | undefined;
  /** Reads beforehand what the sources of these connections need and no watch brings. */
  readonly prepare: (connections: readonly ConnectionName[]) => Promise<void>;
  /** An eligible pod has said this and is answered that. */
  readonly onExchange: (pod: KubernetesObject, request: CredentialsRequest, answer: CredentialsAnswer) => void;
  readonly onStatus: (status: number) => void;
  readonly log: Log;
  readonly now?: () => number;
}

type Reply =
  | { readonly status: 200; readonly body: CredentialsAnswer }
  | {
      readonly status: number;
      readonly body: { readonly reason: string; readonly message: string };
      readonly retryAfter?: number;
    };

const MAX_TOKEN_LENGTH = 16_384;
const MAX_HELD = 10_000;
/** A sidecar may be quicker than the kubelet's report of its pod's address. */
const ADDRESS_WAIT_MS = 5000;
const MAX_SEEN = 50_000;
/** A body of a few hundred connections is far below; the exchange's own bound is the answer's. */
const MAX_REQUEST_BYTES = Math.min(MAX_EXCHANGE_BYTES, 64 * 1024);

export class CredentialsEndpoint {
  readonly #options: CredentialsEndpointOptions;
  readonly #now: () => number;
  readonly #limit = new RateLimit({ burst: 40, perSecond: 4, maxCallers: 20_000 });
  readonly #liveLimit = new RateLimit({ burst: 10, perSecond: 1 / 30, maxCallers: 20_000 });
  /** UIDs of pods that were read live. */
  readonly #seen = new Set<string>();
  /** What wakes the requests that are held, by the pod's UID. */
  readonly #held = new Map<string, () => void>();
  #wakeScheduled = false;
  #closing = false;

  constructor(options: CredentialsEndpointOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Anything changed that an answer may depend on. */
  changed(): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    // Changes that come together are looked at once.
    setImmediate(() => {
      this.#wakeScheduled = false;
      for (const wake of this.#held.values()) wake();
    });
  }

  /** Only one pod changed. */
  changedPod(uid: string): void {
    this.#held.get(uid)?.();
  }

  /** Requests that are held are answered now. */
  close(): void {
    this.#closing = true;
    for (const wake of this.#held.values()) wake();
  }

  /** Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let reply: Reply;
    try {
      reply = await this.#reply(request, response);
    } catch (error) {
      this.#options.log.error(
        { error: error instanceof Error ? error.message : 'unknown error' },
        'a sidecar could not be answered',
      );
      reply = { ...refusal(503, 'NotReady', 'the cluster cannot be asked now; try again'), retryAfter: 1 };
    }
    this.#options.onStatus(reply.status);
    if (response.destroyed) return;
    const retryAfter = 'retryAfter' in reply ? { 'retry-after': String(reply.retryAfter) } : {};
    // What is left of a body that was refused is not waited for.
    const close = request.complete ? {} : { connection: 'close' };
    response.writeHead(reply.status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...retryAfter,
      ...close,
    });
    response.end(JSON.stringify(reply.body));
  }

  async #reply(request: IncomingMessage, response: ServerResponse): Promise<Reply> {
    const peer = plainAddress(request.socket.remoteAddress ?? '');
    if (!this.#limit.take(peer, this.#now())) {
      return { ...refusal(429, 'TooManyRequests', 'asked too often; wait a second'), retryAfter: 1 };
    }
    if (request.url !== CREDENTIALS_PATH) return refusal(404, 'NotFound', `only ${CREDENTIALS_PATH} is served`);
    if (request.method !== 'POST') return refusal(405, 'MethodNotAllowed', 'only POST is served');
    const token = bearerOf(request);
    if (token === undefined) return refusal(401, 'NoToken', "send the pod's token of audience postern.dev/operator");
    const body = await readBody(request, MAX_REQUEST_BYTES);
    if (body === undefined) return refusal(413, 'TooLarge', `a request has at most ${MAX_REQUEST_BYTES} bytes`);
    const decoded = decodeCredentialsRequest(body);
    if (decoded.kind === 'malformed') return refusal(400, 'Malformed', decoded.message);
    if (this.#options.grantSources() === undefined || this.#options.admissionContext() === undefined) return NOT_READY;
    const subject = await this.#options.tokenReviews.subject(token);
    if (subject === undefined) return refusal(401, 'BadToken', 'the token is not that of a pod for this operator');
    return await this.#answer(subject, peer, decoded.value, response);
  }

  async #answer(
    subject: TokenSubject,
    peer: string,
    request: CredentialsRequest,
    response: ServerResponse,
  ): Promise<Reply> {
    const endMs = this.#now() + (request.knownVersion === undefined ? 0 : (request.waitSeconds ?? 0) * 1000);
    const addressEndMs = this.#now() + ADDRESS_WAIT_MS;
    for (let isFirst = true; ; isFirst = false) {
      const pod = await this.#pod(subject);
      if (pod === 'limited') {
        return {
          ...refusal(429, 'TooManyRequests', 'the pod is not followed and was asked for too often'),
          retryAfter: 10,
        };
      }
      const context = this.#options.admissionContext();
      if (context === undefined) return NOT_READY;
      const eligible = checkEligible(subject, pod, peer, context);
      if (eligible.kind === 'refused') {
        if (eligible.reason !== 'AddressUnknown' || this.#now() >= addressEndMs) return forbidden(eligible);
        this.#seen.delete(subject.podUid);
        await this.#hold(subject.podUid, 250, response);
        continue;
      }
      const reply = await this.#decide(subject, eligible.connections);
      if (reply.status !== 200) return reply;
      const { body } = reply as Extract<Reply, { status: 200 }>;
      if (isFirst && pod !== undefined) this.#options.onExchange(pod, request, body);
      const leftMs = endMs - this.#now();
      const isDone = body.version !== request.knownVersion || leftMs <= 0 || this.#closing || response.destroyed;
      if (isDone || this.#held.size >= MAX_HELD) return reply;
      const isReplaced = await this.#hold(subject.podUid, leftMs, response);
      if (isReplaced) return reply;
    }
  }

  async #decide(subject: TokenSubject, connections: readonly ConnectionName[]): Promise<Reply> {
    await this.#options.prepare(connections);
    const sources = this.#options.grantSources();
    if (sources === undefined) return NOT_READY;
    const account = { namespace: subject.namespace, name: subject.serviceAccount };
    return { status: 200, body: answerOf(decideGrants(connections, account, sources)) };
  }

  /** Live the first time, from the watch after that; live again where the watch knows another pod, or none. */
  async #pod({ namespace, podName, podUid }: TokenSubject): Promise<KubernetesObject | 'limited' | undefined> {
    const followed = this.#options.followedPod(namespace, podName);
    if (this.#seen.has(podUid) && followed?.metadata.uid === podUid) return followed;
    if (!this.#liveLimit.take(podUid, this.#now())) return 'limited';
    const pod = await this.#options.livePod(namespace, podName);
    if (pod?.metadata.uid === podUid) {
      if (this.#seen.size >= MAX_SEEN) this.#seen.clear();
      this.#seen.add(podUid);
    }
    return pod;
  }

  /** Waits for a change; true: a newer request of the same pod has come instead. */
  async #hold(uid: string, ms: number, response: ServerResponse): Promise<boolean> {
    return await new Promise((resolve) => {
      const previous = this.#held.get(uid);
      const done = (): void => {
        clearTimeout(timer);
        response.off('close', done);
        const isReplaced = this.#held.get(uid) !== done;
        if (!isReplaced) this.#held.delete(uid);
        resolve(isReplaced);
      };
      const timer = setTimeout(done, ms);
      response.once('close', done);
      this.#held.set(uid, done);
      previous?.();
    });
  }
}

const NOT_READY: Reply = {
  ...refusal(503, 'NotReady', 'the operator does not know the cluster yet; try again'),
  retryAfter: 1,
};

function refusal(
  status: number,
  reason: string,
  message: string,
): Extract<Reply, { status: number; body: { reason: string } }> {
  return { status, body: { reason, message } };
}

function forbidden(refused: Extract<Eligibility, { kind: 'refused' }>): Reply {
  return refusal(403, refused.reason, refused.message);
}

function bearerOf(request: IncomingMessage): string | undefined {
  const match = /^Bearer ([A-Za-z0-9._~+/=-]+)$/.exec(request.headers.authorization ?? '');
  const token = match?.[1];
  return token === undefined || token.length > MAX_TOKEN_LENGTH ? undefined : token;
}
