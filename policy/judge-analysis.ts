import type { AcceptedStatement, SessionEffect, StatementAnalysis, TextAnalysis } from '#sql/analysis.ts';
import type { Facts } from '#sql/facts.ts';
import { displayQualified } from '#sql/identifiers.ts';
import type { Refusal, RefusalSlug } from '#sql/refusal.ts';
import type { TableAction } from '#sql/relation-view.ts';
import { printPieces } from '#sql/splice.ts';
import type { Denial, StatementDecision, TextDecision } from './decision.ts';
import type { EffectivePolicy } from './effective-policy.ts';
import { judge, type Verdict } from './guardrails.ts';
import { denialFor, type ReasonFields, type ReasonSlug, REASONS, reasonText } from './reasons.ts';

/** How many relations a refusal names at most. */
const MAX_NAMED_RELATIONS = 20;

/** What is refused even in Observe: the protocol's rules, the pinned settings, the size limit. */
const HELD_IN_OBSERVE: ReadonlySet<RefusalSlug> = new Set<RefusalSlug>([
  'invalid_text',
  'statement_too_large',
  'setting_not_allowed',
]);

const NO_FACTS: Facts = {
  command: 'UNKNOWN',
  hasWhere: false,
  relations: [],
  columns: [],
  functions: [],
  nested: [],
  masked: [],
  rowFilters: [],
  readRelationOids: [],
  writtenRelationOids: [],
};

/**
 * Analysis + policy → decision: statements.deny, guardrails and approval on top of what the analysis refused, then Observe.
 * One denied statement denies the whole text.
 */
export function judgeAnalysis(text: string, analysis: TextAnalysis, policy: EffectivePolicy): TextDecision {
  const statements = analysis.statements.map((statement) => judgeStatement(text, statement, policy));
  if (policy.mode === 'Observe') return observe(text, analysis, statements);
  const denial = statements.find((statement) => statement.denial !== undefined)?.denial;
  if (denial !== undefined) return denied(statements, denial, analysis.sensitiveLiterals);
  if (analysis.pieces === undefined) {
    // INVARIANT: the analysis leaves the text out exactly where it refuses a statement.
    return denied(statements, denialFor('internal_error', { subject: 'no text' }), undefined);
  }
  return {
    statements,
    denial: undefined,
    forwardText: printPieces(analysis.pieces, text),
    pieces: analysis.pieces,
    sensitiveLiterals: analysis.sensitiveLiterals,
  };
}

/** The decision for a text that is not even analysed, e.g. one past maxStatementBytes. Holds in Observe too. */
export function refuseText(slug: ReasonSlug, fields: ReasonFields, policy: EffectivePolicy): TextDecision {
  const denial = denialFor(slug, fields, policy.errors);
  const statement: StatementDecision = {
    disposition: REASONS[slug].disposition,
    denial,
    facts: NO_FACTS,
    reasons: [reasonText(slug, fields)],
    policies: policy.policies,
  };
  return { statements: [statement], denial, forwardText: undefined, pieces: undefined, sensitiveLiterals: undefined };
}

function denied(
  statements: readonly StatementDecision[],
  denial: Denial,
  sensitiveLiterals: ReadonlySet<number> | undefined,
): TextDecision {
  return {
    statements: statements.map((statement) =>
      statement.denial === undefined ? deniedBeside(statement, denial) : statement,
    ),
    denial,
    forwardText: undefined,
    pieces: undefined,
    sensitiveLiterals,
  };
}

/** A statement that would pass, in a text that does not. */
function deniedBeside(statement: StatementDecision, denial: Denial): StatementDecision {
  const { accepted: _accepted, ...rest } = statement;
  return {
    ...rest,
    disposition: 'Denied',
    denial,
    reasons: ['denied with another statement of the same text', ...statement.reasons],
  };
}

function judgeStatement(text: string, statement: StatementAnalysis, policy: EffectivePolicy): StatementDecision {
  if (statement.kind === 'refused') return refusedStatement(text, statement, policy);
  const { facts } = statement;
  const forbidden = [facts, ...facts.nested].find((each) => policy.access.deniedCommands.has(each.command));
  if (forbidden !== undefined) {
    return refusal(
      policy,
      facts,
      'statement_not_allowed',
      { policies: policy.policies, subject: forbidden.command },
      policy.policies,
    );
  }
  const verdicts = judge(policy, [facts, ...facts.nested]);
  const [decisive] = verdicts;
  if (decisive !== undefined) return guardedStatement(policy, facts, decisive, verdicts);
  return {
    disposition: facts.masked.length > 0 ? 'Masked' : 'Allowed',
    accepted: statement,
    facts,
    reasons: [],
    policies: determiningPolicies(facts, policy),
  };
}

function refusedStatement(
  text: string,
  statement: Refusal & { readonly facts?: Facts },
  policy: EffectivePolicy,
): StatementDecision {
  const position = positionOf(text, statement);
  const policies = policiesBehind(statement, policy);
  const fields: ReasonFields = {
    policies,
    ...(statement.subject === undefined ? {} : { subject: statement.subject }),
    ...(statement.action === undefined ? {} : { action: statement.action }),
    ...(statement.advice === undefined ? {} : { advice: statement.advice }),
    ...(statement.sqlstate === undefined ? {} : { sqlstate: statement.sqlstate }),
    ...(position === undefined ? {} : { position }),
    ...(statement.slug === 'relation_not_granted' ? grantedField(policy, statement.action) : {}),
    ...(statement.slug === 'statement_too_large' ? { limit: String(policy.limits.maxStatementBytes) } : {}),
  };
  return refusal(policy, statement.facts ?? NO_FACTS, statement.slug, fields, policies);
}

function refusal(
  policy: EffectivePolicy,
  facts: Facts,
  slug: ReasonSlug,
  fields: ReasonFields,
  policies: readonly string[],
): StatementDecision {
  return {
    disposition: REASONS[slug].disposition,
    denial: denialFor(slug, fields, policy.errors),
    facts,
    reasons: [reasonText(slug, fields)],
    policies,
  };
}

function guardedStatement(
  policy: EffectivePolicy,
  facts: Facts,
  decisive: Verdict,
  verdicts: readonly Verdict[],
): StatementDecision {
  const [slug, fields] = verdictReason(decisive, policy);
  return {
    disposition: REASONS[slug].disposition,
    denial: denialFor(slug, fields, policy.errors),
    facts,
    reasons: verdicts.map((verdict) => reasonText(...verdictReason(verdict, policy))),
    policies: [...new Set(verdicts.map((verdict) => verdict.guardrail.policy))],
  };
}

function verdictReason(verdict: Verdict, policy: EffectivePolicy): readonly [ReasonSlug, ReasonFields] {
  const { guardrail } = verdict;
  const advice = verdict.failed ? 'its expression failed on this statement' : guardrail.message;
  const fields: ReasonFields = {
    policies: [guardrail.policy],
    rule: guardrail.name,
    ...(advice === undefined ? {} : { advice }),
  };
  if (verdict.action === 'Deny') return ['guardrail_denied', fields];
  const approvers =
    policy.approvers.length > 0 ? policy.approvers.join(', ') : 'an approver, though the policy names none';
  return ['approval_required', { ...fields, approvers }];
}

/** Policies of the relations it touches; all of them where it touches none. */
function determiningPolicies(facts: Facts, policy: EffectivePolicy): readonly string[] {
  const oids = [...facts.readRelationOids, ...facts.writtenRelationOids];
  const names = new Set(oids.flatMap((oid) => policy.access.views.get(oid)?.policies ?? []));
  return names.size > 0 ? [...names].toSorted() : policy.policies;
}

/** Those that grant the relation a refusal is about; all where it names none of theirs. */
function policiesBehind(statement: Refusal, policy: EffectivePolicy): readonly string[] {
  const view = [...policy.access.views.values()].find(
    (each) => displayQualified(each.schema, each.name) === statement.subject,
  );
  return view?.policies ?? policy.policies;
}

const ACTIONS: Readonly<Record<string, TableAction>> = {
  SELECT: 'Select',
  INSERT: 'Insert',
  UPDATE: 'Update',
  DELETE: 'Delete',
};

function grantedField(policy: EffectivePolicy, action: string | undefined): ReasonFields {
  const wanted = action === undefined ? undefined : ACTIONS[action];
  const names = [...policy.access.views.values()]
    .filter((view) => view.conflict === undefined && (wanted === undefined || view.actions.has(wanted)))
    .map((view) => displayQualified(view.schema, view.name))
    .toSorted();
  if (names.length === 0) return {};
  const shown = names.slice(0, MAX_NAMED_RELATIONS).join(', ');
  const more = names.length - MAX_NAMED_RELATIONS;
  return { granted: more > 0 ? `${shown} and ${more} more` : shown };
}

/** Character offset (0-based, code points) in the agent's text. */
function positionOf(text: string, statement: Refusal): number | undefined {
  if (statement.character !== undefined) return statement.character;
  if (statement.location === undefined) return undefined;
  const before = Buffer.from(text).subarray(0, statement.location).toString();
  return Array.from(before).length;
}

// --- Observe ---

/** Forwards the agent's own text whatever Enforce would have decided, and keeps that decision for the record. */
function observe(text: string, analysis: TextAnalysis, statements: readonly StatementDecision[]): TextDecision {
  const held = analysis.statements.findIndex(
    (statement) => statement.kind === 'refused' && HELD_IN_OBSERVE.has(statement.slug),
  );
  const denial = statements[held]?.denial;
  if (denial !== undefined)
    return denied(
      statements.map((statement, index) => (index === held ? statement : observed(text, statement))),
      denial,
      undefined,
    );
  return {
    statements: statements.map((statement) => observed(text, statement)),
    denial: undefined,
    forwardText: text,
    pieces: [{ start: 0, end: text.length }],
    sensitiveLiterals: undefined,
  };
}

function observed(text: string, statement: StatementDecision): StatementDecision {
  const { denial, accepted, ...rest } = statement;
  const reasons = denial === undefined ? rest.reasons : rest.reasons.map((reason) => `observed only: ${reason}`);
  return { ...rest, reasons, accepted: unchanged(text, accepted, rest.facts) };
}

function unchanged(text: string, accepted: AcceptedStatement | undefined, facts: Facts): AcceptedStatement {
  const start = accepted?.start ?? 0;
  const end = accepted?.end ?? text.length;
  return {
    kind: 'accepted',
    facts,
    start,
    end,
    pieces: [{ start, end }],
    rewritten: false,
    effects: (accepted?.effects ?? []).map(unchangedEffect),
    checks: [],
    shape: { strippedColumns: 0, hidesRows: false },
    governed: false,
    ...(accepted?.copy === undefined ? {} : { copy: accepted.copy }),
  };
}

function unchangedEffect(effect: SessionEffect): SessionEffect {
  return effect.kind === 'prepare' ? { ...effect, rewritten: effect.text } : effect;
}
