import { type Buffer, isUtf8 } from 'node:buffer';
import { WireError } from './wire-error.ts';

/** Bytes that must be valid UTF-8 (overlong forms, surrogates and cut characters are not); `undefined` where they are not. */
export function decodeUtf8(buffer: Buffer, start: number, end: number): string | undefined {
  let position = start;
  while (position < end && (buffer[position] as number) < 0x80) position++;
  if (position === end) return buffer.toString('latin1', start, end);
  return isUtf8(buffer.subarray(start, end)) ? buffer.toString('utf8', start, end) : undefined;
}

/** Offset of the NUL that ends a string within the message; throws WireError where there is none. */
export function findNul(buffer: Buffer, start: number, end: number): number {
  for (let position = start; position < end; position++) if (buffer[position] === 0) return position;
  throw new WireError('string without end in message');
}

/** A NUL-terminated string; throws WireError when it is not ended within the message or is not UTF-8. */
export function readString(buffer: Buffer, start: number, end: number): string {
  const nul = findNul(buffer, start, end);
  if (nul === start) return '';
  const text = decodeUtf8(buffer, start, nul);
  if (text === undefined) throw new WireError('string in message is not valid UTF-8');
  return text;
}
