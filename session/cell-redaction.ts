import { Buffer, isUtf8 } from 'node:buffer';
import { RE2JS } from 're2js';
import type { Redaction } from '#policy/effective-policy.ts';
import { createLoosePrescan, Prescan } from './cell-prescan.ts';
import { detectorsOf, replacementOf, type Sign } from './detectors.ts';

/** Redaction of one cell. `undefined` stands for SQL NULL: what can neither be read nor be shown. */
export type CellRedactor = (cell: Buffer, typeOid: number, isBinary: boolean) => Buffer | undefined;

const JSON_OID = 114;
const JSONB_OID = 3802;
const RECORD_OID = 2249;
const PLAIN_TEXT: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 142, 705]);
const TEXT_ARRAYS: ReadonlySet<number> = new Set([1009, 1015, 1014, 1003, 143, 199, 3807, 2287]);
/** Numbers, dates, bytes, network addresses, geometry, bits, identifiers and their arrays and ranges: never looked into. */
const UNTOUCHED: ReadonlySet<number> = new Set([
  16, 17, 18, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774, 790, 829,
  869, 1000, 1001, 1002, 1005, 1006, 1007, 1010, 1011, 1012, 1013, 1016, 1021, 1022, 1028, 1040, 1041, 1082, 1083, 1114,
  1115, 1182, 1183, 1184, 1185, 1186, 1187, 1231, 1266, 1270, 1560, 1561, 1562, 1563, 1700, 2950, 2951, 3220, 3221,
  3904, 3905, 3906, 3907, 3908, 3909, 3910, 3911, 3912, 3913, 3926, 3927, 5069,
]);

/** Whether cells of this type are looked into; types that are not known are. */
export function isScannedType(typeOid: number): boolean {
  return !UNTOUCHED.has(typeOid);
}

/** Whether the cell `bytes[start, end)` may hold a finding. False is certain: the cell is shown as it is, and need not be decoded. */
export type CellCheck = (bytes: Buffer, start: number, end: number) => boolean;

/** What a policy's redaction does with a cell, and whether it needs to. */
export interface CellRules {
  readonly redactCell: CellRedactor;
  /** The check of a column's cells; undefined: cells of this type are never looked into. Type 0 stands for one not known. */
  readonly checkOf: (typeOid: number, isBinary: boolean) => CellCheck | undefined;
  /** Does what is given while cells of `buffer[start, end)` are checked in order: faster, as long as its bytes stay as they are. */
  readonly duringRun: (
    buffer: Buffer,
    range: { readonly start: number; readonly end: number },
    act: () => void,
  ) => void;
  /** What the policy's detectors look for; undefined: patterns of users, which may match anything. */
  readonly signs: ReadonlySet<Sign> | undefined;
}

/** Throws where the policy names an unknown detector or a pattern that RE2 refuses. */
export function createCellRules(redaction: Pick<Redaction, 'detectors' | 'patterns'>): CellRules {
  const detectors = detectorsOf(redaction.detectors);
  if (detectors === undefined) throw new Error('the policy names a detector that does not exist');
  const patterns = redaction.patterns.map(({ name, regex }) => ({ name, regex: RE2JS.compile(regex) }));
  const redactText = (text: string): string => {
    let result = text;
    for (const { name, regex } of patterns) result = redactPattern(result, name, regex);
    for (const detector of detectors) result = detector.redact(result);
    return result;
  };
  const signs = patterns.length > 0 ? undefined : new Set(detectors.map(({ sign }) => sign));
  return {
    signs,
    ...checksOf(signs),
    redactCell: (cell, typeOid, isBinary) => {
      if (!isScannedType(typeOid)) return cell;
      return isBinary ? redactBinary(cell, typeOid, redactText) : redactTextCell(cell, typeOid, redactText);
    },
  };
}

/** Arrays and composites in binary format begin with a small number; where this or more stands first, there is text. */
const FIRST_OF_TEXT = 0x20;
const JSONB_VERSION = 1;

function checksOf(signs: ReadonlySet<Sign> | undefined): Pick<CellRules, 'checkOf' | 'duringRun'> {
  if (signs === undefined) {
    const checkOf: CellRules['checkOf'] = (typeOid) => (isScannedType(typeOid) ? () => true : undefined);
    return { checkOf, duringRun: (_buffer, _range, act) => act() };
  }
  const plain = new Prescan({ signs, escapes: false });
  const escaped = new Prescan({ signs, escapes: true });
  const mayHoldAnywhere = createLoosePrescan(signs);
  const plainCheck: CellCheck = (bytes, start, end) => plain.mayHold(bytes, start, end);
  const escapedCheck: CellCheck = (bytes, start, end) => escaped.mayHold(bytes, start, end);
  const jsonbCheck: CellCheck = (bytes, start, end) =>
    bytes[start] !== JSONB_VERSION || escaped.mayHold(bytes, start + 1, end);
  const binaryCheck: CellCheck = (bytes, start, end) =>
    (bytes[start] as number) >= FIRST_OF_TEXT ? escaped.mayHold(bytes, start, end) : mayHoldAnywhere(bytes, start, end);
  const checkOf: CellRules['checkOf'] = (typeOid, isBinary) => {
    if (!isScannedType(typeOid)) return undefined;
    if (PLAIN_TEXT.has(typeOid)) return plainCheck;
    if (!isBinary || typeOid === JSON_OID) return escapedCheck;
    return typeOid === JSONB_OID ? jsonbCheck : binaryCheck;
  };
  return {
    checkOf,
    duringRun: (buffer, { start, end }, act) => {
      plain.beginRun(buffer, start, end);
      escaped.beginRun(buffer, start, end);
      try {
        act();
      } finally {
        plain.endRun();
        escaped.endRun();
      }
    },
  };
}

/** Empty matches replace nothing; the loop moves on by RE2's own position. */
function redactPattern(text: string, name: string, regex: RE2JS): string {
  const matcher = regex.matcher(text);
  let result = '';
  let position = 0;
  while (matcher.find()) {
    const start = matcher.start();
    const end = matcher.end();
    if (end === start) continue;
    result += text.slice(position, start) + replacementOf(name);
    position = end;
  }
  return position === 0 ? text : result + text.slice(position);
}

type RedactText = (text: string) => string;

function redactTextCell(cell: Buffer, typeOid: number, redact: RedactText): Buffer {
  const text = cell.toString('utf8');
  const redacted = redactValue(text, typeOid, redact);
  return redacted === text ? cell : Buffer.from(redacted);
}

function redactValue(text: string, typeOid: number, redact: RedactText): string {
  if (PLAIN_TEXT.has(typeOid)) return redact(text);
  if (typeOid === JSON_OID || typeOid === JSONB_OID) return redactJson(text, redact);
  if (TEXT_ARRAYS.has(typeOid) || typeOid === RECORD_OID) return redactElements(text, redact);
  return redactUnknown(text, redact);
}

/** A type we do not know may be an array, a composite or JSON; else it is text. */
function redactUnknown(text: string, redact: RedactText): string {
  const first = text[0];
  if (first === '{' || first === '[') {
    if (isJson(text)) return redactJson(text, redact);
    return text.endsWith('}') ? redactElements(text, redact) : redact(text);
  }
  return first === '(' && text.endsWith(')') ? redactElements(text, redact) : redact(text);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Strings inside the document, keys too; numbers stay what they are. */
function redactJson(text: string, redact: RedactText): string {
  return text.replace(/"(?:[^"\\]|\\.)*"/gs, (literal) => {
    let value: unknown;
    try {
      value = JSON.parse(literal);
    } catch {
      return '"[redacted]"';
    }
    if (typeof value !== 'string') return literal;
    const redacted = redact(value);
    return redacted === value ? literal : JSON.stringify(redacted);
  });
}

/** The elements of an array or composite in text form; a changed one is quoted. */
function redactElements(text: string, redact: RedactText): string {
  return text.replace(/"((?:[^"\\]|\\.|"")*)"|[^{}(),"]+/gs, (element: string, quoted: string | undefined) => {
    const value = quoted === undefined ? element : quoted.replace(/\\.|""/gs, (pair) => pair.slice(1));
    const redacted = redactUnknown(value, redact);
    return redacted === value ? element : `"${redacted.replace(/[\\"]/g, '\\$&')}"`;
  });
}

function redactBinary(cell: Buffer, typeOid: number, redact: RedactText): Buffer | undefined {
  if (PLAIN_TEXT.has(typeOid) || typeOid === JSON_OID) return redactTextCell(cell, typeOid, redact);
  if (typeOid === JSONB_OID) return redactJsonb(cell, redact);
  const structured = redactArray(cell, redact) ?? redactRecord(cell, redact);
  if (structured !== undefined) return structured;
  if (isUtf8(cell) && !cell.includes(0)) return redactTextCell(cell, typeOid, redact);
  // Neither text nor built of parts: shown only where nothing is found in any part that reads as text.
  const text = cell.toString('latin1');
  return redact(text) === text ? cell : undefined;
}

function redactJsonb(cell: Buffer, redact: RedactText): Buffer | undefined {
  if (cell[0] !== JSONB_VERSION) return undefined;
  const text = cell.subarray(1);
  const redacted = redactTextCell(text, JSON_OID, redact);
  return redacted === text ? cell : Buffer.concat([cell.subarray(0, 1), redacted]);
}

/** array_send: dimensions, a flag, the element type, sizes; undefined: it is none. */
function redactArray(cell: Buffer, redact: RedactText): Buffer | undefined {
  if (cell.length < 12) return undefined;
  const dimensions = cell.readInt32BE(0);
  const hasNulls = cell.readInt32BE(4);
  if (dimensions < 0 || dimensions > 6 || hasNulls < 0 || hasNulls > 1) return undefined;
  const start = 12 + dimensions * 8;
  if (start > cell.length) return undefined;
  let count = dimensions === 0 ? 0 : 1;
  for (let index = 0; index < dimensions; index++) count *= cell.readInt32BE(12 + index * 8);
  const elementOid = cell.readUInt32BE(8);
  return redactParts(cell, start, count, () => elementOid, redact);
}

/** record_send: a count, then type, length and bytes of each field; undefined: it is none. */
function redactRecord(cell: Buffer, redact: RedactText): Buffer | undefined {
  if (cell.length < 4) return undefined;
  return redactParts(cell, 4, cell.readInt32BE(0), undefined, redact);
}

function redactParts(
  cell: Buffer,
  start: number,
  count: number,
  typeOf: (() => number) | undefined,
  redact: RedactText,
): Buffer | undefined {
  const parts: Buffer[] = [cell.subarray(0, start)];
  const header = typeOf === undefined ? 8 : 4;
  let changed = false;
  let position = start;
  for (let index = 0; index < count; index++) {
    if (position + header > cell.length) return undefined;
    const typeOid = typeOf === undefined ? cell.readUInt32BE(position) : typeOf();
    const length = cell.readInt32BE(position + header - 4);
    const end = position + header + Math.max(length, 0);
    if (length < -1 || end > cell.length) return undefined;
    const part = cell.subarray(position + header, end);
    const redacted = length < 0 || !isScannedType(typeOid) ? part : redactBinary(part, typeOid, redact);
    if (redacted !== part) changed = true;
    const head = Buffer.from(cell.subarray(position, position + header));
    head.writeInt32BE(length < 0 ? -1 : (redacted?.length ?? -1), header - 4);
    parts.push(head, ...(redacted === undefined ? [] : [redacted]));
    position = end;
  }
  if (position !== cell.length) return undefined;
  return changed ? Buffer.concat(parts) : cell;
}
