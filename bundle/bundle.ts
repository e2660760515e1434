/**
 * The payload of a bundle: what one connection means for the agents of one namespace, signed as a compact JWS (bundle/sign.ts). The
 * manifests travel as they are, and the sidecar decodes them with the same decoder as everybody (crds/decode.ts).
 */
import { decodeResource, formatProblem } from '#crds/decode.ts';
import { API_VERSION, type DatabaseAccessPolicy, type DatabaseConnection } from '#crds/kinds.ts';
import { JsonReader, MalformedError, type Read, readingJson, readText } from './json-reader.ts';

/** A manifest as JSON: apiVersion, kind, metadata (namespace, name) and spec, without status and managedFields. */
export type ManifestJson = Readonly<Record<string, unknown>>;

/** As it is signed. A withdrawal grants nobody anything: `policies` and `serviceAccounts` are empty, `connection` may be absent. */
export interface Bundle {
  readonly apiVersion: typeof API_VERSION;
  readonly connection: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly agentNamespace: string;
  /** From 1, only ever rises for a connection and namespace. */
  readonly generation: number;
  readonly manifests: { readonly connection?: ManifestJson; readonly policies: readonly ManifestJson[] };
  /** Names of the accounts in `agentNamespace` that may use the connection. */
  readonly serviceAccounts: readonly string[];
  /**
   * `schema.table` or `schema.*` of the connection's other policies. They grant nothing here, and still they govern: a view that reads
   * such a table must not show it whole. Absent: none.
   */
  readonly governedTables?: readonly string[];
}

/** A bundle whose manifests are decoded. `connection` is absent in a withdrawal only. */
export interface OpenedBundle {
  readonly connection: Bundle['connection'];
  readonly agentNamespace: string;
  readonly generation: number;
  readonly manifests: {
    readonly connection: DatabaseConnection | undefined;
    readonly policies: readonly DatabaseAccessPolicy[];
  };
  readonly serviceAccounts: readonly string[];
  /** The governed tables as a policy that matches nobody; `undefined`: there are none. */
  readonly governing: DatabaseAccessPolicy | undefined;
}

const MAX_POLICIES = 10_000;
const MAX_SERVICE_ACCOUNTS = 100_000;
const MAX_GOVERNED_TABLES = 1_000_000;
const GOVERNING_NAME = 'governed-by-others';

/** Decodes a payload and its manifests; unknown fields beside them are ignored, unknown fields within a manifest are not. */
export function openBundle(payload: string | Uint8Array): Read<OpenedBundle> {
  return readingJson(payload, 'bundle', (value) => {
    const reader = new JsonReader(value, 'bundle');
    reader.choice('apiVersion', [API_VERSION]);
    const name = reader.map('connection');
    const connection = { namespace: name.text('namespace'), name: name.text('name'), uid: name.text('uid') };
    const generation = reader.count('generation');
    if (generation < 1) throw new MalformedError('bundle.generation', 'a whole number from 1');
    const manifests = reader.map('manifests');
    const given = manifests.raw('connection');
    const opened: OpenedBundle = {
      connection,
      agentNamespace: reader.text('agentNamespace'),
      generation,
      manifests: {
        connection: given === undefined ? undefined : readConnection(given, connection),
        policies: manifests.list('policies', MAX_POLICIES, (value, path) => readPolicy(value, path, connection)),
      },
      serviceAccounts: reader.list('serviceAccounts', MAX_SERVICE_ACCOUNTS, readText),
      governing: readGoverning(reader, connection),
    };
    if (opened.manifests.connection === undefined && !isWithdrawal(opened)) {
      throw new MalformedError(
        'bundle.manifests.connection',
        'a DatabaseConnection, because the bundle grants something',
      );
    }
    return opened;
  });
}

/** Grants nobody anything: sessions end, nobody gets in. */
export function isWithdrawal(bundle: OpenedBundle): boolean {
  return bundle.manifests.policies.length === 0 && bundle.serviceAccounts.length === 0;
}

function readConnection(value: unknown, named: Bundle['connection']): DatabaseConnection {
  const path = 'bundle.manifests.connection';
  const decoded = decodeResource(value);
  if (decoded.kind === 'invalid') throw new MalformedError(path, `a sound manifest; ${firstProblem(decoded)}`);
  if (decoded.kind === 'ignored' || decoded.resource.kind !== 'DatabaseConnection') {
    throw new MalformedError(path, 'a DatabaseConnection');
  }
  const { resource } = decoded;
  if (resource.namespace !== named.namespace || resource.name !== named.name) {
    throw new MalformedError(path, `the DatabaseConnection ${named.namespace}/${named.name}`);
  }
  return resource;
}

function readPolicy(value: unknown, path: string, named: Bundle['connection']): DatabaseAccessPolicy {
  const decoded = decodeResource(value);
  if (decoded.kind === 'invalid') throw new MalformedError(path, `a sound manifest; ${firstProblem(decoded)}`);
  if (decoded.kind === 'ignored' || decoded.resource.kind !== 'DatabaseAccessPolicy') {
    throw new MalformedError(path, 'a DatabaseAccessPolicy');
  }
  const { resource } = decoded;
  if (resource.namespace !== named.namespace || resource.spec.connectionRef.name !== named.name) {
    throw new MalformedError(path, `a policy of the connection ${named.namespace}/${named.name}`);
  }
  return resource;
}

function readGoverning(reader: JsonReader, named: Bundle['connection']): DatabaseAccessPolicy | undefined {
  if (reader.raw('governedTables') === undefined) return undefined;
  const tables = reader.list('governedTables', MAX_GOVERNED_TABLES, readText);
  if (tables.length === 0) return undefined;
  const policies = chunks(tables).map((names) => {
    const manifest = {
      apiVersion: API_VERSION,
      kind: 'DatabaseAccessPolicy',
      metadata: { namespace: named.namespace, name: GOVERNING_NAME },
      spec: { connectionRef: { name: named.name }, tables: names.map((name) => ({ name })) },
    };
    return readPolicy(manifest, 'bundle.governedTables', named);
  });
  const [first] = policies;
  if (first === undefined) return undefined;
  return { ...first, spec: { ...first.spec, tables: policies.flatMap((policy) => policy.spec.tables) } };
}

/** As many as a policy may name. */
function chunks(names: readonly string[]): readonly (readonly string[])[] {
  const size = 1000;
  return Array.from({ length: Math.ceil(names.length / size) }, (_, index) =>
    names.slice(index * size, (index + 1) * size),
  );
}

function firstProblem(decoded: Extract<ReturnType<typeof decodeResource>, { kind: 'invalid' }>): string {
  const [problem] = decoded.problems;
  return problem === undefined ? decoded.name : `${decoded.name}: ${formatProblem(problem)}`;
}
