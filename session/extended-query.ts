import { Buffer } from 'node:buffer';
import { displayName } from '#sql/identifiers.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import type { Denial } from '#policy/decision.ts';
import { denialFor } from '#policy/reasons.ts';
import type { BindMessage, ParseMessage } from '#wire/decode.ts';
import { encodeBind, encodeClose, encodeDescribe, encodeParse } from '#wire/encode.ts';
import { decideMessage, isDenial } from './decide-message.ts';
import { denyExtended } from './denials.ts';
import { applyEffects, type FrameView, rateDenial, withinRate } from './forward.ts';
import { recordAllowed } from './records.ts';
import {
  changePortal,
  changeStatement,
  expectReply,
  type Portal,
  type PreparedStatement,
  type Run,
  type SentText,
  type SessionState,
} from './session-state.ts';

/** Prepared statements and portals: tables, and what happens when the policy has changed since they were decided. */

const MAX_STATEMENTS = 10_000;

/** Enters a statement under its name. False: there are too many, and the error has been answered. */
export function parseStatement(state: SessionState, message: ParseMessage, sent: SentText): boolean {
  const name = message.statement;
  if (state.statements.size >= MAX_STATEMENTS && !state.statements.has(name)) {
    const subject = `more than ${MAX_STATEMENTS} prepared statements`;
    denyExtended(state, denialFor('too_complex', { subject }, sent.hit.decided.policy.errors));
    return false;
  }
  noteSyncPoint(state);
  const statement: PreparedStatement = {
    name,
    typeOids: message.parameterTypeOids,
    sent,
    pendingRuns: recordAllowed(state, sent),
    lost: false,
  };
  const undo = changeStatement(state, name, statement);
  state.front.unsynced = true;
  expectReply(state, { kind: 'parse', sent, undo });
  return true;
}

/** The names an implicit transaction falls back to are those at its first message. */
function noteSyncPoint(state: SessionState): void {
  const { front } = state;
  if (!front.unsynced) front.namesAtSync = front.names;
}

/**
 * Makes a statement current before it is bound or described: under a newer policy it is decided again. The same text goes on, another is
 * parsed again in the server under the same name, and a denial is answered.
 */
export function renewStatement(state: SessionState, statement: PreparedStatement): 'current' | 'denied' | 'stalled' {
  const policy = state.ports.policy();
  if (isDenial(policy)) {
    denyExtended(state, policy);
    return 'denied';
  }
  if (statement.sent.hit.decided.policy === policy && !statement.lost) return 'current';
  const outcome = decideAgain(state, statement);
  if (outcome === 'stalled' || outcome === 'denied') return outcome;
  const same = sameForward(statement.sent, outcome);
  statement.sent = outcome;
  if (!same || statement.lost) parseAgain(state, statement);
  return 'current';
}

function decideAgain(state: SessionState, statement: PreparedStatement): SentText | 'denied' | 'stalled' {
  const buffer = Buffer.from(statement.sent.text, 'utf8');
  const outcome = decideMessage(state, { buffer, start: 0, end: buffer.length, typeOids: statement.typeOids });
  if (outcome.kind === 'stalled') return 'stalled';
  if (outcome.kind === 'accepted') return outcome.sent;
  denyExtended(state, outcome.denial);
  return 'denied';
}

/** Both decisions send the same text, so the server's plan stays right. */
function sameForward(before: SentText, now: SentText): boolean {
  const left = before.hit.forward;
  const right = now.hit.forward;
  return left === undefined || right === undefined ? left === right : left.equals(right);
}

function parseAgain(state: SessionState, statement: PreparedStatement): void {
  const { name, sent, typeOids } = statement;
  const undo = { kind: 'lost', statement } as const;
  noteSyncPoint(state);
  if (name !== '') {
    state.toServer.push(encodeClose('statement', name));
    expectReply(state, { kind: 'close', swallow: true, undo });
  }
  const text = sent.hit.forward?.toString('utf8') ?? sent.text;
  state.toServer.push(encodeParse(name, text, typeOids));
  expectReply(state, { kind: 'parse', swallow: true, sent, undo });
  statement.lost = false;
  statement.pendingRuns = recordAllowed(state, sent);
  state.front.unsynced = true;
}

/** Forwards a Bind and enters its portal. */
export function bindPortal(
  state: SessionState,
  statement: PreparedStatement,
  bind: BindMessage,
  frame: FrameView,
): void {
  const { sent } = statement;
  noteSyncPoint(state);
  const portal: Portal = {
    name: bind.portal,
    statement,
    sent,
    parameters: state.ports.audit.parameters ? printParameters(bind) : undefined,
    resultFormats: bind.resultFormats,
    policy: sent.hit.decided.policy,
    started: false,
    rows: 0,
    bytes: 0,
  };
  const undo = changePortal(state, bind.portal, portal);
  const stripped = sent.hit.decided.plans[0]?.shape.strippedColumns ?? 0;
  if (stripped > 0 && bind.resultFormats.length > 1) {
    // A list of formats must name the columns added by the gate too: as text.
    const resultFormats = [...bind.resultFormats, ...Array.from({ length: stripped }, () => 0)];
    state.toServer.push(encodeBind({ ...bind, resultFormats }));
  } else {
    state.toServer.pass(frame.buffer, frame.start, frame.end);
  }
  state.front.unsynced = true;
  expectReply(state, { kind: 'bind', sent, undo });
}

/** Parameters as the record shows them: text as it is, binary in hexadecimal. */
function printParameters(bind: BindMessage): readonly (string | null)[] {
  const { parameterFormats } = bind;
  return bind.parameters.map((value, index) => {
    if (value === undefined) return null;
    const format = parameterFormats.length === 1 ? parameterFormats[0] : parameterFormats[index];
    return format === 1 ? `\\x${value.toString('hex')}` : value.toString('utf8');
  });
}

/** Forwards an Execute. False: it has to wait. */
export function executePortal(state: SessionState, portal: Portal, policy: EffectivePolicy, frame: FrameView): boolean {
  if (portal.policy !== policy) {
    const outcome = decideAgain(state, portal.statement);
    if (outcome === 'stalled') return false;
    if (outcome === 'denied') return true;
    if (!sameForward(portal.sent, outcome)) {
      denyExtended(state, portalOutdated(policy, portal.name));
      return true;
    }
    portal.policy = policy;
    portal.sent = outcome;
  }
  if (state.auditDown) {
    denyExtended(state, denialFor('audit_unwritable', {}, policy.errors));
    return true;
  }
  if (!withinRate(state, portal.sent)) {
    denyExtended(state, rateDenial(portal.sent));
    return true;
  }
  noteSyncPoint(state);
  const namesBefore = state.front.names;
  const runs = takeRuns(state, portal);
  if (policy.redaction !== undefined && !portal.sent.hit.decided.observed) {
    state.toServer.push(encodeDescribe('portal', portal.name));
    expectReply(state, { kind: 'describe', swallow: true, sent: portal.sent });
  }
  state.toServer.pass(frame.buffer, frame.start, frame.end);
  const undo = portal.started ? undefined : applyEffects(state, portal.sent);
  portal.started = true;
  state.front.unsynced = true;
  expectReply(state, { kind: 'execute', sent: portal.sent, portal, runs, namesBefore, undo });
  return true;
}

/** The decision recorded at Parse serves the first Execute; each further one is recorded by itself. */
function takeRuns(state: SessionState, portal: Portal): readonly Run[] {
  const { statement, parameters } = portal;
  const pending = statement.pendingRuns;
  statement.pendingRuns = undefined;
  if (pending !== undefined && parameters === undefined && statement.sent === portal.sent) return pending;
  return recordAllowed(state, portal.sent, parameters);
}

/** The denial of a portal that stems from an older policy. */
export function portalOutdated(policy: EffectivePolicy, name: string): Denial {
  const fields = {
    subject: displayName(name === '' ? 'unnamed' : name),
    advice: 'the policy has changed since it was bound; bind it again',
  };
  return denialFor('cursor_not_allowed', fields, policy.errors);
}
