import type { Buffer } from 'node:buffer';
import type { RecordedResult } from '#audit/event.ts';
import { decodeDataRow, type FieldDescription } from '#wire/decode.ts';

/** Of one statement, and of all statements of a session: what is beyond is left out, and the record says so. */
export const MAX_RECORDED_BYTES = 64 * 1024;
const MAX_SESSION_BYTES = 1024 * 1024;
const BINARY = 1;

/**
 * Keeps what the agent receives as results, where the connection asks for it: after masking and redaction, never the raw value. Bounded: a
 * long result is cut off, and marked so. Values in binary format are written as PostgreSQL writes bytea.
 */
export class ResultRecorder {
  readonly #emit: (result: RecordedResult) => void;
  #columns: readonly FieldDescription[] | undefined;
  #rows: (readonly (string | null)[])[] = [];
  #statementBytes = 0;
  #sessionBytes = 0;
  #truncated = false;

  constructor(emit: (result: RecordedResult) => void) {
    this.#emit = emit;
  }

  /** The columns of the rows to come, as the agent is told them. */
  describe(columns: readonly FieldDescription[]): void {
    this.#columns = columns;
  }

  /** One DataRow as the agent gets it; `formats` are those its Bind asked for, empty: as described. */
  addRow(buffer: Buffer, start: number, end: number, formats: readonly number[]): void {
    if (!this.#takeRoom(end - start)) return;
    const cells = decodeDataRow(buffer, start, end);
    this.#rows.push(
      cells.map((cell, index) =>
        cell === undefined
          ? null
          : this.#isBinary(index, formats)
            ? `\\x${cell.toString('hex')}`
            : cell.toString('utf8'),
      ),
    );
  }

  /** A piece of COPY data as the agent gets it. */
  addCopyData(bytes: Buffer): void {
    if (this.#takeRoom(bytes.length)) this.#rows.push([bytes.toString('utf8')]);
  }

  /** A part of the result went by that is not kept. */
  leaveOut(): void {
    this.#truncated = true;
  }

  /** The statement is over: what was kept of its result goes out. */
  end(session: string, statement: string, timeMs: number): void {
    const rows = this.#rows;
    const columns = this.#columns?.map((column) => column.name);
    if (rows.length > 0 || this.#truncated || columns !== undefined) {
      this.#emit({
        session,
        statement,
        part: 1,
        ...(columns === undefined ? {} : { columns }),
        rows,
        ...(this.#truncated ? { truncated: true as const } : {}),
        time: timeMs,
      });
    }
    this.#rows = [];
    this.#columns = undefined;
    this.#statementBytes = 0;
    this.#truncated = false;
  }

  #isBinary(index: number, formats: readonly number[]): boolean {
    const asked = formats.length === 1 ? formats[0] : formats[index];
    return (asked ?? this.#columns?.[index]?.format) === BINARY;
  }

  #takeRoom(bytes: number): boolean {
    const fits =
      !this.#truncated &&
      this.#statementBytes + bytes <= MAX_RECORDED_BYTES &&
      this.#sessionBytes + bytes <= MAX_SESSION_BYTES;
    if (!fits) {
      this.#truncated = true;
      return false;
    }
    this.#statementBytes += bytes;
    this.#sessionBytes += bytes;
    return true;
  }
}
