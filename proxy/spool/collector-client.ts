/**
 * Sends batches of records to the collector: over TLS to the certificate authorities of the key set, with the pod's token for it, which
 * is read afresh for every request because the kubelet renews it.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Of the pod's projected token for the audience postern.dev/collector, in the token directory. */
export const COLLECTOR_TOKEN_FILE = 'collector';
const RECORDS_PATH = '/v1/records';
const RESULTS_PATH = '/v1/results';
const MAX_ANSWER_BYTES = 64 * 1024;
const answerTimeoutMs = 30_000;
const maxRetryAfterMs = 60_000;

export interface Shipment {
  readonly chainId: string;
  readonly first: number;
  readonly last: number;
  /** NDJSON. */
  readonly lines: Buffer;
}

/** Why nothing was sent, or nothing confirmed; the records are sent again. */
export type FailureResult =
  | 'without_keys'
  | 'unreachable'
  | 'unauthorized'
  | 'forbidden'
  | 'throttled'
  | 'unavailable'
  | 'malformed';

/** `confirmed`: up to `seq`. `refused`: these records will not be taken. `too_large`: fewer at once. */
export type ShipmentAnswer =
  | { readonly kind: 'confirmed'; readonly seq: number }
  | { readonly kind: 'refused' | 'too_large'; readonly message: string }
  | {
      readonly kind: 'failed';
      readonly result: FailureResult;
      readonly message: string;
      readonly retryAfterMs: number | undefined;
    };

export interface CollectorClientOptions {
  readonly collectorUrl: URL;
  readonly tokenDirectory: string;
  /** PEM; `undefined`: no key set yet, so that nobody can be asked. */
  readonly certificateAuthorities: () => readonly string[] | undefined;
  /** Until an answer has come; default 30 s. */
  readonly timeoutMs?: number;
}

interface Delivery {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly lines: Buffer;
}

interface Answer {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly body: string;
}

/** One connection, kept between requests; a new one when the authorities change or a request fails. */
export class CollectorClient {
  readonly #options: CollectorClientOptions;
  #agent: { readonly authorities: string; readonly agent: Agent } | undefined;

  constructor(options: CollectorClientOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async send(shipment: Shipment, signal: AbortSignal): Promise<ShipmentAnswer> {
    const authorities = this.#options.certificateAuthorities();
    if (authorities === undefined || authorities.length === 0) {
      return failed('without_keys', 'there is no key set yet that says which collector to trust');
    }
    try {
      const { chainId, first, last, lines } = shipment;
      const headers = { 'postern-chain': chainId, 'postern-first-seq': first, 'postern-last-seq': last };
      const answer = await this.#post({ path: RECORDS_PATH, headers, lines }, authorities, signal);
      if (answer.status !== 200) this.close();
      return understand(answer, shipment);
    } catch (error) {
      this.close();
      return failed('unreachable', `the collector cannot be reached: ${describe(error)}`);
    }
  }

  /** Recorded results of one session; refused: they will not be taken. Never rejects. */
  async sendResults(session: string, lines: Buffer, signal: AbortSignal): Promise<'taken' | 'refused' | 'failed'> {
    const authorities = this.#options.certificateAuthorities();
    if (authorities === undefined || authorities.length === 0) return 'failed';
    try {
      const delivery = { path: RESULTS_PATH, headers: { 'postern-session': session }, lines };
      const { status } = await this.#post(delivery, authorities, signal);
      if (status === 200) return 'taken';
      this.close();
      return status === 400 || status === 413 ? 'refused' : 'failed';
    } catch {
      this.close();
      return 'failed';
    }
  }

  close(): void {
    this.#agent?.agent.destroy();
    this.#agent = undefined;
  }

  async #post(delivery: Delivery, authorities: readonly string[], signal: AbortSignal): Promise<Answer> {
    const { tokenDirectory, collectorUrl, timeoutMs } = this.#options;
    const [{ request }, token, body, agent] = await Promise.all([
      import('node:https'),
      readFile(join(tokenDirectory, COLLECTOR_TOKEN_FILE), 'utf8'),
      compress(delivery.lines),
      this.#agentFor(authorities),
    ]);
    const timeout = AbortSignal.timeout(timeoutMs ?? answerTimeoutMs);
    return await new Promise<Answer>((resolve, reject) => {
      const sent = request(
        new URL(delivery.path, collectorUrl),
        {
          method: 'POST',
          agent,
          signal: AbortSignal.any([signal, timeout]),
          headers: {
            authorization: `Bearer ${token.trim()}`,
            'content-type': 'application/x-ndjson',
            'content-encoding': 'zstd',
            'content-length': body.length,
            ...delivery.headers,
          },
        },
        (response) => {
          readBody(response).then(
            (text) => resolve({ status: response.statusCode ?? 0, retryAfterMs: retryAfter(response), body: text }),
            reject,
          );
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }

  async #agentFor(authorities: readonly string[]): Promise<Agent> {
    const key = authorities.join('\n');
    if (this.#agent?.authorities === key) return this.#agent.agent;
    const { Agent: HttpsAgent } = await import('node:https');
    this.close();
    const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1, ca: [...authorities], minVersion: 'TLSv1.3' });
    this.#agent = { authorities: key, agent };
    return agent;
  }
}

/** Level 1: records are much alike, and the processor is the agent's. */
async function compress(lines: Buffer): Promise<Buffer> {
  const { constants, zstdCompress } = await import('node:zlib');
  return await promisify(zstdCompress)(lines, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
}

function understand(answer: Answer, shipment: Shipment): ShipmentAnswer {
  const body = parseAnswer(answer.body);
  if (answer.status === 200) return readConfirmation(body, shipment);
  const told = typeof body['message'] === 'string' ? body['message'] : 'no reason given';
  const reason = typeof body['reason'] === 'string' ? body['reason'] : '';
  const message = `the collector answers ${answer.status}: ${reason}: ${told}`;
  if (answer.status === 413) return { kind: 'too_large', message };
  // Of the record itself, which no repetition changes; any other 403 is about us, and may change.
  if (answer.status === 400 || (answer.status === 403 && reason === 'ForeignRecord'))
    return { kind: 'refused', message };
  return failed(RESULTS.get(answer.status) ?? 'unavailable', message, answer.retryAfterMs);
}

const RESULTS: ReadonlyMap<number, FailureResult> = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [429, 'throttled'],
]);

/** Confirmed is only what the answer says of this batch. */
function readConfirmation(body: Readonly<Record<string, unknown>>, shipment: Shipment): ShipmentAnswer {
  const seq = body['confirmedSeq'];
  if (body['chain'] !== shipment.chainId || typeof seq !== 'number' || !Number.isSafeInteger(seq)) {
    return failed('malformed', 'the answer of the collector is not understood: it does not speak of the batch');
  }
  if (seq < shipment.first || seq > shipment.last) {
    return failed('malformed', `the collector confirms record ${seq}, which is not in the batch`);
  }
  return { kind: 'confirmed', seq };
}

function parseAnswer(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
  } catch {
    return {};
  }
}

function failed(result: FailureResult, message: string, retryAfterMs?: number): ShipmentAnswer {
  return { kind: 'failed', result, message, retryAfterMs };
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function retryAfter(response: IncomingMessage): number | undefined {
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  return seconds >= 0 ? Math.min(seconds * 1000, maxRetryAfterMs) : undefined;
}

/** Code and message; a token that is missing is named by its role. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return code === 'ENOENT' ? 'the pod has no token for it yet' : `${code}: ${error.message}`;
}
