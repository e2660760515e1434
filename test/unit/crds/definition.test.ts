import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { databaseAccessPolicyDefinition, databaseConnectionDefinition } from '#crds/definition.ts';
import { CONNECTION_DOCUMENTATION, POLICY_DOCUMENTATION } from '#crds/documentation.ts';
import { crdFiles } from '../../../hack/crd-files.ts';

/** A node of an OpenAPI schema. */
interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly additionalProperties?: Node;
  readonly [keyword: string]: unknown;
}

interface Visited {
  readonly path: string;
  readonly node: Node;
  readonly inList: boolean;
}

/** Every schema node below the root, by its path as the documentation writes it. */
function* nodes(node: Node, path = '', inList = false): Generator<Visited> {
  yield { path, node, inList };
  for (const [name, child] of Object.entries(node.properties ?? {})) {
    if (path === '' && ['apiVersion', 'kind', 'metadata'].includes(name)) continue;
    yield* nodes(child, path === '' ? name : `${path}.${name}`, inList);
  }
  if (node.items !== undefined) yield* nodes(node.items, `${path}[]`, true);
  if (node.additionalProperties !== undefined) yield* nodes(node.additionalProperties, `${path}{}`, true);
}

const KINDS = [
  ['DatabaseConnection', databaseConnectionDefinition, CONNECTION_DOCUMENTATION],
  ['DatabaseAccessPolicy', databaseAccessPolicyDefinition, POLICY_DOCUMENTATION],
] as const;

function schemaOf(definition: unknown): readonly Visited[] {
  const { spec } = definition as { spec: { versions: readonly [{ schema: { openAPIV3Schema: Node } }] } };
  return [...nodes(spec.versions[0].schema.openAPIV3Schema)];
}

describe.each(KINDS)('the definition of %s', (_, definition, documentation) => {
  const visited = schemaOf(definition);
  const own = visited.filter(({ path }) => !path.startsWith('status.conditions[]'));

  test('describes every field, and describes no field that does not exist', () => {
    expect(visited.filter(({ node }) => !node['description']).map(({ path }) => path)).toEqual([]);
    expect(own.map(({ path }) => path).sort()).toEqual(Object.keys(documentation).sort());
  });

  test('bounds every text, list and map', () => {
    const unbounded = visited.filter(
      ({ node }) =>
        (node['type'] === 'string' &&
          node['maxLength'] === undefined &&
          node['enum'] === undefined &&
          node['format'] !== 'date-time') ||
        (node['type'] === 'array' && node['maxItems'] === undefined) ||
        (node['additionalProperties'] !== undefined && node['maxProperties'] === undefined),
    );
    expect(unbounded.map(({ path }) => path)).toEqual([]);
  });

  test('says of every list how server-side apply merges it', () => {
    const silent = visited.filter(({ node }) => node['type'] === 'array' && !node['x-kubernetes-list-type']);
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test('has no default inside a list', () => {
    expect(visited.filter(({ node, inList }) => inList && node['default'] !== undefined)).toEqual([]);
  });

  test('has a type at every node but those of any scalar', () => {
    const untyped = visited.filter(({ node }) => node['type'] === undefined).map(({ path }) => path);
    expect(untyped).toEqual(
      definition === databaseAccessPolicyDefinition
        ? ['spec.subjects[].claims{}', 'spec.tables[].mask[].with.value']
        : [],
    );
  });
});

describe('the files of the definitions', () => {
  test.each(crdFiles().map(([path, text]) => [path, text] as const))('%s is made from the schemas', (path, text) => {
    expect(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')).toBe(text);
  });

  test('defaults outside of lists are whole: an absent map has the defaults of its fields', () => {
    const defaults = Object.fromEntries(
      [...schemaOf(databaseConnectionDefinition), ...schemaOf(databaseAccessPolicyDefinition)]
        .filter(({ path, node }) => node['default'] !== undefined && path.split('.').length === 2)
        .map(({ path, node }) => [path, node['default']]),
    );
    expect(defaults).toEqual({
      'spec.port': 5432,
      'spec.searchPath': ['public'],
      'spec.tls': { mode: 'VerifyFull' },
      'spec.clientAuth': { mode: 'Workload' },
      'spec.audit': { required: true, durability: 'Spool', results: 'None', parameters: false },
      'spec.mode': 'Enforce',
      'spec.approval': { timeoutSeconds: 60 },
      'spec.writes': { chosenKeys: 'Allow' },
      'spec.limits': { maxStatementBytes: 262144 },
      'spec.errors': { detail: 'Full' },
    });
  });
});
