import type { Buffer } from 'node:buffer';
import type { Denial } from '#policy/decision.ts';
import { encodeDescribe, encodeQuery, encodeReadyForQuery } from '#wire/encode.ts';
import { encodeGateError } from '#wire/error-response.ts';
import { TRANSACTION_STATUS } from '#wire/messages.ts';
import { changeStatement, expectReply, type SessionState, type Undo } from './session-state.ts';

/** A denial as the agent gets it. */
export function encodeDenial(denial: Denial): Buffer {
  const { position, ...rest } = denial;
  return encodeGateError({ ...rest, position: position === undefined ? undefined : position + 1 });
}

/** The name of a prepared statement that never exists: what uses it fails in the server, harmlessly and in place. */
function absentName(state: SessionState): string {
  return `postern denied ${state.ports.checkToken}`;
}

/** A simple Query that fails: it aborts the transaction it stands in, as the refused statement would have. */
export function failingQuery(state: SessionState): Buffer {
  return encodeQuery(`EXECUTE "${absentName(state).replaceAll('"', '')}"`);
}

/** Nothing is outstanding and no transaction is open that the error would have to abort. */
function isQuiet(state: SessionState): boolean {
  return state.queue.length === 0 && !state.front.unsynced && state.status !== TRANSACTION_STATUS.inBlock;
}

/** Answers a simple Query with an error, in its place. */
export function denyQuery(state: SessionState, denial: Denial): void {
  // A simple Query ends the unnamed statement, whatever becomes of it.
  const undo = forgetUnnamed(state);
  if (isQuiet(state)) {
    state.toClient.push(encodeDenial(denial));
    state.toClient.push(encodeReadyForQuery(state.status));
    return;
  }
  state.toServer.push(failingQuery(state));
  expectReply(state, { kind: 'query', replacement: encodeDenial(denial), undo });
  state.front.unsynced = false;
}

/** Answers a message of the extended protocol with an error, in its place; all else is ignored until Sync. */
export function denyExtended(state: SessionState, denial: Denial, undo?: Undo): void {
  if (isQuiet(state)) {
    state.toClient.push(encodeDenial(denial));
  } else {
    state.toServer.push(encodeDescribe('statement', absentName(state)));
    expectReply(state, { kind: 'describe', replacement: encodeDenial(denial), undo });
    state.front.unsynced = true;
  }
  state.front.skipping = true;
}

/** Takes the unnamed statement out of the table, as a Parse or Query that fails does in the server. */
export function forgetUnnamed(state: SessionState): Undo {
  return changeStatement(state, '', undefined);
}

/** As the server itself answers where a statement or portal is not there. */
export function missing(kind: 'statement' | 'portal', name: string): Denial {
  const sqlstate = kind === 'statement' ? '26000' : '34000';
  const what =
    kind === 'portal'
      ? `portal "${name}" does not exist`
      : name === ''
        ? 'unnamed prepared statement does not exist'
        : `prepared statement "${name}" does not exist`;
  return { slug: 'undefined_object', sqlstate, severity: 'ERROR', message: what };
}
