import { describe, expect, test } from 'vitest';
import { decodeManifest, decodeResource, formatProblem } from '#crds/decode.ts';

const policy = (spec: unknown, extra: Readonly<Record<string, unknown>> = {}): unknown => ({
  apiVersion: 'postern.dev/v1alpha1',
  kind: 'DatabaseAccessPolicy',
  metadata: { name: 'support', namespace: 'data' },
  spec,
  ...extra,
});
const connection = (spec: unknown, name = 'shop'): unknown => ({
  apiVersion: 'postern.dev/v1alpha1',
  kind: 'DatabaseConnection',
  metadata: { name, namespace: 'data' },
  spec,
});
const base = { connectionRef: { name: 'shop' } };
const database = {
  engine: 'Postgres',
  host: 'db',
  database: 'shop',
  credentials: { secretRef: { name: 'shop-agent' } },
};
const table = (rule: Readonly<Record<string, unknown>>): unknown =>
  policy({ ...base, tables: [{ name: 'public.customers', ...rule }] });
const mask = (given: unknown): unknown => table({ mask: [{ columns: ['email'], with: given }] });

function problems(value: unknown): readonly string[] {
  const decoded = decodeResource(value);
  return decoded.kind === 'invalid' ? decoded.problems.map(formatProblem) : [decoded.kind];
}

describe('a manifest with a fault names the field and what is expected', () => {
  test.each<readonly [string, unknown, readonly string[]]>([
    [
      'unknown field',
      policy({ ...base, tabels: [] }),
      [
        'spec.tabels: unknown field; expected one of connectionRef, mode, subjects, tables, statements, functions, guardrails, approval, writes, limits, redact, errors; did you mean tables?',
      ],
    ],
    [
      'unknown field at the top',
      policy(base, { sepc: 1 }),
      ['sepc: unknown field; expected one of apiVersion, kind, metadata, spec, status; did you mean spec?'],
    ],
    ['no spec', policy(undefined), ['spec: is required']],
    ['no connectionRef', policy({}), ['spec.connectionRef: is required']],
    [
      'wrong word',
      policy({ ...base, mode: 'observe' }),
      ['spec.mode: expected one of Enforce, Observe, found "observe"; did you mean Observe?'],
    ],
    [
      'empty subject',
      policy({ ...base, subjects: [{}] }),
      ['spec.subjects[0]: an empty entry would match everybody; give serviceAccount, group or claims'],
    ],
    [
      'empty claims',
      policy({ ...base, subjects: [{ claims: {} }] }),
      ['spec.subjects[0].claims: expected at least one entry, found an empty map'],
    ],
    [
      'claims that are no scalars',
      policy({ ...base, subjects: [{ claims: { a: [1] } }] }),
      ['spec.subjects[0].claims.a: expected a text, a number, true or false, found a list'],
    ],
    [
      'subjects that are no list',
      policy({ ...base, subjects: { group: 'x' } }),
      ['spec.subjects: expected a list, found a map'],
    ],
    [
      'no method',
      mask({}),
      [
        'spec.tables[0].mask[0].with.method: is required: one of SetNull, Redact, Constant, Partial, Email, Hash, Bucket, Truncate',
      ],
    ],
    [
      "YAML's null as method",
      mask({ method: null }),
      [
        "spec.tables[0].mask[0].with.method: expected a method, found null: an unquoted Null is YAML's null; write method: SetNull for a column that is always NULL",
      ],
    ],
    [
      'method in another case',
      mask({ method: 'hash' }),
      [
        'spec.tables[0].mask[0].with.method: expected one of SetNull, Redact, Constant, Partial, Email, Hash, Bucket, Truncate, found "hash"; did you mean Hash?',
      ],
    ],
    [
      'a method that every object has',
      mask({ method: 'constructor' }),
      [
        'spec.tables[0].mask[0].with.method: expected one of SetNull, Redact, Constant, Partial, Email, Hash, Bucket, Truncate, found "constructor"',
      ],
    ],
    [
      "another method's field",
      mask({ method: 'Hash', size: 1 }),
      ['spec.tables[0].mask[0].with.size: unknown field; expected one of method'],
    ],
    ['no value', mask({ method: 'Constant' }), ['spec.tables[0].mask[0].with.value: is required']],
    [
      'wide fill',
      mask({ method: 'Partial', fill: '█' }),
      ['spec.tables[0].mask[0].with.fill: expected one printable ASCII character, found "█"'],
    ],
    [
      'bucket of nothing',
      mask({ method: 'Bucket', size: 0 }),
      ['spec.tables[0].mask[0].with.size: expected a number of at least 1e-9, found 0'],
    ],
    [
      'a name without schema',
      table({ name: 'customers' }),
      ['spec.tables[0].name: expected schema.table or schema.*, found "customers"'],
    ],
    [
      'a star for the schema',
      table({ name: '*.customers' }),
      ['spec.tables[0].name: expected schema.table or schema.*; a star cannot stand for the schema'],
    ],
    [
      'a catalog',
      table({ name: 'pg_catalog.pg_authid' }),
      ['spec.tables[0].name: pg_catalog cannot be granted: the gate itself answers for the catalogs'],
    ],
    [
      'a star among the hidden',
      table({ hide: ['*'] }),
      ["spec.tables[0].hide[0]: expected a column's name; * cannot stand here"],
    ],
    [
      'no column at all',
      table({ columns: [] }),
      ['spec.tables[0].columns: expected at least 1 entry, found an empty list'],
    ],
    [
      'a function without schema',
      policy({ ...base, functions: { allow: ['f'] } }),
      ['spec.functions.allow[0]: expected schema.function, operator:schema.op or extension:name, found "f"'],
    ],
    [
      'a tag in lower case',
      policy({ ...base, statements: { deny: ['truncate table'] } }),
      ['spec.statements.deny[0]: expected a command tag in upper case, e.g. TRUNCATE TABLE, found "truncate table"'],
    ],
    [
      'a limit of nothing',
      policy({ ...base, limits: { maxRows: 0, maxConnections: 1.5 } }),
      [
        'spec.limits.maxRows: expected a whole number of at least 1, found 0',
        'spec.limits.maxConnections: expected a whole number of at least 1, found 1.5',
      ],
    ],
    [
      'two guardrails of one name',
      policy({
        ...base,
        guardrails: [
          { name: 'a', when: 'true', action: 'Deny' },
          { name: 'a', when: 'true', action: 'Deny' },
        ],
      }),
      ['spec.guardrails[1].name: "a" is taken by an earlier entry'],
    ],
    [
      'an unknown detector',
      policy({ ...base, redact: { detectors: ['Email'] } }),
      [
        'spec.redact.detectors[0]: expected one of EmailAddress, CreditCard, UsSsn, Iban, PhoneNumber, IpAddress, Jwt, AwsAccessKey, PrivateKey, found "Email"',
      ],
    ],
    [
      'OIDC without its fields',
      connection({ ...database, clientAuth: { mode: 'OIDC' } }),
      ['spec.clientAuth.oidc: is required with mode OIDC'],
    ],
    [
      'a port out of range',
      connection({ ...database, port: 70_000 }),
      ['spec.port: expected a whole number from 1 to 65535, found 70000'],
    ],
    [
      'a port as text',
      connection({ ...database, port: '5432' }),
      ['spec.port: expected a whole number from 1 to 65535, found "5432"'],
    ],
    [
      'a name that is no label',
      connection(database, 'my.shop'),
      ['metadata.name: expected a name of at most 63 lower case letters, digits and -'],
    ],
    [
      'another version',
      { apiVersion: 'postern.dev/v1', kind: 'DatabaseConnection', metadata: { name: 'a' }, spec: {} },
      ['apiVersion: expected postern.dev/v1alpha1, found postern.dev/v1'],
    ],
    [
      'another kind',
      { apiVersion: 'postern.dev/v1alpha1', kind: 'DatabasePolicy', metadata: { name: 'a' }, spec: {} },
      ['kind: expected one of DatabaseConnection, DatabaseAccessPolicy, found DatabasePolicy'],
    ],
    [
      'two rules of one table',
      policy({ ...base, tables: [{ name: 'public.a' }, { name: 'public.a' }] }),
      ['spec.tables[1].name: "public.a" is taken by an earlier entry'],
    ],
    [
      'too many entries',
      policy({
        ...base,
        guardrails: Array.from({ length: 101 }, (_, at) => ({ name: `g${at}`, when: 'true', action: 'Deny' })),
      }),
      ['spec.guardrails: expected at most 100 entries, found 101'],
    ],
    [
      'too many claims',
      policy({
        ...base,
        subjects: [{ claims: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`c${at}`, 1])) }],
      }),
      ['spec.subjects[0].claims: expected at most 64 entries, found 65'],
    ],
    [
      'a text longer than any sensible one',
      policy({ ...base, subjects: [{ group: 'g'.repeat(1025) }] }),
      ['spec.subjects[0].group: expected at most 1024 characters, found 1025'],
    ],
    [
      'a constant longer than any sensible one',
      mask({ method: 'Constant', value: 'v'.repeat(4097) }),
      ['spec.tables[0].mask[0].with.value: expected at most 4096 characters, found 4097'],
    ],
    [
      'a CA that is not read',
      connection({ ...database, tls: { mode: 'Require', caSecretRef: { name: 'ca', key: 'ca.crt' } } }),
      [
        'spec.tls.caSecretRef: is not read with mode Disable or Require; use mode VerifyCA or VerifyFull, or leave it out',
      ],
    ],
    ['a document that is a list', [1], ['expected a map with apiVersion, kind, metadata and spec']],
  ])('%s', (_, value, expected) => {
    expect(problems(value)).toEqual(expected);
  });

  test('never says what a Secret holds', () => {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's' },
      data: { password: 'not base64!' },
      stringData: { port: 5432 },
    };
    expect(problems(secret)).toEqual(['data.password: expected base64', 'stringData.port: expected a text']);
  });
});

describe('a manifest without fault', () => {
  test('gets every default', () => {
    expect(
      decodeResource(
        policy({
          ...base,
          tables: [{ name: 'public.customers', mask: [{ columns: ['a'], with: { method: 'Partial' } }] }],
        }),
      ),
    ).toEqual({
      kind: 'decoded',
      resource: {
        kind: 'DatabaseAccessPolicy',
        namespace: 'data',
        name: 'support',
        spec: {
          connectionRef: { name: 'shop' },
          mode: 'Enforce',
          subjects: [],
          statements: { allow: [], deny: [] },
          functions: { allow: [] },
          guardrails: [],
          tables: [
            {
              name: { text: 'public.customers', schema: 'public', relation: 'customers' },
              actions: ['Select'],
              columns: { all: true, names: [] },
              hide: [],
              mask: [{ columns: ['a'], with: { method: 'Partial', keepFirst: 0, keepLast: 0, fill: '*' } }],
            },
          ],
          approval: { approvers: [], timeoutSeconds: 60 },
          writes: { chosenKeys: 'Allow' },
          limits: { maxStatementBytes: 262_144 },
          errors: { detail: 'Full', message: '' },
        },
      },
    });
    expect(decodeResource(connection(database))).toEqual({
      kind: 'decoded',
      resource: {
        kind: 'DatabaseConnection',
        namespace: 'data',
        name: 'shop',
        spec: {
          engine: 'Postgres',
          host: 'db',
          port: 5432,
          database: 'shop',
          searchPath: ['public'],
          tls: { mode: 'VerifyFull' },
          credentials: { secretRef: { name: 'shop-agent' } },
          clientAuth: { mode: 'Workload' },
          audit: { required: true, durability: 'Spool', results: 'None', parameters: false },
        },
      },
    });
  });

  test("names are the catalog's own, quoted only where a dot, a star or a space stands in them", () => {
    const decoded = decodeResource(
      table({ name: '"my schema"."Order.Lines"', columns: ['*', '"a*b"', 'Größe'], hide: ['"say ""x"""'] }),
    );
    expect(decoded).toMatchObject({
      resource: {
        spec: {
          tables: [
            {
              name: { schema: 'my schema', relation: 'Order.Lines' },
              columns: { all: true, names: ['a*b', 'Größe'] },
              hide: ['say "x"'],
            },
          ],
        },
      },
    });
    expect(decodeResource(table({ name: 'public."*"' }))).toMatchObject({
      resource: { spec: { tables: [{ name: { relation: '*' } }] } },
    });
    expect(
      decodeResource(
        policy({ ...base, functions: { allow: ['public.f', 'extension:vector', 'operator:public.<->'] } }),
      ),
    ).toMatchObject({
      resource: {
        spec: {
          functions: {
            allow: [
              { kind: 'function', schema: 'public', name: 'f' },
              { kind: 'extension', name: 'vector' },
              { kind: 'operator', schema: 'public', name: '<->' },
            ],
          },
        },
      },
    });
  });

  test('a Secret is decoded from data and stringData, the latter wins', () => {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', labels: { 'postern.dev/connection': 'shop' } },
      data: { a: 'w6k=', b: 'AA==' },
      stringData: { b: 'text' },
    };
    const [decoded] = decodeManifest(secret);
    if (decoded?.kind !== 'decoded' || decoded.resource.kind !== 'Secret') throw new Error('not a secret');
    expect([...decoded.resource.data].map(([key, value]) => [key, value.toString()])).toEqual([
      ['a', 'é'],
      ['b', 'text'],
    ]);
    expect(decoded.resource.labels.get('postern.dev/connection')).toBe('shop');
  });

  test('other kinds are ignored, lists are opened, empty documents are nothing', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } };
    expect(
      decodeManifest({ apiVersion: 'v1', kind: 'List', items: [pod, connection(database)] }).map((each) => each.kind),
    ).toEqual(['ignored', 'decoded']);
    expect(decodeManifest(null)).toEqual([]);
  });
});
