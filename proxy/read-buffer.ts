import { Buffer } from 'node:buffer';

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
