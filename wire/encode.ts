import { Buffer } from 'node:buffer';
import type { FieldDescription } from './decode.ts';
import { BACKEND, FRONTEND } from './messages.ts';

/** Writers of single messages: the inverse of decode.ts. Strings must not hold a NUL (they throw: it would be our bug). */

/** A message with the given tag and room for a body; the body starts at offset 5. */
function message(tag: number, bodyBytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(5 + bodyBytes);
  buffer[0] = tag;
  buffer.writeInt32BE(4 + bodyBytes, 1);
  return buffer;
}

function writeString(buffer: Buffer, text: string, position: number): number {
  const end = position + buffer.write(text, position, 'utf8');
  buffer[end] = 0;
  return end + 1;
}

function stringBytes(text: string): number {
  if (text.includes('\0')) throw new Error('string holds NUL');
  return Buffer.byteLength(text, 'utf8') + 1;
}

function messageOfString(tag: number, text: string): Buffer {
  const buffer = message(tag, stringBytes(text));
  writeString(buffer, text, 5);
  return buffer;
}

export function encodeQuery(text: string): Buffer {
  return messageOfString(FRONTEND.query, text);
}

export function encodeParse(statement: string, text: string, parameterTypeOids: readonly number[]): Buffer {
  const buffer = message(FRONTEND.parse, stringBytes(statement) + stringBytes(text) + 2 + parameterTypeOids.length * 4);
  let position = writeString(buffer, text, writeString(buffer, statement, 5));
  position = buffer.writeInt16BE(parameterTypeOids.length, position);
  for (const oid of parameterTypeOids) position = buffer.writeUInt32BE(oid, position);
  return buffer;
}

export interface BindFields {
  readonly portal: string;
  readonly statement: string;
  readonly parameterFormats: readonly number[];
  readonly parameters: readonly (Buffer | undefined)[];
  readonly resultFormats: readonly number[];
}

export function encodeBind(bind: BindFields): Buffer {
  const valueBytes = bind.parameters.reduce((sum, value) => sum + 4 + (value?.length ?? 0), 0);
  const body =
    stringBytes(bind.portal) +
    stringBytes(bind.statement) +
    2 +
    bind.parameterFormats.length * 2 +
    2 +
    valueBytes +
    2 +
    bind.resultFormats.length * 2;
  const buffer = message(FRONTEND.bind, body);
  let position = writeString(buffer, bind.statement, writeString(buffer, bind.portal, 5));
  position = writeFormats(buffer, bind.parameterFormats, position);
  position = writeValues(buffer, bind.parameters, position);
  writeFormats(buffer, bind.resultFormats, position);
  return buffer;
}

function writeFormats(buffer: Buffer, formats: readonly number[], start: number): number {
  let position = buffer.writeInt16BE(formats.length, start);
  for (const format of formats) position = buffer.writeInt16BE(format, position);
  return position;
}

function writeValues(buffer: Buffer, values: readonly (Buffer | undefined)[], start: number): number {
  let position = buffer.writeInt16BE(values.length, start);
  for (const value of values) {
    position = buffer.writeInt32BE(value === undefined ? -1 : value.length, position);
    if (value !== undefined) position += value.copy(buffer, position);
  }
  return position;
}

function encodeTarget(tag: number, target: 'statement' | 'portal', name: string): Buffer {
  const buffer = message(tag, 1 + stringBytes(name));
  buffer[5] = target === 'statement' ? 0x53 : 0x50;
  writeString(buffer, name, 6);
  return buffer;
}

export function encodeDescribe(target: 'statement' | 'portal', name: string): Buffer {
  return encodeTarget(FRONTEND.describe, target, name);
}

export function encodeClose(target: 'statement' | 'portal', name: string): Buffer {
  return encodeTarget(FRONTEND.close, target, name);
}

export function encodeExecute(portal: string, maxRows: number): Buffer {
  const buffer = message(FRONTEND.execute, stringBytes(portal) + 4);
  buffer.writeInt32BE(maxRows, writeString(buffer, portal, 5));
  return buffer;
}

export function encodeSync(): Buffer {
  return message(FRONTEND.sync, 0);
}

export function encodeFlush(): Buffer {
  return message(FRONTEND.flush, 0);
}

export function encodeTerminate(): Buffer {
  return message(FRONTEND.terminate, 0);
}

/** Also a SASLResponse's carrier; the password is a cleartext string. */
export function encodePassword(password: string): Buffer {
  return messageOfString(FRONTEND.password, password);
}

/** CopyData in either direction. */
export function encodeCopyData(data: Buffer): Buffer {
  const buffer = message(BACKEND.copyData, data.length);
  data.copy(buffer, 5);
  return buffer;
}

export function encodeCopyDone(): Buffer {
  return message(BACKEND.copyDone, 0);
}

export function encodeCopyFail(reason: string): Buffer {
  return messageOfString(FRONTEND.copyFail, reason);
}

export function encodeRowDescription(fields: readonly FieldDescription[]): Buffer {
  const buffer = message(
    BACKEND.rowDescription,
    2 + fields.reduce((sum, field) => sum + stringBytes(field.name) + 18, 0),
  );
  let position = buffer.writeInt16BE(fields.length, 5);
  for (const field of fields) {
    position = writeString(buffer, field.name, position);
    position = buffer.writeUInt32BE(field.tableOid, position);
    position = buffer.writeInt16BE(field.attnum, position);
    position = buffer.writeUInt32BE(field.typeOid, position);
    position = buffer.writeInt16BE(field.typeSize, position);
    position = buffer.writeInt32BE(field.typmod, position);
    position = buffer.writeInt16BE(field.format, position);
  }
  return buffer;
}

export function encodeDataRow(cells: readonly (Buffer | undefined)[]): Buffer {
  const buffer = message(BACKEND.dataRow, 2 + cells.reduce((sum, cell) => sum + 4 + (cell?.length ?? 0), 0));
  writeValues(buffer, cells, 5);
  return buffer;
}

export function encodeNoData(): Buffer {
  return message(BACKEND.noData, 0);
}

export function encodeParseComplete(): Buffer {
  return message(BACKEND.parseComplete, 0);
}

export function encodeBindComplete(): Buffer {
  return message(BACKEND.bindComplete, 0);
}

export function encodeCloseComplete(): Buffer {
  return message(BACKEND.closeComplete, 0);
}

export function encodeEmptyQueryResponse(): Buffer {
  return message(BACKEND.emptyQueryResponse, 0);
}

export function encodePortalSuspended(): Buffer {
  return message(BACKEND.portalSuspended, 0);
}

export function encodeCommandComplete(tag: string): Buffer {
  return messageOfString(BACKEND.commandComplete, tag);
}

/** `status`: one of TRANSACTION_STATUS. */
export function encodeReadyForQuery(status: number): Buffer {
  const buffer = message(BACKEND.readyForQuery, 1);
  buffer[5] = status;
  return buffer;
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  const buffer = message(BACKEND.parameterStatus, stringBytes(name) + stringBytes(value));
  writeString(buffer, value, writeString(buffer, name, 5));
  return buffer;
}

export function encodeParameterDescription(oids: readonly number[]): Buffer {
  const buffer = message(BACKEND.parameterDescription, 2 + oids.length * 4);
  let position = buffer.writeInt16BE(oids.length, 5);
  for (const oid of oids) position = buffer.writeUInt32BE(oid, position);
  return buffer;
}

export function encodeAuthenticationOk(): Buffer {
  const buffer = message(BACKEND.authentication, 4);
  buffer.writeInt32BE(0, 5);
  return buffer;
}

export function encodeAuthenticationCleartext(): Buffer {
  const buffer = message(BACKEND.authentication, 4);
  buffer.writeInt32BE(3, 5);
  return buffer;
}

export function encodeBackendKeyData(processId: number, secret: Buffer): Buffer {
  const buffer = message(BACKEND.backendKeyData, 4 + secret.length);
  buffer.writeInt32BE(processId, 5);
  secret.copy(buffer, 9);
  return buffer;
}

/** `minorVersion`: the newest minor version of protocol 3 that is spoken here. */
export function encodeNegotiateProtocolVersion(minorVersion: number, unknownOptions: readonly string[]): Buffer {
  const buffer = message(
    BACKEND.negotiateProtocolVersion,
    8 + unknownOptions.reduce((sum, option) => sum + stringBytes(option), 0),
  );
  buffer.writeInt32BE((3 << 16) | minorVersion, 5);
  let position = buffer.writeInt32BE(unknownOptions.length, 9);
  for (const option of unknownOptions) position = writeString(buffer, option, position);
  return buffer;
}

/** CopyInResponse or CopyOutResponse. */
export function encodeCopyResponse(direction: 'in' | 'out', format: number, columnFormats: readonly number[]): Buffer {
  const tag = direction === 'in' ? BACKEND.copyInResponse : BACKEND.copyOutResponse;
  const buffer = message(tag, 3 + columnFormats.length * 2);
  buffer[5] = format;
  writeFormats(buffer, columnFormats, 6);
  return buffer;
}

/** ErrorResponse or NoticeResponse from fields by their one-letter code. */
export function encodeErrorFields(kind: 'error' | 'notice', fields: ReadonlyMap<string, string>): Buffer {
  let bytes = 1;
  for (const text of fields.values()) bytes += 1 + stringBytes(text);
  const buffer = message(kind === 'error' ? BACKEND.errorResponse : BACKEND.noticeResponse, bytes);
  let position = 5;
  for (const [code, text] of fields) {
    buffer[position] = code.charCodeAt(0);
    position = writeString(buffer, text, position + 1);
  }
  buffer[position] = 0;
  return buffer;
}
