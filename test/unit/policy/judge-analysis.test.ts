import { beforeAll, describe, expect, test } from 'vitest';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import { judgeAnalysis, refuseText } from '#policy/judge-analysis.ts';
import type { AcceptedStatement, StatementAnalysis, TextAnalysis } from '#sql/analysis.ts';
import type { Facts, StatementFacts } from '#sql/facts.ts';
import { loadParser } from '#sql/parser.ts';
import { sampleCatalog } from '#test/sample-catalog.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';

const CATALOG = sampleCatalog([
  { name: 'public.customers', columns: { id: 'int4', email: 'text' } },
  { name: 'public.orders', columns: { id: 'int4' } },
]);
const CUSTOMERS = 20_000;

function policyOf(spec: Readonly<Record<string, unknown>>): EffectivePolicy {
  const tables = [{ name: 'public.customers' }, { name: 'public.orders', actions: ['Select', 'Delete'] }];
  const policies = [samplePolicy({ tables, ...spec })];
  const result = effectivePolicy({
    connection: sampleConnection(),
    policies,
    identity: BOT,
    catalog: CATALOG,
    generation: 7,
  });
  if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
  return result.policy;
}

const guardrails = (...rules: readonly Readonly<Record<string, unknown>>[]): EffectivePolicy =>
  policyOf({
    guardrails: rules.map((rule, index) => ({ name: `rule-${index}`, action: 'Deny', ...rule })),
    approval: { approvers: [{ group: 'dba' }] },
  });

function facts(fields: Partial<Facts> = {}): Facts {
  return {
    command: 'SELECT',
    hasWhere: false,
    relations: ['public.customers'],
    columns: [],
    functions: [],
    nested: [],
    masked: [],
    rowFilters: [],
    readRelationOids: [CUSTOMERS],
    writtenRelationOids: [],
    ...fields,
  };
}

function accepted(text: string, fields: Partial<AcceptedStatement> = {}): AcceptedStatement {
  return {
    kind: 'accepted',
    facts: facts(),
    start: 0,
    end: text.length,
    pieces: [{ insert: 'REWRITTEN' }],
    rewritten: true,
    effects: [],
    checks: [{ token: 't', sqlstate: '42501', slug: 's', message: 'm' }],
    shape: { strippedColumns: 1, hidesRows: false },
    governed: true,
    ...fields,
  };
}

function analysis(...statements: readonly StatementAnalysis[]): TextAnalysis {
  const pieces = statements.flatMap((statement) => (statement.kind === 'accepted' ? statement.pieces : []));
  const complete = statements.every((statement) => statement.kind === 'accepted');
  return { statements, pieces: complete ? pieces : undefined, sensitiveLiterals: new Set([3]) };
}

const nested = (command: string, fields: Partial<StatementFacts> = {}): StatementFacts => ({
  command,
  hasWhere: false,
  relations: [],
  columns: [],
  functions: [],
  ...fields,
});

beforeAll(async () => {
  await loadParser();
  await loadGuardrails([samplePolicy({ guardrails: [{ name: 'x', when: 'true', action: 'Deny' }] })]);
});

describe('a text that the analysis accepts', () => {
  test('goes out rewritten', () => {
    const decision = judgeAnalysis('SELECT 1', analysis(accepted('SELECT 1')), policyOf({}));
    expect(decision).toMatchObject({ denial: undefined, forwardText: 'REWRITTEN', sensitiveLiterals: new Set([3]) });
    expect(decision.statements[0]).toMatchObject({ disposition: 'Allowed', reasons: [], policies: ['data/support'] });
  });

  test('is Masked when a masked column stood in', () => {
    const masked = accepted('x', { facts: facts({ masked: ['public.customers.email'] }) });
    expect(judgeAnalysis('x', analysis(masked), policyOf({})).statements[0]?.disposition).toBe('Masked');
  });

  test.each([
    ['the statement itself', facts({ command: 'TRUNCATE TABLE' })],
    ['one nested in it', facts({ command: 'EXPLAIN', nested: [nested('EXPLAIN'), nested('TRUNCATE TABLE')] })],
  ])('is denied by statements.deny for %s', (_, found) => {
    const decision = judgeAnalysis(
      'x',
      analysis(accepted('x', { facts: found })),
      policyOf({ statements: { deny: ['TRUNCATE TABLE'] } }),
    );
    expect(decision.denial).toEqual({
      slug: 'statement_not_allowed',
      sqlstate: '42501',
      severity: 'ERROR',
      message: 'policy data/support does not allow TRUNCATE TABLE',
    });
    expect(decision.forwardText).toBeUndefined();
    expect(decision.pieces).toBeUndefined();
  });
});

describe('guardrails', () => {
  const blind = {
    when: "statement.command in ['UPDATE','DELETE'] && !statement.hasWhere",
    message: 'add a WHERE clause',
  };

  test.each<readonly [string, Facts, string | undefined]>([
    [
      'a DELETE without WHERE is denied',
      facts({ command: 'DELETE' }),
      'guardrail rule-0 of policy data/support denies this statement: add a WHERE clause',
    ],
    ['a DELETE with WHERE passes', facts({ command: 'DELETE', hasWhere: true }), undefined],
    [
      'a DELETE in a CTE counts',
      facts({ nested: [nested('SELECT'), nested('DELETE')] }),
      'guardrail rule-0 of policy data/support denies this statement: add a WHERE clause',
    ],
  ])('%s', (_, found, message) => {
    const decision = judgeAnalysis('x', analysis(accepted('x', { facts: found })), guardrails(blind));
    expect(decision.denial?.message).toBe(message);
  });

  test('an approval is its own outcome, says who could approve, and is refused', () => {
    const decision = judgeAnalysis(
      'x',
      analysis(accepted('x')),
      guardrails({ when: "statement.command == 'SELECT'", action: 'RequireApproval' }),
    );
    expect(decision.statements[0]?.disposition).toBe('ApprovalRequired');
    expect(decision.statements[0]?.accepted).toBeUndefined();
    expect(decision.denial).toEqual({
      slug: 'approval_required',
      sqlstate: '42501',
      severity: 'ERROR',
      message:
        'guardrail rule-0 of policy data/support requires approval by group dba, and no approver can be asked here; do not retry',
    });
  });

  test('all are evaluated, a denial wins, and every reason is kept', () => {
    const policy = guardrails(
      { when: 'true', action: 'RequireApproval' },
      { when: 'true', message: 'no' },
      { when: 'false' },
    );
    const [statement] = judgeAnalysis('x', analysis(accepted('x')), policy).statements;
    expect(statement?.disposition).toBe('Denied');
    expect(statement?.reasons).toEqual([
      'guardrail_denied: guardrail rule-1 of policy data/support denies this statement: no',
      'approval_required: guardrail rule-0 of policy data/support requires approval by group dba, and no approver can be asked here; do not retry',
    ]);
  });

  test.each([
    ['an absent claim', "identity.claims.country == 'de'"],
    ['a value that is no boolean', 'identity.claims.department'],
    ['an index out of range', "statement.columns[5] == 'x'"],
  ])('%s denies, even under RequireApproval', (_, when) => {
    const decision = judgeAnalysis('x', analysis(accepted('x')), guardrails({ when, action: 'RequireApproval' }));
    expect(decision.statements[0]?.disposition).toBe('Denied');
    expect(decision.denial?.message).toBe(
      'guardrail rule-0 of policy data/support denies this statement: its expression failed on this statement',
    );
  });

  test.each([
    [
      "identity.namespace == 'agents' && identity.serviceAccount == 'support-bot' && 'support' in identity.groups",
      true,
    ],
    ["identity.claims.level == 3 && identity.claims.department == 'care'", true],
    ["connection.namespace == 'data' && connection.name == 'shop' && connection.database == 'shop'", true],
    [
      "statement.relations.exists(r, r.startsWith('public.')) && statement.columns.all(c, c != 'x') && size(statement.functions) == 0",
      true,
    ],
    ["'dba' in identity.groups", false],
  ])('%s sees what it should', (when, objects) => {
    expect(judgeAnalysis('x', analysis(accepted('x')), guardrails({ when })).denial !== undefined).toBe(objects);
  });
});

describe('a text that the analysis refuses', () => {
  const text = 'SELECT é; DELETE FROM payroll';
  const refused: StatementAnalysis = {
    kind: 'refused',
    slug: 'relation_not_granted',
    subject: 'public.payroll',
    action: 'DELETE',
    location: 23,
  };

  test('names the policy, the relation, what may be used, and the place in characters', () => {
    const decision = judgeAnalysis(text, analysis(accepted(text), refused), policyOf({}));
    expect(decision.denial).toEqual({
      slug: 'relation_not_granted',
      sqlstate: '42501',
      severity: 'ERROR',
      position: 22,
      message: 'policy data/support does not allow DELETE on public.payroll; use one of: public.orders',
    });
    expect(Array.from(text).slice(22).join('')).toBe('payroll');
  });

  test('takes the statements beside it along', () => {
    const decision = judgeAnalysis(text, analysis(accepted(text), refused), policyOf({}));
    expect(
      decision.statements.map((statement) => [statement.disposition, statement.accepted, statement.denial?.slug]),
    ).toEqual([
      ['Denied', undefined, 'relation_not_granted'],
      ['Denied', undefined, 'relation_not_granted'],
    ]);
    expect(decision.statements[0]?.reasons).toEqual(['denied with another statement of the same text']);
  });

  test('says nothing of the policy where errors are Generic, and all of it in the record', () => {
    const decision = judgeAnalysis(
      text,
      analysis(refused),
      policyOf({ errors: { detail: 'Generic', message: 'ask the data team' } }),
    );
    expect(decision.denial).toEqual({
      slug: 'denied',
      sqlstate: '42501',
      severity: 'ERROR',
      message: 'ask the data team',
    });
    expect(decision.statements[0]?.reasons).toEqual([
      'relation_not_granted: policy data/support does not allow DELETE on public.payroll; use one of: public.orders',
    ]);
  });
});

describe('Observe', () => {
  const policy = (): EffectivePolicy =>
    policyOf({ mode: 'Observe', guardrails: [{ name: 'all', when: "statement.command == 'DELETE'", action: 'Deny' }] });

  test('forwards the text unchanged and keeps what Enforce would have decided', () => {
    const text = 'DELETE FROM orders';
    const effects = [{ kind: 'prepare', name: 'p', text: 'a', rewritten: 'b' }] as const;
    const decision = judgeAnalysis(
      text,
      analysis(accepted(text, { facts: facts({ command: 'DELETE' }) }), accepted(text, { effects })),
      policy(),
    );
    expect(decision).toMatchObject({
      denial: undefined,
      forwardText: text,
      pieces: [{ start: 0, end: text.length }],
      sensitiveLiterals: undefined,
    });
    expect(decision.statements[0]).toMatchObject({
      disposition: 'Denied',
      reasons: ['observed only: guardrail_denied: guardrail all of policy data/support denies this statement'],
    });
    expect(decision.statements[0]?.denial).toBeUndefined();
    expect(decision.statements[1]?.accepted).toMatchObject({
      rewritten: false,
      checks: [],
      shape: { strippedColumns: 0, hidesRows: false },
      effects: [{ kind: 'prepare', name: 'p', text: 'a', rewritten: 'a' }],
    });
  });

  test('forwards what cannot be parsed', () => {
    const decision = judgeAnalysis(
      'SELEC',
      analysis({ kind: 'refused', slug: 'syntax_error', subject: 'syntax error at or near "SELEC"' }),
      policy(),
    );
    expect(decision.forwardText).toBe('SELEC');
    expect(decision.statements[0]?.disposition).toBe('Denied');
  });

  test.each(['setting_not_allowed', 'invalid_text', 'statement_too_large'] as const)('still refuses %s', (slug) => {
    const decision = judgeAnalysis('x', analysis(accepted('x'), { kind: 'refused', slug, subject: 'role' }), policy());
    expect(decision.denial?.slug).toBe(slug);
    expect(decision.forwardText).toBeUndefined();
    expect(decision.statements.every((statement) => statement.denial !== undefined)).toBe(true);
  });

  test('still refuses a text past maxStatementBytes', () => {
    expect(refuseText('statement_too_large', { limit: '5' }, policy()).denial).toEqual({
      slug: 'statement_too_large',
      sqlstate: '54000',
      severity: 'ERROR',
      message: 'the statement is too large: the limit is 5 bytes; send less text, or pass values as parameters',
    });
  });
});
