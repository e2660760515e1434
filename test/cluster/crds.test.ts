import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { decodeResource } from '#crds/decode.ts';
import { databaseAccessPolicySpec, databaseConnectionSpec } from '#crds/kinds.ts';
import type { FieldNode, SchemaNode } from '#crds/schema.ts';
import { Api, type Answer } from './api.ts';
import { ACCEPTED, type Manifest, NAMESPACE, REFUSED } from './manifest-samples.ts';

const api = new Api();
const PLURALS = { DatabaseConnection: 'databaseconnections', DatabaseAccessPolicy: 'databaseaccesspolicies' } as const;
const collection = (kind: keyof typeof PLURALS): string =>
  `/apis/postern.dev/v1alpha1/namespaces/${NAMESPACE}/${PLURALS[kind]}`;

async function create(manifest: Manifest, query: string): Promise<Answer> {
  return api.send(`${collection(manifest.kind)}?fieldValidation=Strict${query}`, { method: 'POST', body: manifest });
}

const serverSays = async (manifest: Manifest): Promise<string> => {
  const { status, message } = await create(manifest, '&dryRun=All');
  return status === 201 ? 'accepted' : message;
};

beforeAll(async () => {
  await api.send('/api/v1/namespaces', { method: 'POST', body: { metadata: { name: NAMESPACE } } });
});
afterAll(async () => {
  await api.send(`/api/v1/namespaces/${NAMESPACE}`, { method: 'DELETE' });
});

describe('decoder and API server agree', () => {
  test.each(ACCEPTED)('both accept: %s', async (_, manifest) => {
    expect(decodeResource(manifest)).toMatchObject({ kind: 'decoded' });
    expect(await serverSays(manifest)).toBe('accepted');
  });

  test.each(REFUSED.map((sample) => [sample.name, sample] as const))(
    'both refuse: %s',
    async (_, { manifest, because }) => {
      expect(decodeResource(manifest)).toMatchObject({ kind: 'invalid' });
      expect(await serverSays(manifest)).toContain(because);
    },
  );

  test('whatever the decoder accepts the server accepts', async () => {
    let decoded = 0;
    await fc.assert(
      fc.asyncProperty(anyManifest, async (manifest) => {
        if (decodeResource(manifest).kind !== 'decoded') return;
        decoded += 1;
        expect(await serverSays(manifest)).toBe('accepted');
      }),
      { numRuns: 300 },
    );
    expect(decoded).toBeGreaterThan(100);
  });
});

describe('what kubectl shows', () => {
  test('both kinds have a short name and the category postern', async () => {
    const { body } = await api.send('/apis/postern.dev/v1alpha1');
    const { resources } = body as {
      resources: readonly { name: string; shortNames?: string[]; categories?: string[] }[];
    };
    const kinds = resources.filter(({ name }) => !name.includes('/'));
    expect(
      Object.fromEntries(kinds.map(({ name, shortNames, categories }) => [name, { shortNames, categories }])),
    ).toEqual({
      databaseaccesspolicies: { shortNames: ['dbpolicy'], categories: ['postern'] },
      databaseconnections: { shortNames: ['dbconn'], categories: ['postern'] },
    });
  });

  test.each([
    [
      'DatabaseConnection',
      ['Name', 'Ready', 'Host', 'Database', 'Reason', 'Reachable', 'LeastPrivilege', 'Version', 'Age'],
    ],
    [
      'DatabaseAccessPolicy',
      [
        'Name',
        'Ready',
        'Connection',
        'Mode',
        'Pods',
        'Enforcing',
        'Reason',
        'Enforced',
        'Conflicted',
        'Outdated',
        'Age',
      ],
    ],
  ] as const)('the columns of %s', async (kind, columns) => {
    const { body } = await api.send(collection(kind), { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
    const { columnDefinitions } = body as { columnDefinitions: readonly { name: string }[] };
    expect(columnDefinitions.map(({ name }) => name)).toEqual(columns);
  });

  test('kubectl explain has a text for every field', async () => {
    const { body } = await api.send('/openapi/v3/apis/postern.dev/v1alpha1');
    const { components } = body as { components: { schemas: Record<string, ExplainNode> } };
    const silent = Object.entries(components.schemas)
      .filter(([name]) => /\.Database(?:Connection|AccessPolicy)$/.test(name))
      .flatMap(([name, schema]) => [...undescribed(schema, name)]);
    expect(silent).toEqual([]);
  });
});

describe('the life of a manifest', () => {
  const connection = ACCEPTED[0]?.[1];
  if (connection === undefined) throw new Error('no sample');

  test('defaults outside of lists are filled in, and status is written apart', async () => {
    const made = await create({ ...connection, metadata: { name: 'life', namespace: NAMESPACE } }, '');
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      spec: { port: 5432, searchPath: ['public'], tls: { mode: 'VerifyFull' }, audit: { required: true } },
    });
    const patched = await api.send(`${collection('DatabaseConnection')}/life/status?fieldValidation=Strict`, {
      method: 'PATCH',
      contentType: 'application/merge-patch+json',
      body: { status: { observedGeneration: 1, serverVersion: '16.4' }, spec: { port: 1 } },
    });
    expect(patched.status).toBe(200);
    expect(patched.body).toMatchObject({ spec: { port: 5432 }, status: { serverVersion: '16.4' } });
  });

  test('two appliers own different tables of one policy', async () => {
    const apply = async (manager: string, table: string): Promise<Answer> =>
      api.send(`${collection('DatabaseAccessPolicy')}/shared?fieldManager=${manager}`, {
        method: 'PATCH',
        contentType: 'application/apply-patch+yaml',
        body: {
          apiVersion: 'postern.dev/v1alpha1',
          kind: 'DatabaseAccessPolicy',
          metadata: { name: 'shared', namespace: NAMESPACE },
          spec: { connectionRef: { name: 'shop' }, tables: [{ name: table }] },
        },
      });
    await apply('one', 'public.a');
    const { body } = await apply('two', 'public.b');
    expect(body).toMatchObject({ spec: { tables: [{ name: 'public.a' }, { name: 'public.b' }] } });
  });

  test('policies are found by the connection that they are for', async () => {
    const { body } = await api.send(
      `${collection('DatabaseAccessPolicy')}?fieldSelector=spec.connectionRef.name%3Dshop`,
    );
    const { items } = body as { items: readonly { metadata: { name: string } }[] };
    expect(items.map(({ metadata }) => metadata.name)).toEqual(['shared']);
  });

  test('the samples of the demo are accepted', async () => {
    for (const [file, index] of [
      ['connection.yaml', 0],
      ['support.yaml', 0],
      ['ops.yaml', 0],
    ] as const) {
      const text = readFileSync(new URL(`../../demo/manifests/${file}`, import.meta.url), 'utf8').split('\n---\n')[
        index
      ];
      const manifest = parse(text ?? '') as Manifest;
      expect(await serverSays({ ...manifest, metadata: { ...manifest.metadata, namespace: NAMESPACE } })).toBe(
        'accepted',
      );
    }
  });
});

interface ExplainNode {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, ExplainNode>>;
  readonly items?: ExplainNode;
}

function* undescribed(node: ExplainNode, path: string): Generator<string> {
  if (node.description === undefined || node.description === '') yield path;
  for (const [name, child] of Object.entries(node.properties ?? {})) {
    // The server's own text stands for metadata.
    if (name !== 'metadata') yield* undescribed(child, `${path}.${name}`);
  }
  if (node.items !== undefined) yield* undescribed(node.items, `${path}[]`);
}

/** Values of a schema, most of them valid: from the same nodes as the CRDs, so that no field is forgotten here. */
function valuesOf(node: SchemaNode): fc.Arbitrary<unknown> {
  switch (node.type) {
    case 'string':
      return node.pattern === undefined
        ? fc.string({ unit: 'grapheme', minLength: node.minLength, maxLength: 20 })
        : fc.stringMatching(new RegExp(node.pattern), { maxLength: 40 });
    case 'integer':
      return fc.integer({ min: node.minimum, max: Math.min(node.maximum, node.minimum + 70_000) });
    case 'number':
      return fc.double({ min: node.minimum, max: 1e15, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'enum':
      return fc.constantFrom(...node.values);
    case 'scalar':
      return fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.double({ noNaN: true, noDefaultInfinity: true }));
    case 'array':
      return fc.array(valuesOf(node.items), { minLength: node.minItems, maxLength: 3 });
    case 'map':
      return fc.dictionary(fc.string({ minLength: 1, maxLength: 10 }), valuesOf(node.values), { maxKeys: 3 });
    case 'object':
      return fieldsOf(node.fields);
    case 'union':
      return fc.oneof(...Object.values(node.variants).map(valuesOf));
  }
}

function fieldsOf(fields: Readonly<Record<string, FieldNode>>): fc.Arbitrary<unknown> {
  const required = Object.keys(fields).filter((name) => fields[name]?.required);
  return fc.record(Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valuesOf(field.node)])), {
    requiredKeys: required,
    noNullPrototype: true,
  });
}

const anyManifest: fc.Arbitrary<Manifest> = fc.oneof(
  manifestOf('DatabaseConnection', databaseConnectionSpec.node),
  manifestOf('DatabaseAccessPolicy', databaseAccessPolicySpec.node),
);

function manifestOf(kind: Manifest['kind'], spec: SchemaNode): fc.Arbitrary<Manifest> {
  return valuesOf(spec).map((value) => ({
    apiVersion: 'postern.dev/v1alpha1',
    kind,
    metadata: { name: 'any', namespace: NAMESPACE },
    spec: value,
  }));
}
