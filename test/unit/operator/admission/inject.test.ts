import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkInjectedPod } from '#operator/admission/check-injected-pod.ts';
import { inject } from '#operator/admission/inject.ts';
import { admissionContext, agentPod, applyPatch, injected, type Json, TEMPLATE } from '#test/admission-samples.ts';

const CONTEXT = admissionContext();
type Container = {
  name: string;
  image?: string;
  env?: { name: string; value?: string }[];
  volumeMounts?: Json[];
  restartPolicy?: string;
};
type Spec = { initContainers: Container[]; containers: Container[]; volumes: { name: string }[] };
const specOf = (pod: Json): Spec => pod['spec'] as Spec;
const valuesOf = (container: Container | undefined): Json =>
  Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));

function refusals(pod: Json): readonly string[] {
  const injection = inject(pod, 'agents', CONTEXT);
  return injection.kind === 'refused' ? injection.refusals.map(({ reason, message }) => `${reason}: ${message}`) : [];
}

describe('the sidecar', () => {
  test('stands first, runs beside the containers, and is told what it serves', () => {
    const [sidecar, ...others] = specOf(injected(agentPod({ initContainers: [{ name: 'migrate' }] }))).initContainers;
    expect(sidecar).toMatchObject({
      name: 'postern-proxy',
      restartPolicy: 'Always',
      args: ['proxy'],
      image: TEMPLATE.image,
    });
    expect(others.map(({ name }) => name)).toEqual(['migrate']);
    expect(valuesOf(sidecar)).toMatchObject({
      POSTERN_CONNECTIONS: 'data/shop=5432',
      POSTERN_OPERATOR_URL: 'https://postern-operator.postern-system.svc:8443',
      POSTERN_SPOOL_LIMIT_BYTES: String(Math.floor(256 * 2 ** 20 * 0.8)),
      NODE_OPTIONS: '--max-old-space-size=153',
    });
  });

  test('stands after istio-init and istio-proxy where these are first', () => {
    const names = (initContainers: readonly Json[]): readonly string[] =>
      specOf(injected(agentPod({ initContainers }))).initContainers.map(({ name }) => name);
    expect(names([{ name: 'istio-init' }, { name: 'istio-proxy' }, { name: 'migrate' }])).toEqual([
      'istio-init',
      'istio-proxy',
      'postern-proxy',
      'migrate',
    ]);
    expect(names([{ name: 'istio-proxy' }])).toEqual(['istio-proxy', 'postern-proxy']);
    expect(names([{ name: 'migrate' }, { name: 'istio-proxy' }])).toEqual(['postern-proxy', 'migrate', 'istio-proxy']);
  });

  test('comes with its three volumes, beside those of the pod', () => {
    const { volumes } = specOf(injected(agentPod({ volumes: [{ name: 'data', emptyDir: {} }] })));
    expect(volumes.map(({ name }) => name)).toEqual(['data', 'postern-bundles', 'postern-token', 'postern-spool']);
    expect(JSON.stringify(volumes)).toContain('"path":"data.shop/bundle.jws.gz"');
  });

  test('is marked with its release and template, and keeps what the pod said', () => {
    const { metadata } = injected(agentPod()) as { metadata: Json };
    expect(metadata).toMatchObject({
      generateName: 'agent-',
      annotations: {
        'postern.dev/connections': 'data/shop',
        'postern.dev/injected': expect.stringMatching(/^0\.1\.0\/[0-9a-f]{16}$/),
      },
    });
  });

  test('fields that nobody knows stay', () => {
    const pod = agentPod({ futureField: { a: 1 }, containers: [{ name: 'agent', futureField: ['b'] }] });
    expect(injected(pod)).toMatchObject({
      spec: { futureField: { a: 1 }, containers: [{ name: 'agent', futureField: ['b'] }] },
    });
  });
});

describe('the environment of the other containers', () => {
  test('points every client at the sidecar, as the account of the pod, in init containers too', () => {
    const { containers, initContainers } = specOf(injected(agentPod({ initContainers: [{ name: 'migrate' }] })));
    const expected = {
      PGHOST: '127.0.0.1',
      PGPORT: '5432',
      PGDATABASE: 'shop_db',
      PGUSER: 'support-bot',
      PGSSLMODE: 'disable',
      DATABASE_URL: 'postgresql://support-bot@127.0.0.1:5432/shop_db?sslmode=disable',
      SHOP_DATABASE_URL: 'postgresql://support-bot@127.0.0.1:5432/shop_db?sslmode=disable',
    };
    expect(valuesOf(containers[0])).toEqual(expected);
    expect(valuesOf(initContainers[1])).toEqual(expected);
  });

  test('a pod without an account is that of default', () => {
    expect(valuesOf(specOf(injected(agentPod({ serviceAccountName: undefined }))).containers[0])).toMatchObject({
      PGUSER: 'default',
    });
  });

  test('several connections stand on ports beside each other, each with an URL of its own', () => {
    const annotations = { 'postern.dev/connections': 'data/bill-2, data/shop,other/shop', 'postern.dev/port': '6000' };
    expect(valuesOf(specOf(injected(agentPod({}, annotations))).containers[0])).toMatchObject({
      PGPORT: '6000',
      PGDATABASE: 'bill-2_db',
      BILL_2_DATABASE_URL: 'postgresql://support-bot@127.0.0.1:6000/bill-2_db?sslmode=disable',
      SHOP_DATABASE_URL: 'postgresql://support-bot@127.0.0.1:6001/shop_db?sslmode=disable',
      OTHER_SHOP_DATABASE_URL: 'postgresql://support-bot@127.0.0.1:6002/shop?sslmode=disable',
    });
  });

  test('a value that says the same stays; one that says something else is refused', () => {
    const withEnv = (env: readonly Json[]): Json => agentPod({ containers: [{ name: 'agent', env }] });
    expect(refusals(withEnv([{ name: 'PGHOST', value: '127.0.0.1' }]))).toEqual([]);
    expect(refusals(withEnv([{ name: 'PGHOST', value: 'shop-rw.data.svc' }]))).toEqual([
      'EnvironmentConflict: spec.containers[0] (agent): PGHOST is set to something else than 127.0.0.1; remove it, the sidecar is the way to the database',
    ]);
    const fromSecret = { name: 'DATABASE_URL', valueFrom: { secretKeyRef: { name: 'x', key: 'url' } } };
    expect(refusals(withEnv([fromSecret]))[0]).toMatch(/^EnvironmentConflict: .*DATABASE_URL is set to something else/);
  });
});

describe('what the annotations ask for', () => {
  test.each([
    [
      { 'postern.dev/connections': undefined },
      'InvalidConnections: annotation postern.dev/connections: says nothing; name the connections, e.g. postern.dev/connections: data/shop',
    ],
    [
      { 'postern.dev/connections': 'shop' },
      'InvalidConnections: annotation postern.dev/connections: expected NAMESPACE/NAME of a DatabaseConnection, found "shop"; write e.g. data/shop,data/billing',
    ],
    [
      { 'postern.dev/connections': 'data/shop,' },
      'InvalidConnections: annotation postern.dev/connections: expected NAMESPACE/NAME of a DatabaseConnection, found ""; write e.g. data/shop,data/billing',
    ],
    [
      { 'postern.dev/connections': 'data/shop=1' },
      'InvalidConnections: annotation postern.dev/connections: expected NAMESPACE/NAME of a DatabaseConnection, found "data/shop=1"; write e.g. data/shop,data/billing',
    ],
    [
      { 'postern.dev/connections': 'data/shop,data/shop' },
      'InvalidConnections: annotation postern.dev/connections: names a connection twice: data/shop,data/shop; name each once',
    ],
    [
      { 'postern.dev/port': '80' },
      'InvalidPort: annotation postern.dev/port: expected a port of 1024 to 65535, found "80"',
    ],
    [
      { 'postern.dev/port': '0x1fff' },
      'InvalidPort: annotation postern.dev/port: expected a port of 1024 to 65535, found "0x1fff"',
    ],
    [
      { 'postern.dev/port': '19464' },
      "InvalidPort: annotation postern.dev/port: port 19464 is the sidecar's own, for health and metrics; choose another",
    ],
    [
      { 'postern.dev/connections': 'a/a,b/b', 'postern.dev/port': '65535' },
      'InvalidPort: annotation postern.dev/port: expected a port of 1024 to 65534, found "65535"',
    ],
  ])('%j: refused', (annotations, message) => {
    expect(refusals(agentPod({}, annotations))).toEqual([message]);
  });

  test('a connection that does not exist yet is admitted, and named', () => {
    expect(inject(agentPod({}, { 'postern.dev/connections': 'data/later' }), 'agents', CONTEXT)).toMatchObject({
      kind: 'injected',
      missing: ['data/later'],
    });
  });
});

describe('laws', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}[a-z0-9]$/);
  /** Mostly safe, so that pods with many parts still pass as a whole now and then. */
  const mostly = <T, U>(safe: fc.Arbitrary<T>, unsafe: fc.Arbitrary<U>): fc.Arbitrary<T | U> =>
    fc.oneof({ weight: 15, arbitrary: safe }, { weight: 1, arbitrary: unsafe });
  const variable = mostly(
    fc.constantFrom(
      { name: 'PGHOST', value: '127.0.0.1' },
      { name: 'PGPORT', value: '5432' },
      { name: 'A', value: 'x' },
    ),
    fc.constantFrom({ name: 'PGHOST', value: 'x' }, { name: 'DATABASE_URL', valueFrom: {} }),
  );
  const mount = mostly(fc.constant('data'), fc.constantFrom('postern-token', 'postern-x'));
  const container = fc.record(
    {
      name,
      image: fc.constant('x'),
      env: fc.array(variable, { maxLength: 3 }),
      volumeMounts: fc.array(fc.record({ name: mount, mountPath: fc.constant('/m') }), { maxLength: 2 }),
      ports: fc.array(fc.record({ containerPort: mostly(fc.constant(80), fc.constantFrom(5432, 19464)) }), {
        maxLength: 1,
      }),
      securityContext: fc.record(
        {
          runAsUser: mostly(fc.constantFrom(0, 1000), fc.constant(21026)),
          privileged: mostly(fc.constant(false), fc.constant(true)),
          procMount: mostly(fc.constant('Default'), fc.constant('Unmasked')),
          capabilities: fc.record({ add: mostly(fc.constant([]), fc.constantFrom(['SYS_PTRACE'], ['NET_ADMIN'])) }),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: ['name'] },
  );
  const tokenOf = (audience: string): Json => ({
    name: 'tokens',
    projected: { sources: [{ serviceAccountToken: { audience } }] },
  });
  const volume = mostly(
    fc.constantFrom<Json>({ name: 'data', emptyDir: {} }, { name: 'postern-token', emptyDir: {} }, tokenOf('vault')),
    fc.constantFrom<Json>(
      { name: 'postern-mine', emptyDir: {} },
      { name: 'host', hostPath: { path: '/' } },
      tokenOf('postern.dev/operator'),
    ),
  );
  const initContainer = fc.oneof(
    container,
    fc.constant({ name: 'istio-init' }),
    fc.constant({ name: 'postern-proxy', image: 'mine' }),
  );
  const flag = mostly(fc.constant(false), fc.constant(true));
  const spec = fc.record(
    {
      containers: fc.array(container, { minLength: 1, maxLength: 3 }),
      initContainers: fc.array(initContainer, { maxLength: 3 }),
      volumes: fc.array(volume, { maxLength: 3 }),
      shareProcessNamespace: flag,
      hostPID: flag,
      serviceAccountName: name,
    },
    { requiredKeys: ['containers'] },
  );
  const connections = fc.uniqueArray(fc.constantFrom('data/shop', 'data/bill-2', 'agents/own', 'data/later'), {
    minLength: 1,
    maxLength: 4,
  });

  test('any pod is either refused, or passes the check once injected; and injecting it again changes nothing', () => {
    const seen = { refused: 0, injected: 0 };
    fc.assert(
      fc.property(spec, connections, (podSpec, names) => {
        const pod = agentPod(podSpec, { 'postern.dev/connections': names.join(',') });
        const injection = inject(pod, 'agents', CONTEXT);
        seen[injection.kind] += 1;
        if (injection.kind === 'refused') return injection.refusals.length > 0;
        const done = applyPatch(pod, injection.patch);
        expect(checkInjectedPod(done, CONTEXT, 'agents')).toMatchObject({ kind: 'injected', outdated: false });
        expect(inject(done, 'agents', CONTEXT)).toMatchObject({ kind: 'injected', patch: [] });
        return true;
      }),
      { numRuns: 1000 },
    );
    expect(Math.min(seen.refused, seen.injected)).toBeGreaterThan(50);
  });

  test('whatever is changed of an injected sidecar or its volumes afterwards is found', () => {
    const change = fc.record({
      where: fc.constantFrom('container', 'env', 'mount', 'volume', 'security'),
      key: fc
        .stringMatching(/^[a-zA-Z]{1,12}$/)
        .filter((key) => !['resources', 'resizePolicy', 'imagePullPolicy'].includes(key)),
      value: fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant({ exec: { command: ['x'] } })),
    });
    fc.assert(
      fc.property(change, fc.nat(20), ({ where, key, value }, at) => {
        const pod = injected(agentPod());
        const sidecar = (specOf(pod).initContainers[0] ?? {}) as Json & {
          env: Json[];
          volumeMounts: Json[];
          securityContext: Json;
        };
        const lists = { env: sidecar.env, mount: sidecar.volumeMounts, volume: specOf(pod).volumes as Json[] };
        if (where === 'container') sidecar[key] = value;
        else if (where === 'security') sidecar.securityContext[key] = value;
        else {
          const target = lists[where][at % lists[where].length];
          if (target !== undefined) target[key] = value;
        }
        const changed = JSON.stringify(pod) !== JSON.stringify(injected(agentPod()));
        fc.pre(changed);
        expect(checkInjectedPod(pod, CONTEXT, 'agents').kind).toBe('refused');
      }),
      { numRuns: 1500 },
    );
  });
});
