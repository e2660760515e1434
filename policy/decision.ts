import type { AcceptedStatement, TextPiece } from '#sql/analysis.ts';
import type { Facts } from '#sql/facts.ts';

export type Disposition = 'Allowed' | 'Masked' | 'Denied' | 'ApprovalRequired';

/** An error as the agent gets it: fields S, C, M, H, P, R of ErrorResponse. */
export interface Denial {
  /** Stable reason: field R is `postern:<slug>`. */
  readonly slug: string;
  readonly sqlstate: string;
  readonly severity: 'ERROR' | 'FATAL';
  /** Says what to do next; already reduced where the policy asks for errors.detail Generic. */
  readonly message: string;
  readonly hint?: string;
  /** Character offset (0-based, in code points) in the agent's text. */
  readonly position?: number;
}

/** The answer for one statement of a text. */
export interface StatementDecision {
  readonly disposition: Disposition;
  /** Present for every statement that may be forwarded. */
  readonly accepted?: AcceptedStatement;
  /** Present exactly when it may not be. */
  readonly denial?: Denial;
  readonly facts: Facts;
  /** All reasons, most important first; stands in the record's `unmapped.reason` joined by `; `. */
  readonly reasons: readonly string[];
  /** `namespace/name` of the determining policies. */
  readonly policies: readonly string[];
}

/** The answer for a whole text: one denied statement denies it all. */
export interface TextDecision {
  readonly statements: readonly StatementDecision[];
  /** The first denial, if any statement is denied. */
  readonly denial: Denial | undefined;
  /** What the server gets; undefined when denied. */
  readonly forwardText: string | undefined;
  readonly pieces: readonly TextPiece[] | undefined;
  /** UTF-16 start offsets of literals that the answer depends on; `undefined`: on every byte (guardrails look at the text). */
  readonly sensitiveLiterals: ReadonlySet<number> | undefined;
}
