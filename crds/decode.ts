import {
  API_VERSION,
  type DatabaseAccessPolicy,
  type DatabaseConnection,
  DNS_LABEL,
  DNS_SUBDOMAIN,
  databaseAccessPolicySpec,
  databaseConnectionSpec,
  type Secret,
} from './kinds.ts';
import { INVALID, isPlainObject, type Problem } from './schema.ts';
import { didYouMean } from './suggest.ts';

export type { Problem } from './schema.ts';

export type Resource = DatabaseConnection | DatabaseAccessPolicy | Secret;

/**
 * What one manifest is. `ignored`: another kind of object, none of ours. `name` (`Kind namespace/name`, as far as known) tells
 * in messages which document of a file is meant.
 */
export type Decoded =
  | { readonly kind: 'decoded'; readonly resource: Resource }
  | { readonly kind: 'ignored'; readonly name: string }
  | { readonly kind: 'invalid'; readonly name: string; readonly problems: readonly Problem[] };

const OUR_KINDS = ['DatabaseConnection', 'DatabaseAccessPolicy'] as const;

/** Decodes one parsed YAML or JSON document; a `v1` List counts as its items, an empty document as nothing. */
export function decodeManifest(document: unknown): readonly Decoded[] {
  if (document === null || document === undefined) return [];
  if (
    isPlainObject(document) &&
    document['apiVersion'] === 'v1' &&
    document['kind'] === 'List' &&
    Array.isArray(document['items'])
  ) {
    return document['items'].flatMap(decodeManifest);
  }
  return [decodeResource(document)];
}

/** Decodes one object; never throws. */
export function decodeResource(value: unknown): Decoded {
  if (!isPlainObject(value))
    return invalid('document', [{ path: '', problem: 'expected a map with apiVersion, kind, metadata and spec' }]);
  const apiVersion = value['apiVersion'];
  const kind = value['kind'];
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    return invalid('document', [
      { path: typeof apiVersion === 'string' ? 'kind' : 'apiVersion', problem: 'expected a text' },
    ]);
  }
  const metadata = decodeMetadata(value['metadata'], kind === 'DatabaseConnection' ? DNS_LABEL : DNS_SUBDOMAIN);
  const name = `${kind} ${metadata.namespace}/${metadata.name}`;
  if (apiVersion === 'v1' && kind === 'Secret') return decodeSecret(value, name, metadata);
  if (!isOurs(apiVersion, kind)) return { kind: 'ignored', name };
  if (apiVersion !== API_VERSION) {
    return invalid(name, [{ path: 'apiVersion', problem: `expected ${API_VERSION}, found ${apiVersion}` }]);
  }
  return decodeKind(value, kind, name, metadata);
}

/** Ours: the group is, or the kind's name is and the group is not another one's. */
function isOurs(apiVersion: string, kind: string): boolean {
  return (
    apiVersion.startsWith('postern.dev/') || (OUR_KINDS.some((ours) => ours === kind) && !apiVersion.includes('/'))
  );
}

interface Metadata {
  readonly namespace: string;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
}

function decodeMetadata(value: unknown, namePattern: RegExp): Metadata {
  const problems: Problem[] = [];
  if (!isPlainObject(value)) {
    return {
      namespace: 'default',
      name: '?',
      labels: new Map(),
      problems: [{ path: 'metadata', problem: 'expected a map with name' }],
    };
  }
  const name = value['name'];
  const namespace = value['namespace'] ?? 'default';
  if (typeof name !== 'string' || !namePattern.test(name)) {
    const length =
      namePattern === DNS_LABEL ? 'at most 63 lower case letters, digits and -' : 'lower case letters, digits, - and .';
    problems.push({ path: 'metadata.name', problem: `expected a name of ${length}` });
  }
  if (typeof namespace !== 'string' || !DNS_LABEL.test(namespace)) {
    problems.push({ path: 'metadata.namespace', problem: 'expected the name of a namespace' });
  }
  const labels = isPlainObject(value['labels']) ? Object.entries(value['labels']) : [];
  return {
    namespace: typeof namespace === 'string' ? namespace : '?',
    name: typeof name === 'string' ? name : '?',
    labels: new Map(labels.flatMap(([key, label]) => (typeof label === 'string' ? [[key, label] as const] : []))),
    problems,
  };
}

const TOP_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

function decodeKind(value: Readonly<Record<string, unknown>>, kind: string, name: string, metadata: Metadata): Decoded {
  const problems = [...metadata.problems];
  for (const key of Object.keys(value)) {
    if (!TOP_FIELDS.includes(key))
      problems.push({
        path: key,
        problem: `unknown field; expected one of ${TOP_FIELDS.join(', ')}${didYouMean(key, TOP_FIELDS)}`,
      });
  }
  const { namespace, name: objectName } = metadata;
  if (value['spec'] === undefined) return invalid(name, [...problems, { path: 'spec', problem: 'is required' }]);
  if (kind === 'DatabaseConnection') {
    const spec = databaseConnectionSpec.decode(value['spec'], 'spec', problems);
    if (spec === INVALID || problems.length > 0) return invalid(name, problems);
    return { kind: 'decoded', resource: { kind, namespace, name: objectName, spec } };
  }
  if (kind === 'DatabaseAccessPolicy') {
    const spec = databaseAccessPolicySpec.decode(value['spec'], 'spec', problems);
    if (spec === INVALID || problems.length > 0) return invalid(name, problems);
    return { kind: 'decoded', resource: { kind, namespace, name: objectName, spec } };
  }
  return invalid(name, [
    { path: 'kind', problem: `expected one of ${OUR_KINDS.join(', ')}, found ${kind}${didYouMean(kind, OUR_KINDS)}` },
  ]);
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Messages name the key, never the value. */
function decodeSecret(value: Readonly<Record<string, unknown>>, name: string, metadata: Metadata): Decoded {
  const problems = [...metadata.problems];
  const data = new Map<string, Buffer>();
  for (const [field, decode] of [
    ['data', decodeBase64],
    ['stringData', decodeText],
  ] as const) {
    const entries = value[field];
    if (entries === undefined || entries === null) continue;
    if (!isPlainObject(entries)) {
      problems.push({ path: field, problem: 'expected a map' });
      continue;
    }
    for (const [key, entry] of Object.entries(entries)) {
      const bytes = decode(entry);
      if (bytes === undefined)
        problems.push({ path: `${field}.${key}`, problem: field === 'data' ? 'expected base64' : 'expected a text' });
      else data.set(key, bytes);
    }
  }
  if (problems.length > 0) return invalid(name, problems);
  return {
    kind: 'decoded',
    resource: { kind: 'Secret', namespace: metadata.namespace, name: metadata.name, labels: metadata.labels, data },
  };
}

function decodeBase64(value: unknown): Buffer | undefined {
  if (typeof value !== 'string') return undefined;
  const compact = value.replaceAll(/\s/g, '');
  return BASE64.test(compact) ? Buffer.from(compact, 'base64') : undefined;
}

function decodeText(value: unknown): Buffer | undefined {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : undefined;
}

function invalid(name: string, problems: readonly Problem[]): Decoded {
  return { kind: 'invalid', name, problems };
}

/** `path: problem`, for messages and logs. */
export function formatProblem(problem: Problem): string {
  return problem.path === '' ? problem.problem : `${problem.path}: ${problem.problem}`;
}
