import {
  COLUMN,
  COLUMN_OR_STAR,
  FUNCTION_GRANT,
  TABLE_OR_STAR,
  parseColumnName,
  parseColumnPattern,
  parseFunctionGrant,
  parseTablePattern,
} from './names.ts';
import {
  INVALID,
  boolean,
  choice,
  type Infer,
  integer,
  list,
  map,
  number,
  object,
  optional,
  parsed,
  type Schema,
  scalar,
  tagged,
  text,
  withDefault,
} from './schema.ts';

/**
 * The two kinds of group `postern.dev`, version `v1alpha1` (the contract, section 2): the one source of their fields, types,
 * defaults and rules. Decoders run these schemas; the CRDs' OpenAPI schema is made from their `node`s.
 */
export const API_VERSION = 'postern.dev/v1alpha1';

/** RFC 1123 label. */
export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** RFC 1123 subdomain, the name of most Kubernetes objects. */
export const DNS_SUBDOMAIN = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

const objectName = text({
  pattern: DNS_SUBDOMAIN,
  maxLength: 253,
  expected: 'the name of an object (lower case letters, digits, - and .)',
});
const namespaceName = text({
  pattern: DNS_LABEL,
  maxLength: 63,
  expected: 'the name of a namespace (lower case letters, digits and -)',
});
const secretKey = text({ pattern: /^[-._a-zA-Z0-9]{1,253}$/, maxLength: 253, expected: 'the key of a Secret' });
const url = text({ pattern: /^https?:\/\/[^\s]+$/, maxLength: 2048, expected: 'an http or https URL' });
const catalogName = text({ maxLength: 63 });

/** Else whoever wrote it believes that the server's certificate is checked. */
export const UNREAD_CA = 'is not read with mode Disable or Require; use mode VerifyCA or VerifyFull, or leave it out';

const tls = object(
  {
    mode: withDefault(choice(['Disable', 'Require', 'VerifyCA', 'VerifyFull']), 'VerifyFull'),
    caSecretRef: optional(object({ name: objectName, key: secretKey })),
  },
  (given) =>
    given.caSecretRef !== undefined && (given.mode === 'Disable' || given.mode === 'Require')
      ? [{ path: 'caSecretRef', problem: UNREAD_CA }]
      : [],
);

const oidc = object({
  issuer: url,
  audience: text(),
  groupsClaim: withDefault(text(), 'groups'),
  /** Empty: found through the issuer's discovery document. */
  jwksUri: withDefault(
    text({ minLength: 0, maxLength: 2048, pattern: /^(https?:\/\/[^\s]+)?$/, expected: 'an http or https URL' }),
    '',
  ),
});

export const MISSING_OIDC = 'is required with mode OIDC';

export const databaseConnectionSpec = object({
  engine: choice(['Postgres']),
  /** A host name, an address, or the absolute path of a unix socket's folder. */
  host: text({
    pattern: /^[^\s]+$/,
    maxLength: 253,
    expected: 'a host name, an address or the path of a socket folder',
  }),
  port: withDefault(integer(1, 65535), 5432),
  database: catalogName,
  searchPath: withDefault(list(catalogName, { maxItems: 64 }), ['public']),
  tls: withDefault(tls, {}),
  credentials: object({ secretRef: object({ name: objectName }) }),
  allowedWorkloads: optional(
    list(object({ namespace: namespaceName, serviceAccounts: list(objectName, { minItems: 1, maxItems: 500 }) }), {
      maxItems: 500,
      key: 'namespace',
    }),
  ),
  clientAuth: withDefault(
    object({ mode: withDefault(choice(['Workload', 'OIDC']), 'Workload'), oidc: optional(oidc) }, (auth) =>
      auth.mode === 'OIDC' && auth.oidc === undefined ? [{ path: 'oidc', problem: MISSING_OIDC }] : [],
    ),
    {},
  ),
  maskKey: optional(object({ secretRef: object({ name: objectName, key: secretKey }) })),
  audit: withDefault(
    object({
      required: withDefault(boolean(), true),
      durability: withDefault(choice(['Spool', 'Confirmed']), 'Spool'),
      results: withDefault(choice(['None', 'Masked']), 'None'),
      parameters: withDefault(boolean(), false),
    }),
    {},
  ),
});

const EMPTY_SUBJECT = 'an empty entry would match everybody; give serviceAccount, group or claims';

const subject = object(
  {
    serviceAccount: optional(object({ namespace: namespaceName, name: objectName })),
    group: optional(text()),
    claims: optional(map(scalar(), 1)),
  },
  (entry) =>
    entry.serviceAccount === undefined && entry.group === undefined && entry.claims === undefined
      ? [{ path: '', problem: EMPTY_SUBJECT }]
      : [],
);

/** As many as a table of PostgreSQL can have. */
const MAX_COLUMNS = 1600;

/** Visible columns: all of them, or those named. `names` are kept beside `all`, since naming one has a meaning of its own. */
export interface ColumnSelection {
  readonly all: boolean;
  readonly names: readonly string[];
}

function columnSelection(): Schema<ColumnSelection> {
  const names = list(parsed("a column's name or *", parseColumnPattern, COLUMN_OR_STAR), {
    minItems: 1,
    maxItems: MAX_COLUMNS,
  });
  return {
    node: names.node,
    decode(value, path, problems) {
      const found = names.decode(value, path, problems);
      if (found === INVALID) return INVALID;
      return {
        all: found.some((column) => column.name === undefined),
        names: found.flatMap((column) => column.name ?? []),
      };
    },
  };
}

const columnName = parsed("a column's name", parseColumnName, COLUMN);

const NULL_METHOD =
  "expected a method, found null: an unquoted Null is YAML's null; write method: SetNull for a column that is always NULL";

/** One entry for each mask method: the fields it takes. */
export const maskMethod = tagged(
  'method',
  {
    SetNull: object({ method: choice(['SetNull']) }),
    Redact: object({ method: choice(['Redact']) }),
    Constant: object({ method: choice(['Constant']), value: scalar() }),
    Partial: object({
      method: choice(['Partial']),
      keepFirst: withDefault(integer(0, 1_000_000), 0),
      keepLast: withDefault(integer(0, 1_000_000), 0),
      /** One printable ASCII character: a wider one could make a result larger than PostgreSQL can hold, so the mask could raise. */
      fill: withDefault(text({ pattern: /^[!-~ ]$/, expected: 'one printable ASCII character' }), '*'),
    }),
    Email: object({ method: choice(['Email']) }),
    Hash: object({ method: choice(['Hash']) }),
    Bucket: object({ method: choice(['Bucket']), size: number(1e-9) }),
    Truncate: object({ method: choice(['Truncate']), to: choice(['year', 'month', 'day']) }),
  },
  NULL_METHOD,
);

const tableRule = object({
  name: parsed('schema.table or schema.*', parseTablePattern, TABLE_OR_STAR),
  actions: withDefault(list(choice(['Select', 'Insert', 'Update', 'Delete']), { minItems: 1, maxItems: 4 }), [
    'Select',
  ]),
  columns: withDefault(columnSelection(), ['*']),
  hide: withDefault(list(columnName, { maxItems: MAX_COLUMNS }), []),
  mask: withDefault(
    list(object({ columns: list(columnName, { minItems: 1, maxItems: MAX_COLUMNS }), with: maskMethod }), {
      maxItems: 256,
    }),
    [],
  ),
  rowFilter: optional(text({ maxLength: 16384 })),
});

/** PostgreSQL command tags, upper case: `TRUNCATE TABLE`. */
const commandTag = text({
  pattern: /^[A-Z]+( [A-Z]+)*$/,
  maxLength: 63,
  expected: 'a command tag in upper case, e.g. TRUNCATE TABLE',
});

const commandTags = list(commandTag, { maxItems: 200 });

const guardrail = object({
  name: text({ pattern: DNS_LABEL, maxLength: 63, expected: 'a name (lower case letters, digits and -)' }),
  when: text({ maxLength: 4096, expected: 'a CEL expression' }),
  action: choice(['Deny', 'RequireApproval']),
  message: optional(text({ maxLength: 1024 })),
});

const DETECTORS = [
  'EmailAddress',
  'CreditCard',
  'UsSsn',
  'Iban',
  'PhoneNumber',
  'IpAddress',
  'Jwt',
  'AwsAccessKey',
  'PrivateKey',
] as const;

export const databaseAccessPolicySpec = object({
  connectionRef: object({
    name: text({ pattern: DNS_LABEL, maxLength: 63, expected: 'the name of a DatabaseConnection' }),
  }),
  mode: withDefault(choice(['Enforce', 'Observe']), 'Enforce'),
  subjects: withDefault(list(subject, { maxItems: 500 }), []),
  tables: withDefault(list(tableRule, { maxItems: 1000, key: 'name' }), []),
  statements: withDefault(object({ allow: withDefault(commandTags, []), deny: withDefault(commandTags, []) }), {}),
  functions: withDefault(
    object({
      allow: withDefault(
        list(parsed('schema.function, operator:schema.op or extension:name', parseFunctionGrant, FUNCTION_GRANT), {
          maxItems: 1000,
        }),
        [],
      ),
    }),
    {},
  ),
  guardrails: withDefault(list(guardrail, { maxItems: 100, key: 'name' }), []),
  approval: withDefault(
    object({
      approvers: withDefault(list(object({ group: text() }), { maxItems: 100, key: 'group' }), []),
      timeoutSeconds: withDefault(integer(1, 86_400), 60),
    }),
    {},
  ),
  writes: withDefault(object({ chosenKeys: withDefault(choice(['Allow', 'Refuse']), 'Allow') }), {}),
  limits: withDefault(
    object({
      maxRows: optional(integer(1)),
      maxResultBytes: optional(integer(1)),
      statementTimeoutSeconds: optional(integer(1, 2_147_483)),
      maxConnections: optional(integer(1)),
      statementsPerMinute: optional(integer(1)),
      maxStatementBytes: withDefault(integer(1, 1_073_741_823), 262_144),
    }),
    {},
  ),
  redact: optional(
    object({
      detectors: withDefault(list(choice(DETECTORS), { maxItems: 32 }), []),
      patterns: withDefault(
        list(object({ name: text({ maxLength: 63 }), regex: text({ maxLength: 1024 }) }), {
          maxItems: 100,
          key: 'name',
        }),
        [],
      ),
      maxRowBytes: optional(integer(65_536, 1_073_741_823)),
    }),
  ),
  errors: withDefault(
    object({
      detail: withDefault(choice(['Full', 'Generic']), 'Full'),
      message: withDefault(text({ minLength: 0, maxLength: 1024 }), ''),
    }),
    {},
  ),
});

export type DatabaseConnectionSpec = Infer<typeof databaseConnectionSpec>;
export type DatabaseAccessPolicySpec = Infer<typeof databaseAccessPolicySpec>;
export type SubjectSpec = Infer<typeof subject>;
export type TableRule = Infer<typeof tableRule>;
export type MaskSpec = Infer<typeof maskMethod>;
export type MaskMethod = MaskSpec['method'];
export type GuardrailSpec = Infer<typeof guardrail>;

export interface DatabaseConnection {
  readonly kind: 'DatabaseConnection';
  readonly namespace: string;
  readonly name: string;
  readonly spec: DatabaseConnectionSpec;
}

export interface DatabaseAccessPolicy {
  readonly kind: 'DatabaseAccessPolicy';
  readonly namespace: string;
  readonly name: string;
  readonly spec: DatabaseAccessPolicySpec;
}

/** A `v1` Secret; `data` is decoded and overlaid with `stringData`, as the API server does. */
export interface Secret {
  readonly kind: 'Secret';
  readonly namespace: string;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly data: ReadonlyMap<string, Buffer>;
}

/** `namespace/name`, as policies are called in messages and records. */
export function qualifiedName(resource: { readonly namespace: string; readonly name: string }): string {
  return `${resource.namespace}/${resource.name}`;
}
