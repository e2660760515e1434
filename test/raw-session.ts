/** A client of single messages, for tests of what drivers never send. */
import { connect, type Socket } from 'node:net';
import { decodeErrorFields } from '#wire/decode.ts';
import { encodeTerminate } from '#wire/encode.ts';
import { Framer } from '#wire/framer.ts';
import { BACKEND, STREAMED_MESSAGE_LIMIT_BYTES } from '#wire/messages.ts';
import { encodeStartup } from '#wire/startup.ts';

/** A message of the server as a short text: its tag, and for errors the SQLSTATE: `E 42501`, `C SELECT 1`, `Z I`. */
function summarize(tag: number, message: Buffer): string {
  const letter = String.fromCharCode(tag);
  if (tag === BACKEND.errorResponse || tag === BACKEND.noticeResponse) {
    return `${letter} ${decodeErrorFields(message, 0, message.length).get('C') ?? ''}`;
  }
  if (tag === BACKEND.commandComplete) return `C ${message.toString('utf8', 5, message.length - 1)}`;
  if (tag === BACKEND.readyForQuery) return `Z ${String.fromCharCode(message[5] ?? 0)}`;
  return letter;
}

/** The messages of a server, as they come. */
export class MessageLog {
  readonly messages: { readonly tag: number; readonly bytes: Buffer; readonly summary: string }[] = [];
  isClosed = false;
  #wake: (() => void) | undefined;
  readonly #framer = new Framer({ lengthLimit: () => STREAMED_MESSAGE_LIMIT_BYTES, mayStream: () => false });

  push(chunk: Buffer): void {
    this.#framer.push(chunk);
    while (this.#framer.next()) {
      const { buffer, start, end, tag } = this.#framer;
      const bytes = Buffer.from(buffer.subarray(start, end));
      this.messages.push({ tag, bytes, summary: summarize(tag, bytes) });
    }
    this.#wake?.();
  }

  closed(): void {
    this.isClosed = true;
    this.#wake?.();
  }

  summaries(): string[] {
    return this.messages.map((message) => message.summary);
  }

  async wait(isDone: () => boolean): Promise<string[]> {
    while (!isDone() && !this.isClosed) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`waited too long: ${this.summaries().join(', ')}`)), 5000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.summaries();
  }
}

export class RawSession extends MessageLog {
  readonly socket: Socket;

  constructor(port: number) {
    super();
    this.socket = connect({ host: '127.0.0.1', port });
    this.socket.on('data', (chunk: Buffer) => this.push(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => this.closed());
  }

  /** Connects and takes away the greeting. */
  static async open(port: number, minorVersion = 0, database = 'shop'): Promise<RawSession> {
    const session = new RawSession(port);
    const parameters = new Map([
      ['user', 'bot'],
      ['database', database],
    ]);
    session.send(encodeStartup(minorVersion, parameters));
    await session.until(1);
    session.messages.length = 0;
    return session;
  }

  send(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Resolves with the summaries once there are this many ReadyForQuery, or the connection has closed. */
  async until(readyCount: number): Promise<string[]> {
    const isReady = (): boolean =>
      this.messages.filter((message) => message.tag === BACKEND.readyForQuery).length >= readyCount;
    return await this.wait(isReady);
  }

  /** Sends and gives the summaries of the answer up to that many ReadyForQuery. */
  async ask(readyCount: number, ...parts: readonly Buffer[]): Promise<string[]> {
    this.messages.length = 0;
    this.send(...parts);
    return await this.until(readyCount);
  }

  close(): void {
    this.socket.end(encodeTerminate());
  }
}
