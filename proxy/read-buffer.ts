import { Buffer } from 'node:buffer';
import { Socket } from 'node:net';

/**
 * A reusable read buffer for a socket opened with `onread` (node:net and node:tls take the same option). It saves an allocation per
 * read: bytes handed to `receive` are valid only during the call, unless the receiver calls `keep()`, which makes the next read use a
 * fresh buffer. Back-pressure: return false from `receive` to stop reading; `socket.resume()` starts it again.
 */
export class ReadBuffer {
  /** Who gets the bytes; replaced when the handshake hands over to the session. Without one, reading stops. */
  receive: ((chunk: Buffer) => boolean) | undefined;
  readonly onread: {
    readonly buffer: () => Uint8Array;
    readonly callback: (bytesRead: number, buffer: Uint8Array) => boolean;
  };
  #buffer: Buffer | undefined;
  #sizeBytes: number;

  constructor(options: { readonly sizeBytes: number }) {
    this.#sizeBytes = options.sizeBytes;
    this.onread = {
      buffer: () => {
        this.#buffer ??= Buffer.allocUnsafeSlow(this.#sizeBytes);
        return this.#buffer;
      },
      callback: (bytesRead) => {
        const buffer = this.#buffer;
        if (buffer === undefined || this.receive === undefined) return false;
        return this.receive(buffer.subarray(0, bytesRead));
      },
    };
  }

  /**
   * Reads an accepted socket in the same way, from its next read on: node:net has `onread` for sockets that connect, and none for those a
   * server accepts. The socket is paused afterwards. False: this one cannot (TLS, bytes that wait, a Node whose inside has changed); listen
   * to 'data' instead. See decision record 10.
   */
  takeOver(socket: Socket): boolean {
    if (Object.getPrototypeOf(socket) !== Socket.prototype || socket.readableLength > 0) return false;
    const [buffer, callback, next] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) => symbolOf(socket, name));
    const handle: unknown = Reflect.get(socket, '_handle');
    if (buffer === undefined || callback === undefined || next === undefined || !takesBuffer(handle)) return false;
    const first = this.onread.buffer();
    handle.useUserBuffer(first);
    Reflect.set(socket, buffer, first);
    Reflect.set(socket, callback, this.onread.callback);
    Reflect.set(socket, next, this.onread.buffer);
    socket.pause();
    return true;
  }

  /** Size of the buffers from the next read on. */
  resize(sizeBytes: number): void {
    if (sizeBytes === this.#sizeBytes) return;
    this.#sizeBytes = sizeBytes;
    this.#buffer = undefined;
  }

  /** The bytes of the current read are still needed: the next read gets another buffer. */
  keep(): void {
    this.#buffer = undefined;
  }
}

/** Only one that is there and says nothing: then node:net will look at it. */
function symbolOf(socket: Socket, description: string): symbol | undefined {
  const found = Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === description);
  return found !== undefined && Reflect.get(socket, found) === null ? found : undefined;
}

function takesBuffer(handle: unknown): handle is { useUserBuffer(buffer: Uint8Array): void } {
  return typeof handle === 'object' && handle !== null && typeof Reflect.get(handle, 'useUserBuffer') === 'function';
}
