import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { errorsPage } from '#policy/errors-page.ts';
import { denialFor, fillTemplate, REASONS, type ReasonFields, type ReasonSlug } from '#policy/reasons.ts';

describe('the table of reasons', () => {
  test('docs/errors.md is made from it', () => {
    expect(readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')).toBe(errorsPage());
  });

  test.each(Object.entries(REASONS))(
    '%s is one line in lower case without a final period, whatever is absent',
    (_, reason) => {
      for (const fields of [
        {},
        {
          subject: 'public.x',
          advice: 'do this',
          granted: 'public.y',
          limit: '5',
          rule: 'r',
          approvers: 'group dba',
          action: 'SELECT',
          policies: ['data/a'],
        },
      ]) {
        const message = fillTemplate(reason.template, fields);
        expect(message).toMatch(/^[^A-Z\n][^\n]*[^.\n]$/);
        expect(message).not.toMatch(/[{}]|undefined|\[|\]/);
      }
    },
  );

  test.each<readonly [ReasonSlug, ReasonFields, string, string]>([
    [
      'relation_not_granted',
      {
        policies: ['data/support'],
        action: 'SELECT',
        subject: 'public.payroll',
        granted: 'public.customers, public.orders',
      },
      '42501',
      'policy data/support does not allow SELECT on public.payroll; use one of: public.customers, public.orders',
    ],
    [
      'relation_not_granted',
      { policies: ['data/a', 'data/b'], subject: 'public.payroll' },
      '42501',
      'policies data/a, data/b do not allow public.payroll',
    ],
    [
      'guardrail_denied',
      { policies: ['data/support'], rule: 'no-blind-writes', advice: 'add a WHERE clause' },
      '42501',
      'guardrail no-blind-writes of policy data/support denies this statement: add a WHERE clause',
    ],
    [
      'row_too_large',
      { limit: '1048576' },
      '54000',
      'a row of the result has more than 1048576 bytes, too many to look into; select fewer columns, or parts of long values with substr()',
    ],
    ['row_limit', { limit: '10000' }, '53400', 'result exceeds 10000 rows; add a LIMIT'],
    [
      'undefined_object',
      { subject: 'cursor "c" does not exist', sqlstate: '34000' },
      '34000',
      'cursor "c" does not exist',
    ],
    [
      'syntax_error',
      { subject: 'syntax error at or near "FORM"', position: 9 },
      '42601',
      'syntax error at or near "FORM"',
    ],
    [
      'no_policy',
      { subject: 'agents/bot' },
      '28000',
      'no policy grants agents/bot access to this database; ask the owner of the database for a DatabaseAccessPolicy',
    ],
  ])('%s with %o answers %s', (slug, fields, sqlstate, message) => {
    expect(denialFor(slug, fields)).toMatchObject({ slug, sqlstate, message });
  });

  test("errors.detail Generic leaves the policy's message and the SQLSTATE only", () => {
    const fields = { policies: ['data/support'], action: 'SELECT', subject: 'public.payroll', position: 3 };
    expect(denialFor('relation_not_granted', fields, { detail: 'Generic', message: 'ask dba@example.com' })).toEqual({
      slug: 'denied',
      sqlstate: '42501',
      severity: 'ERROR',
      message: 'ask dba@example.com',
    });
    expect(denialFor('no_policy', {}, { detail: 'Generic', message: '' })).toEqual({
      slug: 'denied',
      sqlstate: '28000',
      severity: 'FATAL',
      message: 'denied',
    });
  });

  test('braces, brackets and line breaks in names stay what they are, on one line', () => {
    expect(denialFor('statement_not_allowed', { policies: ['d/p'], subject: 'a{policies}\n[b]' }).message).toBe(
      'policy d/p does not allow a{policies} [b]',
    );
  });
});
