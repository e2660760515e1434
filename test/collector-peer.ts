/** The other side of `POST /v1/records` over real HTTPS, as its contract says it: keeps what it confirmed, and fails as a test asks. */
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { readLink } from '#audit/link.ts';

const decompress = promisify(zstdDecompress);
const MAX_BYTES = 4 * 1024 * 1024;

export interface PeerAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PeerBatch {
  readonly chain: string;
  readonly first: number;
  readonly last: number;
  readonly authorization: string;
  readonly lines: readonly string[];
}

export class CollectorPeer {
  /** What was confirmed, in the order it came. */
  readonly taken: PeerBatch[] = [];
  requests = 0;
  /** Answers in place of taking the batch; undefined: it is taken. */
  answer: ((batch: PeerBatch) => PeerAnswer | 'drop' | undefined) | undefined;
  /** After a batch was taken, in place of its confirmation. */
  afterTaking: (() => 'drop' | undefined) | undefined;
  /** Of a batch no more is taken and confirmed. */
  maxLines: number | undefined;
  /** Held before it is answered. */
  delayMs = 0;
  #server: Server | undefined;
  #port = 0;

  get url(): URL {
    return new URL(`https://127.0.0.1:${this.#port}`);
  }

  async open(identity: { readonly certificatePem: string; readonly keyPem: string }): Promise<void> {
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
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const chunks: Buffer[] = [];
    for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
    const body = await decompress(Buffer.concat(chunks), { maxOutputLength: MAX_BYTES });
    const batch = readBatch(request, body);
    const answer = this.answer?.(batch) ?? this.#takeAndAnswer(request, batch, body);
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (answer === 'drop') response.destroy();
    else {
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
      response.end(JSON.stringify(answer.body));
    }
  }

  #takeAndAnswer(request: IncomingMessage, batch: PeerBatch, body: Buffer): PeerAnswer | 'drop' {
    const answer = this.#take(request, batch, body);
    return this.afterTaking?.() ?? answer;
  }

  #take(request: IncomingMessage, batch: PeerBatch, body: Buffer): PeerAnswer {
    const problem = problemOf(request, batch, body);
    if (problem !== undefined) return { status: 400, body: { reason: 'ChainBroken', message: problem } };
    const lines = batch.lines.slice(0, this.maxLines);
    const last = batch.first + lines.length - 1;
    this.taken.push({ ...batch, lines, last });
    return { status: 200, body: { chain: batch.chain, confirmedSeq: last, object: 'events/x' } };
  }
}

function readBatch(request: IncomingMessage, body: Buffer): PeerBatch {
  return {
    chain: String(request.headers['postern-chain']),
    first: Number(request.headers['postern-first-seq']),
    last: Number(request.headers['postern-last-seq']),
    authorization: request.headers.authorization ?? '',
    lines: body.toString('utf8').split('\n').slice(0, -1),
  };
}

function problemOf(request: IncomingMessage, batch: PeerBatch, body: Buffer): string | undefined {
  if (request.method !== 'POST' || request.url !== '/v1/records') return 'not the path of records';
  if (request.headers['content-encoding'] !== 'zstd') return 'not zstd';
  if (request.headers['content-type'] !== 'application/x-ndjson') return 'not NDJSON';
  if (body.at(-1) !== 0x0a) return 'the last line is cut off';
  let seq = batch.first;
  let prev: string | undefined;
  let start = 0;
  for (let end = body.indexOf(0x0a); end >= 0; end = body.indexOf(0x0a, start)) {
    const link = readLink(body, start, end);
    if (link?.chainId !== batch.chain || link.seq !== seq) return `record ${seq} does not stand in its place`;
    if (link.hash !== link.computed) return `record ${seq} was changed`;
    if (prev !== undefined && prev !== link.prev) return `record ${seq} does not follow the one before`;
    prev = link.hash;
    seq += 1;
    start = end + 1;
  }
  return seq === batch.last + 1 ? undefined : `the last record is ${seq - 1}`;
}
