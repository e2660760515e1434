/**
 * The hash chain of one process: every line names its place and the line before it (design §6). The hash is SHA-256 over the canonical line
 * without `chain.hash`; the first `prev` is 64 zeros.
 */
import { hash } from 'node:crypto';
import { canonicalString } from './canonical-json.ts';
import type { AuditEvent } from './event.ts';
import { printRecord } from './record.ts';

export interface ChainState {
  readonly id: string;
  /** Number of the last line, 0 before the first. */
  readonly seq: number;
  /** `sha256:` and 64 hexadecimal digits. */
  readonly prev: string;
}

export const FIRST_PREV = `sha256:${'0'.repeat(64)}`;

export function newChain(id: string): ChainState {
  return { id, seq: 0, prev: FIRST_PREV };
}

/** `sha256:` and the hash of a line from which `chain.hash` was taken. */
export function hashLine(line: string): string {
  return `sha256:${hash('sha256', line, 'hex')}`;
}

export interface ChainedLines {
  /** Lines with their line ends. */
  readonly text: string;
  readonly state: ChainState;
}

/** Adds events to a chain. `nextUid` gives a fresh UUID version 7 each time. */
export function chainEvents(
  state: ChainState,
  events: readonly AuditEvent[],
  nextUid: (timeMs: number) => string,
  productVersion: string,
): ChainedLines {
  const id = canonicalString(state.id);
  let { seq, prev } = state;
  let text = '';
  for (const event of events) {
    seq += 1;
    const record = printRecord(event, nextUid(event.timeMs), productVersion);
    const head = `${record.beforeSequence}${seq}${record.beforeChain}{`;
    const tail = `"id":${id},"prev":"${prev}","seq":${seq}}${record.afterChain}`;
    prev = hashLine(head + tail);
    text += `${head}"hash":"${prev}",${tail}\n`;
  }
  return { text, state: { id: state.id, seq, prev } };
}
