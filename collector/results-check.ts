/** Whether recorded results are lines of one session. Pure. */
import { type Buffer, isUtf8 } from 'node:buffer';

/** Undefined: sound; else what is wrong. `bytes`: NDJSON. */
export function checkResults(bytes: Buffer, session: string): string | undefined {
  if (bytes.length === 0) return 'there is no result';
  if (!isUtf8(bytes)) return 'the body is not UTF-8';
  const lines = bytes.toString('utf8').split('\n');
  if (lines.pop() !== '') return 'the last line is cut off';
  for (const [index, line] of lines.entries()) {
    const value = parse(line);
    if (value === undefined) return `line ${index + 1} is no JSON object`;
    if (value['session'] !== session) return `line ${index + 1} is of another session`;
    const { statement, part, rows, time } = value;
    const sound = typeof statement === 'string' && typeof part === 'number' && typeof time === 'number';
    if (!sound || !Array.isArray(rows)) return `line ${index + 1} is no recorded result`;
  }
  return undefined;
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
