/** The HTTP side: `POST /v1/records` and `/v1/results`, and nothing else. What it answers is described in docs/audit.md. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import type { Log } from '#kubernetes/log.ts';
import type { Authenticate, Sender } from './authenticate.ts';
import { checkBatch } from './batch-check.ts';
import type { Batcher } from './batcher.ts';
import { hourPartition } from './layout.ts';
import type { CollectorMetrics } from './metrics.ts';

const decompress = promisify(zstdDecompress);

export const RECORDS_PATH = '/v1/records';
export const RESULTS_PATH = '/v1/results';
/** Uncompressed bytes of one request. */
export const MAX_BATCH_BYTES = 4 * 1024 * 1024;
const RETRY_AFTER_SECONDS = 2;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NUMBER = /^[1-9]\d{0,15}$/;

export interface ReceiverPorts {
  readonly authenticate: Authenticate;
  readonly records: Batcher;
  /** Writes recorded results of one session; resolves with the key. */
  readonly writeResults: (session: string, lines: Buffer) => Promise<string>;
  readonly metrics: CollectorMetrics;
  readonly log: Log;
  /** Undefined: ready. */
  readonly notReady: () => string | undefined;
  readonly nowMs: () => number;
}

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds?: number;
}

/** Answers a request; never rejects. */
export async function receive(request: IncomingMessage, response: ServerResponse, ports: ReceiverPorts): Promise<void> {
  const reply = await answer(request, ports).catch((error: unknown): Reply => {
    const message = error instanceof Error ? error.message : 'unknown error';
    ports.log.error({ error: message }, 'a batch was not taken; its sender keeps it and comes again');
    return busy(503, 'Unavailable', 'the collector cannot take records now; keep them and come again');
  });
  const { reason } = reply.body;
  ports.metrics.answered(reply.status, typeof reason === 'string' ? reason : '');
  if (response.destroyed) return;
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (reply.retryAfterSeconds !== undefined) headers['retry-after'] = String(reply.retryAfterSeconds);
  // What was not read of the body would be taken for the next request.
  if (!request.complete) headers['connection'] = 'close';
  response.writeHead(reply.status, headers).end(JSON.stringify(reply.body));
}

async function answer(request: IncomingMessage, ports: ReceiverPorts): Promise<Reply> {
  const path = request.url ?? '';
  if (path !== RECORDS_PATH && path !== RESULTS_PATH)
    return problem(404, 'NotFound', `only ${RECORDS_PATH} and ${RESULTS_PATH} are served`);
  if (request.method !== 'POST') return problem(405, 'MethodNotAllowed', 'only POST is served');
  const notReady = ports.notReady();
  if (notReady !== undefined) return busy(503, 'NotReady', notReady);
  const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const verdict = await ports.authenticate(token);
  if (verdict.kind === 'refused') return problem(401, 'TokenRefused', verdict.message);
  if (!ports.records.hasRoomFor(MAX_BATCH_BYTES))
    return busy(429, 'Busy', 'too much waits for S3; keep the records and come again');
  if (request.headers['content-encoding'] !== 'zstd')
    return problem(415, 'WrongEncoding', 'content-encoding must be zstd');
  const packed = await readPacked(request);
  if (packed === undefined) return problem(413, 'TooLarge', `at most ${MAX_BATCH_BYTES} bytes`);
  const lines = await decompress(packed, { maxOutputLength: MAX_BATCH_BYTES }).catch(() => undefined);
  if (lines === undefined)
    return problem(400, 'Malformed', `the body is not zstd, or larger than ${MAX_BATCH_BYTES} bytes`);
  return path === RECORDS_PATH
    ? await takeRecords(request, lines, verdict.sender, ports)
    : await takeResults(request, lines, ports);
}

async function takeRecords(
  request: IncomingMessage,
  lines: Buffer,
  sender: Sender,
  ports: ReceiverPorts,
): Promise<Reply> {
  const chainId = headerOf(request, 'postern-chain', UUID);
  const firstSeq = headerOf(request, 'postern-first-seq', NUMBER);
  const lastSeq = headerOf(request, 'postern-last-seq', NUMBER);
  if (chainId === undefined || firstSeq === undefined || lastSeq === undefined) {
    return problem(400, 'Malformed', 'headers postern-chain, postern-first-seq and postern-last-seq are required');
  }
  const claim = { chainId, firstSeq: Number(firstSeq), lastSeq: Number(lastSeq), podUid: sender.podUid };
  const verdict = checkBatch(lines, claim);
  if (verdict.kind === 'refused') {
    ports.log.error({ ...claim, reason: verdict.reason, account: sender.account }, verdict.message);
    return problem(verdict.status, verdict.reason, verdict.message);
  }
  const begunMs = ports.nowMs();
  const object = await ports.records.add(hourPartition(verdict.firstTimeMs), lines, verdict.records);
  ports.metrics.records(verdict.records);
  ports.metrics.committed((ports.nowMs() - begunMs) / 1_000);
  return { status: 200, body: { chain: chainId, confirmedSeq: claim.lastSeq, object } };
}

async function takeResults(request: IncomingMessage, lines: Buffer, ports: ReceiverPorts): Promise<Reply> {
  const session = headerOf(request, 'postern-session', UUID);
  if (session === undefined) return problem(400, 'Malformed', 'header postern-session is required');
  return { status: 200, body: { session, object: await ports.writeResults(session, lines) } };
}

function headerOf(request: IncomingMessage, name: string, form: RegExp): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && form.test(value) ? value : undefined;
}

/** The body as it came; undefined: too large. */
async function readPacked(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BATCH_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

function problem(status: number, reason: string, message: string): Reply {
  return { status, body: { reason, message } };
}

function busy(status: 429 | 503, reason: string, message: string): Reply {
  return { ...problem(status, reason, message), retryAfterSeconds: RETRY_AFTER_SECONDS };
}
