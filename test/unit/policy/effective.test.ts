import { beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseAccessPolicy } from '#crds/kinds.ts';
import { policyProblems } from '#policy/compile.ts';
import { effectivePolicy, type EffectiveResult } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import type { Identity } from '#policy/identity.ts';
import { quoteIdentifier } from '#sql/identifiers.ts';
import { loadParser } from '#sql/parser.ts';
import { printExpression, type RelationView } from '#sql/relation-view.ts';
import { sampleCatalog } from '#test/sample-catalog.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';

const CATALOG = sampleCatalog([
  {
    name: 'public.customers',
    columns: {
      id: 'int4',
      name: 'text',
      email: 'text',
      ssn: 'varchar(9)',
      region: 'text',
      tag: 'citext',
      mail_domain: 'text generated(3)',
    },
  },
  { name: 'public.orders', columns: { id: 'int4', total: 'numeric' } },
  { name: 'public.payroll', columns: { id: 'int4', salary: 'numeric' } },
  { name: 'public.events', kind: 'p', columns: { id: 'int4', email: 'text' } },
  { name: 'public.events_1', columns: { id: 'int4', email: 'text' }, parents: ['public.events'] },
  { name: 'archive.events_0', columns: { id: 'int4', email: 'text' }, parents: ['public.events'] },
  { name: 'public.customer_view', kind: 'v', columns: { id: 'int4', email: 'text' }, reads: ['public.customers'] },
  { name: 'public.customer_copy', kind: 'm', columns: { id: 'int4', email: 'text' }, reads: ['public.customer_view'] },
  { name: 'public.order_copy', kind: 'm', columns: { id: 'int4' }, reads: ['public.orders'] },
  { name: 'public.ids', kind: 'S', columns: {} },
]);

beforeAll(async () => {
  await loadParser();
  await loadGuardrails([
    samplePolicy({
      guardrails: [{ name: 'x', when: 'true', action: 'Deny' }],
      redact: { patterns: [{ name: 'x', regex: 'x' }] },
    }),
  ]);
});

function effective(
  policies: readonly DatabaseAccessPolicy[],
  identity: Identity = BOT,
  connection = sampleConnection(),
): EffectiveResult {
  return effectivePolicy({ connection, policies, identity, catalog: CATALOG, generation: 1 });
}

function policyOf(...specs: readonly Readonly<Record<string, unknown>>[]): EffectivePolicy {
  const result = effective(specs.map((spec, index) => samplePolicy(spec, `p${index}`)));
  if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
  return result.policy;
}

function tables(...rules: readonly Readonly<Record<string, unknown>>[]): Readonly<Record<string, unknown>> {
  return { tables: rules };
}

function view(policy: EffectivePolicy, name: string): RelationView | undefined {
  return [...policy.access.views.values()].find((each) => `${each.schema}.${each.name}` === name);
}

const columnsOf = (found: RelationView | undefined): readonly string[] | undefined =>
  found?.columns.map((column) => (column.mask === undefined ? column.name : `${column.name}:${column.mask.method}`));

const filterOf = (found: RelationView | undefined): string | undefined =>
  found?.rowFilter === undefined ? undefined : printExpression(found.rowFilter.expression, quoteIdentifier);

describe('who gets in', () => {
  test.each<readonly [string, readonly unknown[], boolean]>([
    ['the service account matches', [{ serviceAccount: { namespace: 'agents', name: 'support-bot' } }], true],
    ['the namespace is another', [{ serviceAccount: { namespace: 'other', name: 'support-bot' } }], false],
    ['any entry is enough', [{ group: 'nobody' }, { group: 'support' }], true],
    ['all fields of an entry must match', [{ group: 'support', claims: { department: 'sales' } }], false],
    ['a claim matches by value and type', [{ claims: { level: 3, department: 'care' } }], true],
    ['a claim of another type does not match', [{ claims: { level: '3' } }], false],
    ['a claim that comes from the prototype does not match', [{ claims: { toString: 'x' } }], false],
    ['no entry means nobody', [], false],
  ])('%s', (_, subjects, matches) => {
    expect(effective([samplePolicy({ subjects })]).kind).toBe(matches ? 'effective' : 'none');
  });

  test('no policy is 28000 and says whom to ask', () => {
    expect(effective([])).toEqual({
      kind: 'none',
      denial: {
        slug: 'no_policy',
        sqlstate: '28000',
        severity: 'FATAL',
        message:
          'no policy grants agents/support-bot access to this database; ask the owner of the database for a DatabaseAccessPolicy',
      },
    });
  });

  test('a policy of another connection or namespace does not count', () => {
    const policy = samplePolicy({});
    expect(effective([{ ...policy, namespace: 'agents' }]).kind).toBe('none');
    expect(effective([samplePolicy({ connectionRef: { name: 'other' } })]).kind).toBe('none');
  });

  test('allowedWorkloads shuts out whom it does not list', () => {
    const policy = samplePolicy({});
    const listed = (serviceAccounts: readonly string[]): string =>
      effective([policy], BOT, sampleConnection({ allowedWorkloads: [{ namespace: 'agents', serviceAccounts }] })).kind;
    expect(listed(['support-bot'])).toBe('effective');
    expect(listed(['other'])).toBe('none');
    expect(effective([policy], BOT, sampleConnection({ allowedWorkloads: [] })).kind).toBe('none');
  });
});

describe('the view of a relation', () => {
  test('a table granted without conditions is whole, and readable only', () => {
    const found = view(policyOf(tables({ name: 'public.orders' })), 'public.orders');
    expect(found).toMatchObject({ isWhole: true, policies: ['data/p0'] });
    expect([...(found?.actions ?? [])]).toEqual(['Select']);
    expect(view(policyOf(tables({ name: 'public.orders' })), 'public.payroll')).toBeUndefined();
  });

  test.each<readonly [string, Readonly<Record<string, unknown>>, readonly string[]]>([
    ['hide takes columns away', { hide: ['ssn', 'tag'] }, ['id', 'name', 'email', 'region', 'mail_domain']],
    ['a list shows only what it names', { columns: ['id', 'name'] }, ['id', 'name']],
    ['hide wins over columns', { columns: ['id', 'name'], hide: ['name'] }, ['id']],
    [
      'a generated column over a masked one goes',
      { columns: ['*'], mask: [{ columns: ['email'], with: { method: 'Email' } }] },
      ['id', 'name', 'email:Email', 'ssn', 'region', 'tag'],
    ],
    ['a generated column over a hidden one goes', { hide: ['email'] }, ['id', 'name', 'ssn', 'region', 'tag']],
    ['a generated column listed by name stays', { columns: ['id', 'mail_domain'] }, ['id', 'mail_domain']],
    [
      'a generated column that is masked stays',
      { columns: ['*'], mask: [{ columns: ['email', 'mail_domain'], with: { method: 'Redact' } }] },
      ['id', 'name', 'email:Redact', 'ssn', 'region', 'tag', 'mail_domain:Redact'],
    ],
  ])('%s', (_, rule, expected) => {
    expect(columnsOf(view(policyOf(tables({ name: 'public.customers', ...rule })), 'public.customers'))).toEqual(
      expected,
    );
  });

  test('of several policies the stricter holds', () => {
    const policy = policyOf(
      tables({
        name: 'public.customers',
        actions: ['Select', 'Update'],
        columns: ['id', 'name', 'email'],
        mask: [{ columns: ['email'], with: { method: 'Email' } }],
        rowFilter: "region = 'eu'",
      }),
      tables({
        name: 'public.customers',
        actions: ['Select', 'Insert'],
        hide: ['name'],
        mask: [{ columns: ['email'], with: { method: 'Hash' } }],
        rowFilter: 'id > 1',
      }),
      tables({ name: 'public.customers', rowFilter: "region = 'eu'" }),
    );
    const found = view(policy, 'public.customers');
    expect(columnsOf(found)).toEqual(['id', 'email:Redact']);
    expect([...(found?.actions ?? [])]).toEqual(['Select']);
    expect(filterOf(found)).toBe(`(("id" > 1) AND ("region" = 'eu'))`);
    expect(found?.rowFilter?.columns).toEqual(['id', 'region']);
    expect(found?.policies).toEqual(['data/p0', 'data/p1', 'data/p2']);
  });

  test('two masks on a column too short for [redacted] give NULL', () => {
    const policy = samplePolicy(
      tables({
        name: 'public.customers',
        columns: ['id', 'ssn'],
        mask: [{ columns: ['ssn'], with: { method: 'Partial', keepLast: 4 } }],
      }),
      'a',
    );
    const other = samplePolicy(
      tables({ name: 'public.customers', mask: [{ columns: ['ssn'], with: { method: 'SetNull' } }] }),
      'b',
    );
    const result = effective([policy, other]);
    expect(result.kind === 'effective' && columnsOf(view(result.policy, 'public.customers'))).toEqual([
      'id',
      'ssn:SetNull',
    ]);
  });

  test('identity values stand in the filter as literals', () => {
    const policy = policyOf(
      tables({
        name: 'public.customers',
        rowFilter:
          'region = {{ identity.claims.department }} AND name = ANY({{identity.groups}}) AND id > {{ identity.claims.level }}',
      }),
    );
    expect(filterOf(view(policy, 'public.customers'))).toBe(
      `("region" =  ('care'::pg_catalog.text)  AND "name" = ANY( ('{"support"}'::pg_catalog.text[]) ) AND "id" >  ('3'::pg_catalog.int8))`,
    );
  });

  test('a value that the identity lacks refuses the connection', () => {
    expect(
      effective([
        samplePolicy(tables({ name: 'public.customers', rowFilter: 'region = {{ identity.claims.region }}' })),
      ]),
    ).toEqual({
      kind: 'refused',
      denial: {
        slug: 'identity_value_missing',
        sqlstate: '28000',
        severity: 'FATAL',
        message: 'a row filter of policy data/support needs identity.claims.region, which this identity does not have',
      },
    });
  });
});

describe('schema.*', () => {
  test('grants tables, views and copies of what is readable whole, and no sequence', () => {
    const policy = policyOf(tables({ name: 'public.*' }));
    expect([...policy.access.views.values()].map((each) => each.name).toSorted()).toEqual([
      'customer_copy',
      'customer_view',
      'customers',
      'events',
      'events_1',
      'order_copy',
      'orders',
      'payroll',
    ]);
  });

  test('does not grant a materialized view of what is masked, also through a view', () => {
    const masks = [{ columns: ['email'], with: { method: 'Redact' } }];
    const policy = policyOf(tables({ name: 'public.*' }, { name: 'public.customers', mask: masks }));
    expect(view(policy, 'public.customer_copy')).toBeUndefined();
    expect(view(policy, 'public.order_copy')?.isWhole).toBe(true);
    const named = policyOf(
      tables({ name: 'public.*' }, { name: 'public.customers', mask: masks }, { name: 'public.customer_copy' }),
    );
    expect(view(named, 'public.customer_copy')?.isWhole).toBe(true);
  });

  test("gives a partition its parent's own rules", () => {
    const policy = policyOf(
      tables({ name: 'public.*' }, { name: 'public.events', mask: [{ columns: ['email'], with: { method: 'Hash' } }] }),
    );
    expect(columnsOf(view(policy, 'public.events_1'))).toEqual(['id', 'email:Hash']);
    expect(view(policy, 'public.events')?.conflict).toBeUndefined();
  });

  test('a column that no table of the schema has is a problem, in one of them it is enough', () => {
    const result = effective([samplePolicy(tables({ name: 'public.*', hide: ['salary', 'salery'] }))]);
    expect(result).toEqual({
      kind: 'invalid',
      problems: [{ path: 'data/support: spec.tables[0]', problem: 'no table of schema public has a column salery' }],
    });
  });

  test('a table that lacks a column of the row filter is not granted', () => {
    const policy = policyOf(tables({ name: 'public.*', rowFilter: "region = 'eu'" }));
    expect([...policy.access.views.values()].map((each) => each.name)).toEqual(['customers']);
  });
});

describe('what the catalog shows to be wrong', () => {
  test.each<readonly [string, Readonly<Record<string, unknown>>, string, string]>([
    [
      'an unknown column in hide',
      { name: 'public.customers', hide: ['emial'] },
      'spec.tables[0].hide',
      'public.customers has no column emial',
    ],
    [
      'an unknown column in mask',
      { name: 'public.customers', mask: [{ columns: ['emial'], with: { method: 'Redact' } }] },
      'spec.tables[0].mask[0].columns',
      'public.customers has no column emial',
    ],
    [
      'an unknown column in rowFilter',
      { name: 'public.customers', rowFilter: 'land = 1' },
      'spec.tables[0].rowFilter',
      'public.customers has no column land',
    ],
    [
      'a mask that does not fit',
      { name: 'public.orders', mask: [{ columns: ['total'], with: { method: 'Hash' } }] },
      'spec.tables[0].mask[0].with',
      'column public.orders.total: Hash does not fit numeric: a token is a text of 32 characters or a uuid; use one of: SetNull, Redact, Bucket',
    ],
    [
      'a filter over a type from an extension',
      { name: 'public.customers', rowFilter: "tag = 'x'" },
      'spec.tables[0].rowFilter',
      'column tag is not of a built-in type; cast it, e.g. tag::text',
    ],
    [
      'a filter that is no expression',
      { name: 'public.customers', rowFilter: 'region = ' },
      'spec.tables[0].rowFilter',
      'is not an SQL expression: syntax error at or near ")"',
    ],
  ])('%s', (_, rule, path, problem) => {
    expect(effective([samplePolicy(tables(rule))])).toEqual({
      kind: 'invalid',
      problems: [{ path: `data/support: ${path}`, problem }],
    });
  });

  test('a filter over a cast column of an extension is taken', () => {
    const policy = policyOf(tables({ name: 'public.customers', rowFilter: "tag::text = 'x'" }));
    expect(filterOf(view(policy, 'public.customers'))).toBe(`("tag"::text = 'x')`);
  });

  test('an unknown table or column of a list is a warning and not granted', () => {
    const result = effective([
      samplePolicy(
        tables({ name: 'public.nothing' }, { name: 'public.ids' }, { name: 'public.orders', columns: ['id', 'totel'] }),
      ),
    ]);
    expect(result.kind === 'effective' && result.warnings).toEqual([
      { path: 'data/support: spec.tables[2].columns', problem: 'public.orders has no column totel' },
      {
        path: 'data/support: spec.tables[0].name',
        problem: 'public.nothing is not a table or view of this database; it is not granted',
      },
      {
        path: 'data/support: spec.tables[1].name',
        problem: 'public.ids is not a table or view of this database; it is not granted',
      },
    ]);
    expect(result.kind === 'effective' && [...result.policy.access.views.values()].map((each) => each.name)).toEqual([
      'orders',
    ]);
  });

  test('a child stricter than its parent keeps the parent from being read', () => {
    const policy = policyOf(tables({ name: 'public.events' }, { name: 'archive.events_0', hide: ['email'] }));
    expect(view(policy, 'public.events')?.conflict).toBe(
      'its child archive.events_0 has a stricter view of its own; read the children by their names',
    );
    expect(view(policy, 'archive.events_0')?.conflict).toBeUndefined();
    const looser = policyOf(tables({ name: 'public.events', hide: ['email'] }, { name: 'archive.events_0' }));
    expect(view(looser, 'public.events')?.conflict).toBeUndefined();
  });
});

describe('governed relations', () => {
  const oids = (...specs: readonly Readonly<Record<string, unknown>>[]): readonly string[] => {
    const mine = samplePolicy(tables({ name: 'public.orders' }), 'mine');
    const others = specs.map((spec, index) => samplePolicy({ subjects: [], ...spec }, `other${index}`));
    const result = effective([mine, ...others]);
    if (result.kind !== 'effective') throw new Error('not effective');
    return [...result.policy.access.governedOids].map((oid) => CATALOG.relationByOid.get(oid)?.name ?? '').toSorted();
  };

  test("those of other people's policies count, with parents, children and copies", () => {
    expect(oids()).toEqual(['order_copy', 'orders']);
    expect(oids(tables({ name: 'public.events_1' }))).toEqual(['events', 'events_1', 'order_copy', 'orders']);
    expect(oids(tables({ name: 'public.customers' }))).toEqual(['customer_copy', 'customers', 'order_copy', 'orders']);
  });
});

describe('what is neither table nor row', () => {
  test('limits are the lowest, errors the least telling, Enforce and Refuse win, redaction and lists add up', () => {
    const policy = policyOf(
      {
        mode: 'Observe',
        limits: { maxRows: 10, statementTimeoutSeconds: 30 },
        redact: { detectors: ['Jwt'], maxRowBytes: 70_000 },
        statements: { allow: ['LISTEN'], deny: ['COPY'] },
        functions: { allow: ['geo.f', 'extension:vector'] },
      },
      {
        limits: { maxRows: 5, maxConnections: 2, maxStatementBytes: 1000 },
        redact: { patterns: [{ name: 'badge', regex: 'B-[0-9]+' }] },
        errors: { detail: 'Generic', message: 'no' },
        writes: { chosenKeys: 'Refuse' },
        functions: { allow: ['operator:public.<->'] },
      },
    );
    expect(policy.limits).toEqual({
      maxRows: 5,
      statementTimeoutMs: 30_000,
      maxConnections: 2,
      maxStatementBytes: 1000,
    });
    expect(policy.mode).toBe('Enforce');
    expect(policy.errors).toEqual({ detail: 'Generic', message: 'no' });
    expect(policy.redaction).toEqual({
      detectors: ['Jwt'],
      patterns: [{ name: 'badge', regex: 'B-[0-9]+' }],
      maxRowBytes: 70_000,
    });
    expect(policy.access).toMatchObject({
      chosenKeys: 'Refuse',
      schemas: ['geo', 'public'],
      defaultSearchPath: ['public'],
      grantsWrite: false,
      statementTimeoutMs: 30_000,
    });
    expect([...policy.access.functions.functions]).toEqual(['geo\0f']);
    expect([...policy.access.functions.operators]).toEqual(['public\0<->']);
    expect([...policy.access.allowedCommands, ...policy.access.deniedCommands]).toEqual(['LISTEN', 'COPY']);
    expect(policyOf({ mode: 'Observe' }).mode).toBe('Observe');
    expect(policyOf({}).redaction).toBeUndefined();
  });

  test('a guardrail that does not compile lets nobody in', () => {
    expect(
      effective([samplePolicy({ guardrails: [{ name: 'x', when: 'statement.comand == "SELECT"', action: 'Deny' }] })]),
    ).toMatchObject({
      kind: 'invalid',
      problems: [{ path: 'data/support: spec.guardrails[0].when' }],
    });
  });

  test.each([
    ['a(?=b)', 'is not a regular expression of RE2: error parsing regexp: invalid or unsupported Perl syntax: `(?=`'],
    ['x*', 'matches the empty text, so it would match everywhere'],
  ])('a redaction pattern %s is a problem', (regex, problem) => {
    expect(policyProblems(samplePolicy({ redact: { patterns: [{ name: 'p', regex }] } }))).toEqual([
      { path: 'data/support: spec.redact.patterns[0].regex', problem },
    ]);
    expect(effective([samplePolicy({ redact: { patterns: [{ name: 'p', regex }] } })]).kind).toBe('invalid');
  });

  test('a policy is checked for what needs neither identity nor database', () => {
    const policy = samplePolicy({
      tables: [{ name: 'public.x', rowFilter: 'a = $1' }],
      guardrails: [{ name: 'g', when: '1 + 1', action: 'Deny' }],
    });
    expect(policyProblems(policy)).toEqual([
      { path: 'data/support: spec.tables[0].rowFilter', problem: 'parameters ($1) are not allowed' },
      {
        path: 'data/support: spec.guardrails[0].when',
        problem: 'expected a CEL expression that is true or false, found int',
      },
    ]);
    expect(policyProblems(samplePolicy({}))).toEqual([]);
  });
});
