/**
 * Connects to PostgreSQL as a client: TCP or unix socket, TLS, authentication, start-up, up to the first ReadyForQuery. User, database
 * and every start-up setting come from our configuration, never from the agent's start-up message. Protocol 3.0.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { DependencyError } from './dependency-error.ts';
import { isVerified, startUpstreamTls, type UpstreamTls } from './tls.ts';
import type { UpstreamConnection } from './connection-ports.ts';
import { ReadBuffer } from './read-buffer.ts';
import { authenticate } from './upstream-authentication.ts';
import { FrameQueue, refusalByServer } from './upstream-frames.ts';

export interface UpstreamTarget {
  /** Name or address; one that starts with `/` is the directory of a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls: UpstreamTls;
}

export interface ConnectOptions {
  /** Until ReadyForQuery. Default 10,000. */
  readonly timeoutMs?: number;
  /** Gives up when the agent has gone. */
  readonly signal?: AbortSignal;
}

/** Names a server process for CancelRequest. `secret` is 4 bytes under protocol 3.0. */
export interface BackendKey {
  readonly processId: number;
  readonly secret: Buffer;
}

/** A server connection that waits for its first query; `leftover` is taken away by reading it. */
export interface OpenedUpstream extends UpstreamConnection {
  readonly backendKey: BackendKey;
  /** As server_version_num: 180004. */
  readonly serverVersionNum: number;
}

const defaultTimeoutMs = 10_000;
const protocolVersion = 0x0003_0000;
const cancelCode = 80_877_102;

/** Opens a connection whose start-up message carries these settings, so that RESET ALL returns to them. Rejects with DependencyError. */
export async function connectUpstream(
  target: UpstreamTarget,
  settings: ReadonlyMap<string, string>,
  reader: ReadBuffer,
  options: ConnectOptions = {},
): Promise<OpenedUpstream> {
  const frames = new FrameQueue();
  const link = new Link(target, frames, reader);
  return await link.within(options, async () => {
    const certificate = await link.open();
    link.socket.write(startupMessage(target, settings));
    await authenticate({
      frames,
      certificate,
      user: target.user,
      password: target.password,
      mayShowPassword: isVerified(target.tls.mode),
      send: (message) => link.socket.write(message),
    });
    const ready = await untilReady(frames, target.password);
    return {
      ...ready,
      socket: link.socket,
      reader,
      get leftover() {
        return frames.takeRest();
      },
      cancel: () => cancelUpstream(target, ready.backendKey).catch(() => {}),
    };
  });
}

/** Asks the server to cancel what that process runs. Resolves when the server has closed; rejects with DependencyError. */
export async function cancelUpstream(
  target: UpstreamTarget,
  key: BackendKey,
  options: ConnectOptions = {},
): Promise<void> {
  const link = new Link(target, new FrameQueue(), new ReadBuffer({ sizeBytes: 512 }));
  await link.within(options, async () => {
    await link.open();
    const message = Buffer.alloc(12 + key.secret.length);
    message.writeInt32BE(message.length, 0);
    message.writeInt32BE(cancelCode, 4);
    message.writeInt32BE(key.processId, 8);
    key.secret.copy(message, 12);
    const closed = new Promise<void>((resolve) => link.socket.once('close', () => resolve()));
    link.socket.end(message);
    await closed;
  });
}

/** One socket to the server, from connect to hand-over. */
class Link {
  readonly #target: UpstreamTarget;
  readonly #frames: FrameQueue;
  readonly #raw: Socket;
  #secured: TLSSocket | undefined;
  readonly #reader: ReadBuffer;
  /** `reader` stays with the queue until whoever takes the connection over sets its `receive`. */
  constructor(target: UpstreamTarget, frames: FrameQueue, reader: ReadBuffer) {
    this.#target = target;
    this.#frames = frames;
    this.#reader = reader;
    reader.receive = (bytes) => frames.push(bytes);
    this.#raw = connect(this.#address());
    this.#raw.setNoDelay(true).setKeepAlive(true, 30_000);
    this.#watch(this.#raw);
  }

  get socket(): Socket {
    return this.#secured ?? this.#raw;
  }

  /** Connects, and turns on TLS where asked; returns the server's certificate in DER. */
  async open(): Promise<Buffer | undefined> {
    const { host, tls } = this.#target;
    if (host.startsWith('/') && tls.mode !== 'Disable') {
      const message = `${host} is a unix socket, which carries no TLS; set tls.mode to Disable`;
      throw new DependencyError('08001', message, { retryable: false });
    }
    await connected(this.#raw);
    if (tls.mode === 'Disable') return undefined;
    const secured = await startUpstreamTls(this.#raw, host, tls);
    this.#secured = secured;
    this.#watch(secured);
    secured.on('data', (bytes: Buffer) => {
      if (this.#reader.receive?.(bytes) !== true) secured.pause();
    });
    return secured.getPeerX509Certificate()?.raw;
  }

  /** Runs `action` against the clock; whatever goes wrong, the socket is gone and the error is a DependencyError. */
  async within<T>(options: ConnectOptions, action: () => Promise<T>): Promise<T> {
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const give = (message: string): void => this.#fail(new DependencyError('08001', message));
    const timer = setTimeout(() => give(`the database did not answer within ${timeoutMs} ms`), timeoutMs);
    const onAbort = (): void => give('the connection attempt was given up');
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      if (options.signal?.aborted === true) onAbort();
      return await action();
    } catch (cause) {
      this.#secured?.destroy();
      this.#raw.destroy();
      if (cause instanceof DependencyError) throw cause;
      const detail = cause instanceof Error ? cause.message : 'unknown';
      throw new DependencyError('08001', 'the database cannot be reached', { detail, cause });
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  #fail(error: DependencyError): void {
    this.#frames.fail(error);
    this.#secured?.destroy();
    this.#raw.destroy(error);
  }

  #address(): NetConnectOpts {
    const { host, port, tls } = this.#target;
    const place = host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };
    if (tls.mode !== 'Disable') return place;
    return { ...place, onread: this.#reader.onread };
  }

  /** An error listener stays for good, so that a late error never becomes an uncaught exception. */
  #watch(socket: Socket): void {
    const lost = (cause?: Error): void => {
      const message = 'the database closed the connection during start-up';
      this.#frames.fail(new DependencyError('08006', message, { detail: cause?.message, cause }));
    };
    socket.on('error', lost);
    socket.once('end', () => lost());
    socket.once('close', () => lost());
  }
}

async function connected(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      if (cause instanceof DependencyError) return reject(cause);
      const message = 'the database cannot be reached';
      return reject(
        new DependencyError('08001', message, { detail: `${cause.code ?? ''} ${cause.message}`.trim(), cause }),
      );
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.removeListener('error', onError);
      resolve();
    });
  });
}

function startupMessage(target: UpstreamTarget, settings: ReadonlyMap<string, string>): Buffer {
  const pairs = [['user', target.user], ['database', target.database], ...settings].flat();
  if (pairs.some((text) => text.includes('\0'))) {
    throw new DependencyError('08001', 'a start-up setting holds a NUL', { retryable: false });
  }
  const body = Buffer.from(`${pairs.join('\0')}\0\0`);
  const header = Buffer.alloc(8);
  header.writeInt32BE(body.length + 8, 0);
  header.writeInt32BE(protocolVersion, 4);
  return Buffer.concat([header, body]);
}

type Ready = Pick<OpenedUpstream, 'backendKey' | 'parameters' | 'serverVersionNum'>;

async function untilReady(frames: FrameQueue, password: string): Promise<Ready> {
  const parameters = new Map<string, string>();
  // A pooler may send no key; then nothing can be cancelled.
  let backendKey: BackendKey = { processId: 0, secret: Buffer.alloc(4) };
  for (;;) {
    const { type, body } = await frames.next();
    if (type === 'Z')
      return { backendKey, parameters, serverVersionNum: versionNumber(parameters.get('server_version')) };
    else if (type === 'S') {
      const [name, value] = body.toString('utf8').split('\0');
      if (name !== undefined && value !== undefined) parameters.set(name, value);
    } else if (type === 'K' && body.length >= 8) {
      backendKey = { processId: body.readInt32BE(0), secret: Buffer.from(body.subarray(4)) };
    } else if (type === 'E') throw refusalByServer(body, password);
    else if (type !== 'N') {
      const message = 'the database sent an unexpected message during start-up';
      throw new DependencyError('08006', message, { detail: JSON.stringify(type), retryable: false });
    }
  }
}

/** `18.4 (Debian 18.4-1)` → 180004; 0 where the text is no version of PostgreSQL 10 or later. */
function versionNumber(version: string | undefined): number {
  const match = /^(\d{2,3})(?:\.(\d+))?/.exec(version ?? '');
  return match === null ? 0 : Number(match[1]) * 10_000 + Number(match[2] ?? 0);
}
