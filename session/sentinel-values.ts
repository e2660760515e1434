import type { SentinelParameter } from '#sql/analysis.ts';
import { SENTINEL_ADVICE } from '#sql/write-columns.ts';
import type { Denial } from '#policy/decision.ts';
import { denialFor } from '#policy/reasons.ts';
import type { BindMessage } from '#wire/decode.ts';
import { denyExtended } from './denials.ts';
import { recordDenied } from './records.ts';
import type { SentText, SessionState } from './session-state.ts';

/**
 * The denial of a Bind that writes back what stood in the place of a masked value (`[redacted]`, a mask's constant); `undefined`: it does not.
 * Texts are compared as bytes: in binary that finds them in columns of the text types, where alone a mask shows a word.
 */
export function sentinelDenial(sent: SentText, bind: BindMessage): Denial | undefined {
  const { decided } = sent.hit;
  if (decided.observed) return undefined;
  const sentinels = decided.decision.statements.flatMap((statement) => statement.accepted?.sentinels ?? []);
  const written = sentinels.find((sentinel) => isWrittenBack(sentinel, bind));
  if (written === undefined) return undefined;
  const { policies, errors } = decided.policy;
  return denialFor('column_not_writable', { policies, subject: written.column, advice: SENTINEL_ADVICE }, errors);
}

function isWrittenBack({ parameter, texts }: SentinelParameter, bind: BindMessage): boolean {
  const value = bind.parameters[parameter - 1];
  return value !== undefined && texts.some((text) => value.equals(new TextEncoder().encode(text)));
}

/** Answers in the place of the Bind, and records that it was refused. */
export function denyBind(state: SessionState, sent: SentText, denial: Denial): void {
  const { decision, policy } = sent.hit.decided;
  const statements = decision.statements.map((statement) => ({
    ...statement,
    disposition: 'Denied' as const,
    denial,
    reasons: [denial.slug],
  }));
  recordDenied(state, policy, { text: sent.text, denial, statements });
  denyExtended(state, denial);
}
