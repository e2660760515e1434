import type { Buffer } from 'node:buffer';
import {
  decodeBind,
  decodeBindNames,
  decodeExecute,
  decodeParse,
  decodeQuery,
  decodeString,
  decodeTarget,
  expectEmptyBody,
} from '#wire/decode.ts';
import { FRONTEND } from '#wire/messages.ts';
import { WireError } from '#wire/wire-error.ts';
import { decideMessage, isDenial } from './decide-message.ts';
import { denyExtended, denyQuery, forgetUnnamed, missing } from './denials.ts';
import { bindPortal, executePortal, parseStatement, portalOutdated, renewStatement } from './extended-query.ts';
import { applyEffects, forwardText, type FrameView, rateDenial, withinRate } from './forward.ts';
import { recordAllowed } from './records.ts';
import { denyBind, sentinelDenial } from './sentinel-values.ts';
import { endTransaction } from './session-names.ts';
import { changePortal, changeStatement, expectReply, type SentText, type SessionState } from './session-state.ts';

/** Handles one message. False: it has to wait; the same message is offered again when `state.stalled` is cleared. Throws WireError. */
export function handleClientMessage(state: SessionState, frame: FrameView): boolean {
  const { tag, buffer, start, end } = frame;
  const { front } = state;
  if (state.isTerminating) return true;
  if (front.skipping && tag !== FRONTEND.sync && tag !== FRONTEND.terminate) return true;
  if (front.copyIn !== 'none' && !COPY_IN_TAGS.has(tag)) throw new WireError('message not allowed during COPY');
  switch (tag) {
    case FRONTEND.query:
      return onQuery(state, frame);
    case FRONTEND.parse:
      return onParse(state, frame);
    case FRONTEND.bind:
      return onBind(state, frame);
    case FRONTEND.describe:
      return onDescribe(state, frame);
    case FRONTEND.execute:
      return onExecute(state, frame);
    case FRONTEND.close:
      onClose(state, frame);
      return true;
    case FRONTEND.sync:
      expectEmptyBody(start, end);
      onSync(state, buffer, start, end);
      return true;
    case FRONTEND.flush:
      expectEmptyBody(start, end);
      if (front.copyIn === 'none') state.toServer.pass(buffer, start, end);
      return true;
    case FRONTEND.copyData:
      onCopyData(state, frame);
      return true;
    case FRONTEND.copyDone:
    case FRONTEND.copyFail:
      if (tag === FRONTEND.copyDone) expectEmptyBody(start, end);
      else decodeString(buffer, start, end);
      onCopyEnd(state, buffer, start, end);
      return true;
    case FRONTEND.terminate:
      state.isTerminating = true;
      if (state.queue.length === 0) state.end ??= { kind: 'client' };
      return true;
    default:
      throw new WireError('message type not allowed');
  }
}

const COPY_IN_TAGS: ReadonlySet<number> = new Set([
  FRONTEND.copyData,
  FRONTEND.copyDone,
  FRONTEND.copyFail,
  FRONTEND.flush,
  FRONTEND.sync,
  FRONTEND.terminate,
]);

const NO_TYPES: readonly number[] = [];

function onQuery(state: SessionState, frame: FrameView): boolean {
  const { buffer, start, end } = frame;
  const range = decodeQuery(buffer, start, end);
  const outcome = decideMessage(state, { buffer, start: range.start, end: range.end, typeOids: NO_TYPES });
  if (outcome.kind === 'stalled') return false;
  if (outcome.kind === 'denied') {
    denyQuery(state, outcome.denial);
    return true;
  }
  const { sent } = outcome;
  if (!withinRate(state, sent)) {
    denyQuery(state, rateDenial(sent));
    return true;
  }
  const { front } = state;
  const namesBefore = front.names;
  if (!front.unsynced) front.namesAtSync = namesBefore;
  const runs = recordAllowed(state, sent);
  forwardText(state, frame, sent, range);
  const undo = applyEffects(state, sent);
  if (front.names.atBegin === undefined) front.names = endTransaction(front.names);
  expectReply(state, { kind: 'query', sent, runs, namesBefore, undo });
  front.unsynced = false;
  return true;
}

function onParse(state: SessionState, frame: FrameView): boolean {
  const { buffer, start, end } = frame;
  const message = decodeParse(buffer, start, end);
  const range = { start: message.textStart, end: message.textEnd };
  const outcome = decideMessage(state, { buffer, ...range, typeOids: message.parameterTypeOids });
  if (outcome.kind === 'stalled') return false;
  if (outcome.kind === 'denied') {
    denyExtended(state, outcome.denial, message.statement === '' ? forgetUnnamed(state) : undefined);
    return true;
  }
  if (parseStatement(state, message, outcome.sent)) forwardText(state, frame, outcome.sent, range);
  return true;
}

function onBind(state: SessionState, frame: FrameView): boolean {
  const { buffer, start, end } = frame;
  const names = decodeBindNames(buffer, start, end);
  const statement = state.statements.get(names.statement);
  if (statement === undefined) {
    denyExtended(state, missing('statement', names.statement));
    return true;
  }
  const renewed = renewStatement(state, statement);
  if (renewed !== 'current') return renewed === 'denied';
  const bind = decodeBind(buffer, start, end);
  const denial = sentinelDenial(statement.sent, bind);
  if (denial !== undefined) denyBind(state, statement.sent, denial);
  else bindPortal(state, statement, bind, frame);
  return true;
}

function onDescribe(state: SessionState, frame: FrameView): boolean {
  const { buffer, start, end } = frame;
  const { target, name } = decodeTarget(buffer, start, end);
  if (target === 'portal') {
    describePortal(state, frame, name);
    return true;
  }
  const statement = state.statements.get(name);
  if (statement === undefined) {
    denyExtended(state, missing('statement', name));
    return true;
  }
  const renewed = renewStatement(state, statement);
  if (renewed !== 'current') return renewed === 'denied';
  forwardDescribe(state, frame, statement.sent);
  return true;
}

/** A cursor of DECLARE is a portal too: libpq's clients describe it before they FETCH. It has no columns that the gate would strip. */
function describePortal(state: SessionState, frame: FrameView, name: string): void {
  const portal = state.portals.get(name);
  const cursor = state.front.names.names.cursors.get(name);
  const policy = state.ports.policy();
  if (portal !== undefined) forwardDescribe(state, frame, portal.sent);
  else if (cursor === undefined) denyExtended(state, missing('portal', name));
  else if (isDenial(policy)) denyExtended(state, policy);
  else if (cursor.generation !== policy.generation) denyExtended(state, portalOutdated(policy, name));
  else forwardDescribe(state, frame, undefined);
}

function forwardDescribe(state: SessionState, frame: FrameView, sent: SentText | undefined): void {
  state.toServer.pass(frame.buffer, frame.start, frame.end);
  state.front.unsynced = true;
  expectReply(state, { kind: 'describe', sent });
}

function onExecute(state: SessionState, frame: FrameView): boolean {
  const { buffer, start, end } = frame;
  const { portal: name } = decodeExecute(buffer, start, end);
  const portal = state.portals.get(name);
  if (portal === undefined) {
    denyExtended(state, missing('portal', name));
    return true;
  }
  const policy = state.ports.policy();
  if (isDenial(policy)) {
    denyExtended(state, policy);
    return true;
  }
  return executePortal(state, portal, policy, frame);
}

function onClose(state: SessionState, frame: FrameView): void {
  const { buffer, start, end } = frame;
  const { target, name } = decodeTarget(buffer, start, end);
  state.toServer.pass(buffer, start, end);
  state.front.unsynced = true;
  const undo = target === 'statement' ? changeStatement(state, name, undefined) : changePortal(state, name, undefined);
  expectReply(state, { kind: 'close', undo });
}

function onSync(state: SessionState, buffer: Buffer, start: number, end: number): void {
  const { front } = state;
  // The server ignores Sync while it reads COPY data, and answers the one that follows.
  if (front.copyIn !== 'none') return;
  front.skipping = false;
  front.unsynced = false;
  if (front.names.atBegin === undefined) front.names = endTransaction(front.names);
  state.toServer.pass(buffer, start, end);
  expectReply(state, { kind: 'sync' }).limit = state.limitAtSync;
  state.limitAtSync = undefined;
  front.namesAtSync = front.names;
}

function onCopyData(state: SessionState, frame: FrameView): void {
  const { buffer, start, end, isContinuation, remaining } = frame;
  if (!isContinuation) state.passingCopyIn = copyMayBeOpen(state);
  // Data that no COPY waits for is ignored, as the server would ignore it.
  if (state.passingCopyIn) state.toServer.pass(buffer, start, end);
  if (remaining === 0) state.passingCopyIn = false;
}

function copyMayBeOpen(state: SessionState): boolean {
  if (state.front.copyIn !== 'none') return true;
  if (state.queue.length === 0) return false;
  for (const entry of state.queue) if (entry.sent?.hit.decided.mayCopyIn === true) return true;
  return false;
}

function onCopyEnd(state: SessionState, buffer: Buffer, start: number, end: number): void {
  if (!copyMayBeOpen(state)) return;
  state.toServer.pass(buffer, start, end);
  if (state.front.copyIn === 'none') expectReply(state, { kind: 'copyEnd' });
  state.front.copyIn = 'none';
}
