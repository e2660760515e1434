/** The admission webhook: AdmissionReview in, AdmissionReview out. Any doubt is an error, and an error refuses (failurePolicy Fail). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '#kubernetes/log.ts';
import { readBody } from './read-body.ts';

export interface WebhookOptions {
  /** Paths that are served. */
  readonly paths: readonly string[];
  /** Answers a review: raw JSON in and out. */
  readonly review: (path: string, review: unknown) => { readonly status: number; readonly body: unknown };
  /** Undefined: reviews can be judged; else why not yet. */
  readonly notReady: () => string | undefined;
  readonly log: Log;
}

/** An object and its predecessor of 3 MiB each (the API server's bound), with room. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** The handler of an HTTPS server; never rejects. */
export function webhookHandler(
  options: WebhookOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    try {
      await answer(options, request, response);
    } catch (error) {
      options.log.error({ error: error instanceof Error ? error.message : 'unknown error' }, 'a review failed');
      if (response.headersSent) response.destroy();
      else send(response, 500, { message: "postern: the review failed; the operator's log says why" });
    }
  };
}

async function answer(options: WebhookOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  if (!options.paths.includes(path)) return send(response, 404, { message: 'postern: no such webhook' });
  if (request.method !== 'POST') return send(response, 405, { message: 'postern: a webhook is called by POST' });
  const text = await readBody(request, MAX_BODY_BYTES);
  if (text === undefined) return send(response, 413, { message: 'postern: the review is too large' });
  const reason = options.notReady();
  if (reason !== undefined) return send(response, 503, { message: `postern: not ready: ${reason}` });
  let review: unknown;
  try {
    review = JSON.parse(text);
  } catch {
    return send(response, 400, { message: 'postern: the review is not JSON' });
  }
  const { status, body } = options.review(path, review);
  return send(response, status, body);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
