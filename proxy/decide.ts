import type { TextDecision } from '#policy/decision.ts';
import { decideText } from '#policy/decide.ts';
import type { DecisionInput } from '#policy/effective-policy.ts';

/** Decides on the event loop. */
export function decideInProcess(input: DecisionInput): TextDecision {
  return decideText(input);
}
