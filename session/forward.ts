import { Buffer } from 'node:buffer';
import type { SessionEffect } from '#sql/analysis.ts';
import type { Denial } from '#policy/decision.ts';
import { denialFor } from '#policy/reasons.ts';
import type { Framer } from '#wire/framer.ts';
import { applyEffect } from './session-names.ts';
import type { SentText, SessionState, Undo } from './session-state.ts';

/** A client message, as a range of a buffer (see Framer). */
export type FrameView = Pick<Framer, 'tag' | 'buffer' | 'start' | 'end' | 'remaining' | 'isContinuation'>;

/** The agent's message with its text replaced; as it is where nothing changes. */
export function forwardText(
  state: SessionState,
  frame: FrameView,
  sent: SentText,
  range: { readonly start: number; readonly end: number },
): void {
  const { buffer, start, end } = frame;
  const { forward } = sent.hit;
  if (forward === undefined) {
    state.toServer.pass(buffer, start, end);
    return;
  }
  const total = end - start - (range.end - range.start) + forward.length;
  const message = Buffer.allocUnsafe(total);
  let position = buffer.copy(message, 0, start, range.start);
  position += forward.copy(message, position);
  buffer.copy(message, position, range.end, end);
  message.writeInt32BE(total - 1, 1);
  state.toServer.push(message);
}

/** Takes one from the statements per minute, where the policy limits them. */
export function withinRate(state: SessionState, sent: SentText): boolean {
  const { observed, policy } = sent.hit.decided;
  const perMinute = policy.limits.statementsPerMinute;
  return observed || perMinute === undefined || state.ports.takeStatement(perMinute);
}

export function rateDenial(sent: SentText): Denial {
  const { policy } = sent.hit.decided;
  return denialFor('rate_limit', { limit: String(policy.limits.statementsPerMinute) }, policy.errors);
}

/** Takes effects as done; what fails is put back when the server says so, the tables by the undo given back. */
export function applyEffects(state: SessionState, sent: SentText): Undo | undefined {
  const { effects, policy, changesNames } = sent.hit.decided;
  if (effects.length === 0) return undefined;
  const { front } = state;
  let undo: Undo | undefined;
  for (const effect of effects) {
    const { names, atBegin } = front.names;
    if (effect.kind !== 'begin' && atBegin !== undefined && atBegin !== names) front.barrier = true;
    front.names = applyEffect(front.names, effect, policy.generation);
    if (!FORGETTING.has(effect.kind)) continue;
    undo ??= { kind: 'tables', statements: new Map(state.statements), portals: new Map(state.portals) };
    forget(state, effect);
  }
  if (changesNames) front.barrier = true;
  return undo;
}

const FORGETTING: ReadonlySet<string> = new Set(['deallocate', 'discardAll', 'closeCursor']);

/** Statements and portals of the extended protocol share their names with those of SQL. */
function forget(state: SessionState, effect: SessionEffect): void {
  if (effect.kind === 'deallocate' && effect.name !== undefined) state.statements.delete(effect.name);
  else if (effect.kind === 'closeCursor' && effect.name !== undefined) state.portals.delete(effect.name);
  else if (effect.kind === 'closeCursor') state.portals.clear();
  else {
    state.statements.clear();
    if (effect.kind === 'discardAll') state.portals.clear();
  }
}
