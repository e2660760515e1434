import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseAccessPolicy } from '#crds/kinds.ts';
import type { Denial } from '#policy/decision.ts';
import { effectivePolicy } from '#policy/effective.ts';
import type { CompiledGuardrail, EffectivePolicy } from '#policy/effective-policy.ts';
import { judgeAnalysis } from '#policy/judge-analysis.ts';
import type { StatementAnalysis } from '#sql/analysis.ts';
import type { Facts } from '#sql/facts.ts';
import { quoteIdentifier } from '#sql/identifiers.ts';
import { loadParser } from '#sql/parser.ts';
import { printExpression, type RelationView } from '#sql/relation-view.ts';
import type { RefusalSlug } from '#sql/refusal.ts';
import {
  type GuardrailAnswer,
  oracleForwards,
  oracleOutcome,
  type OracleStatement,
  oracleView,
} from '#test/oracle/policy-oracle.ts';
import { sampleCatalog } from '#test/sample-catalog.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';

const COLUMNS = { id: 'int4', a: 'text', b: 'text', n: 'numeric', g: 'text generated(2)' };
const NAMES = Object.keys(COLUMNS);
/** No partitions, no materialized views: what the oracle knows. */
const PLAIN = sampleCatalog([
  { name: 'public.x', columns: COLUMNS },
  { name: 'public.y', columns: COLUMNS },
  { name: 'other.z', columns: COLUMNS },
]);
const TREE = sampleCatalog([
  { name: 'public.x', kind: 'p', columns: COLUMNS },
  { name: 'public.y', columns: COLUMNS, parents: ['public.x'] },
  { name: 'other.z', columns: COLUMNS, parents: ['public.x'] },
  { name: 'public.v', kind: 'v', columns: COLUMNS, reads: ['public.y'] },
  { name: 'public.m', kind: 'm', columns: COLUMNS, reads: ['public.v'] },
]);

const textMask = fc.constantFrom(
  { method: 'Redact' },
  { method: 'SetNull' },
  { method: 'Hash' },
  { method: 'Partial', keepLast: 2 },
  { method: 'Partial', keepLast: 4 },
);
const maskEntry = fc.oneof(
  fc.record({ columns: fc.constantFrom(['a'], ['b'], ['a', 'b'], ['g']), with: textMask }),
  fc.record({
    columns: fc.constant(['n']),
    with: fc.constantFrom({ method: 'Bucket', size: 10 }, { method: 'SetNull' }),
  }),
);
const rule = (tables: readonly string[]): fc.Arbitrary<Readonly<Record<string, unknown>>> =>
  fc.record(
    {
      name: fc.constantFrom(...tables),
      actions: fc.subarray(['Select', 'Insert', 'Update', 'Delete'], { minLength: 1 }),
      columns: fc.oneof(fc.constant(['*']), fc.constant(['*', 'g']), fc.subarray(NAMES, { minLength: 1 })),
      hide: fc.subarray(NAMES, { maxLength: 2 }),
      mask: fc.array(maskEntry, { maxLength: 2 }),
      rowFilter: fc.constantFrom("a = 'x'", 'n > 5', 'id = 1 OR b IS NULL'),
    },
    { requiredKeys: ['name'] },
  );
const policies = (tables: readonly string[]): fc.Arbitrary<readonly DatabaseAccessPolicy[]> =>
  fc
    .array(fc.uniqueArray(rule(tables), { minLength: 1, maxLength: 3, selector: (entry) => entry['name'] }), {
      minLength: 1,
      maxLength: 3,
    })
    .map((all) => all.map((rules, index) => samplePolicy({ tables: rules }, `p${index}`)));

const PLAIN_TABLES = ['public.x', 'public.y', 'other.z', 'public.*'];
const TREE_TABLES = [...PLAIN_TABLES, 'public.v', 'public.m'];

beforeAll(loadParser);

function effective(given: readonly DatabaseAccessPolicy[], catalog = PLAIN): EffectivePolicy {
  const result = effectivePolicy({
    connection: sampleConnection(),
    policies: given,
    identity: BOT,
    catalog,
    generation: 1,
  });
  if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
  return result.policy;
}

function look(view: RelationView, name: string): string {
  const column = view.columns.find((each) => each.name === name);
  return column === undefined ? 'hidden' : (column.mask?.method ?? 'raw');
}

const filterText = (view: RelationView): string =>
  view.rowFilter === undefined ? '' : printExpression(view.rowFilter.expression, (name) => name);

const plainText = (value: unknown): string =>
  JSON.stringify(value, (_, child: unknown) => {
    if (child instanceof Map) return [...child].toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
    return child instanceof Set ? [...child].map(String).toSorted() : child;
  });

describe('views', () => {
  test('equal the oracle', () => {
    fc.assert(
      fc.property(policies(PLAIN_TABLES), (given) => {
        const { views } = effective(given).access;
        for (const relation of PLAIN.relations) {
          const view = views.get(relation.oid);
          const expected = oracleView(given, relation);
          expect(view === undefined).toBe(expected === undefined);
          if (view === undefined || expected === undefined) continue;
          expect([...view.actions].toSorted()).toEqual([...expected.actions].toSorted());
          for (const name of NAMES) expect([name, look(view, name)]).toEqual([name, expected.columns[name]]);
          const printed = expected.filters.map((filter) => `(${filter})`).join(' AND ');
          expect(filterText(view)).toBe(expected.filters.length > 1 ? `(${printed})` : printed);
          expect(view.isWhole).toBe(
            expected.filters.length === 0 && Object.values(expected.columns).every((each) => each === 'raw'),
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  test('do not depend on the order of policies or rules', () => {
    fc.assert(
      fc.property(policies(TREE_TABLES), fc.infiniteStream(fc.nat()), (given, numbers) => {
        const shuffled = <T>(items: readonly T[]): readonly T[] =>
          items
            .map((item) => ({ item, key: Number(numbers.next().value) }))
            .toSorted((one, two) => one.key - two.key)
            .map(({ item }) => item);
        const other = shuffled(given).map((policy) => ({
          ...policy,
          spec: { ...policy.spec, tables: shuffled(policy.spec.tables) },
        }));
        expect(plainText(effective(other, TREE).access)).toBe(plainText(effective(given, TREE).access));
      }),
      { numRuns: 200 },
    );
  });

  test('adding a policy never shows more of what is granted already', () => {
    // From most to least telling; any method may become Redact, and Redact that does not fit NULL.
    const allowed = (before: string, after: string): boolean =>
      before === 'raw' || before === after || after === 'hidden' || (before !== 'hidden' && after === 'Redact');
    fc.assert(
      fc.property(policies(TREE_TABLES), rule(TREE_TABLES), (given, added) => {
        const before = effective(given, TREE).access.views;
        const after = effective([...given, samplePolicy({ tables: [added] }, 'added')], TREE).access.views;
        for (const [oid, old] of before) {
          const view = after.get(oid);
          if (view === undefined) continue;
          for (const action of view.actions) expect(old.actions.has(action)).toBe(true);
          for (const name of NAMES)
            expect([name, look(old, name), look(view, name), allowed(look(old, name), look(view, name))]).toContain(
              true,
            );
          for (const part of ["a\" = 'x'", 'n" > 5', 'id" = 1']) {
            const text = (each: RelationView): string =>
              each.rowFilter === undefined ? '' : printExpression(each.rowFilter.expression, quoteIdentifier);
            if (text(old).includes(part)) expect(text(view)).toContain(part);
          }
          if (old.conflict !== undefined && old.actions.has('Select') && view.actions.has('Select')) {
            // A conflict may only go because the parent has become as strict itself.
            expect(view.conflict !== undefined || !view.isWhole).toBe(true);
          }
        }
      }),
      { numRuns: 400 },
    );
  });
});

// --- decisions ---

const SLUGS: readonly RefusalSlug[] = [
  'relation_not_granted',
  'syntax_error',
  'setting_not_allowed',
  'invalid_text',
  'not_supported',
  'statement_too_large',
];
const COMMANDS = ['SELECT', 'DELETE', 'TRUNCATE TABLE', 'COPY'];
const ANSWERS: readonly GuardrailAnswer[] = ['pass', 'object', 'error'];

interface Case {
  readonly statements: readonly {
    readonly slug: RefusalSlug | undefined;
    readonly commands: readonly string[];
    readonly answers: readonly GuardrailAnswer[];
  }[];
  readonly actions: readonly ('Deny' | 'RequireApproval')[];
  readonly denied: readonly string[];
  readonly mode: 'Enforce' | 'Observe';
}

const cases: fc.Arbitrary<Case> = fc.record({
  statements: fc.array(
    fc.record({
      slug: fc.option(fc.constantFrom(...SLUGS), { nil: undefined, freq: 2 }),
      commands: fc.array(fc.constantFrom(...COMMANDS), { minLength: 1, maxLength: 3 }),
      answers: fc.array(fc.constantFrom(...ANSWERS, 'pass' as const, 'pass' as const), { minLength: 3, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  actions: fc.array(fc.constantFrom('Deny' as const, 'RequireApproval' as const), { minLength: 0, maxLength: 3 }),
  denied: fc.subarray(COMMANDS, { maxLength: 1 }),
  mode: fc.constantFrom('Enforce' as const, 'Observe' as const),
});

function factsOf(index: number, commands: readonly string[]): Facts {
  const nested = commands.map((command) => ({
    command,
    hasWhere: false,
    relations: [`s${index}`],
    columns: [],
    functions: [],
  }));
  return {
    command: commands[0] ?? '',
    hasWhere: false,
    relations: [`s${index}`],
    columns: [],
    functions: [],
    nested,
    masked: [],
    rowFilters: [],
    readRelationOids: [],
    writtenRelationOids: [],
  };
}

/** A guardrail that answers by the statement's number (its only relation) as the case says. */
function guardrailOf(given: Case, index: number, action: 'Deny' | 'RequireApproval'): CompiledGuardrail {
  const evaluate = (activation: Readonly<Record<string, unknown>>): unknown => {
    const statement = activation['statement'] as { readonly relations: readonly string[] };
    const answer = given.statements[Number(statement.relations[0]?.slice(1))]?.answers[index];
    if (answer === 'error') throw new Error('CEL failed');
    return answer === 'object';
  };
  return { policy: 'data/p', name: `g${index}`, action, message: undefined, evaluate };
}

describe('decisions', () => {
  test('equal the oracle', () => {
    const base = effective([samplePolicy({ tables: [{ name: 'public.x' }] })]);
    fc.assert(
      fc.property(cases, (given) => {
        const text = 'agent text';
        const policy: EffectivePolicy = {
          ...base,
          mode: given.mode,
          access: { ...base.access, deniedCommands: new Set(given.denied) },
          guardrails: given.actions.map((action, index) => guardrailOf(given, index, action)),
        };
        const statements = given.statements.map((statement, index): StatementAnalysis => {
          const facts = factsOf(index, statement.commands);
          if (statement.slug !== undefined) return { kind: 'refused', slug: statement.slug, facts };
          return {
            kind: 'accepted',
            facts,
            start: 0,
            end: text.length,
            pieces: [{ insert: 'rewritten' }],
            rewritten: true,
            effects: [],
            checks: [],
            shape: { strippedColumns: 0, hidesRows: false },
            governed: true,
          };
        });
        const complete = given.statements.every((statement) => statement.slug === undefined);
        const decision = judgeAnalysis(
          text,
          { statements, pieces: complete ? [{ insert: 'rewritten' }] : undefined, sensitiveLiterals: new Set() },
          policy,
        );
        const oracle = given.statements.map(
          (statement): OracleStatement => ({
            refusedSlug: statement.slug,
            commands: statement.commands,
            guardrails: given.actions.map((action, index) => ({ action, answer: statement.answers[index] ?? 'pass' })),
          }),
        );
        const forwards = oracleForwards(oracle, given.denied, given.mode);
        expect(decision.forwardText).toBe(forwards ? (given.mode === 'Observe' ? text : 'rewritten') : undefined);
        expect(decision.denial === undefined).toBe(forwards);
        for (const [index, statement] of decision.statements.entries()) {
          expect(statement.denial === undefined).toBe(forwards);
          expect(statement.accepted !== undefined).toBe(forwards);
          const outcome = oracleOutcome(
            oracle[index] ?? { refusedSlug: 'x', commands: [], guardrails: [] },
            given.denied,
          );
          if (forwards && given.mode === 'Enforce') expect(statement.disposition).toBe('Allowed');
          if (outcome === 'approve' && (forwards || given.mode === 'Enforce'))
            expect(statement.disposition).toBe('ApprovalRequired');
          if (outcome === 'deny') expect(statement.disposition).toBe('Denied');
        }
        const shown: Denial | undefined = decision.denial;
        if (shown !== undefined) expect(shown.sqlstate).toMatch(/^[0-9A-Z]{5}$/);
      }),
      { numRuns: 500 },
    );
  });
});
