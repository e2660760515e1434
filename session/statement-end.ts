import type { Denial } from '#policy/decision.ts';
import { denialFor } from '#policy/reasons.ts';
import { decodeErrorFields } from '#wire/decode.ts';
import { encodeErrorFields } from '#wire/encode.ts';
import { encodeGateError } from '#wire/error-response.ts';
import { WireError } from '#wire/wire-error.ts';
import { encodeDenial } from './denials.ts';
import type { FrameView } from './forward.ts';
import { recordCompletion } from './records.ts';
import { cleanErrorFields, type ErrorContext } from './server-errors.ts';
import { applyEffect, forgetUncertain, type NamesState } from './session-names.ts';
import { type Entry, type SessionState, undoEntry } from './session-state.ts';

/** How statements end: well, or with an error of the server, which takes back what was assumed of it and of those behind it. */

/** What an error or notice at this entry refers to. */
export function errorContext(entry: Entry | undefined): ErrorContext {
  const sent = entry?.sent;
  const plans = sent?.hit.decided.plans;
  // Between and behind its statements a text counts as its last one: rather cleaned once too often.
  const plan = entry?.plan ?? plans?.[plans.length - 1];
  return { plan, text: sent?.text ?? '', pieces: sent?.hit.pieces() };
}

/** Ends the run of the statement at hand and counts from zero for the next. */
export function endRun(state: SessionState, entry: Entry, sqlstate: string): void {
  const run = entry.runs?.[entry.planIndex];
  const nowMs = state.ports.nowMs();
  if (run !== undefined) {
    const durationMs = nowMs - Math.max(entry.startedMs, state.lastCompletionMs);
    recordCompletion(state, run, { sqlstate, rows: entry.rows, bytes: entry.bytes, durationMs });
    state.results?.end(state.ports.context.sessionUid, run.uid, state.ports.timeMs());
  }
  state.lastCompletionMs = nowMs;
  entry.rows = 0;
  entry.bytes = 0;
}

/** Ends every run that is still owed a completion. */
export function endRuns(state: SessionState, entry: Entry, sqlstate: string): void {
  const count = entry.runs?.length ?? 0;
  while (entry.planIndex < count) {
    endRun(state, entry, sqlstate);
    entry.planIndex++;
  }
}

/** ErrorResponse: answers the entry at the head; in the extended protocol everything up to Sync is dropped with it. */
export function onError(state: SessionState, frame: FrameView): void {
  const fields = decodeErrorFields(frame.buffer, frame.start, frame.end);
  const entry = state.queue.first;
  const severity = fields.get('V') ?? fields.get('S');
  if (severity === 'FATAL' || severity === 'PANIC') {
    onFatal(state, fields, entry);
    return;
  }
  if (entry === undefined || entry.kind === 'sync' || entry.failed)
    throw new WireError('the database answered out of step');
  answerError(state, entry, fields);
  state.front.copyIn = 'none';
  endRuns(state, entry, entry.limit?.sqlstate ?? fields.get('C') ?? 'XX000');
  if (entry.kind === 'query') {
    entry.failed = true;
    if (entry.replacement === undefined) undoEntry(state, entry);
    restoreNames(state, entry, 1);
    return;
  }
  dropToSync(state, entry);
}

function onFatal(state: SessionState, fields: ReadonlyMap<string, string>, entry: Entry | undefined): void {
  for (const owed of state.queue) endRuns(state, owed, fields.get('C') ?? '08006');
  state.toClient.push(encodeErrorFields('error', cleanErrorFields(fields, errorContext(entry))));
  state.end ??= { kind: 'server' };
}

function answerError(state: SessionState, entry: Entry, fields: ReadonlyMap<string, string>): void {
  if (entry.muted) return;
  if (entry.replacement !== undefined) {
    if (entry.replacement.length > 0) state.toClient.push(entry.replacement);
    return;
  }
  if (entry.limit !== undefined) {
    state.toClient.push(encodeGateError(entry.limit));
    return;
  }
  const check = addedCheckDenial(state, entry, fields.get('M') ?? '');
  if (check !== undefined) {
    state.toClient.push(encodeDenial(check));
    return;
  }
  state.toClient.push(encodeErrorFields('error', cleanErrorFields(fields, errorContext(entry))));
}

/** An error that a check added by the gate has raised, in the words of the check. */
function addedCheckDenial(state: SessionState, entry: Entry, message: string): Denial | undefined {
  if (!message.includes(state.ports.checkToken)) return undefined;
  const errors = entry.sent?.hit.decided.policy.errors;
  const checks = entry.sent?.hit.decided.plans.flatMap((plan) => plan.checks) ?? [];
  const check = checks.find((candidate) => message.includes(candidate.token));
  if (check === undefined) return denialFor('row_filter_violated', {}, errors);
  const denial: Denial = { slug: check.slug, sqlstate: check.sqlstate, severity: 'ERROR', message: check.message };
  if (errors?.detail !== 'Generic') return denial;
  return { ...denial, slug: 'denied', message: errors.message === '' ? 'denied' : errors.message };
}

/** The server now ignores everything up to Sync: none of it has happened. */
function dropToSync(state: SessionState, failed: Entry): void {
  const dropped: Entry[] = [];
  let found = false;
  for (let entry = state.queue.first; entry !== undefined; entry = state.queue.first) {
    if (entry.kind === 'sync') {
      found = true;
      break;
    }
    state.queue.shift();
    dropped.push(entry);
    if (entry !== failed) endRuns(state, entry, '57014');
  }
  // What a denial changed itself stays changed: it has happened.
  for (const entry of dropped.reverse())
    if (entry !== failed || entry.replacement === undefined) undoEntry(state, entry);
  restoreNames(state, failed, 0);
  if (!found) state.front.skipping = true;
}

/**
 * Names as before the failed statement, or as before its implicit transaction; what stands behind it in the queue from `skip` on is
 * applied again.
 */
function restoreNames(state: SessionState, failed: Entry, skip: number): void {
  const { front } = state;
  if (front.names === failed.namesBefore && failed.namesBefore === failed.namesAtSync) return;
  const inBlock = failed.namesBefore.names !== undefined && failed.namesBefore.atBegin !== undefined;
  const base = inBlock ? failed.namesBefore : failed.namesAtSync;
  let restored: NamesState = {
    ...base,
    names: { ...base.names, preparedStatements: failed.namesBefore.names.preparedStatements },
  };
  if ((failed.sent?.hit.decided.plans.length ?? 0) > 1) restored = forgetUncertain(restored, front.names.names);
  let index = skip;
  for (let entry = state.queue.at(index); entry !== undefined; entry = state.queue.at(++index)) {
    if (entry.runs === undefined || entry.sent === undefined) continue;
    const { effects, policy } = entry.sent.hit.decided;
    for (const effect of effects) restored = applyEffect(restored, effect, policy.generation);
  }
  if (sameNames(restored, front.names)) return;
  front.names = restored;
  if (!front.unsynced) front.namesAtSync = restored;
}

function sameNames(left: NamesState, right: NamesState): boolean {
  return left.names === right.names && left.atBegin === right.atBegin && left.savepoints === right.savepoints;
}
