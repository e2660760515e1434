import { Buffer } from 'node:buffer';
import type { Redaction } from '#policy/effective-policy.ts';
import { WireError } from '#wire/wire-error.ts';
import { type CellCheck, type CellRules, createCellRules } from './cell-redaction.ts';

/** Where bytes go on: ranges of buffers, in order (ByteQueue). */
export interface ByteSink {
  pass(buffer: Buffer, start: number, end: number): void;
}

/** Content redaction of results: the second wall. What a detector finds in a text-like cell is replaced by `[redacted:NAME]`. */
export interface RowRedactor {
  /** Takes a whole DataRow message; gives the same buffer where nothing was found. */
  redactRow(frame: Buffer): Buffer;
  /** Takes whole DataRow messages, one behind the other in `buffer[start, end)`; what holds no finding passes as the range it is. */
  redactRun(buffer: Buffer, start: number, end: number, out: ByteSink): void;
}

export interface RedactedField {
  readonly name: string;
  readonly typeOid: number;
  readonly format: number;
}

const ROW_HEADER_BYTES = 7;

/** Throws where the policy's redaction cannot be built; WireError for a row that does not fit its description. */
export function createRedactor(
  redaction: Pick<Redaction, 'detectors' | 'patterns'>,
  fields: readonly RedactedField[],
): RowRedactor {
  const rules = createCellRules(redaction);
  const columns = fields.map((field) => redactedColumn(rules, field.typeOid, field.format === 1));
  const none = columns.every(({ check }) => check === undefined);
  const redactRow = (frame: Buffer): Buffer => {
    if (none || !rowMayHold(frame, 0, frame.length, columns)) return frame;
    const redacted = redactFields(frame, { start: ROW_HEADER_BYTES, columns });
    if (redacted !== frame) redacted.writeInt32BE(redacted.length - 1, 1);
    return redacted;
  };
  return {
    redactRow,
    redactRun: (buffer, start, end, out) => {
      if (none) {
        out.pass(buffer, start, end);
        return;
      }
      const pieces = new Pieces(buffer, start);
      rules.duringRun(buffer, { start, end }, () => {
        for (let position = start; position < end; ) {
          const rowEnd = position + 1 + readInt32(buffer, position + 1);
          if (rowEnd > end) throw new WireError('message ends inside a field');
          if (rowMayHold(buffer, position, rowEnd, columns)) {
            const row = buffer.subarray(position, rowEnd);
            const redacted = redactRow(row);
            if (redacted !== row) pieces.replace(position, rowEnd, redacted);
          }
          position = rowEnd;
        }
      });
      pieces.passTo(out, end);
    },
  };
}

/** A column as redaction sees it; no check: its cells are never looked into. */
export interface RedactedColumn {
  readonly check: CellCheck | undefined;
  readonly redact: (cell: Buffer) => Buffer | undefined;
}

export function redactedColumn({ checkOf, redactCell }: CellRules, typeOid: number, isBinary: boolean): RedactedColumn {
  return { check: checkOf(typeOid, isBinary), redact: (cell) => redactCell(cell, typeOid, isBinary) };
}

/** Ranges of one buffer with some of them replaced; many small pieces are joined, as each costs more to write than to copy. */
export class Pieces {
  readonly #buffer: Buffer;
  readonly #parts: Buffer[] = [];
  #copied: number;

  constructor(buffer: Buffer, start: number) {
    this.#buffer = buffer;
    this.#copied = start;
  }

  replace(start: number, end: number, replacement: Buffer): void {
    if (this.#copied < start) this.#parts.push(this.#buffer.subarray(this.#copied, start));
    this.#parts.push(replacement);
    this.#copied = end;
  }

  /** All up to `end`: the range itself where nothing was replaced. */
  passTo(out: ByteSink, end: number): void {
    if (this.#parts.length === 0) {
      if (this.#copied < end) out.pass(this.#buffer, this.#copied, end);
      return;
    }
    const bytes = this.join(end);
    out.pass(bytes, 0, bytes.length);
  }

  /** The same as one buffer. */
  join(end: number): Buffer {
    const rest = this.#buffer.subarray(this.#copied, end);
    return this.#parts.length === 0 ? rest : Buffer.concat([...this.#parts, rest]);
  }
}

export function readInt32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** Whether a DataRow may hold a finding. Throws WireError where it does not fit its description, as far as it is read. */
function rowMayHold(buffer: Buffer, start: number, end: number, columns: readonly RedactedColumn[]): boolean {
  if (end - start < ROW_HEADER_BYTES) throw new WireError('message ends inside a field');
  const count = ((buffer[start + 5] as number) << 8) | (buffer[start + 6] as number);
  if (count !== columns.length) throw new WireError('a row does not fit its description');
  return fieldsMayHold(buffer, start + ROW_HEADER_BYTES, end, columns);
}

/** The same for fields (length, bytes) alone, one to a column. */
export function fieldsMayHold(buffer: Buffer, start: number, end: number, columns: readonly RedactedColumn[]): boolean {
  let position = start;
  for (let index = 0; index < columns.length; index++) {
    if (position + 4 > end) throw new WireError('message ends inside a field');
    const length = readInt32(buffer, position);
    position += 4;
    if (length < -1 || position + length > end) throw new WireError('message ends inside a field');
    if (length <= 0) continue;
    const check = columns[index]?.check;
    if (check !== undefined && check(buffer, position, position + length)) return true;
    position += length;
  }
  return false;
}

/** Redacts the fields (length, bytes) from `start` to the end of the message; the same buffer where nothing was found. */
export function redactFields(
  frame: Buffer,
  { start, columns }: { readonly start: number; readonly columns: readonly RedactedColumn[] },
): Buffer {
  const pieces = new Pieces(frame, 0);
  let changed = false;
  let position = start;
  for (const { check, redact } of columns) {
    if (position + 4 > frame.length) throw new WireError('message ends inside a field');
    const length = readInt32(frame, position);
    const end = position + 4 + Math.max(length, 0);
    if (length < -1 || end > frame.length) throw new WireError('message ends inside a field');
    if (length > 0 && check !== undefined && check(frame, position + 4, end)) {
      const cell = frame.subarray(position + 4, end);
      const redacted = redact(cell);
      if (redacted !== cell) {
        const size = Buffer.alloc(4);
        size.writeInt32BE(redacted?.length ?? -1);
        pieces.replace(position, end, redacted === undefined ? size : Buffer.concat([size, redacted]));
        changed = true;
      }
    }
    position = end;
  }
  return changed ? pieces.join(frame.length) : frame;
}
