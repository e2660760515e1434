import type { Buffer } from 'node:buffer';
import { encodeErrorFields } from './encode.ts';

/** An error of the gate's own, as fields of ErrorResponse (PostgreSQL manual, 54.8). */
export interface GateError {
  readonly severity: 'ERROR' | 'FATAL';
  readonly sqlstate: string;
  readonly message: string;
  readonly hint?: string | undefined;
  /** 1-based, in characters of the agent's text. */
  readonly position?: number | undefined;
  /** Field R becomes `postern:<slug>`. */
  readonly slug: string;
}

/** Never throws: a NUL in a text becomes U+FFFD. */
export function encodeGateError(error: GateError): Buffer {
  const fields = new Map<string, string>([
    ['S', error.severity],
    ['V', error.severity],
    ['C', error.sqlstate],
    ['M', error.message.replaceAll('\0', '\u{fffd}')],
  ]);
  if (error.hint !== undefined) fields.set('H', error.hint.replaceAll('\0', '\u{fffd}'));
  if (error.position !== undefined) fields.set('P', String(error.position));
  fields.set('R', `postern:${error.slug}`);
  return encodeErrorFields('error', fields);
}
