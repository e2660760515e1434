import type { Buffer } from 'node:buffer';
import type { Denial } from '#policy/decision.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { denialFor } from '#policy/reasons.ts';
import { decodeUtf8 } from '#wire/text.ts';
import { encodeFlush } from '#wire/encode.ts';
import type { CacheHit } from './decision-cache.ts';
import { planText } from './decided-text.ts';
import { recordDenied } from './records.ts';
import type { SentText, SessionState } from './session-state.ts';

export type DecisionOutcome =
  | { readonly kind: 'accepted'; readonly sent: SentText }
  /** Already recorded. */
  | { readonly kind: 'denied'; readonly denial: Denial }
  /** The message has to wait: for a decision made elsewhere, or for the outcome of statements before it. */
  | { readonly kind: 'stalled' };

const STALLED: DecisionOutcome = { kind: 'stalled' };

export interface TextInMessage {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  readonly typeOids: readonly number[];
}

/** Decides the text of a Query or Parse under the policy that holds now, from the cache where possible. */
export function decideMessage(state: SessionState, message: TextInMessage): DecisionOutcome {
  const { ports, front } = state;
  if (front.barrier && state.queue.length > 0) return waitForServer(state);
  front.barrier = false;
  const policy = ports.policy();
  if (isDenial(policy)) return refuseUnread(state, undefined, policy, message);
  if (state.auditDown) return { kind: 'denied', denial: denialFor('audit_unwritable', {}, policy.errors) };
  const { maxStatementBytes } = policy.limits;
  if (message.end - message.start > maxStatementBytes) {
    const denial = denialFor('statement_too_large', { limit: String(maxStatementBytes) }, policy.errors);
    return refuseUnread(state, policy, denial, message);
  }
  const hit = findOrDecide(state, policy, message);
  if (hit === 'pending') return STALLED;
  if (hit === 'invalid') {
    const denial = denialFor('invalid_text', { subject: 'bytes that are not UTF-8' }, policy.errors);
    return refuseUnread(state, policy, denial, message);
  }
  const text = message.buffer.toString('utf8', message.start, message.end);
  const { denial, decision } = hit.decided;
  if (denial === undefined) return { kind: 'accepted', sent: { hit, text } };
  recordDenied(state, policy, { text, denial, statements: decision.statements });
  return { kind: 'denied', denial };
}

export function isDenial(policy: EffectivePolicy | Denial): policy is Denial {
  return 'sqlstate' in policy;
}

/** Replies are outstanding on which the meaning of names depends; a Flush makes the server send them. */
function waitForServer(state: SessionState): DecisionOutcome {
  state.stalled = 'barrier';
  if (state.front.unsynced) state.toServer.push(encodeFlush());
  return STALLED;
}

function refuseUnread(
  state: SessionState,
  policy: EffectivePolicy | undefined,
  denial: Denial,
  message: TextInMessage,
): DecisionOutcome {
  const text = message.buffer.toString('utf8', message.start, Math.min(message.end, message.start + 4096));
  recordDenied(state, policy, { text, denial, statements: [] });
  return { kind: 'denied', denial };
}

function findOrDecide(
  state: SessionState,
  policy: EffectivePolicy,
  message: TextInMessage,
): CacheHit | 'pending' | 'invalid' {
  const { ports } = state;
  const { buffer, start, end, typeOids } = message;
  const { names } = state.front.names;
  let decoded: string | undefined;
  const lookup = {
    policy,
    names,
    buffer,
    start,
    end,
    types: typeOids.length === 0 ? '' : typeOids.join(),
    text: () => (decoded ??= decodeUtf8(buffer, start, end) ?? INVALID),
  };
  const known = ports.cache.find(lookup);
  if (known !== undefined) {
    ports.observer.parseCache(known.result);
    return known;
  }
  const text = lookup.text();
  if (text === INVALID) return 'invalid';
  const { arrived } = state;
  let decision =
    arrived?.text === text && arrived.policy === policy && arrived.names === names ? arrived.decision : undefined;
  state.arrived = undefined;
  if (decision === undefined) {
    const begunMs = ports.nowMs();
    decision = ports.decide({
      text,
      policy,
      session: names,
      parameterTypeOids: typeOids,
      checkToken: ports.checkToken,
    });
    if (decision === undefined) {
      state.stalled = 'decision';
      return 'pending';
    }
    ports.observer.decisionSeconds((ports.nowMs() - begunMs) / 1000);
  }
  ports.observer.parseCache('miss');
  return ports.cache.add(lookup, planText(text, decision, policy));
}

/** Stands for text that is not UTF-8: no text holds a lone surrogate after decoding. */
const INVALID = '\ud800';
