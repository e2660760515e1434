import { describe, expect, test } from 'vitest';
import { openBundle } from '#bundle/bundle.ts';
import { agentNamespaces, isSameBundle, sourceConnection, sourcePolicy } from '#bundle/compile.ts';
import { bundleConfigMapLabels, bundleConfigMapName } from '#bundle/config-map.ts';
import { isBundleTooLarge, signBundle, signerOf } from '#bundle/sign.ts';
import { bundleOf, connectionJson, newKey, policyJson } from '#test/signed-bundles.ts';

const bot = { serviceAccount: { namespace: 'agents', name: 'support-bot' } };
const otherBot = { serviceAccount: { namespace: 'agents', name: 'other-bot' } };
const farBot = { serviceAccount: { namespace: 'far', name: 'far-bot' } };
const care = { group: 'care' };

function compiled(spec: Record<string, unknown>, subjects: readonly (readonly object[])[], namespace = 'agents') {
  const policies = subjects.map((entries, index) => policyJson(`p${index}`, 'shop', { subjects: entries }));
  const bundle = bundleOf(connectionJson('shop', spec), policies, 1, namespace);
  const names = bundle.manifests.policies.map((json) => (json['metadata'] as { readonly name: string }).name);
  return { accounts: bundle.serviceAccounts, policies: names };
}

const allowing = (...serviceAccounts: readonly string[]) => ({
  allowedWorkloads: [{ namespace: 'agents', serviceAccounts }],
});

describe('a bundle holds', () => {
  test.each([
    [
      'the accounts that its policies name, where nothing is said',
      {},
      [[bot], [otherBot, farBot]],
      ['other-bot', 'support-bot'],
      ['p0', 'p1'],
    ],
    ['nobody and nothing with an empty list', { allowedWorkloads: [] }, [[bot], [care]], [], []],
    [
      'the accounts that are allowed and no others',
      allowing('support-bot'),
      [[bot], [otherBot]],
      ['support-bot'],
      ['p0'],
    ],
    ['an allowed account that no policy names', allowing('third-bot'), [[bot]], ['third-bot'], []],
    [
      'policies for groups, which only the sidecar can know',
      allowing('support-bot'),
      [[care]],
      ['support-bot'],
      ['p0'],
    ],
    ['no account of a policy for groups alone, where nothing is said', {}, [[care]], [], []],
    ['no policy of an account of another namespace', {}, [[bot], [farBot]], ['support-bot'], ['p0']],
    [
      'no policy for a group of another account',
      allowing('support-bot'),
      [[{ ...otherBot, ...care }]],
      ['support-bot'],
      [],
    ],
    ['no policy without subjects', allowing('support-bot'), [[]], ['support-bot'], []],
  ] as const)('%s', (_what, spec, subjects, accounts, policies) => {
    expect(compiled(spec, subjects)).toEqual({ accounts, policies });
  });

  test('manifests without status, managedFields and other metadata', () => {
    expect(bundleOf(connectionJson('shop'), [], 1).manifests.connection).toEqual({
      apiVersion: 'postern.dev/v1alpha1',
      kind: 'DatabaseConnection',
      metadata: { namespace: 'data', name: 'shop' },
      spec: {
        engine: 'Postgres',
        host: 'db.example',
        database: 'shop',
        tls: { mode: 'Disable' },
        credentials: { secretRef: { name: 'shop-agent' } },
      },
    });
  });

  test('the tables that policies of others govern, and nothing else of these', () => {
    const policies = [
      policyJson('own', 'shop', { tables: [{ name: 'public.a' }] }),
      policyJson('far', 'shop', {
        subjects: [farBot],
        tables: [{ name: 'public.c', rowFilter: 'x = 1' }, { name: 'b.*' }],
      }),
      policyJson('nobody', 'shop', { subjects: [], tables: [{ name: 'public.c' }] }),
    ];
    const bundle = bundleOf(connectionJson('shop'), policies, 1);
    expect(bundle.governedTables).toEqual(['b.*', 'public.c']);
    expect(JSON.stringify(bundle)).not.toContain('far');
    const opened = openBundle(JSON.stringify(bundle));
    expect(opened.kind === 'read' ? opened.value.governing?.spec : undefined).toMatchObject({
      subjects: [],
      tables: [{ name: { text: 'b.*' } }, { name: { text: 'public.c' } }],
    });
  });

  test('no policy of another connection or namespace', () => {
    const foreign = { ...policyJson('foreign', 'shop'), metadata: { name: 'foreign', namespace: 'elsewhere' } };
    const bundle = bundleOf(connectionJson('shop'), [policyJson('other', 'other'), foreign], 1);
    expect(bundle.manifests.policies).toEqual([]);
  });
});

test('bundles go to the namespaces of the accounts', () => {
  const connection = sourceConnection(connectionJson('shop'), 'u');
  const policy = sourcePolicy(policyJson('p', 'shop', { subjects: [farBot, bot, care] }));
  if (connection === undefined || policy === undefined) throw new Error('not sound');
  expect(agentNamespaces(connection.resource, [policy.resource])).toEqual(['agents', 'far']);
});

test('the order of policies and the generation make no other bundle, a changed spec does', () => {
  const one = policyJson('a', 'shop');
  const two = policyJson('b', 'shop');
  const first = bundleOf(connectionJson('shop'), [one, two], 1);
  expect(isSameBundle(first, bundleOf(connectionJson('shop'), [two, one], 2))).toBe(true);
  const changed = policyJson('b', 'shop', { mode: 'Observe' });
  expect(isSameBundle(first, bundleOf(connectionJson('shop'), [one, changed], 1))).toBe(false);
});

test('a bundle of two hundred policies with twenty tables each fits into a ConfigMap, one of twenty thousand tables does not', () => {
  const tables = (count: number): readonly object[] =>
    Array.from({ length: count }, (_, index) => ({
      name: `public.table_${index}`,
      columns: Array.from({ length: 20 }, (_none, column) => `column_${(column * 7919 + index * 104_729) % 100_003}`),
      rowFilter: `region = 'r${index}' AND tenant = {{ identity.namespace }}`,
    }));
  const sized = (count: number): Uint8Array => {
    const policies = Array.from({ length: 200 }, (_, index) =>
      policyJson(`p${index}`, 'shop', { tables: tables(count) }),
    );
    return signBundle(bundleOf(connectionJson('shop'), policies, 1), signerOf(newKey()));
  };
  expect(isBundleTooLarge(sized(20))).toBe(false);
  expect(isBundleTooLarge(sized(100))).toBe(true);
});

describe('the name of a ConfigMap', () => {
  test.each([
    ['data', 'shop', /^postern-data-shop-[0-9a-f]{10}$/],
    ['d'.repeat(63), 's'.repeat(63), /^postern-d{40}-[0-9a-f]{10}$/],
    ['d'.repeat(39), 'shop', /^postern-d{39}-[0-9a-f]{10}$/],
  ])('of %s/%s reads like it and is a DNS label', (namespace, name, expected) => {
    expect(bundleConfigMapName(namespace, name)).toMatch(expected);
    expect(bundleConfigMapName(namespace, name).length).toBeLessThanOrEqual(63);
  });

  test('differs where namespace and name only read alike', () => {
    expect(bundleConfigMapName('a-b', 'c')).not.toBe(bundleConfigMapName('a', 'b-c'));
  });

  test('has labels that name the connection', () => {
    expect(bundleConfigMapLabels('data', 'shop')).toEqual({
      'app.kubernetes.io/managed-by': 'postern-operator',
      'postern.dev/connection-namespace': 'data',
      'postern.dev/connection': 'shop',
    });
  });
});
