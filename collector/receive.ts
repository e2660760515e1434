/**
 * The HTTP side: `POST /v1/records` and `/v1/results`, and nothing else. What it answers is described in docs/audit.md. Who sends is known
 * before anything is read of a body, and its bytes are reserved before they are taken.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '#kubernetes/log.ts';
import { type Authenticate, type Sender, type SenderVerdict, TooManyReviewsError } from './authenticate.ts';
import { type BatchVerdict, checkBatch } from './batch-check.ts';
import type { Batcher, PackedLines } from './batcher.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { CollectorMetrics } from './metrics.ts';
import { MAX_BATCH_BYTES, readBody, unpack } from './read-body.ts';
import { checkResults } from './results-check.ts';
import type { Turnstile } from './turnstile.ts';

export const RECORDS_PATH = '/v1/records';
export const RESULTS_PATH = '/v1/results';
/** What is too large is read to its end and dropped, up to here: who is cut off while sending does not see the answer. */
const MAX_DROPPED_BYTES = 16 * 1024 * 1024;
const BODY_TIMEOUT_MS = 15_000;
/** Of one pod at the same time: none may take the places of the others. */
const MAX_REQUESTS_OF_POD = 4;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NUMBER = /^[1-9]\d{0,14}$/;

export interface ReceiverPorts {
  readonly authenticate: Authenticate;
  readonly records: Batcher;
  readonly budget: MemoryBudget;
  /** Through which batches are unpacked and checked: only here one is held as a whole. */
  readonly unpacking: Turnstile;
  /** Requests at work, by pod. */
  readonly ofPod: Map<string, number>;
  /** Writes recorded results of one session; resolves with the key. */
  readonly writeResults: (session: string, podUid: string, lines: PackedLines) => Promise<string>;
  readonly metrics: CollectorMetrics;
  readonly log: Log;
  /** Undefined: batches are taken. */
  readonly notTaking: () => string | undefined;
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
  const text = JSON.stringify(reply.body);
  const headers: Record<string, string | number> = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  };
  if (reply.retryAfterSeconds !== undefined) headers['retry-after'] = reply.retryAfterSeconds;
  if (reply.status === 405) headers['allow'] = 'POST';
  const unread = !request.complete && declaredBytes(request) > MAX_DROPPED_BYTES;
  if (unread || reply.body['reason'] === 'TooSlow' || ports.notTaking() !== undefined) headers['connection'] = 'close';
  response.writeHead(reply.status, headers).end(text);
}

/** Infinite where the sender does not say. */
function declaredBytes(request: IncomingMessage): number {
  const length = request.headers['content-length'];
  return length === undefined ? Number.POSITIVE_INFINITY : Number(length);
}

async function answer(request: IncomingMessage, ports: ReceiverPorts): Promise<Reply> {
  const path = request.url ?? '';
  if (path !== RECORDS_PATH && path !== RESULTS_PATH)
    return problem(404, 'NotFound', `only ${RECORDS_PATH} and ${RESULTS_PATH} are served`);
  if (request.method !== 'POST') return problem(405, 'MethodNotAllowed', 'only POST is served');
  const notTaking = ports.notTaking();
  if (notTaking !== undefined) return busy(503, 'NotReady', notTaking);
  const verdict = await authenticate(request, ports);
  if ('status' in verdict) return verdict;
  if (verdict.kind === 'refused') return problem(401, 'TokenRefused', verdict.message);
  const take = path === RECORDS_PATH ? readRecordsClaim(request) : readSession(request);
  if ('status' in take) return take;
  if (request.headers['content-encoding'] !== 'zstd')
    return problem(415, 'WrongEncoding', 'content-encoding must be zstd');
  return await withPlace(verdict.sender, ports, async () => await takeBody(request, take, verdict.sender, ports));
}

async function authenticate(request: IncomingMessage, ports: ReceiverPorts): Promise<SenderVerdict | Reply> {
  const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  try {
    return await ports.authenticate(token);
  } catch (error) {
    if (error instanceof TooManyReviewsError) return busy(429, 'Busy', error.message);
    ports.log.error({ error: error instanceof Error ? error.message : 'unknown error' }, 'a token cannot be checked');
    return busy(503, 'Unavailable', 'tokens cannot be checked now; keep the records and come again');
  }
}

type Claim =
  | { readonly kind: 'records'; readonly chainId: string; readonly firstSeq: number; readonly lastSeq: number }
  | { readonly kind: 'results'; readonly session: string };

function readRecordsClaim(request: IncomingMessage): Claim | Reply {
  const chainId = headerOf(request, 'postern-chain', UUID);
  const firstSeq = headerOf(request, 'postern-first-seq', NUMBER);
  const lastSeq = headerOf(request, 'postern-last-seq', NUMBER);
  if (chainId === undefined || firstSeq === undefined || lastSeq === undefined)
    return problem(400, 'Malformed', 'headers postern-chain, postern-first-seq and postern-last-seq are required');
  return { kind: 'records', chainId, firstSeq: Number(firstSeq), lastSeq: Number(lastSeq) };
}

function readSession(request: IncomingMessage): Claim | Reply {
  const session = headerOf(request, 'postern-session', UUID);
  return session === undefined
    ? problem(400, 'Malformed', 'header postern-session is required')
    : { kind: 'results', session };
}

function headerOf(request: IncomingMessage, name: string, form: RegExp): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && form.test(value) ? value : undefined;
}

async function withPlace(sender: Sender, { ofPod }: ReceiverPorts, work: () => Promise<Reply>): Promise<Reply> {
  const before = ofPod.get(sender.podUid) ?? 0;
  if (before >= MAX_REQUESTS_OF_POD)
    return busy(429, 'Busy', `at most ${MAX_REQUESTS_OF_POD} requests of a pod at a time`);
  ofPod.set(sender.podUid, before + 1);
  try {
    return await work();
  } finally {
    const now = ofPod.get(sender.podUid) ?? 1;
    if (now > 1) ofPod.set(sender.podUid, now - 1);
    else ofPod.delete(sender.podUid);
  }
}

async function takeBody(request: IncomingMessage, claim: Claim, sender: Sender, ports: ReceiverPorts): Promise<Reply> {
  const declared = declaredBytes(request);
  if (declared !== Number.POSITIVE_INFINITY && declared > MAX_BATCH_BYTES) return TOO_LARGE;
  const reservation = ports.budget.reserve(Math.min(declared, MAX_BATCH_BYTES));
  if (reservation === undefined) return full();
  try {
    const body = await readBody(request, Math.min(declared, MAX_BATCH_BYTES), BODY_TIMEOUT_MS);
    if (body.kind === 'too_large') return TOO_LARGE;
    if (body.kind === 'too_slow') return problem(408, 'TooSlow', `the body took longer than ${BODY_TIMEOUT_MS} ms`);
    if (body.kind === 'gone') return problem(400, 'Malformed', 'the body is cut off');
    const { bytes: packed } = body;
    reservation.resize(packed.length);
    return claim.kind === 'records'
      ? await takeRecords(packed, claim, sender, ports)
      : await takeResults(packed, claim.session, sender, ports);
  } finally {
    reservation.release();
  }
}

/** Unpacks a batch only for as long as it is looked at. */
async function look<T>(packed: Buffer, ports: ReceiverPorts, check: (lines: Buffer) => T): Promise<T | Reply> {
  return await ports.unpacking.run(async () => {
    const unpacked = await unpack(packed);
    if (unpacked.kind === 'too_large') return TOO_LARGE;
    return unpacked.kind === 'unpacked' ? check(unpacked.bytes) : NOT_ZSTD;
  });
}

async function takeRecords(
  packed: Buffer,
  { chainId, firstSeq, lastSeq }: Extract<Claim, { kind: 'records' }>,
  sender: Sender,
  ports: ReceiverPorts,
): Promise<Reply> {
  const claim = { chainId, firstSeq, lastSeq, podUid: sender.podUid };
  const verdict = await look<BatchVerdict>(packed, ports, (lines) => checkBatch(lines, claim));
  if (!('kind' in verdict)) return verdict;
  if (verdict.kind === 'refused') {
    ports.log.error({ ...claim, reason: verdict.reason, account: sender.account }, verdict.message);
    return problem(verdict.status, verdict.reason, verdict.message);
  }
  const begunMs = ports.nowMs();
  const added = verdict.parts.map(
    async ({ partition, ...place }) => await ports.records.add(partition, { packed, ...place }),
  );
  // All of them, so that nothing of this batch is still on its way when its memory is given back.
  const settled = await Promise.allSettled(added);
  const keys = settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
  ports.metrics.records(verdict.records);
  for (const gap of verdict.gaps) ports.metrics.gap(gap);
  ports.metrics.committed((ports.nowMs() - begunMs) / 1_000);
  return { status: 200, body: { chain: chainId, confirmedSeq: lastSeq, object: keys.at(-1) } };
}

async function takeResults(packed: Buffer, session: string, sender: Sender, ports: ReceiverPorts): Promise<Reply> {
  const looked = await look(packed, ports, (lines) => ({ wrong: checkResults(lines, session), end: lines.length }));
  if (!('end' in looked)) return looked;
  const { wrong, end } = looked;
  if (wrong !== undefined) {
    ports.log.error({ session, podUid: sender.podUid, account: sender.account }, wrong);
    return problem(400, 'Malformed', wrong);
  }
  const object = await ports.writeResults(session, sender.podUid, { packed, start: 0, end, records: 0 });
  return { status: 200, body: { session, object } };
}

const TOO_LARGE = problem(413, 'TooLarge', `at most ${MAX_BATCH_BYTES} bytes, unpacked`);
const NOT_ZSTD = problem(400, 'Malformed', 'the body is not zstd');

/** Not the same for all, so that those who were sent away together do not come back together. */
function busy(status: 429 | 503, reason: string, message: string): Reply {
  return { ...problem(status, reason, message), retryAfterSeconds: 1 + Math.floor(Math.random() * 3) };
}

const full = (): Reply => busy(429, 'Busy', 'too much waits for S3; keep the records and come again');

function problem(status: number, reason: string, message: string): Reply {
  return { status, body: { reason, message } };
}
