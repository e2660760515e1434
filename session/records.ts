import type { AuditEvent } from '#audit/event.ts';
import type { Denial, StatementDecision } from '#policy/decision.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import type { Run, SentText, SessionState } from './session-state.ts';

/** Longest text of a statement that was refused before it was read. */
const MAX_UNREAD_TEXT = 1024;

/** Writes down that these statements may go, one decision record each, and gives the runs whose completion is owed. */
export function recordAllowed(
  state: SessionState,
  sent: SentText,
  parameters?: readonly (string | null)[],
): readonly Run[] {
  const { plans, policy, observed, decision } = sent.hit.decided;
  const runs: Run[] = [];
  for (const plan of plans) {
    const uid = state.ports.newUid();
    state.events.push({
      phase: 'decision',
      timeMs: state.ports.timeMs(),
      session: state.ports.context,
      statementUid: uid,
      command: plan.command,
      disposition: plan.decision.disposition,
      policies: plan.decision.policies,
      generation: policy.generation,
      queryString: plans.length === 1 ? sent.text : statementText(sent, plan.decision),
      sqlstate: '00000',
      reason: plan.reasonText,
      relations: plan.decision.facts.relations,
      masked: plan.decision.facts.masked,
      rowFilters: plan.decision.facts.rowFilters,
      rewritten: !observed && sent.hit.decided.pieces !== undefined,
      ...(parameters === undefined ? {} : { parameters }),
    });
    countDecision(state, plan.decision, plan.policy);
    runs.push({ uid, plan, policy });
  }
  if (decision.statements.length === 0 && observed && sent.text.trim() !== '') {
    recordDenied(state, policy, { text: sent.text, denial: undefined, statements: [] });
  }
  return runs;
}

/** The part of a longer text that is this statement; the whole text where the ranges do not fit (literals of another length). */
function statementText(sent: SentText, decision: StatementDecision): string {
  const { accepted } = decision;
  if (accepted === undefined || sent.hit.result === 'shape') return sent.text;
  return sent.text.slice(accepted.start, accepted.end);
}

/** Writes down a refusal: one record a statement, or one for a text that could not be read. */
export function recordDenied(
  state: SessionState,
  policy: EffectivePolicy | undefined,
  refused: {
    readonly text: string;
    readonly denial: Denial | undefined;
    readonly statements: readonly StatementDecision[];
  },
): void {
  const { text, denial, statements } = refused;
  const base = {
    phase: 'decision' as const,
    timeMs: state.ports.timeMs(),
    session: state.ports.context,
    generation: policy?.generation ?? 0,
    sqlstate: denial?.sqlstate ?? '00000',
    rewritten: false,
  };
  const deciding = statements.filter((statement) => statement.denial !== undefined);
  for (const statement of deciding) {
    state.events.push({
      ...base,
      statementUid: state.ports.newUid(),
      command: statement.facts.command,
      disposition: statement.disposition,
      policies: statement.policies,
      queryString: text,
      reason: statement.reasons.join('; '),
      relations: statement.facts.relations,
      masked: [],
      rowFilters: [],
    });
    countDecision(state, statement, statement.policies[0] ?? '');
  }
  if (deciding.length > 0) return;
  state.events.push({
    ...base,
    statementUid: state.ports.newUid(),
    command: '',
    disposition: denial === undefined ? 'Allowed' : 'Denied',
    policies: policy?.policies ?? [],
    queryString: text.slice(0, MAX_UNREAD_TEXT),
    reason: denial?.slug ?? 'observe',
    relations: [],
    masked: [],
    rowFilters: [],
  });
  state.ports.observer.statement(denial === undefined ? 'allowed' : 'denied', '', policy?.policies[0] ?? '');
}

function countDecision(state: SessionState, decision: StatementDecision, policy: string): void {
  const { observer } = state.ports;
  observer.statement(DECISION_LABELS[decision.disposition], decision.facts.command, policy);
  if (decision.facts.masked.length > 0) observer.maskedColumns(decision.facts.masked.length);
}

const DECISION_LABELS: Readonly<Record<StatementDecision['disposition'], string>> = {
  Allowed: 'allowed',
  Masked: 'masked',
  Denied: 'denied',
  ApprovalRequired: 'approval_required',
};

/** How a run ended. */
export interface Completion {
  readonly sqlstate: string;
  readonly rows: number;
  readonly bytes: number;
  readonly durationMs: number;
}

/** Owes no more: the completion record of one run. */
export function recordCompletion(state: SessionState, run: Run, completion: Completion): void {
  const { ports } = state;
  const event: AuditEvent = {
    phase: 'completion',
    timeMs: ports.timeMs(),
    session: ports.context,
    statementUid: run.uid,
    command: run.plan.command,
    disposition: run.plan.decision.disposition,
    policies: run.plan.decision.policies,
    generation: run.policy.generation,
    ...completion,
  };
  ports.addCompletion(event);
  ports.observer.upstreamSeconds(completion.durationMs / 1000);
  if (completion.rows > 0) ports.observer.rows(completion.rows);
  if (completion.bytes > 0) ports.observer.bytes(completion.bytes);
}
