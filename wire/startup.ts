import { Buffer } from 'node:buffer';
import { STARTUP_PACKET_LIMIT_BYTES } from './messages.ts';
import { readString } from './text.ts';
import { WireError } from './wire-error.ts';

/** The packets that open a connection: no tag, an int32 length, then a code. Source: PostgreSQL 18 manual, 54.7 and 54.2.1. */

const CANCEL_CODE = 80877102;
const SSL_CODE = 80877103;
const GSSENC_CODE = 80877104;

/** The newest minor version of protocol 3 that the gate speaks. (3.1 was never used.) */
export const NEWEST_MINOR_VERSION = 2;

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      /** As asked for; may be above NEWEST_MINOR_VERSION. */
      readonly minorVersion: number;
      readonly parameters: ReadonlyMap<string, string>;
      /** Names that begin with `_pq_.`: none is known, all are echoed in NegotiateProtocolVersion. */
      readonly protocolOptions: readonly string[];
    };

export interface StartupRead {
  readonly packet: StartupPacket;
  readonly consumedBytes: number;
}

/** Reads one packet from the start of the bytes; `undefined`: more bytes are needed. Throws WireError. */
export function readStartupPacket(bytes: Buffer): StartupRead | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readInt32BE(0);
  if (length < 8 || length > STARTUP_PACKET_LIMIT_BYTES) throw new WireError('invalid length of startup packet');
  if (bytes.length < length) return undefined;
  return { packet: readPacket(bytes.subarray(0, length)), consumedBytes: length };
}

function readPacket(bytes: Buffer): StartupPacket {
  const code = bytes.readInt32BE(4);
  if (code === SSL_CODE || code === GSSENC_CODE) {
    if (bytes.length !== 8) throw new WireError('invalid length of startup packet');
    return { kind: code === SSL_CODE ? 'ssl' : 'gssenc' };
  }
  if (code === CANCEL_CODE) {
    if (bytes.length < 16 || bytes.length > 12 + 256) throw new WireError('invalid length of cancel request');
    return { kind: 'cancel', processId: bytes.readInt32BE(8), secret: Buffer.from(bytes.subarray(12)) };
  }
  if (code >>> 16 !== 3) throw new WireError('unsupported frontend protocol');
  return readParameters(bytes, code & 0xffff);
}

function readParameters(bytes: Buffer, minorVersion: number): StartupPacket {
  const parameters = new Map<string, string>();
  const protocolOptions: string[] = [];
  let position = 8;
  for (;;) {
    const name = readString(bytes, position, bytes.length);
    position += Buffer.byteLength(name) + 1;
    if (name === '') break;
    const value = readString(bytes, position, bytes.length);
    position += Buffer.byteLength(value) + 1;
    if (name.startsWith('_pq_.')) protocolOptions.push(name);
    else if (parameters.has(name)) throw new WireError('startup parameter given twice');
    else parameters.set(name, value);
  }
  if (position !== bytes.length) throw new WireError('startup packet has bytes after its end');
  return { kind: 'startup', minorVersion, parameters, protocolOptions };
}

/** A StartupMessage as a client sends it. */
export function encodeStartup(minorVersion: number, parameters: ReadonlyMap<string, string>): Buffer {
  const texts = [...parameters].flatMap(([name, value]) => [name, value]);
  const body = Buffer.from(`${texts.map((text) => `${text}\0`).join('')}\0`, 'utf8');
  const header = Buffer.allocUnsafe(8);
  header.writeInt32BE(8 + body.length, 0);
  header.writeInt32BE((3 << 16) | minorVersion, 4);
  return Buffer.concat([header, body]);
}

function encodeRequest(code: number): Buffer {
  const buffer = Buffer.allocUnsafe(8);
  buffer.writeInt32BE(8, 0);
  buffer.writeInt32BE(code, 4);
  return buffer;
}

export function encodeSslRequest(): Buffer {
  return encodeRequest(SSL_CODE);
}

export function encodeGssencRequest(): Buffer {
  return encodeRequest(GSSENC_CODE);
}

export function encodeCancelRequest(processId: number, secret: Buffer): Buffer {
  const buffer = Buffer.allocUnsafe(12);
  buffer.writeInt32BE(12 + secret.length, 0);
  buffer.writeInt32BE(CANCEL_CODE, 4);
  buffer.writeInt32BE(processId, 8);
  return Buffer.concat([buffer, secret]);
}
