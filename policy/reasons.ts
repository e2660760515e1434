import type { RefusalSlug } from '#sql/refusal.ts';
import type { Denial } from './decision.ts';

/** Why a statement, a session or a connection is refused, beyond what the analysis of a statement finds. */
export type GateSlug =
  | 'guardrail_denied'
  | 'approval_required'
  | 'row_limit'
  | 'byte_limit'
  | 'row_too_large'
  | 'rate_limit'
  | 'time_limit'
  | 'row_filter_violated'
  | 'foreign_key_violated'
  | 'unique_violated'
  | 'no_policy'
  | 'identity_value_missing'
  | 'token_refused'
  | 'token_expired'
  | 'too_many_connections'
  | 'not_ready'
  | 'policy_outdated'
  | 'audit_unwritable'
  | 'policy_withdrawn'
  | 'draining'
  | 'protocol_violation'
  | 'upstream_lost'
  | 'upstream_unreachable'
  | 'internal_error';

export type ReasonSlug = RefusalSlug | GateSlug;

/** What a template may name. All are texts as the agent may see them. */
export interface ReasonFields {
  /** `namespace/name` of the policies behind it; several are joined. */
  readonly policies?: readonly string[];
  readonly subject?: string;
  readonly action?: string;
  readonly advice?: string;
  /** Relations that may be used instead. */
  readonly granted?: string;
  /** A number with its unit, for limits: `10000`. */
  readonly limit?: string;
  readonly rule?: string;
  readonly approvers?: string;
  /** In place of the entry's own, e.g. 42P01, 34000, 26000 for undefined_object. */
  readonly sqlstate?: string;
  /** Character offset (0-based, in code points). */
  readonly position?: number;
}

export interface Reason {
  readonly sqlstate: string;
  readonly severity: 'ERROR' | 'FATAL';
  readonly disposition: 'Denied' | 'ApprovalRequired';
  /**
   * Lower case, one line, no final period. `{name}` is a field; a part in `[ ]` is left out when one of its fields is absent.
   * `{policiesDo}` reads `policy a/b does` or `policies a/b, a/c do`.
   */
  readonly template: string;
}

function error(sqlstate: string, template: string): Reason {
  return { sqlstate, severity: 'ERROR', disposition: 'Denied', template };
}

function fatal(sqlstate: string, template: string): Reason {
  return { sqlstate, severity: 'FATAL', disposition: 'Denied', template };
}

/**
 * The one table of reasons: slug → SQLSTATE, severity, message (the contract, section 3). Field R of an error is
 * `postern:<slug>`. docs/errors.md is made from it.
 */
export const REASONS: Readonly<Record<ReasonSlug, Reason>> = {
  relation_not_granted: error(
    '42501',
    '{policiesDo} not allow[ {action} on] {subject}[; use one of: {granted}][; {advice}]',
  ),
  relation_conflicted: error('42501', '{policiesDo} not allow reading {subject}[: {advice}]'),
  action_not_granted: error('42501', '{policiesDo} not allow {action} on {subject}[; {advice}]'),
  column_not_readable: error('42501', '{policiesDo} not allow reading column {subject} here[; {advice}]'),
  column_not_writable: error('42501', '{policiesDo} not allow writing column {subject}[; {advice}]'),
  statement_not_allowed: error('42501', '{policiesDo} not allow {subject}[; {advice}]'),
  function_not_allowed: error('42501', '{policiesDo} not allow function {subject}[; {advice}]'),
  operator_not_allowed: error('42501', '{policiesDo} not allow operator {subject}[; {advice}]'),
  type_not_allowed: error('42501', '{policiesDo} not allow type {subject}[; {advice}]'),
  setting_not_allowed: error(
    '42501',
    'setting {subject} cannot be changed or read this way through the gate[; {advice}]',
  ),
  system_column_not_allowed: error('42501', '{policiesDo} not allow system column {subject}[; {advice}]'),
  catalog_not_allowed: error('42501', 'the gate does not show {subject}[; {advice}]'),
  cursor_not_allowed: error('42501', 'cursor {subject} cannot be used[; {advice}]'),
  guardrail_denied: error('42501', 'guardrail {rule} of {policies} denies this statement[: {advice}]'),
  approval_required: {
    sqlstate: '42501',
    severity: 'ERROR',
    disposition: 'ApprovalRequired',
    template:
      'guardrail {rule} of {policies} requires approval by {approvers}, and no approver can be asked here; do not retry[; {advice}]',
  },
  row_filter_violated: error('42501', 'new row violates the row filter for {subject}[; {advice}]'),
  foreign_key_violated: error('23503', 'insert or update on {subject} violates a foreign key constraint'),
  unique_violated: error('23505', 'duplicate key value violates a unique constraint'),
  undefined_object: error('42P01', '{subject}[; {advice}]'),
  syntax_error: error('42601', '{subject}[; {advice}]'),
  invalid_text: error('42601', 'the statement holds what cannot stand in SQL text: {subject}[; {advice}]'),
  not_supported: error('0A000', '{subject} is not supported through the gate[; {advice}]'),
  rewrite_uncertain: error(
    '0A000',
    'this statement cannot be rewritten with certainty[ ({subject})]; write it more simply[; {advice}]',
  ),
  too_complex: error('54000', 'the statement is too complex[ ({subject})]; split it into smaller ones[; {advice}]'),
  statement_too_large: error(
    '54000',
    'the statement is too large[: the limit is {limit} bytes]; send less text, or pass values as parameters',
  ),
  row_limit: error('53400', 'result exceeds {limit} rows; add a LIMIT'),
  byte_limit: error('53400', 'result exceeds {limit} bytes; select fewer columns or add a LIMIT'),
  row_too_large: error(
    '54000',
    'a row of the result has more than {limit} bytes, too many to look into; select fewer columns, or parts of long values with substr()',
  ),
  rate_limit: error('53400', 'more than {limit} statements in a minute; wait before the next one'),
  time_limit: error('57014', 'statement ran longer than {limit} seconds; narrow it with a WHERE clause or a LIMIT'),
  policy_outdated: error('57P03', 'the gate is behind on its policies; try again in some seconds'),
  audit_unwritable: error(
    '58030',
    'the audit record cannot be written, so nothing is forwarded; tell the operator of the gate',
  ),
  no_policy: fatal(
    '28000',
    'no policy grants {subject} access to this database; ask the owner of the database for a DatabaseAccessPolicy',
  ),
  identity_value_missing: fatal(
    '28000',
    'a row filter of {policies} needs identity.{subject}, which this identity does not have',
  ),
  token_refused: fatal('28P01', 'the token given as password is refused[: {advice}]'),
  token_expired: fatal('28P01', 'the token of this session has expired; connect again with a new one'),
  too_many_connections: fatal('53300', 'more than {limit} connections; close one first'),
  not_ready: fatal('57P03', 'the gate is not ready yet[: {advice}]; try again in some seconds'),
  policy_withdrawn: fatal('57P01', 'the policy of this session has been withdrawn'),
  draining: fatal('57P01', 'the gate is shutting down; connect again'),
  protocol_violation: fatal('08P01', 'protocol violation[: {subject}]'),
  upstream_lost: fatal('08006', 'the connection to the database was lost'),
  upstream_unreachable: fatal('08001', 'the database cannot be reached; try again later'),
  internal_error: fatal('XX000', 'internal error of the gate[ ({subject})]'),
};

/** How much an error tells: the strictest of the policies that hold. */
export interface ErrorDetail {
  readonly detail: 'Full' | 'Generic';
  readonly message: string;
}

export const FULL_DETAIL: ErrorDetail = { detail: 'Full', message: '' };

/** Stands in field R under `errors.detail: Generic`, for every reason. */
export const GENERIC_SLUG = 'denied';

const NO_POLICY_NAME = 'the policy';

function policyWords(policies: readonly string[] | undefined): Readonly<Record<string, string>> {
  if (policies === undefined || policies.length === 0)
    return { policiesDo: `${NO_POLICY_NAME} does`, policies: NO_POLICY_NAME };
  const names = policies.join(', ');
  return policies.length === 1
    ? { policiesDo: `policy ${names} does`, policies: `policy ${names}` }
    : { policiesDo: `policies ${names} do`, policies: `policies ${names}` };
}

/** Fills a template; a required field that is absent reads `this`. Never throws. */
export function fillTemplate(template: string, fields: ReasonFields): string {
  const { policies, position: _position, sqlstate: _sqlstate, ...rest } = fields;
  const words: Readonly<Record<string, string | undefined>> = { ...rest, ...policyWords(policies) };
  const optional = template.replaceAll(/\[([^\]]*)\]/g, (_, part: string) =>
    [...part.matchAll(/\{(\w+)\}/g)].every((match) => words[match[1] ?? ''] !== undefined) ? part : '',
  );
  return oneLine(optional.replaceAll(/\{(\w+)\}/g, (_, name: string) => words[name] ?? 'this'));
}

/** Control characters never reach a message. */
function oneLine(message: string): string {
  return message.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();
}

/** The error for a reason, reduced to message and SQLSTATE where the policy asks for errors.detail Generic. */
export function denialFor(slug: ReasonSlug, fields: ReasonFields = {}, errors: ErrorDetail = FULL_DETAIL): Denial {
  const reason = REASONS[slug];
  const sqlstate = fields.sqlstate ?? reason.sqlstate;
  if (errors.detail === 'Generic') {
    const message = oneLine(errors.message);
    return { slug: GENERIC_SLUG, sqlstate, severity: reason.severity, message: message === '' ? 'denied' : message };
  }
  return {
    slug,
    sqlstate,
    severity: reason.severity,
    message: fillTemplate(reason.template, fields),
    ...(fields.position === undefined ? {} : { position: fields.position }),
  };
}

/** What the record says: `slug: message`, always in full. */
export function reasonText(slug: ReasonSlug, fields: ReasonFields): string {
  return `${slug}: ${fillTemplate(REASONS[slug].template, fields)}`;
}
