import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Bundle } from '#bundle/bundle.ts';
import { isBundleTooLarge, signBundle } from '#bundle/sign.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { loadManifestValidation } from '#operator/admission/validate-manifests.ts';
import { type BundleAction, planBundles, type Target } from '#operator/reconcile/plan.ts';
import { type BundleConfigMap, readBundleConfigMap } from '#operator/reconcile/published.ts';
import { readSources } from '#operator/reconcile/sources.ts';
import { connectionJson, keySetOf, newKeys, policyJson, signedKeySet } from '#test/signed-bundles.ts';

await loadManifestValidation();

const KEY = { namespace: 'data', name: 'shop' };
const keys = newKeys();
const keySet = keySetOf(keys);
const keySetText = signedKeySet(keys);
const bot = { serviceAccount: { namespace: 'agents', name: 'support-bot' } };
const far = { serviceAccount: { namespace: 'far', name: 'far-bot' } };

const object = (json: Record<string, unknown>): KubernetesObject => json as unknown as KubernetesObject;
const connection = object(connectionJson('shop'));
const policy = (name: string, spec: Readonly<Record<string, unknown>>): KubernetesObject =>
  object(policyJson(name, 'shop', spec));
const sign = (bundle: Bundle) => {
  const bytes = signBundle(bundle, keys.signer);
  return { bytes, isTooLarge: isBundleTooLarge(bytes) };
};

/** A cluster in memory: what was set down, and what lies there. */
class World {
  connection: KubernetesObject | undefined = connection;
  policies: readonly KubernetesObject[] = [];
  readonly generations = new Map<string, { generation: number; isWithdrawn: boolean }>();
  readonly configMaps = new Map<string, KubernetesObject>();
  readonly pods = new Map<string, number>();
  readonly remembered = new Map<string, Bundle>();

  plan(): readonly BundleAction[] {
    const configMaps = new Map<string, BundleConfigMap>();
    for (const [namespace, found] of this.configMaps)
      configMaps.set(namespace, readBundleConfigMap(found, KEY, keySet));
    const published = [...this.generations].flatMap(([namespace, { isWithdrawn }]) =>
      isWithdrawn ? [] : [this.remembered.get(namespace)],
    );
    const sources = readSources({ key: KEY, connection: this.connection, policies: this.policies, published });
    const names = new Set([...this.generations.keys(), ...configMaps.keys()]);
    const targets = [...names].map(
      (agentNamespace): Target => ({
        agentNamespace,
        generation: this.generations.get(agentNamespace)?.generation ?? 0,
        configMap: configMaps.get(agentNamespace),
        reportedGeneration: 0,
        podCount: this.pods.get(agentNamespace) ?? 0,
      }),
    );
    return planBundles({ key: KEY, sources, targets, kid: keys.signer.kid, keySetText, sign });
  }

  /** Carries a plan out; gives the bundles that were written. */
  settle(): readonly Bundle[] {
    const written: Bundle[] = [];
    for (const action of this.plan()) {
      const { agentNamespace } = action;
      if (action.kind === 'delete') this.configMaps.delete(agentNamespace);
      if (action.kind !== 'write') continue;
      const { bundle } = action;
      const before = this.generations.get(agentNamespace)?.generation ?? 0;
      expect(action.afterGeneration).toBe(before);
      expect(bundle.generation).toBeGreaterThan(before);
      const isWithdrawn = bundle.serviceAccounts.length === 0;
      this.generations.set(agentNamespace, { generation: bundle.generation, isWithdrawn });
      this.remembered.set(agentNamespace, bundle);
      this.configMaps.set(agentNamespace, configMap(agentNamespace, action.bundleText));
      written.push(bundle);
    }
    return written;
  }
}

function configMap(namespace: string, bundleText: string): KubernetesObject {
  const labels = {
    'app.kubernetes.io/managed-by': 'postern-operator',
    'postern.dev/connection-namespace': 'data',
    'postern.dev/connection': 'shop',
  };
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'any', namespace, uid: `uid-${namespace}`, labels },
    binaryData: { 'bundle.jws.gz': bundleText },
    data: { 'keys.jws': keySetText },
  };
}

const tables = (mask: string) => ({
  subjects: [bot],
  tables: [{ name: 'public.customers', mask: [{ columns: ['email'], with: { method: mask } }] }],
});
const broken = { subjects: [bot], tables: [{ name: 'public.customers', rowFilter: 'id =' }] };

function settled(...policies: readonly KubernetesObject[]): World {
  const world = new World();
  world.policies = policies;
  world.settle();
  return world;
}

const kinds = (world: World): readonly string[] =>
  world.plan().map(({ agentNamespace, kind }) => `${agentNamespace} ${kind}`);

describe('a bundle is', () => {
  test('written once, and then kept', () => {
    const world = new World();
    world.policies = [policy('p', tables('Redact'))];
    expect(world.settle().map(({ generation }) => generation)).toEqual([1]);
    expect(kinds(world)).toEqual(['agents keep']);
  });

  test.each([
    ['deleted', (world: World) => world.configMaps.delete('agents')],
    ['edited', (world: World) => world.configMaps.set('agents', configMap('agents', 'AAAA'))],
    ['frozen', (world: World) => world.configMaps.set('agents', { ...frozen(world), immutable: true })],
    [
      'behind the generation that was set down',
      (world: World) => world.generations.set('agents', { generation: 5, isWithdrawn: false }),
    ],
  ])('written anew with a higher generation where it is %s', (_what, harm) => {
    const world = settled(policy('p', tables('Redact')));
    harm(world);
    const before = world.generations.get('agents')?.generation ?? 0;
    const [bundle] = world.settle();
    expect(bundle?.generation).toBe(before + 1);
    expect(bundle?.manifests.policies).toHaveLength(1);
  });

  test('replayed from an earlier time: written anew, above all that was set down', () => {
    const world = settled(policy('p', tables('Redact')));
    const old = frozen(world);
    world.policies = [policy('p', tables('SetNull'))];
    world.settle();
    world.configMaps.set('agents', old);
    expect(world.settle()[0]).toMatchObject({ generation: 3 });
  });

  test('withdrawn where its last policy goes, kept while pods use it, and then deleted', () => {
    const world = settled(policy('p', tables('Redact')));
    world.pods.set('agents', 1);
    world.policies = [];
    expect(world.settle()).toMatchObject([{ generation: 2, serviceAccounts: [], manifests: { policies: [] } }]);
    expect(kinds(world)).toEqual(['agents keep']);
    world.pods.clear();
    expect(kinds(world)).toEqual(['agents delete']);
    world.settle();
    expect(kinds(world)).toEqual([]);
  });

  test('withdrawn where its connection goes', () => {
    const world = settled(policy('p', tables('Redact')));
    world.connection = undefined;
    expect(world.settle()).toMatchObject([{ serviceAccounts: [], manifests: { policies: [] } }]);
  });

  test('withdrawn again for a pod that asks after the withdrawal was deleted', () => {
    const world = settled(policy('p', tables('Redact')));
    world.policies = [];
    world.settle();
    world.settle();
    world.pods.set('agents', 1);
    expect(world.settle()).toMatchObject([{ generation: 3, serviceAccounts: [] }]);
  });

  test('left alone where the new one is too large', () => {
    const world = settled(policy('p', tables('Redact')));
    // Names that gzip cannot shorten.
    const names = Array.from({ length: 40_000 }, (_, index) => keyed(index));
    const list = names.map((name) => ({ name: `public.${name}` }));
    const many = Array.from({ length: 40 }, (_, index) =>
      policy(`big-${index}`, { subjects: [bot], tables: list.slice(index * 1000, (index + 1) * 1000) }),
    );
    world.policies = [policy('p', tables('Redact')), ...many];
    expect(world.plan()).toMatchObject([{ kind: 'tooLarge', agentNamespace: 'agents', generation: 1 }]);
  });
});

describe('an invalid policy', () => {
  test('keeps what it said before, while the others change', () => {
    const world = settled(policy('p', tables('Redact')), policy('q', { subjects: [far] }));
    const before = world.remembered.get('agents')?.manifests.policies;
    world.policies = [policy('p', broken), policy('q', { subjects: [] })];
    world.settle();
    expect(world.remembered.get('agents')?.manifests.policies).toEqual(before);
    expect(world.remembered.get('far')?.serviceAccounts).toEqual([]);
  });

  test('that never was valid grants nothing', () => {
    expect(settled(policy('p', broken)).remembered.size).toBe(0);
  });

  test('whose last good word is lost takes every grant away', () => {
    const world = settled(policy('p', tables('Redact')), policy('q', tables('Email')));
    world.policies = [policy('p', broken), policy('q', tables('Email'))];
    world.remembered.clear();
    expect(world.settle()).toMatchObject([{ serviceAccounts: [], manifests: { policies: [] } }]);
  });
});

function frozen(world: World): KubernetesObject {
  const found = world.configMaps.get('agents');
  if (found === undefined) throw new Error('no ConfigMap');
  return found;
}

/** 16 hexadecimal digits that differ everywhere. */
function keyed(index: number): string {
  let state = BigInt(index + 1) * 0x9e3779b97f4a7c15n;
  state ^= state >> 31n;
  state = BigInt.asUintN(64, state * 0xbf58476d1ce4e5b9n);
  const text = state.toString(16).padStart(16, '0');
  return `t${text}${BigInt.asUintN(64, state * 0x94d049bb133111ebn)
    .toString(16)
    .padStart(16, '0')}`;
}

describe('whatever is edited, in whatever order', () => {
  const spec = fc.constantFrom(
    tables('Redact'),
    tables('SetNull'),
    broken,
    { subjects: [far] },
    { subjects: [bot, far] },
    { subjects: [] },
  );
  const edit = fc.oneof(
    fc.record({ kind: fc.constant('policy' as const), name: fc.constantFrom('p', 'q'), spec }),
    fc.record({ kind: fc.constant('remove' as const), name: fc.constantFrom('p', 'q') }),
    fc.record({ kind: fc.constant('connection' as const) }),
    fc.record({ kind: fc.constant('noConnection' as const) }),
    fc.record({
      kind: fc.constantFrom('deleteConfigMap' as const, 'damage' as const),
      name: fc.constantFrom('agents', 'far'),
    }),
    fc.record({ kind: fc.constant('pods' as const), name: fc.constantFrom('agents', 'far'), count: fc.nat(1) }),
  );

  test('generations only rise, no account gets in that no valid policy named, and all comes to rest', () => {
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 25 }), (edits) => {
        const world = new World();
        const everValid = new Map<string, Set<string>>();
        const policies = new Map<string, KubernetesObject>();
        for (const step of edits) {
          if (step.kind === 'policy') {
            const given = policy(step.name, step.spec);
            policies.set(step.name, given);
            if (step.spec !== broken) {
              const known = everValid.get(step.name) ?? new Set();
              everValid.set(step.name, known.add(JSON.stringify(given['spec'])));
            }
          } else if (step.kind === 'remove') policies.delete(step.name);
          else if (step.kind === 'connection') world.connection = connection;
          else if (step.kind === 'noConnection') world.connection = undefined;
          else if (step.kind === 'deleteConfigMap') world.configMaps.delete(step.name);
          else if (step.kind === 'damage') world.configMaps.set(step.name, configMap(step.name, 'AAAA'));
          else if (step.kind === 'pods') world.pods.set(step.name, step.count);
          world.policies = [...policies.values()];
          for (const bundle of world.settle()) {
            for (const granted of bundle.manifests.policies) {
              const { name } = granted['metadata'] as { readonly name: string };
              // Present now, and once valid in just these words; a valid one in its words of now.
              expect(policies.has(name)).toBe(true);
              const now = JSON.stringify(policies.get(name)?.['spec']);
              const said = JSON.stringify(granted['spec']);
              expect(everValid.get(name)?.has(said)).toBe(true);
              if (!now.includes('id =')) expect(said).toBe(now);
            }
            if (world.connection === undefined) expect(bundle.serviceAccounts).toEqual([]);
          }
          world.settle();
          expect(world.plan().filter(({ kind }) => kind === 'write')).toEqual([]);
        }
      }),
      { numRuns: 150 },
    );
  });
});
