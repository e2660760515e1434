import { describe, expect, test } from 'vitest';
import type { ConnectionReading } from '#operator/reconcile/sources.ts';
import type { Material } from '#operator/credentials/connection-material.ts';
import { answerOf, decideGrants, type GrantSources } from '#operator/credentials/grants.ts';
import { connection } from '#test/admission-samples.ts';

const resource = connection('data', 'shop');
const sound: ConnectionReading = { kind: 'sound', source: { json: {}, resource, uid: 'uid' } };
const ready: Material = {
  kind: 'ready',
  username: 'agent',
  password: 'hunter2',
  maskKey: Buffer.alloc(32, 7),
  tlsCa: undefined,
};
const sources: GrantSources = {
  connection: () => sound,
  isGranted: () => true,
  generation: () => 7,
  material: () => ready,
  keySetVersion: 3,
};

const decide = (changes: Partial<GrantSources> = {}) =>
  decideGrants([{ namespace: 'data', name: 'shop' }], { namespace: 'agents', name: 'bot' }, { ...sources, ...changes });

describe('a connection is answered', () => {
  test('with credentials, the mask key and the current generation', () => {
    expect(decide()).toEqual([
      {
        ...{ connection: 'data/shop', status: 'Granted', generation: 7, minimumGeneration: 7, keySetVersion: 3 },
        credentials: { username: 'agent', password: 'hunter2' },
        maskKey: Buffer.alloc(32, 7).toString('base64'),
      },
    ]);
  });

  test.each([
    ['NotFound', 'where there is none', { connection: () => ({ kind: 'absent' }) }],
    ['Forbidden', 'to an account that nobody names', { isGranted: (): boolean => false }],
    [
      'Forbidden',
      'to such an account before anything of the connection is told',
      {
        isGranted: (): boolean => false,
        connection: () => ({ kind: 'invalid', problems: ['x'], lastGood: undefined }),
      },
    ],
    [
      'Unavailable',
      'where it is not valid',
      { connection: () => ({ kind: 'invalid', problems: ['x'], lastGood: undefined }) },
    ],
    [
      'SecretForbidden',
      'where its Secret is for another',
      { material: () => ({ kind: 'refused', reason: 'SecretForbidden', message: 'm' }) },
    ],
    [
      'Unavailable',
      'where its Secret is not there',
      { material: () => ({ kind: 'refused', reason: 'SecretNotFound', message: 'm' }) },
    ],
  ] as const)('%s, and nothing secret, %s', (status, _what, changes) => {
    const grants = decide(changes as Partial<GrantSources>);
    expect(grants).toMatchObject([{ status, generation: 7 }]);
    expect(JSON.stringify(grants)).not.toMatch(/hunter2|maskKey|credentials"/);
  });
});

test('the version of an answer changes with each part of it, and with nothing else', () => {
  const version = answerOf(decide()).version;
  expect(answerOf(decide()).version).toBe(version);
  const others = [
    { generation: () => 8 },
    { keySetVersion: 4 },
    { material: () => ({ ...ready, password: 'other' }) },
    { isGranted: (): boolean => false },
  ];
  for (const change of others) expect(answerOf(decide(change)).version).not.toBe(version);
});
