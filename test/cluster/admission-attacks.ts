import type { Json } from '#test/admission-samples.ts';

export type Change = (pod: Json) => void;
export type Container = Json & { env: Json[]; volumeMounts: Json[]; securityContext: Json };
type Spec = Json & { initContainers: Container[]; containers: Container[]; volumes: Json[] };
export const specOf = (pod: Json): Spec => pod['spec'] as Spec;
const sidecarOf = (pod: Json): Container => specOf(pod).initContainers[0] as Container;
export const agentOf = (pod: Json): Container => specOf(pod).containers[0] as Container;
const setVariable = (pod: Json, name: string, value: string): void => {
  const entry = sidecarOf(pod).env.find((each) => each['name'] === name);
  if (entry === undefined) throw new Error(`the sidecar has no ${name}`);
  entry['value'] = value;
};

/** What may be changed of an injected pod, and what the policy then says. */
export const CHANGED: readonly (readonly [string, Change, string])[] = [
  ['no sidecar', (pod) => void specOf(pod).initContainers.shift(), 'runs without the sidecar'],
  [
    'an init container before the sidecar',
    (pod) =>
      void specOf(pod).initContainers.unshift({ name: 'first', image: 'localhost/node:26' } as unknown as Container),
    'runs before the sidecar',
  ],
  ['a foreign image', (pod) => void (sidecarOf(pod)['image'] = 'localhost/postgres:15'), 'another image'],
  ['other args', (pod) => void (sidecarOf(pod)['args'] = ['proxy', '--help']), 'another image, restartPolicy or args'],
  ['a command', (pod) => void (sidecarOf(pod)['command'] = ['node', '-e', '0']), 'does not set (command'],
  [
    'a preStop hook',
    (pod) => void (sidecarOf(pod)['lifecycle'] = { preStop: { exec: { command: ['node', '-v'] } } }),
    'does not set (command',
  ],
  [
    'a probe that runs a program',
    (pod) => void (sidecarOf(pod)['livenessProbe'] = { exec: { command: ['node', '-v'] } }),
    'other probes',
  ],
  ['another user', (pod) => void (sidecarOf(pod).securityContext['runAsUser'] = 1000), 'another securityContext'],
  [
    'a writable root',
    (pod) => void (sidecarOf(pod).securityContext['readOnlyRootFilesystem'] = false),
    'another securityContext',
  ],
  [
    'a mount over the program',
    (pod) => void sidecarOf(pod).volumeMounts.push({ name: 'postern-spool', mountPath: '/postern' }),
    'other mounts',
  ],
  [
    'a root key of its own',
    (pod) => setVariable(pod, 'POSTERN_ROOT_KEYS', 'my-own-key'),
    'other environment variables',
  ],
  [
    'an operator of its own',
    (pod) => setVariable(pod, 'POSTERN_OPERATOR_URL', 'https://mine:8443'),
    'other environment variables',
  ],
  [
    'a collector of its own',
    (pod) => setVariable(pod, 'POSTERN_COLLECTOR_URL', 'https://mine'),
    'other environment variables',
  ],
  [
    'a connection that the annotation does not name',
    (pod) => setVariable(pod, 'POSTERN_CONNECTIONS', 'data/other=5432'),
    'other environment variables',
  ],
  [
    'code by NODE_OPTIONS',
    (pod) => setVariable(pod, 'NODE_OPTIONS', '--import=/tmp/x.mjs'),
    'other environment variables',
  ],
  [
    'one more variable',
    (pod) => void sidecarOf(pod).env.push({ name: 'NODE_EXTRA_CA_CERTS', value: '/tmp/ca' }),
    'other environment variables',
  ],
  [
    'another account told to it',
    (pod) =>
      void (sidecarOf(pod).env[15] = {
        name: 'POD_SERVICE_ACCOUNT',
        valueFrom: { fieldRef: { fieldPath: 'metadata.name' } },
      }),
    'by other fields',
  ],
  [
    'the token volume without a token',
    (pod) => void (specOf(pod).volumes[1] = { name: 'postern-token', emptyDir: {} }),
    'volumes postern-bundles',
  ],
  [
    'a bundle volume of its own',
    (pod) => void (specOf(pod).volumes[0] = { name: 'postern-bundles', configMap: { name: 'mine' } }),
    'volumes postern-bundles',
  ],
  [
    'a spool in memory',
    (pod) =>
      void (specOf(pod).volumes[2] = { name: 'postern-spool', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }),
    'volumes postern-bundles',
  ],
  [
    'the token in the agent',
    (pod) => void (agentOf(pod).volumeMounts = [{ name: 'postern-token', mountPath: '/t' }]),
    'mounts a volume postern-*',
  ],
  [
    'a projected token for the agent',
    (pod) =>
      void specOf(pod).volumes.push({
        name: 'mine',
        projected: { sources: [{ serviceAccountToken: { audience: 'postern.dev/operator', path: 'x' } }] },
      }),
    'projects a token',
  ],
  ['a hostPath', (pod) => void specOf(pod).volumes.push({ name: 'host', hostPath: { path: '/' } }), 'is a hostPath'],
  ['a shared process namespace', (pod) => void (specOf(pod)['shareProcessNamespace'] = true), 'shareProcessNamespace'],
  ["the host's processes", (pod) => void (specOf(pod)['hostPID'] = true), 'hostPID'],
  ["the host's IPC", (pod) => void (specOf(pod)['hostIPC'] = true), 'hostIPC'],
  ['a privileged container', (pod) => void (agentOf(pod).securityContext = { privileged: true }), 'is privileged'],
  [
    'an added capability',
    (pod) => void (agentOf(pod).securityContext = { capabilities: { add: ['SYS_PTRACE'] } }),
    'adds capabilities',
  ],
  ["the sidecar's user", (pod) => void (agentOf(pod).securityContext = { runAsUser: 21026 }), 'user 21026'],
  ["the sidecar's group", (pod) => void (specOf(pod)['securityContext'] = { fsGroup: 21026 }), 'user or group 21026'],
];
