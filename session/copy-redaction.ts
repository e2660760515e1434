import { Buffer } from 'node:buffer';
import type { Redaction } from '#policy/effective-policy.ts';
import { WireError } from '#wire/wire-error.ts';
import { type CellRules, createCellRules } from './cell-redaction.ts';
import { Prescan } from './cell-prescan.ts';
import { fieldsMayHold, Pieces, readInt32, redactedColumn, redactFields, type RedactedColumn } from './redaction.ts';

/** Content redaction of COPY data. The types of the columns are not known: each cell may be anything. */

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
  /** Whether `bytes[start, end)`, the next payload, consists of whole rows without a finding: then it may pass and is not to be pushed. */
  isClean(bytes: Buffer, start: number, end: number): boolean;
  /** Does what is given while payloads in `buffer[start, end)` are asked for in order: faster, as long as its bytes stay as they are. */
  duringRun(buffer: Buffer, range: { readonly start: number; readonly end: number }, act: () => void): void;
  /** What is left at the end; a row cut off in the middle is a WireError. */
  end(): Buffer;
}

const EMPTY = Buffer.alloc(0);
const LINE_FEED = 0x0a;
const BACKSLASH = 0x5c;

interface Rows {
  readonly duringRun: CopyRedactor['duringRun'];
  /** Redacts the whole rows at the beginning of the input; `used` is their length. */
  readonly take: (input: Buffer, isEnd: boolean) => { readonly output: Buffer; readonly used: number };
  readonly isClean: CopyRedactor['isClean'];
}

/** Throws where the policy's redaction cannot be built. */
export function createCopyRedactor(redaction: Redaction, copy: CopyFormat): CopyRedactor {
  const rules = createCellRules(redaction);
  const rows = copy.format === 'binary' ? binaryRows(rules) : textRows(rules, copy);
  let held = EMPTY;
  const take = (input: Buffer, isEnd: boolean): Buffer => {
    const { output, used } = rows.take(input, isEnd);
    held = used === input.length ? EMPTY : Buffer.from(input.subarray(used));
    if (held.length > redaction.maxRowBytes) throw new WireError('a row of COPY data is too long to be redacted');
    return output;
  };
  return {
    push: (payload) => take(held.length === 0 ? payload : Buffer.concat([held, payload]), false),
    duringRun: rows.duringRun,
    isClean: (bytes, start, end) => held.length === 0 && rows.isClean(bytes, start, end),
    end: () => {
      const last = take(held, true);
      if (held.length > 0) throw new WireError('COPY data end inside a row');
      return last;
    },
  };
}

/** A line with what was found replaced; the same buffer where nothing was. */
type RedactLine = (line: Buffer) => Buffer;

/** Lines, each split into cells as PostgreSQL writes them. */
function textRows(rules: CellRules, copy: CopyFormat): Rows {
  const isCsv = copy.format === 'csv';
  const quote = (copy.quote ?? '"').charCodeAt(0);
  const escape = (copy.escape ?? copy.quote ?? '"').charCodeAt(0);
  const redactLine = isCsv ? csvLine(rules, copy) : textLine(rules, copy.delimiter ?? '\t');
  const prescan = linePrescan(rules, copy);
  return {
    duringRun: (buffer, { start, end }, act) => {
      prescan?.beginRun(buffer, start, end);
      try {
        act();
      } finally {
        prescan?.endRun();
      }
    },
    take: (input, isEnd) => {
      const pieces = new Pieces(input, 0);
      let start = 0;
      while (start < input.length) {
        let end = isCsv ? csvEnd(input, start, quote, escape) : input.indexOf(LINE_FEED, start);
        if (end < 0 && !isEnd) break;
        if (end < 0) end = input.length;
        if (prescan === undefined || prescan.mayHold(input, start, end)) {
          const line = input.subarray(start, end);
          const redacted = redactLine(line);
          if (redacted !== line) pieces.replace(start, end, redacted);
        }
        start = Math.min(end + 1, input.length);
      }
      return { output: pieces.join(start), used: start };
    },
    isClean: (bytes, start, end) =>
      prescan !== undefined &&
      end > start &&
      bytes[end - 1] === LINE_FEED &&
      (!isCsv || isOutsideQuotes(bytes, start, end, quote)) &&
      !prescan.mayHold(bytes, start, end),
  };
}

/**
 * The prescan of whole lines; undefined where a sign of the format could be a part of a finding or tear one apart: then each cell is
 * read. A backslash counts as an escape in CSV too, for the JSON there.
 */
function linePrescan({ signs }: CellRules, copy: CopyFormat): Prescan | undefined {
  const isCsv = copy.format === 'csv';
  const { delimiter = isCsv ? ',' : '\t', quote = '"' } = copy;
  const escape = copy.escape ?? quote;
  const isPlain =
    /^[\t,;|]$/.test(delimiter) && /^["']$/.test(quote) && (escape === quote || escape === '\\' || !isCsv);
  if (signs === undefined || !isPlain) return undefined;
  return new Prescan({ signs, escapes: true, ...(isCsv ? {} : { delimiter: delimiter.charCodeAt(0) }) });
}

/** An even number of quotes; where a backslash escapes them, the prescan takes the line for one to be read. */
function isOutsideQuotes(bytes: Buffer, start: number, end: number, quote: number): boolean {
  let isOutside = true;
  for (let index = start; index < end; index++) if (bytes[index] === quote) isOutside = !isOutside;
  return isOutside;
}

/** The line end outside quotes; doubled quotes change nothing in the count. */
function csvEnd(input: Buffer, start: number, quote: number, escape: number): number {
  let quoted = false;
  for (let index = start; index < input.length; index++) {
    if (quoted && escape !== quote && input[index] === escape) index++;
    else if (input[index] === quote) quoted = !quoted;
    else if (input[index] === LINE_FEED && !quoted) return index;
  }
  return -1;
}

const UNESCAPED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function textLine(rules: CellRules, delimiter: string): RedactLine {
  const { check, redact } = redactedColumn(rules, 0, false);
  const separator = delimiter.charCodeAt(0);
  return (line) => {
    const pieces = new Pieces(line, 0);
    let changed = false;
    for (let start = 0; start <= line.length; ) {
      const end = cellEnd(line, start, separator);
      if (!isNullCell(line, start, end) && check?.(line, start, end) === true) {
        const raw = line.toString('utf8', start, end);
        const cell = Buffer.from(raw.replace(/\\(.)/gs, (_, letter: string) => UNESCAPED[letter] ?? letter));
        const result = redact(cell);
        if (result !== cell) {
          changed = true;
          const text = result === undefined ? '\\N' : escapeCopyText(result.toString('utf8'), delimiter);
          pieces.replace(start, end, Buffer.from(text));
        }
      }
      start = end + 1;
    }
    return changed ? pieces.join(line.length) : line;
  };
}

function isNullCell(line: Buffer, start: number, end: number): boolean {
  return end - start === 2 && line[start] === BACKSLASH && line[start + 1] === 0x4e;
}

/** A delimiter behind a backslash belongs to its cell; a tab in a cell is written as a letter. */
function cellEnd(line: Buffer, start: number, separator: number): number {
  for (let index = start; index < line.length; index++) {
    if (line[index] === separator) return index;
    if (line[index] === BACKSLASH && separator !== 0x09) index++;
  }
  return line.length;
}

function escapeCopyText(text: string, delimiter: string): string {
  const escaped = text.replace(/[\\\n\r\t]/g, (sign) => {
    if (sign === '\n') return '\\n';
    if (sign === '\r') return '\\r';
    return sign === '\t' ? '\\t' : '\\\\';
  });
  return delimiter === '\t' ? escaped : escaped.replaceAll(delimiter, `\\${delimiter}`);
}

function csvLine(rules: CellRules, copy: CopyFormat): RedactLine {
  const { check, redact } = redactedColumn(rules, 0, false);
  const { delimiter = ',', quote = '"' } = copy;
  const escape = copy.escape ?? quote;
  return (line) => {
    const text = line.toString('utf8');
    let changed = false;
    const cells = splitCsv(text, delimiter, quote, escape).map(({ raw, value }) => {
      const cell = Buffer.from(value);
      const result = check?.(cell, 0, cell.length) === true ? redact(cell) : cell;
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
function binaryRows(rules: CellRules): Rows {
  const column = redactedColumn(rules, 0, true);
  const columns: RedactedColumn[] = [];
  const columnsOf = (count: number): readonly RedactedColumn[] => {
    while (columns.length < count) columns.push(column);
    return columns.length === count ? columns : columns.slice(0, count);
  };
  let headerDone = false;
  let ended = false;
  const take = (input: Buffer): { readonly output: Buffer; readonly used: number } => {
    const pieces = new Pieces(input, 0);
    let position = 0;
    if (!headerDone) {
      const fixed = SIGNATURE_LENGTH + 8;
      if (input.length < fixed) return { output: EMPTY, used: 0 };
      const length = fixed + input.readUInt32BE(SIGNATURE_LENGTH + 4);
      if (input.length < length) return { output: EMPTY, used: 0 };
      position = length;
      headerDone = true;
    }
    while (!ended && position + 2 <= input.length) {
      const count = input.readInt16BE(position);
      const end = count < 0 ? position + 2 : tupleEnd(input, position + 2, { count, end: input.length });
      if (end === undefined) break;
      ended = count < 0;
      if (!ended) {
        const tuple = input.subarray(position, end);
        const redacted = redactFields(tuple, { start: 2, columns: columnsOf(count) });
        if (redacted !== tuple) pieces.replace(position, end, redacted);
      }
      position = end;
    }
    if (ended && position < input.length) throw new WireError('COPY data go on behind their end');
    return { output: pieces.join(position), used: position };
  };
  return {
    take,
    duringRun: rules.duringRun,
    isClean: (bytes, start, end) => {
      if (!headerDone || ended || end - start < 2) return false;
      const count = bytes.readInt16BE(start);
      if (count < 0 || tupleEnd(bytes, start + 2, { count, end }) !== end) return false;
      return !fieldsMayHold(bytes, start + 2, end, columnsOf(count));
    },
  };
}

/** Undefined: the tuple goes on behind `end`. */
function tupleEnd(
  input: Buffer,
  start: number,
  { count, end }: { readonly count: number; readonly end: number },
): number | undefined {
  let position = start;
  for (let index = 0; index < count; index++) {
    if (position + 4 > end) return undefined;
    position += 4 + Math.max(readInt32(input, position), 0);
    if (position > end) return undefined;
  }
  return position;
}
