import type { StatementAbout } from '#audit/event.ts';
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
  const { ports } = state;
  const runs: Run[] = [];
  for (const plan of plans) {
    const uid = ports.newUid();
    state.events.push({
      phase: 'decision',
      timeMs: ports.timeMs(),
      session: ports.context,
      statementUid: uid,
      about: plan.about,
      queryString: plans.length === 1 ? sent.text : statementText(sent, plan.decision),
      sqlstate: '00000',
      parameters,
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
  const generation = policy?.recordedGeneration ?? policy?.generation ?? 0;
  const record = (queryString: string, about: Omit<StatementAbout, 'generation' | 'rewritten'>): void => {
    state.events.push({
      phase: 'decision',
      timeMs: state.ports.timeMs(),
      session: state.ports.context,
      statementUid: state.ports.newUid(),
      about: { ...about, generation, rewritten: false },
      queryString,
      sqlstate: denial?.sqlstate ?? '00000',
      parameters: undefined,
    });
  };
  const deciding = statements.filter((statement) => statement.denial !== undefined);
  for (const statement of deciding) {
    record(text, {
      command: statement.facts.command,
      disposition: statement.disposition,
      policies: statement.policies,
      reason: statement.reasons.join('; '),
      relations: statement.facts.relations,
      masked: [],
      rowFilters: [],
    });
    countDecision(state, statement, statement.policies[0] ?? '');
  }
  if (deciding.length > 0) return;
  record(text.slice(0, MAX_UNREAD_TEXT), {
    command: '',
    disposition: denial === undefined ? 'Allowed' : 'Denied',
    policies: policy?.policies ?? [],
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
  const { sqlstate, rows, bytes, durationMs } = completion;
  ports.addCompletion({
    phase: 'completion',
    timeMs: ports.timeMs(),
    session: ports.context,
    statementUid: run.uid,
    about: run.plan.about,
    sqlstate,
    rows,
    bytes,
    durationMs,
  });
  ports.observer.upstreamSeconds(durationMs / 1000);
  if (rows > 0) ports.observer.rows(rows);
  if (bytes > 0) ports.observer.bytes(bytes);
}
