/**
 * Asks the operator for credentials, and tells it what is enforced: a long poll over TLS to the certificate authorities of the key set,
 * with the pod's token, which is read afresh for every request because the kubelet renews it. What the answers hold stays in memory.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConnectionGrant,
  type ConnectionReport,
  CREDENTIALS_PATH,
  type CredentialsAnswer,
  type CredentialsRequest,
  decodeCredentialsAnswer,
  decodeCredentialsError,
  MAX_EXCHANGE_BYTES,
  MAX_WAIT_SECONDS,
  OPERATOR_TOKEN_FILE,
} from '#bundle/credentials-exchange.ts';
import { API_VERSION } from '#crds/kinds.ts';
import type { Log } from './log.ts';
import type { CredentialResult } from './metrics.ts';

export interface CredentialsClientOptions {
  readonly operatorUrl: URL;
  readonly tokenDirectory: string;
  /** Version of this program. */
  readonly release: string;
  readonly log: Log;
  /** What is enforced now. */
  readonly reports: () => readonly ConnectionReport[];
  /** PEM; `undefined`: no key set yet, so that nobody can be asked. */
  readonly certificateAuthorities: () => readonly string[] | undefined;
  readonly onAnswer: (answer: CredentialsAnswer) => void;
  /** After each request that came to an end. */
  readonly onResult: (result: CredentialResult) => void;
}

const firstRetryMs = 250;
const maxRetryMs = 10_000;
/** Between the starts of two requests, should the operator answer at once each time. */
const minIntervalMs = 500;
/** Several changes at once are one report. */
const reportDelayMs = 20;
const answerSlackMs = 10_000;
const withoutKeysMs = 1000;

/** Runs from `start` to `close`; one request at a time. */
export class CredentialsClient {
  readonly #options: CredentialsClientOptions;
  readonly #closing = new AbortController();
  #knownVersion: string | undefined;
  /** What the request that is under way has told. */
  #told = '';
  /** Ends the wait between requests, or the request that is held by the operator. */
  #wake: AbortController | undefined;
  #toldDenied = '';
  #retryMs = firstRetryMs;
  #running: Promise<void> | undefined;
  #reportTimer: NodeJS.Timeout | undefined;

  constructor(options: CredentialsClientOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** What `reports` says may have changed, or the key set: the operator learns of it at once. */
  changed(): void {
    if (this.#reportTimer !== undefined || this.#closing.signal.aborted) return;
    this.#reportTimer = setTimeout(() => {
      this.#reportTimer = undefined;
      if (this.#tale() !== this.#told) this.#wake?.abort();
    }, reportDelayMs);
    this.#reportTimer.unref();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#reportTimer);
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      this.#wake = new AbortController();
      const signal = AbortSignal.any([this.#closing.signal, this.#wake.signal]);
      const startedMs = performance.now();
      const outcome = await this.#ask(signal);
      if (this.#closing.signal.aborted) return;
      // Something new to tell: at once, but not in a circle.
      const pauseMs = signal.aborted ? 0 : this.#pauseAfter(outcome);
      const restMs = Math.max(pauseMs, minIntervalMs - (performance.now() - startedMs));
      await sleep(restMs, undefined, { signal: signal.aborted ? this.#closing.signal : signal }).catch(() => undefined);
    }
  }

  #tale(): string {
    return JSON.stringify([this.#options.reports(), this.#options.certificateAuthorities()]);
  }

  #pauseAfter(outcome: Outcome): number {
    if (outcome.kind === 'answered') {
      this.#retryMs = firstRetryMs;
      return 0;
    }
    if (outcome.kind === 'without_keys') return withoutKeysMs;
    // Jitter, so that the pods of a cluster do not come back in step.
    const pauseMs = Math.max(outcome.retryAfterMs ?? 0, this.#retryMs * (0.5 + Math.random()));
    this.#retryMs = Math.min(this.#retryMs * 2, maxRetryMs);
    return pauseMs;
  }

  async #ask(signal: AbortSignal): Promise<Outcome> {
    const options = this.#options;
    this.#told = this.#tale();
    const authorities = options.certificateAuthorities();
    if (authorities === undefined || authorities.length === 0) return { kind: 'without_keys' };
    try {
      const token = (await readFile(join(options.tokenDirectory, OPERATOR_TOKEN_FILE), 'utf8')).trim();
      const response = await send({ ...options, authorities, token, signal, body: this.#body() });
      return this.#take(response);
    } catch (error) {
      if (signal.aborted) return { kind: 'failed', retryAfterMs: undefined };
      const reason = error instanceof Error ? describe(error) : 'unknown error';
      return this.#fail('unreachable', `the operator cannot be reached: ${reason}`);
    }
  }

  #body(): string {
    const body: CredentialsRequest = {
      apiVersion: API_VERSION,
      release: this.#options.release,
      connections: this.#options.reports(),
      ...(this.#knownVersion === undefined ? {} : { waitSeconds: MAX_WAIT_SECONDS, knownVersion: this.#knownVersion }),
    };
    return JSON.stringify(body);
  }

  #take(response: Response): Outcome {
    if (response.status !== 200) {
      const error = decodeCredentialsError(response.body);
      const told = error.kind === 'read' ? `${error.value.reason}: ${error.value.message}` : 'no reason given';
      const reason = `the operator answers ${response.status}: ${told}`;
      return this.#fail(resultOf(response.status), reason, response.retryAfterMs);
    }
    const answer = decodeCredentialsAnswer(response.body);
    if (answer.kind === 'malformed') {
      return this.#fail('malformed', `the answer of the operator is not understood: ${answer.message}`);
    }
    this.#knownVersion = answer.value.version;
    this.#options.onAnswer(answer.value);
    const denied = answer.value.connections.filter((grant) => grant.status !== 'Granted');
    this.#logDenied(denied);
    this.#options.onResult(denied.length === 0 ? 'granted' : 'denied');
    return { kind: 'answered' };
  }

  /** Once for each change. */
  #logDenied(grants: readonly ConnectionGrant[]): void {
    const denied = grants.map(({ connection, status, message }) => `${connection}: ${status}: ${message ?? ''}`);
    const told = denied.join('; ');
    if (told !== this.#toldDenied && told !== '')
      this.#options.log.warn({ denied }, 'the operator grants no credentials');
    this.#toldDenied = told;
  }

  #fail(result: CredentialResult, reason: string, retryAfterMs?: number): Outcome {
    this.#options.log.warn({ result }, reason);
    this.#options.onResult(result);
    return { kind: 'failed', retryAfterMs };
  }
}

type Outcome =
  | { readonly kind: 'answered' }
  | { readonly kind: 'without_keys' }
  | { readonly kind: 'failed'; readonly retryAfterMs: number | undefined };

interface Response {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly body: Buffer;
}

function resultOf(status: number): CredentialResult {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  return status === 429 ? 'throttled' : 'unavailable';
}

/** A connection for each request: there are two a minute, and so a new key set, and another replica, are taken up by themselves. */
async function send(given: {
  readonly operatorUrl: URL;
  readonly authorities: readonly string[];
  readonly token: string;
  readonly body: string;
  readonly signal: AbortSignal;
}): Promise<Response> {
  const { request } = await import('node:https');
  const timeout = AbortSignal.timeout(MAX_WAIT_SECONDS * 1000 + answerSlackMs);
  return await new Promise<Response>((resolve, reject) => {
    const sent = request(
      new URL(CREDENTIALS_PATH, given.operatorUrl),
      {
        method: 'POST',
        agent: false,
        ca: [...given.authorities],
        minVersion: 'TLSv1.3',
        signal: AbortSignal.any([given.signal, timeout]),
        headers: {
          Authorization: `Bearer ${given.token}`,
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(given.body),
        },
      },
      (response) => {
        readBody(response).then(
          (body) => resolve({ status: response.statusCode ?? 0, retryAfterMs: retryAfter(response), body }),
          reject,
        );
      },
    );
    sent.on('error', reject);
    sent.end(given.body);
  });
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > MAX_EXCHANGE_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function retryAfter(response: IncomingMessage): number | undefined {
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  return seconds >= 0 && seconds <= 60 ? seconds * 1000 : undefined;
}

/** Code and message of the failure; a file that is missing is named by its role, and nothing that was sent is in it. */
function describe(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  if (code === 'ENOENT') return 'the pod has no token for it yet';
  return `${code}: ${error.message}`;
}
