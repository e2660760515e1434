/**
 * Which manifests a connection's bundles are made of. A manifest that is not sound is refused as a whole and its last good word stays: what it
 * restricted stays restricted, what it newly asks for is not given. Pure; needs `loadManifestValidation`.
 */
import type { Bundle, ManifestJson } from '#bundle/bundle.ts';
import { type SourceConnection, type SourceManifest, sourceConnection, sourcePolicy } from '#bundle/compile.ts';
import { decodeResource, formatProblem } from '#crds/decode.ts';
import type { DatabaseAccessPolicy } from '#crds/kinds.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { policyProblems } from '#policy/compile.ts';
import type { ConnectionKey } from './published.ts';

export type ConnectionReading =
  | { readonly kind: 'sound'; readonly source: SourceConnection }
  /** `lastGood` is what its bundles still say. */
  | { readonly kind: 'invalid'; readonly problems: readonly string[]; readonly lastGood: SourceConnection | undefined }
  | { readonly kind: 'absent' };

export interface PolicyReading {
  readonly object: KubernetesObject;
  /** `spec.tables[0].rowFilter: …`; none: it is sound. */
  readonly problems: readonly string[];
  /** What is in force for it: itself, its last good word, or nothing. */
  readonly source: SourceManifest<DatabaseAccessPolicy> | undefined;
}

export interface Sources {
  readonly connection: ConnectionReading;
  /** Of this connection, in order of their names. */
  readonly policies: readonly PolicyReading[];
  /**
   * Names of invalid policies whose last good word should be known and is not, since a bundle was published and cannot be read any more.
   * Without them nothing may be granted.
   */
  readonly unknown: readonly string[];
}

export interface SourcesInput {
  readonly key: ConnectionKey;
  readonly connection: KubernetesObject | undefined;
  /** All of the connection's namespace. */
  readonly policies: readonly KubernetesObject[];
  /** The newest bundle of each namespace of agents that had one; undefined: it is not known. */
  readonly published: readonly (Bundle | undefined)[];
}

export function readSources(input: SourcesInput): Sources {
  const known = input.published.filter((bundle) => bundle !== undefined);
  const policies = input.policies
    .map((object) => readPolicy(object, input.key, known))
    .filter((reading) => reading !== undefined)
    .toSorted((a, b) => (a.object.metadata.name < b.object.metadata.name ? -1 : 1));
  const hasLost = known.length < input.published.length;
  const unknown = policies.filter((reading) => hasLost && reading.problems.length > 0 && reading.source === undefined);
  return {
    connection: readConnection(input.connection, input.key, known),
    policies,
    unknown: unknown.map((reading) => reading.object.metadata.name),
  };
}

/** What is compiled; undefined: nothing is to be granted to anybody. */
export function grantingSources(
  sources: Sources,
):
  | { readonly connection: SourceConnection; readonly policies: readonly SourceManifest<DatabaseAccessPolicy>[] }
  | undefined {
  const connection = connectionInForce(sources);
  if (connection === undefined || sources.unknown.length > 0) return undefined;
  return { connection, policies: sources.policies.flatMap((reading) => reading.source ?? []) };
}

function connectionInForce({ connection }: Sources): SourceConnection | undefined {
  if (connection.kind === 'sound') return connection.source;
  return connection.kind === 'invalid' ? connection.lastGood : undefined;
}

interface SoundPolicy {
  readonly problems: readonly string[];
  readonly source: SourceManifest<DatabaseAccessPolicy> | undefined;
}

/** An object in a cache is never changed, only replaced: each is judged once. */
const judged = new WeakMap<KubernetesObject, SoundPolicy>();

function judgePolicy(object: KubernetesObject): SoundPolicy {
  let known = judged.get(object);
  if (known === undefined) {
    known = judge(object);
    judged.set(object, known);
  }
  return known;
}

function judge(object: KubernetesObject): SoundPolicy {
  const decoded = decodeResource(object);
  if (decoded.kind === 'invalid') return { problems: decoded.problems.map(formatProblem), source: undefined };
  if (decoded.kind === 'ignored' || decoded.resource.kind !== 'DatabaseAccessPolicy') {
    return { problems: ['is not a DatabaseAccessPolicy of postern.dev/v1alpha1'], source: undefined };
  }
  const { resource } = decoded;
  const owner = `${resource.namespace}/${resource.name}: `;
  const problems = policyProblems(resource).map((problem) => formatProblem(problem).replace(owner, ''));
  return { problems, source: problems.length > 0 ? undefined : { json: object, resource } };
}

function readPolicy(
  object: KubernetesObject,
  key: ConnectionKey,
  published: readonly Bundle[],
): PolicyReading | undefined {
  const { problems, source } = judgePolicy(object);
  if (source !== undefined) {
    return source.resource.spec.connectionRef.name === key.name ? { object, problems, source } : undefined;
  }
  const lastGood = lastGoodPolicy(published, object.metadata.name);
  // An invalid one stays with the connection that it restricted, whatever it names now.
  if (lastGood === undefined && namedConnection(object) !== key.name) return undefined;
  return { object, problems, source: lastGood };
}

/** The name in `connectionRef` of a policy that need not be sound. */
export function namedConnection(object: KubernetesObject): string | undefined {
  const spec = object['spec'];
  const reference = isMap(spec) ? spec['connectionRef'] : undefined;
  const name = isMap(reference) ? reference['name'] : undefined;
  return typeof name === 'string' ? name : undefined;
}

function lastGoodPolicy(published: readonly Bundle[], name: string): SourceManifest<DatabaseAccessPolicy> | undefined {
  for (const { manifests } of published) {
    const json = manifests.policies.find((policy) => nameOf(policy) === name);
    const source = json === undefined ? undefined : sourcePolicy(json);
    if (source !== undefined && policyProblems(source.resource).length === 0) return source;
  }
  return undefined;
}

function readConnection(
  object: KubernetesObject | undefined,
  key: ConnectionKey,
  published: readonly Bundle[],
): ConnectionReading {
  if (object === undefined) return { kind: 'absent' };
  const uid = object.metadata.uid ?? '';
  const decoded = decodeResource(object);
  const source = sourceConnection(object, uid);
  if (source !== undefined) return { kind: 'sound', source };
  const problems = decoded.kind === 'invalid' ? decoded.problems.map(formatProblem) : ['is not a DatabaseConnection'];
  // Another object of the same name has said nothing good yet.
  const last = published.find((bundle) => bundle.connection.uid === uid && bundle.manifests.connection !== undefined);
  const json = last?.manifests.connection;
  const lastGood = json === undefined ? undefined : sourceConnection(json, uid);
  const isOwn = lastGood?.resource.namespace === key.namespace && lastGood.resource.name === key.name;
  return { kind: 'invalid', problems, lastGood: isOwn ? lastGood : undefined };
}

function nameOf(json: ManifestJson): unknown {
  const metadata = json['metadata'];
  return isMap(metadata) ? metadata['name'] : undefined;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
