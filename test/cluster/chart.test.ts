import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { installForeignDefinitions } from './foreign-definitions.ts';
import { kubectl, run, succeed } from './programs.ts';
import { CHART, type Manifest, renderChart } from './rendered-chart.ts';

const NAMESPACE = 'package-chart';
const DATA = 'package-chart-data';

const render = (...values: readonly string[]) => renderChart(NAMESPACE, ...values);

const NAMESPACED = `connectionNamespaces=["${DATA}"]`;
const COLLECTOR = 'collector={"enabled":true,"s3":{"bucket":"records"}}';
const VARIANTS: readonly (readonly [string, readonly string[]])[] = [
  ['the defaults', []],
  ['a namespace with connections', [NAMESPACED]],
  [
    'everything on, certificates by cert-manager',
    [
      NAMESPACED,
      'certificates.mode="certManager"',
      'monitoring.serviceMonitor.enabled=true',
      'monitoring.podMonitor.enabled=true',
      'monitoring.prometheusRule.enabled=true',
      'monitoring.dashboard.enabled=true',
      'operator.priorityClassName="system-cluster-critical"',
      'operator.podLabels={"team":"platform"}',
      'operator.nodeSelector={"kubernetes.io/os":"linux"}',
      'operator.tolerations=[{"key":"a","operator":"Exists"}]',
      'imagePullSecrets=[{"name":"pull"}]',
      'webhook.excludedNamespaces=["istio-system"]',
      'collectorUrl="https://collector:8444"',
    ],
  ],
  ['a collector with keys', [COLLECTOR, 'collector.s3.credentialsSecretName="s3-keys"']],
  [
    'a collector with everything on, certificates by cert-manager',
    [
      COLLECTOR,
      'certificates.mode="certManager"',
      'collector.s3.lock={"mode":"COMPLIANCE","days":365}',
      'collector.s3.kmsKeyId="arn:aws:kms:eu-central-1:111122223333:key/postern"',
      'collector.s3.endpoint="https://s3.example:9000"',
      'collector.s3.pathStyle=true',
      'collector.serviceAccount.annotations={"eks.amazonaws.com/role-arn":"arn:aws:iam::111122223333:role/postern"}',
      'collector.podLabels={"team":"platform"}',
      'collector.autoscaling.enabled=false',
      'monitoring.serviceMonitor.enabled=true',
      'monitoring.prometheusRule.enabled=true',
    ],
  ],
  [
    'an external certificate, little else',
    [
      'certificates.mode="external"',
      'certificates.external.secretName="own-tls"',
      'crds.create=false',
      'networkPolicy.enabled=false',
      'accessRoles.create=false',
      'operator.podDisruptionBudget.enabled=false',
      'operator.replicas=1',
    ],
  ],
];

let removeForeignDefinitions: () => Promise<void>;

beforeAll(async () => {
  removeForeignDefinitions = await installForeignDefinitions();
  for (const namespace of [NAMESPACE, DATA]) {
    await run('kubectl', ['create', 'namespace', namespace]);
    await kubectl('label', '--overwrite', 'namespace', namespace, 'pod-security.kubernetes.io/warn=restricted');
  }
});
afterAll(async () => {
  await removeForeignDefinitions();
  await kubectl('delete', 'namespace', NAMESPACE, DATA, '--wait=false');
});

describe('the chart', () => {
  test('passes helm lint', async () => {
    expect(await succeed('helm', ['lint', '--strict', CHART])).toContain('0 chart(s) failed');
  });

  test.each(VARIANTS)(
    'is valid by the schemas of the API server, the Prometheus operator and cert-manager, without a warning: %s',
    async (_, values) => {
      const manifests = await render(...values);
      expect(manifests.length).toBeGreaterThan(10);
      const { code, stderr } = await run(
        'kubectl',
        ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict', '--filename', '-'],
        manifests.map((manifest) => JSON.stringify(manifest)).join('\n---\n'),
      );
      expect(stderr).toBe('');
      expect(code).toBe(0);
    },
  );

  test('renders the same at each call: nothing is made up in templates', async () => {
    expect(await render(NAMESPACED)).toEqual(await render(NAMESPACED));
  });

  test('gives the operator Secrets by Roles only: six of its own by name, and those of the namespaces with connections', async () => {
    const rules = (await render(NAMESPACED))
      .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
      .flatMap((role) =>
        (role['rules'] as readonly Rule[]).filter(covers('secrets')).map((rule) => ({
          role: `${role.kind} ${role.metadata.namespace ?? ''}`,
          verbs: rule.verbs,
          names: rule.resourceNames,
        })),
      );
    expect(rules).toEqual([
      { role: `Role ${NAMESPACE}`, verbs: ['list', 'watch', 'create'], names: undefined },
      {
        role: `Role ${NAMESPACE}`,
        verbs: ['get', 'update', 'patch'],
        names: [
          'postern-root-key',
          'postern-signing-keys',
          'postern-ca',
          'postern-mask-keys',
          'postern-digest-key',
          'postern-collector-tls',
        ],
      },
      { role: `Role ${DATA}`, verbs: ['get', 'list', 'watch'], names: undefined },
    ]);
  });

  test('gives the operator no star, no impersonation, no exec, and no rights over rights', async () => {
    const rules = (await render(NAMESPACED)).flatMap(({ kind, ...role }) =>
      kind === 'Role' || kind === 'ClusterRole' ? (role['rules'] as readonly Rule[]) : [],
    );
    const words = rules.flatMap(({ verbs, resources, apiGroups }) => [...verbs, ...resources, ...apiGroups]);
    for (const word of ['*', 'impersonate', 'escalate', 'bind', 'pods/exec', 'serviceaccounts/token', 'roles'])
      expect(words).not.toContain(word);
  });

  test('gives the collector the right to ask whose a token is, and no other', async () => {
    const rendered = await render(COLLECTOR);
    const bindings = rendered.filter(
      (manifest) =>
        manifest.kind.endsWith('Binding') && JSON.stringify(manifest['subjects'] ?? []).includes('postern-collector'),
    );
    expect(bindings.map(({ kind, metadata }) => [kind, metadata.name])).toEqual([
      ['ClusterRoleBinding', 'postern-collector'],
    ]);
    const role = rendered.find(({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'postern-collector');
    expect(role?.['rules']).toEqual([
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    ]);
  });

  test("sends sidecars to this release's collector, and lets pods in that do so", async () => {
    const url = `https://postern-collector.${NAMESPACE}.svc:8443`;
    const texts = (await render(COLLECTOR)).map((manifest) => [manifest.kind, JSON.stringify(manifest)] as const);
    const naming = texts.filter(([, text]) => text.includes(url)).map(([kind]) => kind);
    expect(naming.toSorted()).toEqual(['Deployment', 'ValidatingAdmissionPolicy']);
  });

  test('keeps the CRDs when it is removed, unless told otherwise', async () => {
    const crds = async (...values: readonly string[]): Promise<readonly unknown[]> =>
      (await render(...values))
        .filter(({ kind }) => kind === 'CustomResourceDefinition')
        .map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy']);
    expect(await crds()).toEqual(['keep', 'keep']);
    expect(await crds('crds.keep=false')).toEqual([undefined, undefined]);
    expect(await crds('crds.create=false')).toEqual([]);
  });

  test('the CRDs in it are those in crds/', async () => {
    const rendered = (await render()).filter(({ kind }) => kind === 'CustomResourceDefinition');
    const files = ['databaseaccesspolicies', 'databaseconnections'].map((plural) =>
      readFileSync(new URL(`../../crds/postern.dev_${plural}.yaml`, import.meta.url), 'utf8'),
    );
    const specs = files.map((text) => (parse(text) as Manifest)['spec']);
    expect(rendered.map((crd) => crd['spec'])).toEqual(specs);
  });

  test.each([
    ['the tag latest', 'image.tag="latest"', 'image/tag'],
    ['an unknown value', 'conectionNamespaces=["a"]', 'conectionNamespaces'],
    ['a namespace that is none', 'connectionNamespaces=["A"]', 'connectionNamespaces'],
    ['a certificate mode that is not known', 'certificates.mode="auto"', 'certificates/mode'],
    ['no replica', 'operator.replicas=0', 'operator/replicas'],
    ['a collector without TLS', 'collectorUrl="http://collector"', 'collectorUrl'],
    ['a collector without a bucket', 'collector.enabled=true', 'collector.s3.bucket'],
    [
      'a collector of its own and another',
      'collectorUrl="https://a",collector={"enabled":true,"s3":{"bucket":"records"}}',
      'leave it empty',
    ],
    ['an Object Lock of no known mode', 'collector.s3.lock.mode="FOREVER"', 'collector/s3/lock/mode'],
    ['an external certificate without its name', 'certificates.mode="external"', 'certificates.external.secretName'],
  ])('refuses %s', async (_, value, named) => {
    const { code, stderr } = await run('helm', ['template', 'postern', CHART, '--set-json', value]);
    expect(code).not.toBe(0);
    expect(stderr).toContain(named);
  });
});

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const covers =
  (resource: string) =>
  ({ resources }: Rule): boolean =>
    resources.includes(resource) || resources.includes('*');
