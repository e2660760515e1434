import { Buffer } from 'node:buffer';
import type { StatementAbout } from '#audit/event.ts';
import type { AddedCheck, ResultShape, SessionEffect, TextPiece } from '#sql/analysis.ts';
import type { RelationView } from '#sql/relation-view.ts';
import type { Denial, StatementDecision, TextDecision } from '#policy/decision.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';

/** What the session does with one statement's results: worked out once per decision, not per row. */
export interface StatementPlan {
  readonly decision: StatementDecision;
  readonly command: string;
  /** What its records say; shared by all its executions. */
  readonly about: StatementAbout;
  /** Rows and descriptions pass as they are. */
  readonly passes: boolean;
  readonly shape: ResultShape;
  readonly checks: readonly AddedCheck[];
  /** Errors and notices are cleaned of values. */
  readonly governed: boolean;
  /** Every relation it touches is seen whole: constraint names and templates may pass. */
  readonly whole: boolean;
  /** What the identity sees of the relations it writes: names that its errors may hold. */
  readonly written: readonly RelationView[];
  /** The server reads another text than the agent wrote: internal positions and context never pass. */
  readonly rewritten: boolean;
  /** `namespace/name` for metrics. */
  readonly policy: string;
}

/** One decided text, ready to be forwarded or denied. Shared between sessions and texts of one shape: never changed. */
export interface DecidedText {
  readonly decision: TextDecision;
  readonly policy: EffectivePolicy;
  /** Absent: may be forwarded. */
  readonly denial: Denial | undefined;
  readonly plans: readonly StatementPlan[];
  readonly effects: readonly SessionEffect[];
  /** Some effect changes how later names are resolved: the next decision waits for its outcome. */
  readonly changesNames: boolean;
  readonly mayCopyIn: boolean;
  /** The pieces of the text that is sent; `undefined`: the agent's text as it is. */
  readonly pieces: readonly TextPiece[] | undefined;
  readonly observed: boolean;
}

const PASSING_SHAPE: ResultShape = { strippedColumns: 0, hidesRows: false };
const TRANSACTION_EFFECTS: ReadonlySet<string> = new Set(['begin', 'commit', 'rollback', 'savepoint', 'release']);

/** Works out the plans. In Observe the decision forwards the agent's own text, and its results pass whatever it is. */
export function planText(text: string, decision: TextDecision, policy: EffectivePolicy): DecidedText {
  const observed = policy.mode === 'Observe';
  const effects = decision.statements.flatMap((statement) => statement.accepted?.effects ?? []);
  const forwarded = decision.forwardText;
  const pieces = forwarded === undefined || forwarded === text ? undefined : decision.pieces;
  const rewritten = !observed && pieces !== undefined;
  return {
    decision,
    policy,
    denial: decision.denial ?? (forwarded === undefined ? UNDECIDED : undefined),
    plans: decision.statements.map((statement) => planStatement(statement, policy, rewritten)),
    effects,
    changesNames: effects.some((effect) => !TRANSACTION_EFFECTS.has(effect.kind)),
    mayCopyIn: observed || decision.statements.some((statement) => statement.accepted?.copy === 'in'),
    pieces,
    observed,
  };
}

/** No denial and nothing to send: a fault of the decision; refused. */
const UNDECIDED: Denial = {
  slug: 'rewrite_uncertain',
  sqlstate: '0A000',
  severity: 'ERROR',
  message: 'the statement could not be decided',
};

function planStatement(statement: StatementDecision, policy: EffectivePolicy, rewritten: boolean): StatementPlan {
  const { accepted } = statement;
  const shape = accepted?.shape ?? PASSING_SHAPE;
  const facts = statement.facts;
  const oids = [...facts.readRelationOids, ...facts.writtenRelationOids];
  return {
    decision: statement,
    command: facts.command,
    about: {
      command: facts.command,
      disposition: statement.disposition,
      policies: statement.policies,
      generation: policy.recordedGeneration ?? policy.generation,
      reason: statement.reasons.join('; '),
      relations: facts.relations,
      masked: facts.masked,
      rowFilters: facts.rowFilters,
      rewritten,
    },
    passes: shape.strippedColumns === 0 && !shape.hidesRows && shape.explain === undefined,
    shape,
    checks: accepted?.checks ?? [],
    governed: accepted?.governed ?? false,
    whole: oids.every((oid) => policy.access.views.get(oid)?.isWhole === true),
    written: [...facts.writtenRelationOids].flatMap((oid) => policy.access.views.get(oid) ?? []),
    rewritten: accepted?.rewritten ?? false,
    policy: statement.policies[0] ?? policy.policies[0] ?? '',
  };
}

/** The bytes to be sent for a text, and where they come from: whole constants and ranges of the agent's own bytes. */
export type ForwardSegment = Buffer | { readonly start: number; readonly end: number };

/** The forwarded text as one buffer, for a text whose pieces are given in UTF-16 offsets. */
export function printPieces(text: string, pieces: readonly TextPiece[]): Buffer {
  let printed = '';
  for (const piece of pieces) printed += 'insert' in piece ? piece.insert : text.slice(piece.start, piece.end);
  return Buffer.from(printed, 'utf8');
}
