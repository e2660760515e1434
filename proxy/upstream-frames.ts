/** Reads the server's messages one at a time while a connection starts up; bounded, and unused once queries flow. */
import { DependencyError } from './dependency-error.ts';

/** One message: its type byte as a character, and its body without the length word. */
export interface UpstreamFrame {
  readonly type: string;
  readonly body: Buffer;
}

/** Longest message a server may send before its first ReadyForQuery. */
const maxFrameBytes = 65_536;
/** What may wait here before somebody takes over reading. */
const maxPendingBytes = 262_144;

export class FrameQueue {
  #bytes: Buffer = Buffer.alloc(0);
  #failure: DependencyError | undefined;
  #wake: (() => void) | undefined;

  /** Takes what a read brought (copied). `false`: enough is waiting, pause. */
  push(bytes: Uint8Array): boolean {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    this.#notify();
    return this.#bytes.length < maxPendingBytes;
  }

  /** The connection is gone: pending and later reads reject. The first reason stays. */
  fail(error: DependencyError): void {
    this.#failure ??= error;
    this.#notify();
  }

  /** The next message; rejects with DependencyError. */
  async next(): Promise<UpstreamFrame> {
    for (;;) {
      const frame = this.#shift();
      if (frame !== undefined) return frame;
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What has arrived and was not read as a message. */
  takeRest(): Buffer {
    const rest = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return rest;
  }

  #shift(): UpstreamFrame | undefined {
    if (this.#bytes.length < 5) return undefined;
    const length = this.#bytes.readUInt32BE(1);
    if (length < 4 || length > maxFrameBytes) {
      throw new DependencyError('08006', 'the database does not speak the PostgreSQL protocol', { retryable: false });
    }
    if (this.#bytes.length < length + 1) return undefined;
    const type = String.fromCharCode(this.#bytes[0] ?? 0);
    const body = this.#bytes.subarray(5, length + 1);
    this.#bytes = this.#bytes.subarray(length + 1);
    return { type, body };
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** Fields of an ErrorResponse or NoticeResponse by their code letter. */
export function decodeErrorFields(body: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let offset = 0;
  while (offset < body.length && body[offset] !== 0) {
    const end = body.indexOf(0, offset + 1);
    if (end < 0) break;
    fields.set(String.fromCharCode(body[offset] ?? 0), body.toString('utf8', offset + 1, end));
    offset = end + 1;
  }
  return fields;
}

/**
 * The error for a refusal by the server. The agent is told which kind it was; the server's words go to the log only, without the password.
 */
export function refusalByServer(body: Buffer, password: string): DependencyError {
  const fields = decodeErrorFields(body);
  const code = fields.get('C') ?? 'XX000';
  const words = fields.get('M') ?? 'no message';
  const detail = `${code}: ${password === '' ? words : words.replaceAll(password, '[redacted]')}`;
  const known = refusals.get(code);
  if (known !== undefined)
    return new DependencyError(known.sqlstate, known.message, { detail, retryable: known.retryable });
  return new DependencyError('08001', `the database refused the connection (SQLSTATE ${code})`, { detail });
}

const credentials = {
  sqlstate: '08001',
  message: "the database refused the gate's credentials",
  retryable: false,
} as const;
const setting = {
  sqlstate: '08001',
  message: 'the database does not accept a start-up setting; check the connection options',
  retryable: false,
} as const;
const refusals: ReadonlyMap<
  string,
  { readonly sqlstate: '08001' | '57P03'; readonly message: string; readonly retryable: boolean }
> = new Map([
  ['28P01', credentials],
  ['28000', credentials],
  ['22023', setting],
  ['42704', setting],
  ['3D000', { sqlstate: '08001', message: 'the database of the connection does not exist', retryable: false }],
  ['53300', { sqlstate: '08001', message: 'the database has no connection free; try again later', retryable: true }],
  [
    '57P03',
    { sqlstate: '57P03', message: 'the database is not accepting connections yet; try again', retryable: true },
  ],
]);
