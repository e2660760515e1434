import type { Socket } from 'node:net';
import type { Denial } from '#policy/decision.ts';
import type { Identity } from '#policy/identity.ts';
import { denialFor } from '#policy/reasons.ts';
import { encodeDenial } from '#session/denials.ts';
import { decodeString } from '#wire/decode.ts';
import { encodeAuthenticationCleartext, encodeNegotiateProtocolVersion } from '#wire/encode.ts';
import { Framer } from '#wire/framer.ts';
import { FRONTEND } from '#wire/messages.ts';
import { NEWEST_MINOR_VERSION, readStartupPacket, type StartupPacket } from '#wire/startup.ts';
import { WireError } from '#wire/wire-error.ts';
import type { BackendKey } from '#wire/decode.ts';
import type { Authentication, ClientStartup, ServerTls } from './connection-ports.ts';

/** From an accepted socket to a client that is known: encryption, start-up packet, authentication. No byte of it reaches the server. */

export type HandshakeResult =
  | {
      readonly kind: 'ready';
      readonly socket: Socket;
      readonly startup: ClientStartup;
      readonly identity: Identity;
      readonly expiresAtMs: number | undefined;
      /** Bytes that came behind the start-up packet. */
      readonly rest: Buffer;
    }
  | { readonly kind: 'cancel'; readonly socket: Socket; readonly key: BackendKey }
  /** Already answered; the socket is ending. `identity` where it is known. */
  | { readonly kind: 'refused'; readonly socket: Socket; readonly denial: Denial }
  /** The client has gone, or spoke something else. */
  | { readonly kind: 'gone'; readonly socket: Socket };

const TLS_HANDSHAKE = 0x16;
const MAX_TOKEN_MESSAGE_BYTES = 65_536;

/** Rejects with WireError where the client breaks the protocol; `gone` where it leaves. */
export async function shakeHands(
  accepted: Socket,
  options: { readonly tls: ServerTls | undefined; readonly authentication: Authentication },
): Promise<HandshakeResult> {
  const reader = new HandshakeReader(accepted);
  const opening = await readOpening(reader, options.tls);
  const socket = reader.socket;
  if (opening === undefined) return { kind: 'gone', socket };
  if (opening.kind === 'cancel') return { kind: 'cancel', socket, key: opening };
  if (isReplication(opening.parameters)) {
    const denial = denialFor('protocol_violation', { subject: 'replication is not offered' });
    return { kind: 'refused', socket, denial };
  }
  const protocolMinor = opening.minorVersion >= NEWEST_MINOR_VERSION ? NEWEST_MINOR_VERSION : 0;
  if (opening.minorVersion > NEWEST_MINOR_VERSION || opening.protocolOptions.length > 0) {
    socket.write(
      encodeNegotiateProtocolVersion(Math.min(opening.minorVersion, NEWEST_MINOR_VERSION), opening.protocolOptions),
    );
  }
  const startup: ClientStartup = { protocolMinor, parameters: opening.parameters };
  if (options.authentication.kind === 'workload') {
    const { identity } = options.authentication;
    return { kind: 'ready', socket, startup, identity, expiresAtMs: undefined, rest: reader.release() };
  }
  socket.write(encodeAuthenticationCleartext());
  const token = await readPassword(reader);
  if (token === undefined) return { kind: 'gone', socket };
  const verdict = await options.authentication.verify(token);
  if (verdict.kind === 'refused') return { kind: 'refused', socket, denial: verdict.denial };
  const { identity, expiresAtMs } = verdict;
  return { kind: 'ready', socket, startup, identity, expiresAtMs, rest: reader.release() };
}

/** Answers a refusal and closes. */
export function refuseClient(socket: Socket, denial: Denial): void {
  socket.end(encodeDenial({ ...denial, severity: 'FATAL' }));
}

type Opening = Extract<StartupPacket, { kind: 'cancel' | 'startup' }>;

/** SSLRequest and GSSENCRequest are answered until the packet that says what the client wants. */
async function readOpening(reader: HandshakeReader, tls: ServerTls | undefined): Promise<Opening | undefined> {
  let isSecured = false;
  let hasAskedGss = false;
  const first = await reader.peek();
  if (first === undefined) return undefined;
  if (first === TLS_HANDSHAKE) {
    if (tls === undefined) return undefined;
    await reader.secure(tls, reader.takeRest());
    isSecured = true;
  }
  for (;;) {
    const packet = await reader.readPacket();
    if (packet === undefined) return undefined;
    if (packet.kind === 'startup' || packet.kind === 'cancel') return packet;
    if (packet.kind === 'gssenc') {
      if (isSecured || hasAskedGss) throw new WireError('unexpected request for encryption');
      hasAskedGss = true;
      reader.socket.write('N');
      continue;
    }
    if (isSecured) throw new WireError('unexpected request for encryption');
    if (tls === undefined) {
      isSecured = true;
      reader.socket.write('N');
      continue;
    }
    // Bytes sent before the handshake could come from somebody else (CVE-2021-23222).
    if (reader.takeRest().length > 0) throw new WireError('data before the TLS handshake');
    reader.socket.write('S');
    await reader.secure(tls, Buffer.alloc(0));
    isSecured = true;
  }
}

async function readPassword(reader: HandshakeReader): Promise<string | undefined> {
  const framer = new Framer({
    lengthLimit: (tag) => (tag === FRONTEND.password ? MAX_TOKEN_MESSAGE_BYTES : 0),
    mayStream: () => false,
  });
  for (;;) {
    const chunk = await reader.readChunk();
    if (chunk === undefined) return undefined;
    framer.push(chunk);
    if (!framer.next()) continue;
    const password = decodeString(framer.buffer, framer.start, framer.end);
    reader.unread(framer.takeRest());
    return password;
  }
}

function isReplication(parameters: ReadonlyMap<string, string>): boolean {
  const value = parameters.get('replication')?.toLowerCase();
  return value !== undefined && !['false', 'off', 'no', '0', ''].includes(value);
}

/** Reads a socket chunk by chunk. `undefined` from a read: the client has gone. */
class HandshakeReader {
  socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #isOver = false;
  #wake: (() => void) | undefined;
  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    if (this.#bytes.length > MAX_TOKEN_MESSAGE_BYTES) this.socket.pause();
    this.#wake?.();
  };
  readonly #onOver = (): void => {
    this.#isOver = true;
    this.#wake?.();
  };

  constructor(socket: Socket) {
    this.socket = socket;
    this.#listen();
  }

  #listen(): void {
    this.socket.on('data', this.#onData).on('end', this.#onOver).on('close', this.#onOver);
  }

  #unlisten(): void {
    this.socket.off('data', this.#onData).off('end', this.#onOver).off('close', this.#onOver);
  }

  /** Goes on over TLS. Rejects when the handshake fails. */
  async secure(tls: ServerTls, head: Buffer): Promise<void> {
    this.#unlisten();
    this.socket = await tls.upgrade(this.socket, head);
    this.socket.on('error', () => {});
    this.#listen();
  }

  async #more(): Promise<boolean> {
    if (this.#isOver) return false;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
    return this.#bytes.length > 0;
  }

  async peek(): Promise<number | undefined> {
    while (this.#bytes.length === 0) if (!(await this.#more())) return undefined;
    return this.#bytes[0];
  }

  async readPacket(): Promise<StartupPacket | undefined> {
    for (;;) {
      const read = readStartupPacket(this.#bytes);
      if (read !== undefined) {
        this.#bytes = this.#bytes.subarray(read.consumedBytes);
        return read.packet;
      }
      if (!(await this.#more()) || this.#isOver) return undefined;
    }
  }

  async readChunk(): Promise<Buffer | undefined> {
    if ((await this.peek()) === undefined) return undefined;
    const chunk = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return chunk;
  }

  unread(bytes: Buffer): void {
    this.#bytes = bytes.length === 0 ? this.#bytes : Buffer.concat([bytes, this.#bytes]);
  }

  /** What has been read and not used, and no more listening: the next owner of the socket goes on. */
  takeRest(): Buffer {
    const rest = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return rest;
  }

  release(): Buffer {
    this.socket.pause();
    this.#unlisten();
    return this.takeRest();
  }
}
