import { Buffer } from 'node:buffer';
import { parseSearchPath } from '#sql/settings-list.ts';
import { denialFor } from '#policy/reasons.ts';
import {
  decodeCommandComplete,
  decodeCopyResponse,
  decodeErrorFields,
  decodeParameterStatus,
  decodeReadyForQuery,
  decodeRowDescription,
  expectEmptyBody,
} from '#wire/decode.ts';
import { encodeErrorFields, encodeNoData, encodeRowDescription } from '#wire/encode.ts';
import { BACKEND, TRANSACTION_STATUS } from '#wire/messages.ts';
import { WireError } from '#wire/wire-error.ts';
import { failingQuery } from './denials.ts';
import type { FrameView } from './forward.ts';
import { onRow } from './result-rows.ts';
import { CopyRedaction, rowRedactor } from './result-redaction.ts';
import type { ResultRecorder } from './result-recorder.ts';
import { cleanNoticeFields } from './server-errors.ts';
import { reportSearchPath, rollBack } from './session-names.ts';
import { type Entry, expectReply, failSession, passesRows, type SessionState } from './session-state.ts';
import { endRun, endRuns, errorContext, onError } from './statement-end.ts';

/** Handles one message of the server. A reply that nobody waits for ends the session (WireError). */
export function handleServerMessage(state: SessionState, frame: FrameView): void {
  const { tag } = frame;
  if (tag === BACKEND.dataRow || tag === BACKEND.copyData) {
    onRow(state, frame);
    return;
  }
  const asynchronous = ASYNCHRONOUS[tag];
  if (asynchronous !== undefined) {
    asynchronous(state, frame);
    return;
  }
  const entry = state.queue.first;
  const handler = REPLIES[tag];
  if (entry === undefined || handler === undefined) throw outOfStep();
  if (entry.replacement !== undefined && tag !== BACKEND.readyForQuery) throw outOfStep();
  handler(state, entry, frame);
}

type ReplyHandler = (state: SessionState, entry: Entry, frame: FrameView) => void;

/** What may come at any time. */
const ASYNCHRONOUS = byTag<(state: SessionState, frame: FrameView) => void>([
  [BACKEND.errorResponse, onError],
  [BACKEND.noticeResponse, onNotice],
  [BACKEND.parameterStatus, onParameterStatus],
  [BACKEND.notificationResponse, onNotification],
]);

/** Replies in turn. Each checks that it answers the entry at the head. */
const REPLIES = byTag<ReplyHandler>([
  [BACKEND.parseComplete, simpleReply('parse')],
  [BACKEND.bindComplete, simpleReply('bind')],
  [BACKEND.closeComplete, simpleReply('close')],
  [BACKEND.parameterDescription, onParameterDescription],
  [BACKEND.rowDescription, onRowDescription],
  [BACKEND.noData, simpleReply('describe')],
  [BACKEND.commandComplete, onCommandComplete],
  [BACKEND.emptyQueryResponse, onEmptyQuery],
  [BACKEND.portalSuspended, onPortalSuspended],
  [BACKEND.copyInResponse, onCopyIn],
  [BACKEND.copyOutResponse, onCopyOut],
  [BACKEND.copyDone, onCopyDone],
  [BACKEND.readyForQuery, onReadyForQuery],
]);

function byTag<Handler>(handlers: readonly (readonly [number, Handler])[]): readonly (Handler | undefined)[] {
  const table: (Handler | undefined)[] = Array.from({ length: 256 }, () => undefined);
  for (const [tag, handler] of handlers) table[tag] = handler;
  return table;
}

function outOfStep(): WireError {
  return new WireError('the database answered out of step');
}

function pass(state: SessionState, entry: Entry, frame: FrameView): void {
  if (!entry.swallow && !entry.muted) state.toClient.pass(frame.buffer, frame.start, frame.end);
}

function expectKind(entry: Entry, kind: Entry['kind'], other: Entry['kind'] = kind): void {
  if ((entry.kind !== kind && entry.kind !== other) || entry.failed) throw outOfStep();
}

function simpleReply(kind: Entry['kind']): ReplyHandler {
  return (state, entry, frame) => {
    expectEmptyBody(frame.start, frame.end);
    expectKind(entry, kind);
    pass(state, entry, frame);
    state.queue.shift();
  };
}

function onParameterDescription(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'describe');
  pass(state, entry, frame);
}

function onRowDescription(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'query', 'describe');
  const { plan } = entry;
  entry.described = true;
  const redaction = entry.sent?.hit.decided.policy.redaction;
  if (redaction !== undefined) {
    state.rowRedactor = rowRedactor(redaction, decodeRowDescription(frame.buffer, frame.start, frame.end));
  }
  if (state.results !== undefined && !entry.swallow && !entry.muted) describeResult(state.results, entry, frame);
  if (plan === undefined || plan.shape.strippedColumns === 0) pass(state, entry, frame);
  else if (plan.shape.hidesRows) {
    if (entry.kind === 'describe' && !entry.swallow && !entry.muted) state.toClient.push(encodeNoData());
  } else {
    const fields = decodeRowDescription(frame.buffer, frame.start, frame.end);
    if (fields.length < plan.shape.strippedColumns) throw outOfStep();
    const kept = fields.slice(0, fields.length - plan.shape.strippedColumns);
    if (!entry.swallow && !entry.muted) state.toClient.push(encodeRowDescription(kept));
  }
  if (entry.kind === 'describe') state.queue.shift();
}

/** What is stripped from the rows is no column of theirs. */
function describeResult(results: ResultRecorder, entry: Entry, frame: FrameView): void {
  const fields = decodeRowDescription(frame.buffer, frame.start, frame.end);
  results.describe(fields.slice(0, fields.length - (entry.plan?.shape.strippedColumns ?? 0)));
}

function onCommandComplete(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'query', 'execute');
  const decided = entry.sent?.hit.decided;
  if (decided !== undefined && decided.effects.length > 0) {
    const tag = decodeCommandComplete(frame.buffer, frame.start, frame.end);
    // A COMMIT of a failed transaction is a ROLLBACK.
    const isCommit = entry.plan?.decision.accepted?.effects.some((effect) => effect.kind === 'commit') === true;
    if (tag === 'ROLLBACK' && isCommit) state.front.names = rollBack(entry.namesBefore);
  }
  pass(state, entry, frame);
  if (entry.limit !== undefined) {
    endAfterLimit(state, entry);
    return;
  }
  endRun(state, entry, '00000');
  if (entry.kind === 'execute') {
    state.queue.shift();
    return;
  }
  entry.planIndex++;
  entry.plan = entry.sent?.hit.decided.plans[entry.planIndex];
  entry.passes = passesRows(entry.sent, entry.plan);
  entry.described = false;
}

/** The server had finished before the cancel came: the agent has its error, so what follows up to Sync is not for it. */
function endAfterLimit(state: SessionState, entry: Entry): void {
  endRuns(state, entry, entry.limit?.sqlstate ?? '57014');
  if (entry.kind === 'query') {
    entry.muted = true;
    return;
  }
  state.queue.shift();
  for (const next of state.queue) {
    if (next.kind === 'sync') {
      next.limit = entry.limit;
      return;
    }
    next.muted = true;
  }
  state.front.skipping = true;
  state.limitAtSync = entry.limit;
}

function onEmptyQuery(state: SessionState, entry: Entry, frame: FrameView): void {
  expectEmptyBody(frame.start, frame.end);
  expectKind(entry, 'query', 'execute');
  pass(state, entry, frame);
  if (entry.kind === 'execute') state.queue.shift();
}

function onPortalSuspended(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'execute');
  pass(state, entry, frame);
  const { portal } = entry;
  if (portal !== undefined) {
    portal.rows = entry.rows;
    portal.bytes = entry.bytes;
  }
  endRun(state, entry, '00000');
  state.queue.shift();
}

function onCopyIn(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'query', 'execute');
  if (entry.sent?.hit.decided.mayCopyIn !== true) throw outOfStep();
  pass(state, entry, frame);
  state.front.copyIn = entry.kind === 'query' ? 'simple' : 'extended';
  // What the client sent before it saw this: the server ignores Sync until the COPY is over.
  for (let next = state.queue.at(1); next !== undefined; next = state.queue.at(1)) {
    if (next.kind === 'copyEnd') {
      state.queue.removeAt(1);
      state.front.copyIn = 'none';
      return;
    }
    if (next.kind !== 'sync') throw new WireError('message not allowed during COPY');
    state.queue.removeAt(1);
  }
}

function onCopyOut(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'query', 'execute');
  entry.described = true;
  const decided = entry.sent?.hit.decided;
  const redaction = decided?.policy.redaction;
  if (redaction !== undefined && decided?.observed === false) {
    const isBinary = decodeCopyResponse(frame.buffer, frame.start, frame.end).format === 1;
    state.copyRedaction = new CopyRedaction(redaction, isBinary, entry.sent?.text ?? '');
  }
  pass(state, entry, frame);
}

function onCopyDone(state: SessionState, entry: Entry, frame: FrameView): void {
  expectKind(entry, 'query', 'execute');
  if (!entry.described) throw outOfStep();
  const rest = state.copyRedaction?.end();
  state.copyRedaction = undefined;
  if (rest !== undefined && !entry.muted) state.toClient.push(rest);
  pass(state, entry, frame);
}

function onReadyForQuery(state: SessionState, entry: Entry, frame: FrameView): void {
  if (entry.kind !== 'query' && entry.kind !== 'sync') throw outOfStep();
  if (entry.kind === 'query' && entry.replacement !== undefined && !entry.failed) throw outOfStep();
  const status = decodeReadyForQuery(frame.buffer, frame.start, frame.end);
  state.status = status;
  state.queue.shift();
  if (entry.limit !== undefined && status === TRANSACTION_STATUS.inBlock && state.queue.length === 0) {
    // The cancel came too late: the transaction is aborted before the agent hears that it is ready.
    state.toServer.push(failingQuery(state));
    expectReply(state, { kind: 'query', replacement: EMPTY });
    return;
  }
  endRuns(state, entry, '00000');
  state.toClient.pass(frame.buffer, frame.start, frame.end);
  if (state.queue.length === 0) settle(state, status);
}

const EMPTY = Buffer.alloc(0);

/** Nothing is outstanding: what was assumed is set right by what the server says. */
function settle(state: SessionState, status: number): void {
  const { front } = state;
  if (status === TRANSACTION_STATUS.idle) {
    if (front.names.atBegin !== undefined) front.names = rollBack(front.names);
    if (state.portals.size > 0) state.portals.clear();
  } else if (front.names.atBegin === undefined) {
    front.names = { ...front.names, atBegin: front.names.names };
  }
  if (state.reportedSearchPath !== undefined) {
    const searchPath = parseSearchPath(state.reportedSearchPath)?.filter((name) => !IMPLICIT_SCHEMAS.has(name));
    if (searchPath !== undefined) front.names = reportSearchPath(front.names, searchPath);
    state.reportedSearchPath = undefined;
  }
  front.namesAtSync = front.names;
}

/** Always searched, or named by the gate itself; and `""`, which names none. */
const IMPLICIT_SCHEMAS: ReadonlySet<string> = new Set(['', 'pg_catalog', 'pg_temp']);

function onNotice(state: SessionState, frame: FrameView): void {
  const fields = decodeErrorFields(frame.buffer, frame.start, frame.end);
  const entry = state.queue.first;
  if (entry?.replacement !== undefined || entry?.muted === true) return;
  const cleaned = cleanNoticeFields(fields, errorContext(entry));
  if (cleaned !== undefined) state.toClient.push(encodeErrorFields('notice', cleaned));
}

function onParameterStatus(state: SessionState, frame: FrameView): void {
  const { name, value } = decodeParameterStatus(frame.buffer, frame.start, frame.end);
  const pinned = state.pinnedParameters.get(name);
  if (pinned !== undefined && pinned !== value) {
    failSession(state, denialFor('protocol_violation', { subject: `the database changed ${name}` }));
    return;
  }
  if (name === 'search_path') state.reportedSearchPath = value;
  state.toClient.pass(frame.buffer, frame.start, frame.end);
}

function onNotification(state: SessionState, frame: FrameView): void {
  const policy = state.ports.policy();
  if ('access' in policy && policy.access.allowedCommands.has('LISTEN')) {
    state.toClient.pass(frame.buffer, frame.start, frame.end);
  }
}
