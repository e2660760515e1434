/** Manifests, and what decoder and API server say of them. `because`: a part of the server's message. */
export interface Refused {
  readonly name: string;
  readonly manifest: Manifest;
  readonly because: string;
}

export interface Manifest {
  readonly apiVersion: 'postern.dev/v1alpha1';
  readonly kind: 'DatabaseConnection' | 'DatabaseAccessPolicy';
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

export const NAMESPACE = 'package-crds';
const DATABASE = {
  engine: 'Postgres',
  host: 'db',
  database: 'shop',
  credentials: { secretRef: { name: 'shop-agent' } },
};

const connection = (fields: Fields = {}, name = 'shop'): Manifest => ({
  apiVersion: 'postern.dev/v1alpha1',
  kind: 'DatabaseConnection',
  metadata: { name, namespace: NAMESPACE },
  spec: { ...DATABASE, ...fields },
});
const policy = (fields: Fields = {}): Manifest => ({
  apiVersion: 'postern.dev/v1alpha1',
  kind: 'DatabaseAccessPolicy',
  metadata: { name: 'support', namespace: NAMESPACE },
  spec: { connectionRef: { name: 'shop' }, ...fields },
});
const table = (fields: Fields): Manifest => policy({ tables: [{ name: 'public.customers', ...fields }] });
const mask = (given: unknown): Manifest => table({ mask: [{ columns: ['email'], with: given }] });

export const ACCEPTED: readonly (readonly [string, Manifest])[] = [
  ['a connection with nothing but what it must have', connection()],
  [
    'a connection with every field',
    connection({
      port: 6432,
      searchPath: ['app', 'public'],
      tls: { mode: 'VerifyCA', caSecretRef: { name: 'shop-ca', key: 'ca.crt' } },
      allowedWorkloads: [
        { namespace: 'agents', serviceAccounts: ['support-bot', 'ops.bot'] },
        { namespace: 'more-agents', serviceAccounts: ['default'] },
      ],
      clientAuth: {
        mode: 'OIDC',
        oidc: { issuer: 'https://idp.example/realm', audience: 'shop', groupsClaim: 'roles', jwksUri: '' },
      },
      maskKey: { secretRef: { name: 'shop-agent', key: 'mask-key' } },
      audit: { required: false, durability: 'Confirmed', results: 'Masked', parameters: true },
    }),
  ],
  ['a connection that nobody may use', connection({ allowedWorkloads: [] })],
  [
    'an issuer that is not asked for yet',
    connection({ clientAuth: { oidc: { issuer: 'http://idp', audience: 'a' } } }),
  ],
  ['a socket folder as the host', connection({ host: '/var/run/postgresql' })],
  ['an address as the host', connection({ host: 'fd00::1' })],
  ['a policy for nobody', policy()],
  ['a subject by service account', policy({ subjects: [{ serviceAccount: { namespace: 'a', name: 'b' } }] })],
  ['a subject by group', policy({ subjects: [{ group: 'CN=support,OU=care' }] })],
  ['claims of every scalar', policy({ subjects: [{ claims: { a: 'x', b: 1, c: 1.5, d: true, e: '' } }] })],
  ['all of a schema', table({ name: 'public.*' })],
  ['a quoted name', table({ name: '"my.schema"."a ""b"" *"' })],
  ['a schema that only begins like a catalog', table({ name: 'pg_catalogue.a' })],
  [
    'a table with every field',
    table({
      actions: ['Select', 'Insert', 'Update', 'Delete'],
      columns: ['*', 'id', '"a b"'],
      hide: ['password_hash'],
      rowFilter: 'region = ANY({{ identity.groups }})',
    }),
  ],
  ['mask SetNull', mask({ method: 'SetNull' })],
  ['mask Redact', mask({ method: 'Redact' })],
  ['mask Constant with a text', mask({ method: 'Constant', value: 'x' })],
  ['mask Constant with an empty text', mask({ method: 'Constant', value: '' })],
  ['mask Constant with a number', mask({ method: 'Constant', value: -1.5 })],
  ['mask Constant with false', mask({ method: 'Constant', value: false })],
  ['mask Partial without fields', mask({ method: 'Partial' })],
  ['mask Partial with all fields', mask({ method: 'Partial', keepFirst: 1, keepLast: 4, fill: '#' })],
  ['mask Email', mask({ method: 'Email' })],
  ['mask Hash', mask({ method: 'Hash' })],
  ['mask Bucket', mask({ method: 'Bucket', size: 0.5 })],
  ['mask Truncate', mask({ method: 'Truncate', to: 'month' })],
  [
    'a policy with everything else',
    policy({
      mode: 'Observe',
      statements: { allow: ['CREATE TEMPORARY TABLE'], deny: ['TRUNCATE TABLE'] },
      functions: { allow: ['public.f', 'operator:public.<->', 'extension:vector', '"a b"."c d"'] },
      guardrails: [
        { name: 'one', when: "statement.command == 'COPY'", action: 'Deny', message: 'no' },
        { name: 'two', when: 'true', action: 'RequireApproval' },
      ],
      approval: { approvers: [{ group: 'dba' }], timeoutSeconds: 5 },
      writes: { chosenKeys: 'Refuse' },
      limits: {
        maxRows: 1,
        maxResultBytes: 9007199254740991,
        statementTimeoutSeconds: 2147483,
        maxConnections: 1,
        statementsPerMinute: 1,
        maxStatementBytes: 1,
      },
      redact: { detectors: ['Jwt', 'Iban'], patterns: [{ name: 'badge', regex: 'B-[0-9]{6}' }] },
      errors: { detail: 'Generic', message: '' },
    }),
  ],
  [
    'a large policy: 500 tables of 200 columns in two masks each',
    policy({
      tables: Array.from({ length: 500 }, (_, at) => ({
        name: `public.table_${at}`,
        mask: ['a', 'b'].map((prefix) => ({
          columns: Array.from({ length: 100 }, (__, column) => `${prefix}${column}`),
          with: { method: 'Partial', keepLast: 4 },
        })),
      })),
    }),
  ],
];

const REFUSED_CONNECTIONS: readonly (readonly [string, Manifest, string])[] = [
  ['no engine', connection({ engine: undefined }), 'spec.engine: Required value'],
  ['an engine that is not known', connection({ engine: 'MySQL' }), 'supported values: "Postgres"'],
  ['no host', connection({ host: '' }), 'spec.host'],
  [
    'a host with a space',
    connection({ host: 'a b' }),
    'expected a host name, an address or the path of a socket folder',
  ],
  ['a port out of range', connection({ port: 65536 }), 'less than or equal to 65535'],
  ['a port as text', connection({ port: '5432' }), 'must be of type integer'],
  ['a name that is no label', connection({}, 'shop.eu'), 'at most 63 lower case letters, digits and -'],
  ['a name longer than a label', connection({}, 'a'.repeat(64)), 'at most 63 lower case letters, digits and -'],
  ['no Secret', connection({ credentials: {} }), 'spec.credentials.secretRef: Required value'],
  [
    'a name that no Secret has',
    connection({ credentials: { secretRef: { name: 'Shop' } } }),
    'expected the name of an object (lower case letters, digits, - and .)',
  ],
  [
    'a CA that is not read',
    connection({ tls: { mode: 'Disable', caSecretRef: { name: 'ca', key: 'ca.crt' } } }),
    'is not read with mode Disable or Require; use mode VerifyCA or VerifyFull, or leave it out',
  ],
  ['OIDC without an issuer', connection({ clientAuth: { mode: 'OIDC' } }), 'is required with mode OIDC'],
  [
    'an issuer that is no URL',
    connection({ clientAuth: { oidc: { issuer: 'idp', audience: 'a' } } }),
    'expected an http or https URL',
  ],
  [
    'two entries of one namespace',
    connection({
      allowedWorkloads: [
        { namespace: 'a', serviceAccounts: ['x'] },
        { namespace: 'a', serviceAccounts: ['y'] },
      ],
    }),
    'Duplicate value',
  ],
  [
    'a namespace without accounts',
    connection({ allowedWorkloads: [{ namespace: 'a', serviceAccounts: [] }] }),
    'at least 1',
  ],
  [
    'a search path longer than any',
    connection({ searchPath: Array.from({ length: 65 }, () => 'a') }),
    'at most 64 items',
  ],
  ['an unknown field', connection({ hots: 'db' }), 'unknown field "spec.hots"'],
];

const REFUSED_POLICIES: readonly (readonly [string, Manifest, string])[] = [
  ['no connection', policy({ connectionRef: undefined }), 'spec.connectionRef: Required value'],
  ['a mode that is not known', policy({ mode: 'enforce' }), 'supported values: "Enforce", "Observe"'],
  ['an empty subject', policy({ subjects: [{}] }), 'spec.subjects[0] in body should have at least 1 properties'],
  ['empty claims', policy({ subjects: [{ claims: {} }] }), 'spec.subjects[0].claims'],
  ['claims that are a list', policy({ subjects: [{ claims: { a: [1] } }] }), 'spec.subjects[0].claims.a'],
  ['claims that are an empty list', policy({ subjects: [{ claims: { a: [] } }] }), 'spec.subjects[0].claims.a'],
  ['claims that are a map', policy({ subjects: [{ claims: { a: { b: 1 } } }] }), 'spec.subjects[0].claims.a'],
  ['claims that are an empty map', policy({ subjects: [{ claims: { a: {} } }] }), 'spec.subjects[0].claims.a'],
  ['a table without schema', table({ name: 'customers' }), 'expected schema.table or schema.*'],
  ['a star for the schema', table({ name: '*.customers' }), 'expected schema.table or schema.*'],
  ['a catalog', table({ name: 'pg_catalog.pg_class' }), 'a catalog cannot be granted'],
  ['a quoted catalog', table({ name: '"information_schema".tables' }), 'a catalog cannot be granted'],
  ['a TOAST schema', table({ name: 'pg_toast.a' }), 'a catalog cannot be granted'],
  ['one table twice', policy({ tables: [{ name: 'a.b' }, { name: 'a.b' }] }), 'Duplicate value'],
  ['an action that is not known', table({ actions: ['Truncate'] }), 'supported values'],
  ['no action', table({ actions: [] }), 'at least 1'],
  ['no column', table({ columns: [] }), 'at least 1'],
  ['a star among the hidden', table({ hide: ['*'] }), 'spec.tables[0].hide[0]'],
  ['a mask without method', mask({}), 'with.method: Required value'],
  ['a mask that is null', mask({ method: null }), 'with.method: Required value'],
  ['a mask that is not known', mask({ method: 'Null' }), 'supported values'],
  ['Constant without value', mask({ method: 'Constant' }), 'with.value: Required value'],
  ['Constant with a list', mask({ method: 'Constant', value: ['a'] }), 'with.value'],
  ['Redact with a value', mask({ method: 'Redact', value: 'x' }), 'spec.tables[0].mask[0].with'],
  ['Bucket without size', mask({ method: 'Bucket' }), 'size belongs to method Bucket, which needs it'],
  ['Bucket of size 0', mask({ method: 'Bucket', size: 0 }), 'size must be greater than 0'],
  ['Truncate without to', mask({ method: 'Truncate' }), 'to belongs to method Truncate, which needs it'],
  ['Email with keepLast', mask({ method: 'Email', keepLast: 4 }), 'keepLast belongs to method Partial'],
  ['Partial with a wide fill', mask({ method: 'Partial', fill: 'é' }), 'with.fill'],
  ['a tag in lower case', policy({ statements: { deny: ['truncate'] } }), 'expected a command tag in upper case'],
  ['a function without schema', policy({ functions: { allow: ['f'] } }), 'expected schema.function'],
  [
    'two guardrails of one name',
    policy({ guardrails: ['true', 'false'].map((when) => ({ name: 'a', when, action: 'Deny' })) }),
    'Duplicate value',
  ],
  ['a guardrail without action', policy({ guardrails: [{ name: 'a', when: 'true' }] }), 'action: Required value'],
  ['a limit of nothing', policy({ limits: { maxRows: 0 } }), 'greater than or equal to 1'],
  ['an unknown detector', policy({ redact: { detectors: ['Email'] } }), 'supported values'],
  ['a message that is too long', policy({ errors: { message: 'x'.repeat(1025) } }), 'may not be more than 1024'],
  ['an unknown field in a list', table({ colums: ['a'] }), 'unknown field "spec.tables[0].colums"'],
];

export const REFUSED: readonly Refused[] = [...REFUSED_CONNECTIONS, ...REFUSED_POLICIES].map(
  ([name, manifest, because]) => ({ name, manifest, because }),
);
