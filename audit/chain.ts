/**
 * The hash chain of one process: every line names its place and the line before it (design §6). The hash is SHA-256 over the canonical line
 * without `chain.hash`; the first `prev` is 64 zeros.
 */
import type { AuditEvent } from './event.ts';
import type { LineBuffer } from './line-buffer.ts';
import { printRecord, type RecordOrigin } from './record.ts';

export interface ChainState {
  readonly origin: RecordOrigin;
  /** Number of the last line, 0 before the first. */
  readonly seq: number;
  /** Hash of the last line, 64 hexadecimal digits. */
  readonly prev: string;
}

const FIRST_DIGITS = '0'.repeat(64);
export const FIRST_PREV = `sha256:${FIRST_DIGITS}`;

/** A chain without lines. `chainId` is a UUID. */
export function newChain(origin: RecordOrigin): ChainState {
  return { origin, seq: 0, prev: FIRST_DIGITS };
}

/** Adds events to a chain: their lines go to `lines`. `nextUid` gives a fresh UUID version 7 each time. Gives the state after the last. */
export function chainEvents(
  state: ChainState,
  events: readonly AuditEvent[],
  lines: LineBuffer,
  nextUid: (timeMs: number) => string,
): ChainState {
  const { origin } = state;
  let { seq, prev } = state;
  for (const event of events) {
    seq += 1;
    prev = printRecord(lines, event, { origin, seq, uid: nextUid(event.timeMs), prev });
  }
  return { origin, seq, prev };
}
