/** Stands between the collector and S3 and does what networks and overloaded servers do. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** `cut_answer`: S3 has done it, the answer is lost. `cut_request`: S3 never gets it. `fail`: 503 SlowDown, by whoever. */
export type Fault =
  | { readonly kind: 'cut_answer' }
  | { readonly kind: 'cut_request' }
  | { readonly kind: 'fail' }
  | { readonly kind: 'slow'; readonly ms: number };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

export interface BadNetwork {
  readonly url: string;
  /** Asked for each request; undefined: it goes through. */
  faultOf: (request: SeenRequest) => Fault | undefined;
  readonly seen: SeenRequest[];
  readonly stop: () => Promise<void>;
}

export async function startBadNetwork(s3Port: number): Promise<BadNetwork> {
  const server = createServer((incoming, outgoing) => void relay(incoming, outgoing));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const network: BadNetwork = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faultOf: () => undefined,
    seen: [],
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function relay(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const seen = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers };
    network.seen.push(seen);
    const fault = network.faultOf(seen);
    if (fault?.kind === 'cut_request') return void incoming.socket.destroy();
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    if (fault?.kind === 'fail') {
      outgoing.writeHead(503, { 'content-type': 'application/xml' });
      return void outgoing.end('<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>');
    }
    if (fault?.kind === 'slow') await sleep(fault.ms);
    // The signature is of the host that the client named.
    const options = {
      host: '127.0.0.1',
      port: s3Port,
      method: seen.method,
      path: seen.path,
      headers: incoming.headers,
    };
    const forwarded = request({ ...options, agent: false }, (answer) => {
      if (fault?.kind === 'cut_answer') {
        answer.resume().on('end', () => incoming.socket.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on('error', () => incoming.socket.destroy());
    forwarded.end(Buffer.concat(chunks));
  }
  return network;
}
