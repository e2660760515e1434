/**
 * The vocabulary of the protocol: one-byte tags and the caps on declared lengths.
 * Source: PostgreSQL 18 manual, 54.7 Message Formats; caps as in src/include/libpq/libpq.h (PQ_SMALL_MESSAGE_LIMIT).
 */

/** Tags of messages a client sends after start-up. */
export const FRONTEND = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  password: 0x70, // p, also SASL responses
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

/** Tags of messages a server sends. */
export const BACKEND = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  functionCallResponse: 0x56, // V
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** Transaction status byte of ReadyForQuery. */
export const TRANSACTION_STATUS = { idle: 0x49, inBlock: 0x54, failed: 0x45 } as const;

/** The largest length word accepted for control messages. */
export const SMALL_MESSAGE_LIMIT_BYTES = 10_000;
/** The largest length word accepted for messages that carry text or parameters and are buffered whole. */
export const LARGE_MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024;
/** Messages that are passed on in parts (row and copy data) may be as large as the server itself allows. */
export const STREAMED_MESSAGE_LIMIT_BYTES = 0x3fffffff;
/** A start-up packet: PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
export const STARTUP_PACKET_LIMIT_BYTES = 10_000;

const frontendLimits = limitTable([
  [FRONTEND.bind, LARGE_MESSAGE_LIMIT_BYTES],
  [FRONTEND.close, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.copyData, STREAMED_MESSAGE_LIMIT_BYTES],
  [FRONTEND.copyDone, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.copyFail, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.describe, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.execute, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.flush, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.parse, LARGE_MESSAGE_LIMIT_BYTES],
  [FRONTEND.query, LARGE_MESSAGE_LIMIT_BYTES],
  [FRONTEND.sync, SMALL_MESSAGE_LIMIT_BYTES],
  [FRONTEND.terminate, SMALL_MESSAGE_LIMIT_BYTES],
]);

/** The largest length word a client may declare for this tag; 0: the tag is unknown or refused here. */
export function frontendLengthLimit(tag: number): number {
  return frontendLimits[tag] ?? 0;
}

/** By tag, since it is asked for every message. */
function limitTable(limits: readonly (readonly [number, number])[]): Uint32Array {
  const table = new Uint32Array(256);
  for (const [tag, limit] of limits) table[tag] = limit;
  return table;
}

const backendLimits = limitTable([
  ...Object.values(BACKEND).map((tag) => [tag, LARGE_MESSAGE_LIMIT_BYTES] as const),
  [BACKEND.dataRow, STREAMED_MESSAGE_LIMIT_BYTES],
  [BACKEND.copyData, STREAMED_MESSAGE_LIMIT_BYTES],
]);

/** The same for what the server sends; 0: unknown. */
export function backendLengthLimit(tag: number): number {
  return backendLimits[tag] ?? 0;
}
