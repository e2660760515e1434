import { Buffer } from 'node:buffer';
import type { Redaction } from '#policy/effective-policy.ts';
import type { FieldDescription } from '#wire/decode.ts';
import { encodeCopyData } from '#wire/encode.ts';
import { WireError } from '#wire/wire-error.ts';
import type { CopyFormat, CopyRedactor, createCopyRedactor } from './copy-redaction.ts';
import type { ByteSink, createRedactor, RowRedactor } from './redaction.ts';

/** Where content redaction meets the stream of messages: which redactor a result gets, and COPY data as messages. */

interface Redactors {
  readonly createRedactor: typeof createRedactor;
  readonly createCopyRedactor: typeof createCopyRedactor;
}

let loaded: Redactors | undefined;

/** Loads the detectors and their libraries; to be awaited before a policy that redacts is in force. */
export async function loadRedaction(): Promise<void> {
  if (loaded !== undefined) return;
  const [rows, copy] = await Promise.all([import('./redaction.ts'), import('./copy-redaction.ts')]);
  loaded = { createRedactor: rows.createRedactor, createCopyRedactor: copy.createCopyRedactor };
}

function redactors(): Redactors {
  if (loaded === undefined) throw new Error('loadRedaction() has not been awaited');
  return loaded;
}

const MAX_REMEMBERED = 500;
const remembered = new WeakMap<Redaction, Map<string, RowRedactor>>();

/** The redactor of rows with these columns; the same for the next result of the same shape. */
export function rowRedactor(redaction: Redaction, fields: readonly FieldDescription[]): RowRedactor {
  let known = remembered.get(redaction);
  if (known === undefined) {
    known = new Map();
    remembered.set(redaction, known);
  }
  const key = fields.map((field) => `${field.typeOid}:${field.format}`).join();
  let redactor = known.get(key);
  if (redactor === undefined) {
    if (known.size >= MAX_REMEMBERED) known.clear();
    redactor = redactors().createRedactor(redaction, fields);
    known.set(key, redactor);
  }
  return redactor;
}

/** A stream of CopyData messages in, one out; rows are not kept to messages, as the protocol allows. */
export class CopyRedaction {
  readonly #redactor: CopyRedactor;

  /** `isBinary` as CopyOutResponse says; `text` is the COPY statement, whose options say how its lines are read. */
  constructor(redaction: Redaction, isBinary: boolean, text: string) {
    const format: CopyFormat = isBinary ? { format: 'binary' } : copyFormatOf(text);
    this.#redactor = redactors().createCopyRedactor(redaction, format);
  }

  /** A whole CopyData message; `undefined`: nothing to send yet. */
  push(message: Buffer): Buffer | undefined {
    return asMessage(this.#redactor.push(message.subarray(5)));
  }

  /** Whole CopyData messages, one behind the other in `buffer[start, end)`; those without a finding pass as the ranges they are. */
  pushRun(buffer: Buffer, start: number, end: number, out: ByteSink): void {
    const changed: Buffer[] = [];
    let passed = start;
    this.#redactor.duringRun(buffer, { start, end }, () => {
      for (let position = start; position < end; ) {
        const messageEnd = position + 1 + buffer.readInt32BE(position + 1);
        if (!this.#redactor.isClean(buffer, position + 5, messageEnd)) {
          if (passed < position) changed.push(buffer.subarray(passed, position));
          const message = this.push(buffer.subarray(position, messageEnd));
          if (message !== undefined) changed.push(message);
          passed = messageEnd;
        }
        position = messageEnd;
      }
    });
    if (changed.length > 0) {
      const bytes = Buffer.concat(changed);
      if (bytes.length > 0) out.pass(bytes, 0, bytes.length);
    }
    if (passed < end) out.pass(buffer, passed, end);
  }

  /** What is left when the data end. */
  end(): Buffer | undefined {
    return asMessage(this.#redactor.end());
  }
}

function asMessage(payload: Buffer): Buffer | undefined {
  return payload.length === 0 ? undefined : encodeCopyData(payload);
}

/** The options of COPY ... TO STDOUT, from the part behind STDOUT; a statement that names options unclearly is not redactable. */
export function copyFormatOf(text: string): CopyFormat {
  const at = text.toLowerCase().lastIndexOf('stdout');
  const options = at < 0 ? text : text.slice(at + 'stdout'.length);
  if (!/\b(csv|delimiter|quote|escape)\b/i.test(options)) return { format: 'text' };
  const delimiter = optionValue(options, 'delimiter');
  const quote = optionValue(options, 'quote');
  const escape = optionValue(options, 'escape');
  return {
    format: /\bcsv\b/i.test(options) ? 'csv' : 'text',
    ...(delimiter === undefined ? {} : { delimiter }),
    ...(quote === undefined ? {} : { quote }),
    ...(escape === undefined ? {} : { escape }),
  };
}

/** `DELIMITER [AS] 'x'`: one byte. Throws WireError where the option is there and cannot be read. */
function optionValue(options: string, name: string): string | undefined {
  const match = new RegExp(`\\b${name}\\b(?:\\s+as)?\\s*(e?)'((?:[^']|'')*)'`, 'i').exec(options);
  if (match === null) {
    if (new RegExp(`\\b${name}\\b`, 'i').test(options)) throw new WireError(`COPY option ${name} cannot be read`);
    return undefined;
  }
  const value = (match[2] ?? '').replaceAll("''", "'");
  const unescaped = match[1] === '' ? value : value === '\\t' ? '\t' : value.replaceAll('\\\\', '\\');
  if (unescaped.length !== 1) throw new WireError(`COPY option ${name} cannot be read`);
  return unescaped;
}
