import { decodeResource } from '#crds/decode.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { AdmissionContext, SidecarTemplate } from '#operator/admission/context.ts';
import { inject, type PatchOperation } from '#operator/admission/inject.ts';

export type Json = Record<string, unknown>;

export const TEMPLATE: SidecarTemplate = {
  release: '0.1.0',
  image: 'localhost/node:26',
  imagePullPolicy: 'IfNotPresent',
  operatorUrl: 'https://postern-operator.postern-system.svc:8443',
  collectorUrl: '',
  logLevel: 'info',
  resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '256Mi' } },
  spoolSizeLimit: '256Mi',
};

export const ROOT_KEY = 'o3nDvz8Kk4bGpCjU0qXJrYw8n5sVhE1mT2fLxZ6aB9c';

export function connection(namespace: string, name: string, spec: Json = {}): DatabaseConnection {
  const decoded = decodeResource({
    apiVersion: 'postern.dev/v1alpha1',
    kind: 'DatabaseConnection',
    metadata: { namespace, name },
    spec: {
      engine: 'Postgres',
      host: `${name}-rw.${namespace}.svc`,
      database: `${name}_db`,
      credentials: { secretRef: { name: `${name}-agent` } },
      ...spec,
    },
  });
  if (decoded.kind !== 'decoded' || decoded.resource.kind !== 'DatabaseConnection') {
    throw new Error(`the sample connection does not decode: ${JSON.stringify(decoded)}`);
  }
  return decoded.resource;
}

/** Knows data/shop, data/bill-2 and agents/own; the last shares its namespace with the sample pod. */
export function admissionContext(
  changes: Partial<AdmissionContext> = {},
  more: readonly DatabaseConnection[] = [],
): AdmissionContext {
  const all = [
    ...more,
    connection('data', 'shop'),
    connection('data', 'bill-2'),
    connection('agents', 'own', { maskKey: { secretRef: { name: 'own-mask', key: 'mask-key' } } }),
  ];
  return {
    template: TEMPLATE,
    previousTemplates: [],
    rootKeys: [ROOT_KEY],
    retiringRootKeys: [],
    connection: (namespace, name) => all.find((each) => each.namespace === namespace && each.name === name),
    ...changes,
  };
}

/** A labelled pod of one container, as a controller creates it; `spec` and `annotations` are laid over. */
export function agentPod(spec: Json = {}, annotations: Json = {}): Json {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: 'agent-',
      labels: { 'postern.dev/inject': 'true', app: 'agent' },
      annotations: { 'postern.dev/connections': 'data/shop', ...annotations },
    },
    spec: {
      serviceAccountName: 'support-bot',
      containers: [{ name: 'agent', image: 'localhost/node:26', command: ['sleep', 'infinity'] }],
      ...spec,
    },
  };
}

/** RFC 6902 `add` on members of maps, which is all that the injector writes. */
export function applyPatch(document: Json, patch: readonly PatchOperation[]): Json {
  const copy = structuredClone(document);
  for (const { path, value } of patch) {
    const keys = path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    let parent: Json = copy;
    for (const key of keys) parent = asJson(parent[key]);
    parent[last] = structuredClone(value);
  }
  return copy;
}

function asJson(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('the patch names no map');
  return value as Json;
}

/** The pod as it is after the webhook; throws where it is refused. */
export function injected(pod: Json, context: AdmissionContext = admissionContext(), namespace = 'agents'): Json {
  const injection = inject(pod, namespace, context);
  if (injection.kind === 'refused') throw new Error(injection.refusals.map(({ message }) => message).join('; '));
  return applyPatch(pod, injection.patch);
}
