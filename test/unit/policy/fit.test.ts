import { beforeAll, describe, expect, test } from 'vitest';
import { formatProblem } from '#crds/decode.ts';
import type { DatabaseAccessPolicy } from '#crds/kinds.ts';
import { effectivePolicy } from '#policy/effective.ts';
import { judgeFit, type PolicyFit } from '#policy/fit.ts';
import { matchingSets } from '#policy/matching-sets.ts';
import { loadParser } from '#sql/parser.ts';
import { sampleCatalog } from '#test/sample-catalog.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';

const CATALOG = sampleCatalog([
  { name: 'public.customers', columns: { id: 'int4', email: 'text', ssn: 'varchar(9)', region: 'text' } },
  { name: 'public.orders', columns: { id: 'int4', total: 'numeric' } },
  { name: 'public.events', kind: 'p', columns: { id: 'int4', email: 'text' } },
  { name: 'public.events_1', columns: { id: 'int4', email: 'text' }, parents: ['public.events'] },
]);

beforeAll(async () => {
  await loadParser();
});

const redacted = { columns: ['email'], with: { method: 'Redact' } };
const wide = { tables: [{ name: 'public.events' }] };
const narrow = { tables: [{ name: 'public.events_1', mask: [redacted] }] };
const account = (name: string) => ({ serviceAccount: { namespace: 'agents', name } });

function fits(...policies: readonly DatabaseAccessPolicy[]): readonly PolicyFit[] {
  const judged = judgeFit(policies, CATALOG);
  return policies.map((policy) => {
    const fit = judged.get(`data/${policy.name}`);
    if (fit === undefined) throw new Error('not judged');
    return fit;
  });
}

function fitOf(spec: Readonly<Record<string, unknown>>): PolicyFit {
  const [fit] = fits(samplePolicy(spec));
  if (fit === undefined) throw new Error('not judged');
  return fit;
}

const table = (rule: Readonly<Record<string, unknown>>) => ({ tables: [{ name: 'public.customers', ...rule }] });

describe('what does not fit', () => {
  test.each([
    [
      'a mask that the type cannot hold',
      table({ mask: [{ columns: ['ssn'], with: { method: 'Redact' } }] }),
      [
        'spec.tables[0].mask[0].with: column public.customers.ssn: Redact does not fit varchar(9): [redacted] has 10 characters; use one of: SetNull, Partial',
      ],
    ],
    [
      'a hidden column that is not there',
      table({ hide: ['phone'] }),
      ['spec.tables[0].hide: public.customers has no column phone'],
    ],
    [
      'a masked column that is not there',
      table({ mask: [{ columns: ['mail'], with: { method: 'Email' } }] }),
      ['spec.tables[0].mask[0].columns: public.customers has no column mail'],
    ],
    [
      'a row filter over a column that is not there',
      table({ rowFilter: "country = 'de'" }),
      ['spec.tables[0].rowFilter: public.customers has no column country'],
    ],
  ])('%s is a problem, with or without subjects, and the sidecar says the same', (_what, spec, problems) => {
    expect(fitOf(spec).problems.map(formatProblem)).toEqual(problems);
    expect(fitOf({ ...spec, subjects: [] }).problems.map(formatProblem)).toEqual(problems);
    const policies = [samplePolicy(spec)];
    const result = effectivePolicy({
      connection: sampleConnection(),
      policies,
      identity: BOT,
      catalog: CATALOG,
      generation: 1,
    });
    expect(result.kind === 'invalid' && result.problems.map(formatProblem)).toEqual(
      problems.map((problem) => `data/support: ${problem}`),
    );
  });

  test.each([
    [
      'a table',
      { tables: [{ name: 'public.custmers' }, { name: 'public.orders' }] },
      ['spec.tables[0].name: public.custmers is not a table or view of this database; it is not granted'],
    ],
    [
      'a listed column',
      table({ columns: ['id', 'nmae'] }),
      ['spec.tables[0].columns: public.customers has no column nmae'],
    ],
  ])('%s that the database lacks is an unknown name, and no problem', (_what, spec, names) => {
    const fit = fitOf(spec);
    expect(fit.problems).toEqual([]);
    expect(fit.unknownNames.map(formatProblem)).toEqual(names);
  });

  test('one policy that does not fit is no fault of another for the same account', () => {
    const [bad, good] = fits(samplePolicy(table({ hide: ['phone'] }), 'bad'), samplePolicy(wide, 'good'));
    expect(bad?.problems).toHaveLength(1);
    expect(good?.problems).toEqual([]);
  });

  test('tables without the columns of the row filter of a whole schema are no fault', () => {
    const fit = fitOf({ tables: [{ name: 'public.*', rowFilter: "region = 'eu'" }] });
    expect([fit.problems, fit.unknownNames]).toEqual([[], []]);
  });

  test('claims that a row filter asks for need no value here', () => {
    expect(fitOf(table({ rowFilter: 'region = {{ identity.claims.region }}', hide: ['x'] })).problems).toHaveLength(1);
  });
});

describe('conflicts', () => {
  const conflict =
    'public.events: its child public.events_1 has a stricter view of its own; read the children by their names';

  test('a partition that one policy shows less of than its parent is one', () => {
    expect(fitOf({ tables: [...wide.tables, ...narrow.tables] }).conflicts).toEqual([conflict]);
  });

  test('so are two policies for the same account, each naming the other', () => {
    const [a, b] = fits(samplePolicy(wide, 'a'), samplePolicy(narrow, 'b'));
    expect(a?.conflicts).toEqual([`${conflict} (together with data/b)`]);
    expect(b?.conflicts).toEqual([`${conflict} (together with data/a)`]);
  });

  test.each([
    ['an account and a group', [account('bot')], [{ group: 'support' }], 1],
    ['two groups', [{ group: 'a' }], [{ group: 'b' }], 1],
    ['two accounts', [account('bot')], [account('other')], 0],
    ['two values of a claim', [{ claims: { level: 1 } }], [{ claims: { level: 2 } }], 0],
    ['nobody', [], [account('bot')], 0],
  ])('policies for %s', (_what, one, other, count) => {
    const [a] = fits(samplePolicy({ ...wide, subjects: one }, 'a'), samplePolicy({ ...narrow, subjects: other }, 'b'));
    expect(a?.conflicts).toHaveLength(count);
  });

  test('a third policy that shows less of the parent too ends it only for whoever it matches', () => {
    const parent = { tables: [{ name: 'public.events', mask: [redacted] }] };
    const policies = (subjects: readonly unknown[]) => [
      samplePolicy({ ...wide, ...{ tables: [...wide.tables, ...narrow.tables] } }, 'a'),
      samplePolicy({ ...parent, subjects }, 'b'),
    ];
    expect(fits(...policies([account('support-bot')]))[0]?.conflicts).toEqual([]);
    expect(fits(...policies([{ ...account('support-bot'), group: 'x' }]))[0]?.conflicts).toEqual([conflict]);
  });

  test('too many subjects to compare are said to be', () => {
    const subjects = Array.from({ length: 61 }, (_none, index) => account(`bot-${index}`));
    expect(matchingSets([samplePolicy({ subjects })]).isComplete).toBe(false);
    expect(matchingSets([samplePolicy({ subjects: subjects.slice(0, 60) })]).isComplete).toBe(true);
  });
});

describe('tables with all columns', () => {
  test.each([
    ['all', {}, ['id', 'email', 'ssn', 'region']],
    ['all but hidden and masked ones', { hide: ['ssn'], mask: [redacted] }, ['id', 'region']],
  ])('%s', (_what, rule, names) => {
    const [open] = fitOf(table(rule)).openTables;
    expect([open?.name, open?.lastColumn, open?.columns.map(({ name }) => name)]).toEqual([
      'public.customers',
      4,
      names,
    ]);
  });

  test('a list of columns is none', () => {
    expect(fitOf(table({ columns: ['id'] })).openTables).toEqual([]);
  });
});
