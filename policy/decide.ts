import { analyzeText } from '#sql/analyze.ts';
import type { TextDecision } from './decision.ts';
import type { DecisionInput } from './effective-policy.ts';
import { judgeAnalysis, refuseText } from './judge-analysis.ts';

/**
 * Decides one text (a simple Query, or a Parse) under one identity's effective policy. Pure: equal inputs give equal
 * answers. Denials are values.
 */
export function decideText(input: DecisionInput): TextDecision {
  const { text, policy, session, parameterTypeOids, checkToken } = input;
  const { maxStatementBytes } = policy.limits;
  // A UTF-16 unit takes at least one byte: most texts need no count.
  if (text.length * 3 > maxStatementBytes && Buffer.byteLength(text) > maxStatementBytes) {
    return refuseText('statement_too_large', { limit: String(maxStatementBytes) }, policy);
  }
  const { catalog, access } = policy;
  const analysis = analyzeText({
    text,
    catalog,
    access,
    session,
    parameterTypeOids,
    checkToken,
    generation: input.policy.generation,
  });
  return judgeAnalysis(text, analysis, policy);
}
