import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Acceptance,
  type AcceptedState,
  acceptBundle,
  type BundleFiles,
  grantFor,
  initialState,
} from '#bundle/accept.ts';
import { MAX_BUNDLE_BYTES, MAX_KEY_SET_BYTES, signBundle, signCompact, signerOf, unpackBundle } from '#bundle/sign.ts';
import { API_VERSION } from '#crds/kinds.ts';
import {
  bundleOf,
  connectionJson,
  keySetOf,
  newKeys,
  policyJson,
  signedKeySet,
  withdrawn,
} from '#test/signed-bundles.ts';

const keys = newKeys();
const strangers = newKeys();
const shop = { namespace: 'data', name: 'shop' };
const fresh = initialState(shop, 'agents', [keys.rootText]);
const keySet = signedKeySet(keys);

function filesOf(generation: number, more: Partial<BundleFiles> = {}): BundleFiles {
  const bundle = bundleOf(connectionJson('shop'), [policyJson('support', 'shop')], generation);
  return { bundle: signBundle(bundle, keys.signer), keys: keySet, ...more };
}

/** What was taken, as a short text. */
function told(result: Acceptance): string {
  return result.kind === 'accepted' ? `generation ${result.bundle.generation}` : `${result.reason}: ${result.message}`;
}

function signedJson(payload: unknown): Uint8Array {
  return gzipSync(signCompact('postern-bundle', Buffer.from(JSON.stringify(payload)), keys.signer));
}

describe('a bundle is taken', () => {
  test('when a key of the set has signed it for this connection and this namespace', () => {
    const result = acceptBundle(fresh, filesOf(3), 0);
    expect(result).toMatchObject({ kind: 'accepted', isNew: true, keySet: { version: 1 } });
    expect(result.kind === 'accepted' ? result.bundle : undefined).toMatchObject({
      connection: { namespace: 'data', name: 'shop', uid: 'uid-1' },
      agentNamespace: 'agents',
      generation: 3,
      serviceAccounts: ['support-bot'],
    });
  });

  test('again, and then it is no new one', () => {
    const { state } = acceptBundle(fresh, filesOf(3), 0);
    const again = acceptBundle(state, filesOf(3), 3);
    expect(again).toMatchObject({ kind: 'accepted', isNew: false });
    expect(again.kind === 'accepted' ? again.bundle : undefined).toBe(state.bundle);
  });

  test('signed by another key of the set, with the same content and generation', () => {
    const { state } = acceptBundle(fresh, filesOf(3), 0);
    const both = signedKeySet(keys, {
      version: 2,
      signingKeys: [...keySetOf(keys).signingKeys, ...keySetOf(strangers).signingKeys],
    });
    const bundle = bundleOf(connectionJson('shop'), [policyJson('support', 'shop')], 3);
    expect(acceptBundle(state, { bundle: signBundle(bundle, strangers.signer), keys: both }, 0)).toMatchObject({
      kind: 'accepted',
      isNew: false,
      state: { trust: { keySet: { version: 2 } } },
    });
  });

  test('with fields that a newer operator adds beside the manifests', () => {
    const bundle = { ...bundleOf(connectionJson('shop'), [], 1), newField: { a: 1 } };
    expect(told(acceptBundle(fresh, { bundle: signedJson(bundle), keys: keySet }, 0))).toBe('generation 1');
  });

  test('as a withdrawal, without the manifest of a connection', () => {
    const result = acceptBundle(fresh, { bundle: signBundle(withdrawn('shop', 4), keys.signer), keys: keySet }, 0);
    expect(told(result)).toBe('generation 4');
    expect(result.kind === 'accepted' ? grantFor(result.bundle, 'support-bot') : '').toBe('none');
  });
});

describe('a bundle is refused', () => {
  const bundle = bundleOf(connectionJson('shop'), [policyJson('support', 'shop')], 3);
  const refusals: readonly (readonly [string, BundleFiles, string])[] = [
    ['that is not there', { bundle: undefined, keys: keySet }, 'MissingFile: there is no bundle'],
    ['without a key set', filesOf(3, { keys: undefined }), 'MissingFile: there is no key set'],
    [
      'larger than a ConfigMap may be',
      filesOf(3, { bundle: Buffer.alloc(MAX_BUNDLE_BYTES + 1) }),
      'TooLarge: the bundle is larger than 917504 bytes',
    ],
    [
      'with a key set that is too large',
      filesOf(3, { keys: 'x'.repeat(MAX_KEY_SET_BYTES + 1) }),
      'TooLarge: the key set is larger than 98304 bytes',
    ],
    ['that is no gzip', filesOf(3, { bundle: Buffer.from('x') }), 'Malformed: the bundle cannot be unpacked'],
    [
      'that unpacks to too much',
      filesOf(3, { bundle: gzipSync(Buffer.alloc(17 * 1024 * 1024)) }),
      'Malformed: the bundle cannot be unpacked',
    ],
    [
      'that is no JWS',
      filesOf(3, { bundle: gzipSync('{}') }),
      'Malformed: bundle: expected a compact JWS with alg EdDSA, kid and typ',
    ],
    [
      'signed by a key that is not in the set',
      filesOf(3, { bundle: signBundle(bundle, strangers.signer) }),
      `UnknownKey: bundle: no trusted key is called "${strangers.signer.kid}"`,
    ],
    [
      'signed by another key under the name of a known one',
      filesOf(3, { bundle: signBundle(bundle, { ...strangers.signer, kid: keys.signer.kid }) }),
      'Unsigned: bundle: the signature does not fit the text',
    ],
    [
      'that is really a key set',
      filesOf(3, { bundle: gzipSync(signedKeySet({ ...keys, root: keys.signing })) }),
      'Malformed: bundle: expected a JWS of typ postern-bundle',
    ],
    [
      'with a key set of another root',
      filesOf(3, { keys: signedKeySet(strangers) }),
      `UnknownKey: keys: no trusted key is called "${signerOf(strangers.root).kid}"`,
    ],
    [
      'for another connection',
      filesOf(3, { bundle: signBundle(bundleOf(connectionJson('other'), [], 3), keys.signer) }),
      'WrongConnection: it is for connection data/other',
    ],
    [
      'for another namespace',
      filesOf(3, { bundle: signBundle({ ...bundle, agentNamespace: 'tests' }, keys.signer) }),
      'WrongNamespace: it is for agents in namespace tests',
    ],
    ['below what the operator asks for', filesOf(4), 'OlderGeneration: it has generation 4; the operator asks for 5'],
    [
      'without a generation',
      filesOf(3, { bundle: signedJson({ ...bundle, generation: undefined }) }),
      'Malformed: bundle.generation: expected a whole number from 0',
    ],
    [
      'of another API version',
      filesOf(3, { bundle: signedJson({ ...bundle, apiVersion: 'postern.dev/v2' }) }),
      `Malformed: bundle.apiVersion: expected one of ${API_VERSION}`,
    ],
    [
      'whose policy is of another connection',
      filesOf(3, {
        bundle: signedJson({ ...bundle, manifests: { ...bundle.manifests, policies: [policyJson('p', 'other')] } }),
      }),
      'Malformed: bundle.manifests.policies[0]: expected a policy of the connection data/shop',
    ],
    [
      'whose policy has a field that this release does not know',
      filesOf(3, {
        bundle: signedJson({
          ...bundle,
          manifests: { ...bundle.manifests, policies: [policyJson('p', 'shop', { newWall: true })] },
        }),
      }),
      'Malformed: bundle.manifests.policies[0]: expected a sound manifest; DatabaseAccessPolicy data/p: spec.newWall: unknown field',
    ],
    [
      'that grants something and has no connection',
      filesOf(3, { bundle: signedJson({ ...bundle, manifests: { policies: [] } }) }),
      'Malformed: bundle.manifests.connection: expected a DatabaseConnection, because the bundle grants something',
    ],
  ];
  test.each(refusals)('%s', (_what, files, expected) => {
    const result = acceptBundle(fresh, files, 5);
    expect(told(result).slice(0, expected.length)).toBe(expected);
    expect(result.state.bundle).toBeUndefined();
  });

  test('of an older generation than the last good one, which stays', () => {
    const { state } = acceptBundle(fresh, filesOf(3), 0);
    const result = acceptBundle(state, filesOf(2), 0);
    expect(told(result)).toBe('OlderGeneration: it has generation 2; 3 was taken before');
    expect(result.state.bundle).toBe(state.bundle);
  });

  test('of the same generation with another content', () => {
    const { state } = acceptBundle(fresh, filesOf(3), 0);
    const other = signBundle(bundleOf(connectionJson('shop'), [], 3), keys.signer);
    expect(told(acceptBundle(state, { bundle: other, keys: keySet }, 0))).toBe(
      'OlderGeneration: it has generation 3; 3 was taken before',
    );
  });
});

describe('the key set', () => {
  const next = newKeys();

  test('of a lower version does not bring a withdrawn signing key back', () => {
    const second = signedKeySet(keys, { version: 2, signingKeys: keySetOf(next).signingKeys });
    const { state } = acceptBundle(fresh, { bundle: undefined, keys: second }, 0);
    expect(told(acceptBundle(state, filesOf(9), 0))).toBe(
      `UnknownKey: bundle: no trusted key is called "${keys.signer.kid}"`,
    );
  });

  test('is taken also where the bundle beside it is refused, so that authorities rotate', () => {
    const second = signedKeySet(keys, { version: 2 });
    const result = acceptBundle(fresh, { bundle: Buffer.from('x'), keys: second }, 0);
    expect(result).toMatchObject({ kind: 'refused', state: { trust: { keySet: { version: 2 } } } });
  });

  test('may name a new root key, which is trusted from then on', () => {
    const handOver = signedKeySet(keys, { version: 2, rootKeys: [keys.rootText, next.rootText] });
    const { state } = acceptBundle(fresh, filesOf(1, { keys: handOver }), 0);
    const bundle = signBundle(bundleOf(connectionJson('shop'), [], 2), next.signer);
    const files = { bundle, keys: signedKeySet(next, { version: 3 }) };
    expect(told(acceptBundle(state, files, 0))).toBe('generation 2');
    expect(told(acceptBundle(fresh, files, 0))).toMatch(/^UnknownKey: keys: /);
  });

  test('may be a chain of sets, so that a fresh process with the old root key finds the new one', () => {
    const handOver = signedKeySet(keys, { version: 2, rootKeys: [keys.rootText, next.rootText] });
    const chain = `${handOver}\n${signedKeySet(next, { version: 3 })}\n`;
    const bundle = signBundle(bundleOf(connectionJson('shop'), [], 2), next.signer);
    expect(told(acceptBundle(fresh, { bundle, keys: chain }, 0))).toBe('generation 2');
    const knowsNewOnly = initialState(shop, 'agents', [next.rootText]);
    expect(told(acceptBundle(knowsNewOnly, { bundle, keys: chain }, 0))).toBe('generation 2');
    const knowsNeither = initialState(shop, 'agents', [strangers.rootText]);
    expect(told(acceptBundle(knowsNeither, { bundle, keys: chain }, 0))).toMatch(/^UnknownKey: keys: /);
  });
});

describe('laws', () => {
  const good = filesOf(3);
  const packed = Buffer.from(good.bundle ?? '');
  const text = unpackBundle(packed) ?? '';

  test('whatever byte of the signed text is changed, it is refused', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Buffer.from(text, 'latin1');
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        expect(acceptBundle(fresh, { bundle: gzipSync(bytes), keys: keySet }, 0).kind).toBe('refused');
      }),
      { numRuns: 2000 },
    );
  });

  test('whatever byte of the packed file is changed, it is refused or says the very same', () => {
    const accepted = acceptBundle(fresh, good, 0);
    fc.assert(
      fc.property(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Buffer.from(packed);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        const result = acceptBundle(fresh, { bundle: bytes, keys: keySet }, 0);
        if (result.kind === 'accepted') expect(result.state).toEqual(accepted.state);
      }),
      { numRuns: 2000 },
    );
  });

  test('whatever byte of the key set is changed, cut off or added, it is refused', () => {
    fc.assert(
      fc.property(
        fc.nat(keySet.length - 1),
        fc.integer({ min: 33, max: 126 }),
        fc.constantFrom('replace', 'cut', 'insert'),
        (at, code, how) => {
          const rest = keySet.slice(how === 'insert' ? at : at + 1);
          const changed = how === 'cut' ? keySet.slice(0, at) : keySet.slice(0, at) + String.fromCharCode(code) + rest;
          fc.pre(changed !== keySet);
          expect(acceptBundle(fresh, { ...good, keys: changed }, 0).kind).toBe('refused');
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('in whatever order bundles come, the generation never falls, and a refusal changes nothing', () => {
    const deliveries = fc.array(
      fc.record({
        generation: fc.integer({ min: 1, max: 9 }),
        signer: fc.constantFrom(keys.signer, strangers.signer),
        agentNamespace: fc.constantFrom('agents', 'agents', 'agents', 'other'),
        minimum: fc.integer({ min: 0, max: 9 }),
        isThere: fc.constantFrom(true, true, true, false),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(deliveries, (list) => {
        let state: AcceptedState = fresh;
        for (const { generation, signer, agentNamespace, minimum, isThere } of list) {
          const bundle = { ...bundleOf(connectionJson('shop'), [], generation), agentNamespace };
          const files = { bundle: isThere ? signBundle(bundle, signer) : undefined, keys: keySet };
          const result = acceptBundle(state, files, minimum);
          const before = state.bundle?.generation ?? 0;
          const after = result.state.bundle?.generation ?? 0;
          expect(after).toBeGreaterThanOrEqual(before);
          if (result.kind === 'refused') expect(result.state.bundle).toBe(state.bundle);
          else {
            expect(after).toBe(generation);
            expect(after).toBeGreaterThanOrEqual(minimum);
            expect([signer.kid, agentNamespace, isThere]).toEqual([keys.signer.kid, 'agents', true]);
          }
          ({ state } = result);
        }
      }),
      { numRuns: 300 },
    );
  });
});
