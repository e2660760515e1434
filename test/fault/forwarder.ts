/** A TCP connection between two processes that can be cut as a network is: nothing arrives any more, and nobody is told. */
import { createServer, type Server, Socket } from 'node:net';

export class Forwarder {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isCut = false;
  port = 0;

  private constructor(targetPort: () => number) {
    this.#server = createServer((incoming) => this.#accept(incoming, targetPort()));
  }

  static async open(targetPort: () => number): Promise<Forwarder> {
    const forwarder = new Forwarder(targetPort);
    await new Promise<void>((resolve) => forwarder.#server.listen(0, '127.0.0.1', resolve));
    const address = forwarder.#server.address();
    if (typeof address === 'object' && address !== null) forwarder.port = address.port;
    return forwarder;
  }

  cut(): void {
    this.#isCut = true;
    for (const [incoming, outgoing] of this.#pairs) {
      incoming.pause();
      outgoing.pause();
    }
  }

  /** What was cut stays so: both ends have to come again. */
  mend(): void {
    this.#isCut = false;
    for (const [incoming, outgoing] of this.#pairs) {
      incoming.destroy();
      outgoing.destroy();
    }
  }

  async close(): Promise<void> {
    this.mend();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(incoming: Socket, targetPort: number): void {
    const outgoing = new Socket();
    const pair = [incoming, outgoing] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      incoming.destroy();
      outgoing.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of pair) {
      socket.on('error', end);
      socket.on('close', end);
    }
    if (this.#isCut) {
      incoming.pause();
      return;
    }
    outgoing.connect(targetPort, '127.0.0.1');
    incoming.pipe(outgoing);
    outgoing.pipe(incoming);
  }
}
