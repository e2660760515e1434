/**
 * The sidecar and its volumes, from a release's template and what a pod asks for. Everything that the API server would default is
 * written out, so that a live pod can be compared with this; an empty value is left out, as the API server does.
 */
import { createHash } from 'node:crypto';
import { BUNDLE_FILE, bundleConfigMapName, bundleFolder, KEY_SET_FILE } from '#bundle/config-map.ts';
import {
  ADMIN_PORT,
  BUNDLES_VOLUME,
  SIDECAR_NAME,
  SIDECAR_UID,
  type SidecarShape,
  type SidecarTemplate,
  SPOOL_VOLUME,
  TOKEN_VOLUME,
} from './context.ts';
import { asMap, isMap, type Json } from './pod-json.ts';
import { quantityBytes } from './quantity.ts';
import type { RequestedConnection } from './requested-connections.ts';

const BUNDLE_DIRECTORY = '/etc/postern/bundles';
const TOKEN_DIRECTORY = '/var/run/secrets/postern.dev';
const SPOOL_DIRECTORY = '/var/lib/postern';

/** Of the volume's limit: past it the kubelet evicts the pod, so the proxy stops before. */
const SPOOL_SHARE = 0.8;
/** Of the memory limit: the rest is WebAssembly, buffers and code. */
const HEAP_SHARE = 0.6;
const TOKEN_SECONDS = 3600;
const FILE_MODE = 0o644;

/** Marks in a shape; no template holds such a text, and what a pod asks for is checked before it takes their place. */
const CONNECTIONS = '{{connections}}';
const ROOT_KEYS = '{{rootKeys}}';
const CONFIG_MAP = '{{configMap}}';
const FOLDER = '{{folder}}';

/** What is injected, with marks for what depends on the pod: recorded for an earlier release, else made here. */
export function shapeOf(template: SidecarTemplate): SidecarShape {
  if (template.shape !== undefined) return template.shape;
  return { container: containerShape(template), volumes: volumeShapes(template), bundleSource: bundleSourceShape() };
}

/** The init container. */
export function sidecarContainer(
  template: SidecarTemplate,
  rootKeys: readonly string[],
  connections: readonly RequestedConnection[],
): Json {
  const served = connections.map(({ namespace, name, port }) => `${namespace}/${name}=${port}`);
  return filled(shapeOf(template).container, { [CONNECTIONS]: served.join(','), [ROOT_KEYS]: rootKeys.join(',') });
}

/** The three volumes: signed bundles, tokens, spool. */
export function sidecarVolumes(
  template: SidecarTemplate,
  connections: readonly RequestedConnection[],
): readonly Json[] {
  const { volumes, bundleSource } = shapeOf(template);
  const sources = connections.map(({ namespace, name }) =>
    filled(bundleSource, {
      [CONFIG_MAP]: bundleConfigMapName(namespace, name),
      [FOLDER]: bundleFolder(namespace, name),
    }),
  );
  return volumes.map((volume) =>
    volume['name'] === BUNDLES_VOLUME ? { ...volume, projected: { ...asMap(volume['projected']), sources } } : volume,
  );
}

/** The shape with each mark replaced, once. */
function filled(shape: Json, values: Readonly<Record<string, string>>): Json {
  const fill = (value: unknown): unknown => {
    if (typeof value === 'string') return value.replaceAll(/\{\{[a-zA-Z]+\}\}/g, (mark) => values[mark] ?? mark);
    if (Array.isArray(value)) return value.map(fill);
    return isMap(value) ? fillMap(value) : value;
  };
  const fillMap = (map: Json): Json =>
    Object.fromEntries(Object.entries(map).map(([key, value]) => [key, fill(value)]));
  return fillMap(shape);
}

function containerShape(template: SidecarTemplate): Json {
  return {
    name: SIDECAR_NAME,
    image: template.image,
    imagePullPolicy: template.imagePullPolicy,
    args: ['proxy'],
    restartPolicy: 'Always',
    env: environmentShape(template),
    ports: [{ name: 'postern-admin', containerPort: ADMIN_PORT, protocol: 'TCP' }],
    resources: template.resources,
    securityContext: {
      runAsUser: SIDECAR_UID,
      runAsGroup: SIDECAR_UID,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      privileged: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    startupProbe: probe({ periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 60 }),
    livenessProbe: probe({ periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 }),
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    volumeMounts: [
      { name: BUNDLES_VOLUME, mountPath: BUNDLE_DIRECTORY, readOnly: true },
      { name: TOKEN_VOLUME, mountPath: TOKEN_DIRECTORY, readOnly: true },
      { name: SPOOL_VOLUME, mountPath: SPOOL_DIRECTORY },
    ],
  };
}

function probe(timing: Json): Json {
  return { httpGet: { path: '/livez', port: ADMIN_PORT, scheme: 'HTTP' }, successThreshold: 1, ...timing };
}

function environmentShape(template: SidecarTemplate): readonly Json[] {
  const value = (name: string, text: string): Json => (text === '' ? { name } : { name, value: text });
  const field = (name: string, fieldPath: string): Json => ({
    name,
    valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
  });
  const memoryBytes = quantityBytes(template.resources.limits['memory']);
  const heapMib = memoryBytes === undefined ? undefined : Math.floor((memoryBytes * HEAP_SHARE) / 2 ** 20);
  return [
    value('POSTERN_CONNECTIONS', CONNECTIONS),
    value('POSTERN_ROOT_KEYS', ROOT_KEYS),
    value('POSTERN_OPERATOR_URL', template.operatorUrl),
    value('POSTERN_COLLECTOR_URL', template.collectorUrl),
    value('POSTERN_BUNDLE_DIRECTORY', BUNDLE_DIRECTORY),
    value('POSTERN_TOKEN_DIRECTORY', TOKEN_DIRECTORY),
    value('POSTERN_SPOOL_DIRECTORY', SPOOL_DIRECTORY),
    value('POSTERN_SPOOL_LIMIT_BYTES', String(Math.floor((quantityBytes(template.spoolSizeLimit) ?? 0) * SPOOL_SHARE))),
    value('POSTERN_LOG_LEVEL', template.logLevel),
    // Else a Service called postern-admin would set it, by the service links of every container.
    value('POSTERN_ADMIN_PORT', String(ADMIN_PORT)),
    ...(heapMib === undefined ? [] : [value('NODE_OPTIONS', `--max-old-space-size=${heapMib}`)]),
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_UID', 'metadata.uid'),
    field('POD_IP', 'status.podIP'),
    field('POD_SERVICE_ACCOUNT', 'spec.serviceAccountName'),
  ];
}

function volumeShapes(template: SidecarTemplate): readonly Json[] {
  const token = (purpose: string): Json => ({
    serviceAccountToken: { audience: `postern.dev/${purpose}`, expirationSeconds: TOKEN_SECONDS, path: purpose },
  });
  return [
    { name: BUNDLES_VOLUME, projected: { defaultMode: FILE_MODE, sources: [] } },
    {
      name: TOKEN_VOLUME,
      projected: { defaultMode: FILE_MODE, sources: [token('operator'), token('collector')] },
    },
    { name: SPOOL_VOLUME, emptyDir: { sizeLimit: template.spoolSizeLimit } },
  ];
}

function bundleSourceShape(): Json {
  const items = [BUNDLE_FILE, KEY_SET_FILE].map((file) => ({ key: file, path: `${FOLDER}/${file}` }));
  return { configMap: { name: CONFIG_MAP, optional: true, items } };
}

/** Tells templates apart: 16 hex characters. For the annotation `postern.dev/injected`. */
export function templateHash(template: SidecarTemplate): string {
  return createHash('sha256')
    .update(stableJson(shapeOf(template)))
    .digest('hex')
    .slice(0, 16);
}

function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
