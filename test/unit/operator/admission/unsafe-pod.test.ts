import { describe, expect, test } from 'vitest';
import { inject } from '#operator/admission/inject.ts';
import { admissionContext, agentPod, connection, type Json } from '#test/admission-samples.ts';

const OPEN_TLS = connection('data', 'loose', { tls: { mode: 'Require' } });
const CONTEXT = admissionContext({}, [OPEN_TLS]);

function refusals(spec: Json, connections = 'data/shop'): readonly string[] {
  const injection = inject(agentPod(spec, { 'postern.dev/connections': connections }), 'agents', CONTEXT);
  return injection.kind === 'refused' ? injection.refusals.map(({ reason, message }) => `${reason}: ${message}`) : [];
}

const agent = (more: Json): Json => ({ containers: [{ name: 'agent', ...more }] });
const secured = (securityContext: Json): Json => agent({ securityContext });
const volume = (more: Json): Json => ({ volumes: [{ name: 'mine', ...more }] });

describe('an unsafe pod is refused with the reason', () => {
  test.each<[string, Json, string]>([
    [
      'a shared process namespace',
      { shareProcessNamespace: true },
      'SharedProcessNamespace: spec.shareProcessNamespace lets every container read the sidecar; remove it',
    ],
    ["the host's processes", { hostPID: true }, 'HostNamespace: spec.hostPID reaches past the pod; remove it'],
    ["the host's network", { hostNetwork: true }, 'HostNamespace: spec.hostNetwork reaches past the pod; remove it'],
    ["the host's IPC", { hostIPC: true }, 'HostNamespace: spec.hostIPC reaches past the pod; remove it'],
    [
      'a hostPath',
      volume({ hostPath: { path: '/var' } }),
      'HostPath: volume mine: a hostPath reaches the files of every pod on the node; use another kind of volume',
    ],
    [
      'a privileged container',
      secured({ privileged: true }),
      'Privileged: spec.containers[0] (agent): a privileged container can read the sidecar; drop it',
    ],
    [
      'an added capability',
      secured({ capabilities: { add: ['SYS_PTRACE'] } }),
      'AddedCapabilities: spec.containers[0] (agent): added capabilities (SYS_PTRACE) are not allowed beside the sidecar; remove them',
    ],
    [
      'an unmasked proc',
      secured({ procMount: 'Unmasked' }),
      'ProcMount: spec.containers[0] (agent): procMount must be Default; remove it',
    ],
    [
      "the sidecar's user in a container",
      secured({ runAsUser: 21026 }),
      "SidecarUser: spec.containers[0].securityContext.runAsUser is 21026, which is the sidecar's; choose another",
    ],
    [
      "the sidecar's user in the pod",
      { securityContext: { runAsUser: 21026 } },
      "SidecarUser: spec.securityContext.runAsUser is 21026, which is the sidecar's; choose another",
    ],
    [
      "the sidecar's group among others",
      { securityContext: { supplementalGroups: [1, 21026] } },
      "SidecarUser: spec.securityContext.supplementalGroups is 21026, which is the sidecar's; choose another",
    ],
    [
      'a container with its name',
      { containers: [{ name: 'postern-proxy' }] },
      "ReservedName: spec.containers[0]: the name postern-proxy is the sidecar's; choose another",
    ],
    [
      'a volume with its prefix',
      { volumes: [{ name: 'postern-mine', emptyDir: {} }] },
      "ReservedVolume: volume postern-mine: names that begin with postern- are the sidecar's; rename it",
    ],
    [
      'a mount of its volume',
      agent({ volumeMounts: [{ name: 'postern-token', mountPath: '/t' }] }),
      "ReservedVolume: spec.containers[0] (agent): mounts postern-token, which is the sidecar's; remove the mount",
    ],
    [
      'a projected token',
      volume({ projected: { sources: [{ serviceAccountToken: { audience: 'postern.dev/operator' } }] } }),
      "ReservedToken: volume mine: a token for the audience postern.dev/operator is the sidecar's only; remove it",
    ],
    [
      'a port of a connection',
      agent({ ports: [{ containerPort: 5432 }] }),
      'PortClash: spec.containers[0] (agent): port 5432 is taken by connection data/shop; let the container listen elsewhere, or move the connections with the annotation postern.dev/port',
    ],
    [
      'the port of health and metrics',
      agent({ ports: [{ containerPort: 19464 }] }),
      "PortClash: spec.containers[0] (agent): port 19464 is taken by the sidecar's health and metrics; let the container listen elsewhere",
    ],
    ['Windows', { os: { name: 'windows' } }, 'UnsupportedSystem: spec.os.name: the sidecar runs on linux only'],
  ])('%s', (_what, spec, message) => {
    expect(refusals(spec)).toEqual([message]);
  });

  test('all reasons at once', () => {
    expect(refusals({ hostPID: true, shareProcessNamespace: true }).length).toBe(2);
  });

  test.each<[string, Json]>([
    [
      'a projected token for somebody else',
      volume({ projected: { sources: [{ serviceAccountToken: { audience: 'vault' } }] } }),
    ],
    ['UDP on the same number', agent({ ports: [{ containerPort: 5432, protocol: 'UDP' }] })],
    ['dropped capabilities', secured({ capabilities: { drop: ['ALL'] } })],
    [
      "Istio's capabilities",
      {
        initContainers: [{ name: 'istio-init', securityContext: { capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } } }],
      },
    ],
  ])('%s is fine', (_what, spec) => {
    expect(refusals(spec)).toEqual([]);
  });
});

describe("the connection's Secret, where the pod shares its namespace", () => {
  const uses: readonly (readonly [string, Json, string])[] = [
    [
      'env',
      agent({ env: [{ name: 'P', valueFrom: { secretKeyRef: { name: 'own-agent', key: 'password' } } }] }),
      'spec.containers[0].env[0].valueFrom.secretKeyRef.name',
    ],
    [
      'envFrom',
      agent({ envFrom: [{ secretRef: { name: 'own-agent' } }] }),
      'spec.containers[0].envFrom[0].secretRef.name',
    ],
    ['a volume', volume({ secret: { secretName: 'own-agent' } }), 'spec.volumes[0].secret.secretName'],
    [
      'a projected volume',
      volume({ projected: { sources: [{ secret: { name: 'own-agent' } }] } }),
      'spec.volumes[0].projected.sources[0].secret.name',
    ],
    [
      'CSI',
      volume({ csi: { driver: 'x', nodePublishSecretRef: { name: 'own-agent' } } }),
      'spec.volumes[0].csi.nodePublishSecretRef.name',
    ],
    [
      'the mask key',
      agent({ envFrom: [{ secretRef: { name: 'own-mask' } }] }),
      'spec.containers[0].envFrom[0].secretRef.name',
    ],
    [
      'an older driver',
      volume({ azureFile: { secretName: 'own-agent', shareName: 's' } }),
      'spec.volumes[0].azureFile.secretName',
    ],
    [
      'an init container',
      { initContainers: [{ name: 'i', envFrom: [{ secretRef: { name: 'own-agent' } }] }] },
      'spec.initContainers[0].envFrom[0].secretRef.name',
    ],
  ];
  test.each(uses)('%s: refused', (_what, spec, path) => {
    const [found] = refusals(spec, 'agents/own');
    expect(found).toMatch(
      /^ConnectionSecret: .* is that of connection agents\/own, whose password no container may hold; remove it/,
    );
    expect(found).toContain(`${path}: `);
  });

  test('another Secret of that name in another namespace is another Secret', () => {
    expect(refusals(agent({ envFrom: [{ secretRef: { name: 'shop-agent' } }] }), 'data/shop')).toEqual([]);
  });
});

describe('traffic that the pod could lead elsewhere', () => {
  const means: readonly (readonly [string, Json])[] = [
    ['spec.hostAliases', { hostAliases: [{ ip: '127.0.0.1', hostnames: ['loose-rw.data.svc'] }] }],
    ['spec.dnsConfig', { dnsPolicy: 'None', dnsConfig: { nameservers: ['127.0.0.1'] } }],
    [
      'added capabilities',
      { initContainers: [{ name: 'istio-init', securityContext: { capabilities: { add: ['NET_ADMIN'] } } }] },
    ],
  ];
  test.each(means)('%s: refused where the certificate is not checked, fine where it is', (what, spec) => {
    expect(refusals(spec, 'data/loose')).toEqual([
      `RedirectedTraffic: ${what}: could lead the traffic of connection data/loose elsewhere, whose tls.mode Require would not notice; use tls.mode VerifyFull, or remove that from the pod`,
    ]);
    expect(refusals(spec, 'data/shop')).toEqual([]);
  });
});
