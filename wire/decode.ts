import { Buffer } from 'node:buffer';
import { BACKEND } from './messages.ts';
import { findNul, readString } from './text.ts';
import { WireError } from './wire-error.ts';

/**
 * Readers of single messages. Each takes the range of a whole message, tag included, and checks that the fields fill it exactly.
 * Source: PostgreSQL 18 manual, 54.7 Message Formats. Every failure is a WireError.
 */
const BODY = 5;

function expectEnd(position: number, end: number): void {
  if (position !== end) throw new WireError('message has bytes after its last field');
}

function need(position: number, count: number, end: number): void {
  if (position + count > end) throw new WireError('message ends inside a field');
}

/** Offset of a name's first byte behind it (its NUL included). */
function afterString(buffer: Buffer, start: number, end: number): number {
  return findNul(buffer, start, end) + 1;
}

/** Query: the byte range of the text, without its NUL. A NUL inside the text is an error. */
export function decodeQuery(
  buffer: Buffer,
  start: number,
  end: number,
): { readonly start: number; readonly end: number } {
  const textStart = start + BODY;
  if (end <= textStart || buffer[end - 1] !== 0) throw new WireError('query is not ended by a NUL');
  const nul = buffer.indexOf(0, textStart);
  if (nul !== end - 1) throw new WireError('query holds a NUL');
  return { start: textStart, end: nul };
}

export interface ParseMessage {
  readonly statement: string;
  /** Byte range of the text, without its NUL. */
  readonly textStart: number;
  readonly textEnd: number;
  readonly parameterTypeOids: readonly number[];
}

export function decodeParse(buffer: Buffer, start: number, end: number): ParseMessage {
  const statement = readString(buffer, start + BODY, end);
  const textStart = afterString(buffer, start + BODY, end);
  const textEnd = buffer.indexOf(0, textStart);
  if (textEnd < 0 || textEnd >= end) throw new WireError('statement text is not ended by a NUL');
  need(textEnd + 1, 2, end);
  const count = buffer.readInt16BE(textEnd + 1);
  if (count < 0) throw new WireError('negative number of parameter types');
  let position = textEnd + 3;
  need(position, count * 4, end);
  const parameterTypeOids: number[] = [];
  for (let index = 0; index < count; index++, position += 4) parameterTypeOids.push(buffer.readUInt32BE(position));
  expectEnd(position, end);
  return { statement, textStart, textEnd, parameterTypeOids };
}

export interface BindMessage {
  readonly portal: string;
  readonly statement: string;
  readonly parameterFormats: readonly number[];
  /** `undefined` for NULL. */
  readonly parameters: readonly (Buffer | undefined)[];
  readonly resultFormats: readonly number[];
  /** Offset of the count of result formats. */
  readonly resultFormatsStart: number;
}

/** The two names of a Bind, without reading the rest. */
export function decodeBindNames(
  buffer: Buffer,
  start: number,
  end: number,
): { readonly portal: string; readonly statement: string } {
  const portal = readString(buffer, start + BODY, end);
  const statement = readString(buffer, afterString(buffer, start + BODY, end), end);
  return { portal, statement };
}

function readFormats(
  buffer: Buffer,
  start: number,
  end: number,
): { readonly formats: readonly number[]; readonly after: number } {
  need(start, 2, end);
  const count = buffer.readInt16BE(start);
  if (count < 0) throw new WireError('negative number of format codes');
  need(start + 2, count * 2, end);
  const formats: number[] = [];
  for (let index = 0; index < count; index++) formats.push(buffer.readInt16BE(start + 2 + index * 2));
  return { formats, after: start + 2 + count * 2 };
}

function readValues(
  buffer: Buffer,
  start: number,
  end: number,
): { readonly values: (Buffer | undefined)[]; readonly after: number } {
  need(start, 2, end);
  const count = buffer.readInt16BE(start);
  if (count < 0) throw new WireError('negative number of values');
  const values: (Buffer | undefined)[] = [];
  let position = start + 2;
  for (let index = 0; index < count; index++) {
    need(position, 4, end);
    const length = buffer.readInt32BE(position);
    position += 4;
    if (length === -1) {
      values.push(undefined);
      continue;
    }
    if (length < 0) throw new WireError('negative length of a value');
    need(position, length, end);
    values.push(buffer.subarray(position, position + length));
    position += length;
  }
  return { values, after: position };
}

export function decodeBind(buffer: Buffer, start: number, end: number): BindMessage {
  const { portal, statement } = decodeBindNames(buffer, start, end);
  const afterNames = afterString(buffer, afterString(buffer, start + BODY, end), end);
  const parameterFormats = readFormats(buffer, afterNames, end);
  const parameters = readValues(buffer, parameterFormats.after, end);
  const results = readFormats(buffer, parameters.after, end);
  expectEnd(results.after, end);
  return {
    portal,
    statement,
    parameterFormats: parameterFormats.formats,
    parameters: parameters.values,
    resultFormats: results.formats,
    resultFormatsStart: parameters.after,
  };
}

/** Describe and Close: `S` a prepared statement, `P` a portal. */
export interface TargetMessage {
  readonly target: 'statement' | 'portal';
  readonly name: string;
}

export function decodeTarget(buffer: Buffer, start: number, end: number): TargetMessage {
  need(start + BODY, 2, end);
  const kind = buffer[start + BODY];
  if (kind !== 0x53 && kind !== 0x50) throw new WireError('unknown kind of target');
  const name = readString(buffer, start + BODY + 1, end);
  expectEnd(afterString(buffer, start + BODY + 1, end), end);
  return { target: kind === 0x53 ? 'statement' : 'portal', name };
}

export interface ExecuteMessage {
  readonly portal: string;
  /** 0: no limit. */
  readonly maxRows: number;
}

export function decodeExecute(buffer: Buffer, start: number, end: number): ExecuteMessage {
  const portal = readString(buffer, start + BODY, end);
  const position = afterString(buffer, start + BODY, end);
  need(position, 4, end);
  expectEnd(position + 4, end);
  return { portal, maxRows: buffer.readInt32BE(position) };
}

/** Sync, Flush, Terminate, CopyDone and their like carry nothing. */
export function expectEmptyBody(start: number, end: number): void {
  expectEnd(start + BODY, end);
}

/** PasswordMessage and CopyFail: one string. */
export function decodeString(buffer: Buffer, start: number, end: number): string {
  const text = readString(buffer, start + BODY, end);
  expectEnd(afterString(buffer, start + BODY, end), end);
  return text;
}

export interface FieldDescription {
  readonly name: string;
  readonly tableOid: number;
  readonly attnum: number;
  readonly typeOid: number;
  readonly typeSize: number;
  readonly typmod: number;
  /** 0 text, 1 binary. */
  readonly format: number;
}

export function decodeRowDescription(buffer: Buffer, start: number, end: number): FieldDescription[] {
  need(start + BODY, 2, end);
  const count = buffer.readInt16BE(start + BODY);
  if (count < 0) throw new WireError('negative number of columns');
  const fields: FieldDescription[] = [];
  let position = start + BODY + 2;
  for (let index = 0; index < count; index++) {
    const name = readString(buffer, position, end);
    position = afterString(buffer, position, end);
    need(position, 18, end);
    fields.push({
      name,
      tableOid: buffer.readUInt32BE(position),
      attnum: buffer.readInt16BE(position + 4),
      typeOid: buffer.readUInt32BE(position + 6),
      typeSize: buffer.readInt16BE(position + 10),
      typmod: buffer.readInt32BE(position + 12),
      format: buffer.readInt16BE(position + 16),
    });
    position += 18;
  }
  expectEnd(position, end);
  return fields;
}

/** Cells of a DataRow; `undefined` for NULL. The buffers are views of the message. */
export function decodeDataRow(buffer: Buffer, start: number, end: number): (Buffer | undefined)[] {
  const { values, after } = readValues(buffer, start + BODY, end);
  expectEnd(after, end);
  return values;
}

/** Number of columns a DataRow says it has. */
export function dataRowColumnCount(buffer: Buffer, start: number, end: number): number {
  need(start + BODY, 2, end);
  return buffer.readInt16BE(start + BODY);
}

export interface ParameterStatus {
  readonly name: string;
  readonly value: string;
}

export function decodeParameterStatus(buffer: Buffer, start: number, end: number): ParameterStatus {
  const name = readString(buffer, start + BODY, end);
  const valueStart = afterString(buffer, start + BODY, end);
  const value = readString(buffer, valueStart, end);
  expectEnd(afterString(buffer, valueStart, end), end);
  return { name, value };
}

/** The command tag, e.g. `INSERT 0 1`. */
export const decodeCommandComplete = decodeString;

/** The status byte: one of TRANSACTION_STATUS. */
export function decodeReadyForQuery(buffer: Buffer, start: number, end: number): number {
  need(start + BODY, 1, end);
  expectEnd(start + BODY + 1, end);
  const status = buffer[start + BODY];
  if (status !== 0x49 && status !== 0x54 && status !== 0x45) throw new WireError('unknown transaction status');
  return status;
}

/** The fields of ErrorResponse or NoticeResponse by their one-letter code. */
export function decodeErrorFields(buffer: Buffer, start: number, end: number): Map<string, string> {
  const fields = new Map<string, string>();
  let position = start + BODY;
  for (;;) {
    need(position, 1, end);
    const code = buffer[position] as number;
    position++;
    if (code === 0) break;
    fields.set(String.fromCharCode(code), readString(buffer, position, end));
    position = afterString(buffer, position, end);
  }
  expectEnd(position, end);
  return fields;
}

export interface BackendKey {
  readonly processId: number;
  /** 4 bytes in protocol 3.0, 4 to 256 in 3.2. */
  readonly secret: Buffer;
}

export function decodeBackendKeyData(buffer: Buffer, start: number, end: number): BackendKey {
  need(start + BODY, 8, end);
  const secret = Buffer.from(buffer.subarray(start + BODY + 4, end));
  if (secret.length > 256) throw new WireError('cancel key too long');
  return { processId: buffer.readInt32BE(start + BODY), secret };
}

export interface NegotiateProtocolVersion {
  readonly minorVersion: number;
  readonly unknownOptions: readonly string[];
}

export function decodeNegotiateProtocolVersion(buffer: Buffer, start: number, end: number): NegotiateProtocolVersion {
  need(start + BODY, 8, end);
  const minorVersion = buffer.readInt32BE(start + BODY) & 0xffff;
  const count = buffer.readInt32BE(start + BODY + 4);
  if (count < 0) throw new WireError('negative number of options');
  const unknownOptions: string[] = [];
  let position = start + BODY + 8;
  for (let index = 0; index < count; index++) {
    unknownOptions.push(readString(buffer, position, end));
    position = afterString(buffer, position, end);
  }
  expectEnd(position, end);
  return { minorVersion, unknownOptions };
}

export interface CopyResponse {
  /** 0 text, 1 binary. */
  readonly format: number;
  readonly columnFormats: readonly number[];
}

export function decodeCopyResponse(buffer: Buffer, start: number, end: number): CopyResponse {
  need(start + BODY, 1, end);
  const format = buffer[start + BODY] as number;
  const { formats, after } = readFormats(buffer, start + BODY + 1, end);
  expectEnd(after, end);
  return { format, columnFormats: formats };
}

export function decodeParameterDescription(buffer: Buffer, start: number, end: number): number[] {
  need(start + BODY, 2, end);
  const count = buffer.readInt16BE(start + BODY);
  if (count < 0) throw new WireError('negative number of parameters');
  let position = start + BODY + 2;
  need(position, count * 4, end);
  const oids: number[] = [];
  for (let index = 0; index < count; index++, position += 4) oids.push(buffer.readUInt32BE(position));
  expectEnd(position, end);
  return oids;
}

/** Whether a tag is one a server may send once the session is open. */
export function isSessionMessage(tag: number): boolean {
  return (
    tag !== BACKEND.authentication &&
    tag !== BACKEND.backendKeyData &&
    tag !== BACKEND.copyBothResponse &&
    tag !== BACKEND.functionCallResponse &&
    tag !== BACKEND.negotiateProtocolVersion
  );
}
