import { Buffer } from 'node:buffer';
import type { Redaction } from '#policy/effective-policy.ts';
import { WireError } from '#wire/wire-error.ts';
import { type CellRedactor, createCellRedactor, isScannedType } from './cell-redaction.ts';

/** Content redaction of results: the second wall. What a detector finds in a text-like cell is replaced by `[redacted:NAME]`. */
export interface RowRedactor {
  /** Takes a whole DataRow message; gives the same buffer where nothing was found. */
  redactRow(frame: Buffer): Buffer;
}

export interface RedactedField {
  readonly name: string;
  readonly typeOid: number;
  readonly format: number;
}

/** Throws where the policy's redaction cannot be built; WireError for a row that does not fit its description. */
export function createRedactor(redaction: Redaction, fields: readonly RedactedField[]): RowRedactor {
  const redactCell = createCellRedactor(redaction);
  const scanned = fields.map(({ typeOid }) => isScannedType(typeOid));
  const none = !scanned.includes(true);
  return {
    redactRow: (frame) => (none ? frame : redactFields(frame, 7, frame.readInt16BE(5), { redactCell, fields })),
  };
}

interface FieldContext {
  readonly redactCell: CellRedactor;
  /** Absent: binary fields of unknown types. */
  readonly fields: readonly RedactedField[] | undefined;
}

const UNKNOWN_BINARY = { typeOid: 0, format: 1 } as const;

/** Redacts `count` fields (length, bytes) from `start` to the end of the message. */
function redactFields(frame: Buffer, start: number, count: number, context: FieldContext): Buffer {
  const { redactCell, fields } = context;
  if (fields !== undefined && count !== fields.length) throw new WireError('a row does not fit its description');
  let parts: Buffer[] | undefined;
  let copied = 0;
  let position = start;
  for (let index = 0; index < count; index++) {
    if (position + 4 > frame.length) throw new WireError('message ends inside a field');
    const length = frame.readInt32BE(position);
    const end = position + 4 + Math.max(length, 0);
    if (length < -1 || end > frame.length) throw new WireError('message ends inside a field');
    const field = fields?.[index] ?? UNKNOWN_BINARY;
    if (length > 0 && isScannedType(field.typeOid)) {
      const cell = frame.subarray(position + 4, end);
      const redacted = redactCell(cell, field.typeOid, field.format === 1);
      if (redacted !== cell) {
        const size = Buffer.alloc(4);
        size.writeInt32BE(redacted?.length ?? -1);
        parts ??= [];
        parts.push(frame.subarray(copied, position), size, ...(redacted === undefined ? [] : [redacted]));
        copied = end;
      }
    }
    position = end;
  }
  if (parts === undefined) return frame;
  parts.push(frame.subarray(copied));
  const message = Buffer.concat(parts);
  if (fields !== undefined) message.writeInt32BE(message.length - 1, 1);
  return message;
}

export interface CopyFormat {
  readonly format: 'text' | 'csv' | 'binary';
  /** One byte each; the defaults are PostgreSQL's. */
  readonly delimiter?: string;
  readonly quote?: string;
  readonly escape?: string;
}

/** A stream of COPY data. What is given in need not end where a row ends; what comes out holds whole rows. */
export interface CopyRedactor {
  /** Takes the payload of a CopyData message; gives the payload to send, perhaps empty. */
  push(payload: Buffer): Buffer;
  /** What is left at the end; a row cut off in the middle is a WireError. */
  end(): Buffer;
}

const MAX_HELD_BYTES = 64 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);

export function createCopyRedactor(redaction: Redaction, copy: CopyFormat): CopyRedactor {
  const redactCell = createCellRedactor(redaction);
  const rows = copy.format === 'binary' ? binaryRows(redactCell) : textRows(redactCell, copy);
  let held = EMPTY;
  const take = (input: Buffer, isEnd: boolean): Buffer => {
    const { output, used } = rows(input, isEnd);
    held = used === input.length ? EMPTY : Buffer.from(input.subarray(used));
    if (held.length > MAX_HELD_BYTES) throw new WireError('a row of COPY data is too long to be redacted');
    return output;
  };
  return {
    push: (payload) => take(held.length === 0 ? payload : Buffer.concat([held, payload]), false),
    end: () => {
      const last = take(held, true);
      if (held.length > 0) throw new WireError('COPY data end inside a row');
      return last;
    },
  };
}

type Rows = (input: Buffer, isEnd: boolean) => { readonly output: Buffer; readonly used: number };

/** Lines, each split into cells as PostgreSQL writes them. */
function textRows(redactCell: CellRedactor, copy: CopyFormat): Rows {
  const isCsv = copy.format === 'csv';
  const quote = (copy.quote ?? '"').charCodeAt(0);
  const escape = (copy.escape ?? copy.quote ?? '"').charCodeAt(0);
  const redactLine = isCsv ? csvLine(redactCell, copy) : textLine(redactCell, copy.delimiter ?? '\t');
  return (input, isEnd) => {
    const parts: Buffer[] = [];
    let start = 0;
    let changed = false;
    while (start < input.length) {
      let end = isCsv ? csvEnd(input, start, quote, escape) : input.indexOf(0x0a, start);
      if (end < 0 && !isEnd) break;
      if (end < 0) end = input.length;
      const line = input.subarray(start, end);
      const redacted = redactLine(line);
      if (redacted !== line) changed = true;
      parts.push(redacted);
      if (end < input.length) parts.push(input.subarray(end, end + 1));
      start = Math.min(end + 1, input.length);
    }
    if (!changed && start === input.length) return { output: input, used: start };
    return { output: Buffer.concat(parts), used: start };
  };
}

/** The line end outside quotes; doubled quotes change nothing in the count. */
function csvEnd(input: Buffer, start: number, quote: number, escape: number): number {
  let quoted = false;
  for (let index = start; index < input.length; index++) {
    if (quoted && escape !== quote && input[index] === escape) index++;
    else if (input[index] === quote) quoted = !quoted;
    else if (input[index] === 0x0a && !quoted) return index;
  }
  return -1;
}

type RedactLine = (line: Buffer) => Buffer;

const UNESCAPED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function textLine(redactCell: CellRedactor, delimiter: string): RedactLine {
  return (line) => {
    const cells = splitEscaped(line.toString('utf8'), delimiter);
    let changed = false;
    const redacted = cells.map((raw) => {
      if (raw === '\\N') return raw;
      const cell = Buffer.from(raw.replace(/\\(.)/gs, (_, letter: string) => UNESCAPED[letter] ?? letter));
      const result = redactCell(cell, 0, false);
      if (result === cell) return raw;
      changed = true;
      return result === undefined ? '\\N' : escapeCopyText(result.toString('utf8'), delimiter);
    });
    return changed ? Buffer.from(redacted.join(delimiter)) : line;
  };
}

/** Cells of a line; a delimiter behind a backslash belongs to its cell. */
function splitEscaped(text: string, delimiter: string): readonly string[] {
  if (delimiter === '\t') return text.split(delimiter);
  const cells: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    if (text[index] === '\\') index++;
    else if (text[index] === delimiter) {
      cells.push(text.slice(start, index));
      start = index + 1;
    }
  }
  cells.push(text.slice(start));
  return cells;
}

function escapeCopyText(text: string, delimiter: string): string {
  const escaped = text.replace(/[\\\n\r\t]/g, (sign) => {
    if (sign === '\n') return '\\n';
    if (sign === '\r') return '\\r';
    return sign === '\t' ? '\\t' : '\\\\';
  });
  return delimiter === '\t' ? escaped : escaped.replaceAll(delimiter, `\\${delimiter}`);
}

function csvLine(redactCell: CellRedactor, copy: CopyFormat): RedactLine {
  const { delimiter = ',', quote = '"' } = copy;
  const escape = copy.escape ?? quote;
  return (line) => {
    const text = line.toString('utf8');
    let changed = false;
    const cells = splitCsv(text, delimiter, quote, escape).map(({ raw, value }) => {
      const cell = Buffer.from(value);
      const result = redactCell(cell, 0, false);
      if (result === cell) return raw;
      changed = true;
      const inner = (result ?? EMPTY).toString('utf8');
      const doubled = inner.replaceAll(escape, escape + escape);
      return quote + (escape === quote ? doubled : doubled.replaceAll(quote, escape + quote)) + quote;
    });
    return changed ? Buffer.from(cells.join(delimiter)) : line;
  };
}

function splitCsv(
  text: string,
  delimiter: string,
  quote: string,
  escape: string,
): readonly { readonly raw: string; readonly value: string }[] {
  const cells: { raw: string; value: string }[] = [];
  let start = 0;
  let value = '';
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const sign = text[index] ?? '';
    const next = text[index + 1];
    if (quoted && sign === escape && (next === quote || next === escape)) {
      value += next;
      index++;
    } else if (sign === quote) quoted = !quoted;
    else if (sign === delimiter && !quoted) {
      cells.push({ raw: text.slice(start, index), value });
      start = index + 1;
      value = '';
    } else value += sign;
  }
  cells.push({ raw: text.slice(start), value });
  return cells;
}

const SIGNATURE_LENGTH = 11;

/** The header, tuples of fields, and -1 at the end. */
function binaryRows(redactCell: CellRedactor): Rows {
  let headerDone = false;
  let ended = false;
  return (input) => {
    const parts: Buffer[] = [];
    let position = 0;
    if (!headerDone) {
      const fixed = SIGNATURE_LENGTH + 8;
      if (input.length < fixed) return { output: EMPTY, used: 0 };
      const length = fixed + input.readUInt32BE(SIGNATURE_LENGTH + 4);
      if (input.length < length) return { output: EMPTY, used: 0 };
      parts.push(input.subarray(0, length));
      position = length;
      headerDone = true;
    }
    while (!ended && position + 2 <= input.length) {
      const count = input.readInt16BE(position);
      const end = count < 0 ? position + 2 : tupleEnd(input, position + 2, count);
      if (end === undefined) break;
      ended = count < 0;
      const tuple = input.subarray(position, end);
      parts.push(ended ? tuple : redactFields(tuple, 2, count, { redactCell, fields: undefined }));
      position = end;
    }
    if (ended && position < input.length) throw new WireError('COPY data go on behind their end');
    return { output: Buffer.concat(parts), used: position };
  };
}

function tupleEnd(input: Buffer, start: number, count: number): number | undefined {
  let position = start;
  for (let index = 0; index < count; index++) {
    if (position + 4 > input.length) return undefined;
    position += 4 + Math.max(input.readInt32BE(position), 0);
    if (position > input.length) return undefined;
  }
  return position;
}
