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

export class RawSession {
  readonly socket: Socket;
  readonly messages: { readonly tag: number; readonly bytes: Buffer; readonly summary: string }[] = [];
  isClosed = false;
  #wake: (() => void) | undefined;

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port });
    const framer = new Framer({ lengthLimit: () => STREAMED_MESSAGE_LIMIT_BYTES, mayStream: () => false });
    this.socket.on('data', (chunk: Buffer) => {
      framer.push(chunk);
      while (framer.next()) {
        const bytes = Buffer.from(framer.buffer.subarray(framer.start, framer.end));
        this.messages.push({ tag: framer.tag, bytes, summary: summarize(framer.tag, bytes) });
      }
      this.#wake?.();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#wake?.();
    });
  }

  /** Connects and takes away the greeting. */
  static async open(port: number, minorVersion = 0): Promise<RawSession> {
    const session = new RawSession(port);
    session.send(
      encodeStartup(
        minorVersion,
        new Map([
          ['user', 'bot'],
          ['database', 'shop'],
        ]),
      ),
    );
    await session.until(1);
    session.messages.length = 0;
    return session;
  }

  send(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Resolves with the summaries once there are this many ReadyForQuery, or the connection has closed; takes them away. */
  async until(readyCount: number): Promise<string[]> {
    return await this.wait(
      () => this.messages.filter((message) => message.tag === BACKEND.readyForQuery).length >= readyCount,
    );
  }

  async wait(isDone: () => boolean): Promise<string[]> {
    while (!isDone() && !this.isClosed) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`waited too long: ${this.messages.map((m) => m.summary).join(', ')}`)),
          5000,
        );
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.messages.map((message) => message.summary);
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
