/**
 * The CustomResourceDefinitions, made from the schemas that manifests are decoded with: structural, every text, list and map bounded, and
 * refusing what the decoder refuses as far as OpenAPI and CEL can say it. What they cannot say is said by the validating webhook.
 * Defaults inside lists are the decoder's alone: written into the object they would show as drift to tools that compare it with Git.
 */
import { CATALOG_STATUS } from './catalog-status.ts';
import { CONNECTION_DOCUMENTATION, POLICY_DOCUMENTATION } from './documentation.ts';
import type { Json, JsonMap } from './json.ts';
import { DNS_LABEL, MISSING_OIDC, UNREAD_CA, databaseAccessPolicySpec, databaseConnectionSpec } from './kinds.ts';
import type { FieldNode, SchemaNode } from './schema.ts';

/** `x-kubernetes-validations` by path: what an object's fields must be together. The decoder has each of these rules too. */
const CONNECTION_RULES: Readonly<Record<string, readonly JsonMap[]>> = {
  '': [
    {
      rule: `self.metadata.name.matches('${DNS_LABEL.source}')`,
      message: 'the name of a DatabaseConnection is at most 63 lower case letters, digits and -',
    },
  ],
  'spec.tls': [
    {
      rule: "!has(self.caSecretRef) || !has(self.mode) || !(self.mode in ['Disable', 'Require'])",
      message: UNREAD_CA,
      fieldPath: '.caSecretRef',
    },
  ],
  'spec.clientAuth': [
    {
      rule: "!has(self.mode) || self.mode != 'OIDC' || has(self.oidc)",
      message: MISSING_OIDC,
      fieldPath: '.oidc',
      reason: 'FieldValueRequired',
    },
  ],
};

/** Every field of a mask method but `method` itself, and the method it belongs to; `value`, of any type, is out of reach of CEL. */
const MASK_FIELDS: readonly (readonly [field: string, method: string, required: boolean])[] = [
  ['keepFirst', 'Partial', false],
  ['keepLast', 'Partial', false],
  ['fill', 'Partial', false],
  ['size', 'Bucket', true],
  ['to', 'Truncate', true],
];

const POLICY_RULES: Readonly<Record<string, readonly JsonMap[]>> = {
  'spec.tables[].name': [
    {
      rule: '!self.matches(\'^"?(pg_catalog|information_schema|pg_toast[^."]*)"?[.]\')',
      message: 'a catalog cannot be granted: the gate itself answers for the catalogs; name a schema of your own',
    },
  ],
  // The server compares a whole number with a minimum that it has made whole too.
  'spec.tables[].mask[].with.size': [{ rule: 'self > 0.0', message: 'size must be greater than 0' }],
  'spec.tables[].mask[].with': MASK_FIELDS.map(([field, method, required]) => ({
    rule: required
      ? `(self.method == '${method}') == has(self.${field})`
      : `self.method == '${method}' || !has(self.${field})`,
    message: `${field} belongs to method ${method}${required ? ', which needs it' : ''}`,
  })),
};

/** What the shape of these nodes cannot say by itself. */
const POLICY_EXTRAS: Readonly<Record<string, JsonMap>> = {
  // CEL does not see `claims`, whose values are of any type.
  'spec.subjects[]': { minProperties: 1 },
  'spec.tables[].mask[].with': {
    anyOf: [
      { required: ['value'], properties: { method: { enum: ['Constant'] } } },
      { not: { required: ['value'] }, properties: { method: { not: { enum: ['Constant'] } } } },
    ],
  },
};

interface Annotations {
  readonly documentation: Readonly<Record<string, string>>;
  readonly rules: Readonly<Record<string, readonly JsonMap[]>>;
  readonly extras: Readonly<Record<string, JsonMap>>;
}

interface Place {
  readonly path: string;
  /** How many lists and maps it stands in: inside of any, no defaults; inside of two, patterns without a message, since CEL costs. */
  readonly listDepth: number;
}

/** The OpenAPI schema of a node. */
function schemaOf(node: SchemaNode, place: Place, annotations: Annotations): JsonMap {
  const { path } = place;
  const description = annotations.documentation[path];
  const rules = [...textRules(node, place), ...(annotations.rules[path] ?? [])];
  return {
    ...(description === undefined ? {} : { description }),
    ...shapeOf(node, place, annotations),
    ...annotations.extras[path],
    ...(rules.length === 0 ? {} : { 'x-kubernetes-validations': rules }),
  };
}

/** A pattern as a rule, since that can say in words what is expected. */
function textRules(node: SchemaNode, { listDepth }: Place): readonly JsonMap[] {
  if (node.type !== 'string' || node.pattern === undefined || listDepth > 1) return [];
  return [{ rule: `self.matches(${celText(node.pattern)})`, message: `expected ${node.expected}` }];
}

function celText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function shapeOf(node: SchemaNode, place: Place, annotations: Annotations): JsonMap {
  const { path, listDepth } = place;
  switch (node.type) {
    case 'string':
      return {
        type: 'string',
        ...(node.minLength === 0 ? {} : { minLength: node.minLength }),
        maxLength: node.maxLength,
        ...(node.pattern !== undefined && listDepth > 1 ? { pattern: node.pattern } : {}),
      };
    case 'integer':
      return { type: 'integer', format: 'int64', minimum: node.minimum, maximum: node.maximum };
    case 'number':
      return { type: 'number', minimum: node.minimum, maximum: node.maximum };
    case 'boolean':
      return { type: 'boolean' };
    case 'enum':
      return { type: 'string', enum: node.values };
    case 'scalar':
      // No type can be named where several are possible; the bounds that no list and no map can keep leave the scalars.
      return {
        'x-kubernetes-preserve-unknown-fields': true,
        maxLength: node.maxLength,
        minItems: 1,
        maxItems: 0,
        minProperties: 1,
        maxProperties: 0,
      };
    case 'array':
      return {
        type: 'array',
        ...(node.minItems === 0 ? {} : { minItems: node.minItems }),
        maxItems: node.maxItems,
        ...(node.key === undefined
          ? { 'x-kubernetes-list-type': 'atomic' }
          : { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [node.key] }),
        items: schemaOf(node.items, { path: `${path}[]`, listDepth: listDepth + 1 }, annotations),
      };
    case 'map':
      return {
        type: 'object',
        ...(node.minEntries === 0 ? {} : { minProperties: node.minEntries }),
        maxProperties: node.maxEntries,
        additionalProperties: schemaOf(node.values, { path: `${path}{}`, listDepth: listDepth + 1 }, annotations),
      };
    case 'object':
      return objectShape(node.fields, place, annotations);
    case 'union':
      return objectShape(unionFields(node.tag, node.variants), place, annotations);
  }
}

function objectShape(fields: Readonly<Record<string, FieldNode>>, place: Place, annotations: Annotations): JsonMap {
  const entries = Object.entries(fields);
  const required = entries.filter(([, field]) => field.required).map(([name]) => name);
  return {
    type: 'object',
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(
      entries.map(([name, field]) => {
        const path = place.path === '' ? name : `${place.path}.${name}`;
        const value = place.listDepth === 0 ? effectiveDefault(field) : undefined;
        return [
          name,
          {
            ...schemaOf(field.node, { path, listDepth: place.listDepth }, annotations),
            ...(value === undefined ? {} : { default: value }),
          },
        ];
      }),
    ),
  };
}

/** All variants' fields in one object, as a structural schema wants it; which belong together is said by rules. */
function unionFields(tag: string, variants: Readonly<Record<string, SchemaNode>>): Readonly<Record<string, FieldNode>> {
  const fields: Record<string, FieldNode> = {
    [tag]: { node: { type: 'enum', values: Object.keys(variants) }, required: true },
  };
  for (const variant of Object.values(variants)) {
    if (variant.type !== 'object') throw new Error(`a variant of ${tag} is not an object`);
    for (const [name, field] of Object.entries(variant.fields)) {
      if (name === tag) continue;
      if (fields[name] !== undefined) throw new Error(`two variants of ${tag} have a field ${name}`);
      fields[name] = { ...field, required: false };
    }
  }
  return fields;
}

/** What the field is when it is left out, with the defaults of its own fields; undefined where that is as good as nothing. */
function effectiveDefault(field: FieldNode): Json | undefined {
  const value = field.default;
  if (field.node.type === 'object') {
    if (value === undefined) return undefined;
    const own = Object.entries(field.node.fields).flatMap(([name, inner]) => {
      const given = effectiveDefault(inner);
      return given === undefined ? [] : [[name, given] as const];
    });
    return own.length === 0 ? undefined : Object.fromEntries(own);
  }
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.filter((item) => typeof item === 'string');
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
}

const CONDITIONS: JsonMap = {
  type: 'array',
  maxItems: 16,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  items: {
    description: 'One thing that is so, is not, or is not known yet.',
    type: 'object',
    required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
    properties: {
      type: { description: 'What it is about.', type: 'string', minLength: 1, maxLength: 316 },
      status: { description: 'Whether it is so.', type: 'string', enum: ['True', 'False', 'Unknown'] },
      reason: {
        description: 'Why, in one stable word for programs.',
        type: 'string',
        minLength: 1,
        maxLength: 1024,
        pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
      },
      message: { description: 'Why, and what to do, for people.', type: 'string', maxLength: 32768 },
      observedGeneration: {
        description: 'The generation of the spec that it speaks of.',
        type: 'integer',
        format: 'int64',
        minimum: 0,
      },
      lastTransitionTime: { description: 'When the status last changed.', type: 'string', format: 'date-time' },
    },
  },
};

const COUNT: JsonMap = { type: 'integer', format: 'int32', minimum: 0 };

function described(schema: JsonMap, path: string, { documentation }: Annotations): JsonMap {
  return { description: documentation[path] ?? '', ...schema };
}

function statusOf(fields: JsonMap, annotations: Annotations): JsonMap {
  return described(
    {
      type: 'object',
      properties: {
        observedGeneration: described(
          { type: 'integer', format: 'int64', minimum: 0 },
          'status.observedGeneration',
          annotations,
        ),
        conditions: described(CONDITIONS, 'status.conditions', annotations),
        ...fields,
      },
    },
    'status',
    annotations,
  );
}

interface KindNames {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
}

interface Column {
  readonly name: string;
  readonly jsonPath: string;
  readonly type?: 'integer' | 'date';
  readonly description: string;
  /** 1: only with `-o wide`. */
  readonly priority?: number;
}

const condition = (type: string, field: string): string => `.status.conditions[?(@.type=="${type}")].${field}`;
const AGE: Column = {
  name: 'Age',
  jsonPath: '.metadata.creationTimestamp',
  type: 'date',
  description: 'Time since it was created.',
};

function definition(
  names: KindNames,
  spec: SchemaNode,
  status: JsonMap,
  annotations: Annotations,
  { columns, selectable }: { readonly columns: readonly Column[]; readonly selectable: readonly string[] },
): JsonMap {
  const rules = annotations.rules[''] ?? [];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${names.plural}.postern.dev`, labels: { 'app.kubernetes.io/part-of': 'postern' } },
    spec: {
      group: 'postern.dev',
      scope: 'Namespaced',
      names: {
        kind: names.kind,
        listKind: `${names.kind}List`,
        plural: names.plural,
        singular: names.kind.toLowerCase(),
        shortNames: [names.shortName],
        categories: ['postern'],
      },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns.map(({ name, type = 'string', jsonPath, description, priority }) => ({
            name,
            type,
            jsonPath,
            description,
            ...(priority === undefined ? {} : { priority }),
          })),
          ...(selectable.length === 0 ? {} : { selectableFields: selectable.map((jsonPath) => ({ jsonPath })) }),
          schema: {
            openAPIV3Schema: {
              description: annotations.documentation[''] ?? '',
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: { description: 'postern.dev/v1alpha1', type: 'string' },
                kind: { description: names.kind, type: 'string' },
                metadata: { type: 'object' },
                spec: schemaOf(spec, { path: 'spec', listDepth: 0 }, annotations),
                status,
              },
              ...(rules.length === 0 ? {} : { 'x-kubernetes-validations': rules }),
            },
          },
        },
      ],
    },
  };
}

const connectionAnnotations: Annotations = {
  documentation: CONNECTION_DOCUMENTATION,
  rules: CONNECTION_RULES,
  extras: {},
};
const policyAnnotations: Annotations = {
  documentation: POLICY_DOCUMENTATION,
  rules: POLICY_RULES,
  extras: POLICY_EXTRAS,
};

export const databaseConnectionDefinition = definition(
  { kind: 'DatabaseConnection', plural: 'databaseconnections', shortName: 'dbconn' },
  databaseConnectionSpec.node,
  statusOf(
    { serverVersion: described({ type: 'string', maxLength: 64 }, 'status.serverVersion', connectionAnnotations) },
    connectionAnnotations,
  ),
  connectionAnnotations,
  {
    columns: [
      { name: 'Ready', jsonPath: condition('Ready', 'status'), description: 'Whether agents can be served.' },
      { name: 'Host', jsonPath: '.spec.host', description: 'Where the database is.' },
      { name: 'Database', jsonPath: '.spec.database', description: 'Its name.' },
      { name: 'Reason', jsonPath: condition('Ready', 'reason'), description: 'Why it is ready or not.' },
      {
        name: 'Reachable',
        jsonPath: condition('Reachable', 'status'),
        description: 'Whether the operator could log in.',
        priority: 1,
      },
      {
        name: 'LeastPrivilege',
        jsonPath: condition('LeastPrivilege', 'status'),
        description: 'Whether the role has no more rights than it should.',
        priority: 1,
      },
      { name: 'Version', jsonPath: '.status.serverVersion', description: "The server's version.", priority: 1 },
      AGE,
    ],
    selectable: ['.spec.host', '.spec.database'],
  },
);

export const databaseAccessPolicyDefinition = definition(
  { kind: 'DatabaseAccessPolicy', plural: 'databaseaccesspolicies', shortName: 'dbpolicy' },
  databaseAccessPolicySpec.node,
  statusOf(
    {
      pods: described(
        {
          type: 'object',
          properties: {
            matched: described(COUNT, 'status.pods.matched', policyAnnotations),
            enforcing: described(COUNT, 'status.pods.enforcing', policyAnnotations),
            outdated: described(COUNT, 'status.pods.outdated', policyAnnotations),
          },
        },
        'status.pods',
        policyAnnotations,
      ),
      ...CATALOG_STATUS,
    },
    policyAnnotations,
  ),
  policyAnnotations,
  {
    columns: [
      {
        name: 'Ready',
        jsonPath: condition('Ready', 'status'),
        description: 'Whether the policy is valid and handed out.',
      },
      {
        name: 'Connection',
        jsonPath: '.spec.connectionRef.name',
        description: 'The DatabaseConnection that it is for.',
      },
      { name: 'Mode', jsonPath: '.spec.mode', description: 'Enforce or Observe.' },
      {
        name: 'Pods',
        jsonPath: '.status.pods.matched',
        type: 'integer',
        description: 'Running pods that it concerns.',
      },
      {
        name: 'Enforcing',
        jsonPath: '.status.pods.enforcing',
        type: 'integer',
        description: 'Those that have applied it.',
      },
      { name: 'Reason', jsonPath: condition('Ready', 'reason'), description: 'Why it is ready or not.' },
      {
        name: 'Enforced',
        jsonPath: condition('Enforced', 'status'),
        description: 'Whether every such pod has applied it.',
        priority: 1,
      },
      {
        name: 'Conflicted',
        jsonPath: condition('Conflicted', 'status'),
        description: 'Whether another policy makes part of it refuse.',
        priority: 1,
      },
      {
        name: 'Outdated',
        jsonPath: '.status.pods.outdated',
        type: 'integer',
        description: 'Pods with a sidecar of an older release.',
        priority: 1,
      },
      AGE,
    ],
    selectable: ['.spec.connectionRef.name'],
  },
);
