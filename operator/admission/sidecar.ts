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
  type SidecarTemplate,
  SPOOL_VOLUME,
  TOKEN_VOLUME,
} from './context.ts';
import type { Json } from './pod-json.ts';
import { quantityBytes } from './quantity.ts';
import type { RequestedConnection } from './requested-connections.ts';

export const BUNDLE_DIRECTORY = '/etc/postern/bundles';
export const TOKEN_DIRECTORY = '/var/run/secrets/postern.dev';
export const SPOOL_DIRECTORY = '/var/lib/postern';

/** Of the volume's limit: past it the kubelet evicts the pod, so the proxy stops before. */
const SPOOL_SHARE = 0.8;
/** Of the memory limit: the rest is WebAssembly, buffers and code. */
const HEAP_SHARE = 0.6;
const TOKEN_SECONDS = 3600;
const FILE_MODE = 0o644;

/** The init container. */
export function sidecarContainer(
  template: SidecarTemplate,
  rootKeys: readonly string[],
  connections: readonly RequestedConnection[],
): Json {
  return {
    name: SIDECAR_NAME,
    image: template.image,
    imagePullPolicy: template.imagePullPolicy,
    args: ['proxy'],
    restartPolicy: 'Always',
    env: sidecarEnvironment(template, rootKeys, connections),
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

function sidecarEnvironment(
  template: SidecarTemplate,
  rootKeys: readonly string[],
  connections: readonly RequestedConnection[],
): readonly Json[] {
  const value = (name: string, text: string): Json => (text === '' ? { name } : { name, value: text });
  const field = (name: string, fieldPath: string): Json => ({
    name,
    valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
  });
  const memoryBytes = quantityBytes(template.resources.limits['memory']);
  const heapMib = memoryBytes === undefined ? undefined : Math.floor((memoryBytes * HEAP_SHARE) / 2 ** 20);
  return [
    value(
      'POSTERN_CONNECTIONS',
      connections.map(({ namespace, name, port }) => `${namespace}/${name}=${port}`).join(','),
    ),
    value('POSTERN_ROOT_KEYS', rootKeys.join(',')),
    value('POSTERN_OPERATOR_URL', template.operatorUrl),
    value('POSTERN_COLLECTOR_URL', template.collectorUrl),
    value('POSTERN_BUNDLE_DIRECTORY', BUNDLE_DIRECTORY),
    value('POSTERN_TOKEN_DIRECTORY', TOKEN_DIRECTORY),
    value('POSTERN_SPOOL_DIRECTORY', SPOOL_DIRECTORY),
    value('POSTERN_SPOOL_LIMIT_BYTES', String(Math.floor((quantityBytes(template.spoolSizeLimit) ?? 0) * SPOOL_SHARE))),
    value('POSTERN_LOG_LEVEL', template.logLevel),
    ...(heapMib === undefined ? [] : [value('NODE_OPTIONS', `--max-old-space-size=${heapMib}`)]),
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_UID', 'metadata.uid'),
    field('POD_IP', 'status.podIP'),
    field('POD_SERVICE_ACCOUNT', 'spec.serviceAccountName'),
  ];
}

/** The three volumes: signed bundles, tokens, spool. */
export function sidecarVolumes(
  template: SidecarTemplate,
  connections: readonly RequestedConnection[],
): readonly Json[] {
  const token = (purpose: string): Json => ({
    serviceAccountToken: { audience: `postern.dev/${purpose}`, expirationSeconds: TOKEN_SECONDS, path: purpose },
  });
  return [
    {
      name: BUNDLES_VOLUME,
      projected: {
        defaultMode: FILE_MODE,
        sources: connections.map(({ namespace, name }) => ({
          configMap: {
            name: bundleConfigMapName(namespace, name),
            optional: true,
            items: [BUNDLE_FILE, KEY_SET_FILE].map((file) => ({
              key: file,
              path: `${bundleFolder(namespace, name)}/${file}`,
            })),
          },
        })),
      },
    },
    {
      name: TOKEN_VOLUME,
      projected: { defaultMode: FILE_MODE, sources: [token('operator'), token('collector')] },
    },
    { name: SPOOL_VOLUME, emptyDir: { sizeLimit: template.spoolSizeLimit } },
  ];
}

/** Tells templates apart: 16 hex characters. For the annotation `postern.dev/injected`. */
export function templateHash(template: SidecarTemplate): string {
  const shape = [sidecarContainer(template, [], []), sidecarVolumes(template, [])];
  return createHash('sha256').update(stableJson(shape)).digest('hex').slice(0, 16);
}

function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
