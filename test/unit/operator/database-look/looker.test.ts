import { beforeAll, describe, expect, test } from 'vitest';
import type { LoadedCatalog } from '#catalog/load-catalog.ts';
import { decodeResource } from '#crds/decode.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { loadManifestValidation } from '#operator/admission/validate-manifests.ts';
import type { ReadyMaterial } from '#operator/credentials/connection-material.ts';
import type { DatabaseLook } from '#operator/database-look/look.ts';
import { DatabaseLooker } from '#operator/database-look/looker.ts';
import { CatalogJudge } from '#operator/reconcile/catalog-judge.ts';
import { readSources } from '#operator/reconcile/sources.ts';
import { sampleCatalog } from '#test/sample-catalog.ts';
import { connectionJson, policyJson } from '#test/signed-bundles.ts';

beforeAll(async () => {
  await loadManifestValidation();
});

const catalog: LoadedCatalog = { mark: '1', snapshot: sampleCatalog([{ name: 'public.t', columns: { id: 'int4' } }]) };
const REACHED: DatabaseLook = {
  ...{ kind: 'reached', facts: { role: 'r', serverVersion: '18.1', excess: [] } },
  catalog: { kind: 'read', loaded: catalog },
};
const AWAY: DatabaseLook = { kind: 'failed', reason: 'ConnectionRefused', message: 'db:5432: refused' };
const material = { kind: 'ready', username: 'u', password: 'p' } as unknown as ReadyMaterial;

function connectionTo(host: string): DatabaseConnection {
  const decoded = decodeResource(connectionJson('shop', { host }));
  if (decoded.kind !== 'decoded' || decoded.resource.kind !== 'DatabaseConnection') throw new Error('sample');
  return decoded.resource;
}

/** A looker at a clock that the test moves; each look takes the next answer, and the catalogs that looks were given are kept. */
function lookerWith(...answers: readonly DatabaseLook[]) {
  const given: (LoadedCatalog | undefined)[] = [];
  const clock = { nowMs: 0 };
  const looker = new DatabaseLooker(
    async (_connection, _material, known) => {
      given.push(known);
      return answers[given.length - 1] ?? AWAY;
    },
    () => undefined,
    () => clock.nowMs,
  );
  const find = async (host = 'one') => {
    const found = looker.find('data/shop', connectionTo(host), material);
    await new Promise((resolve) => setImmediate(resolve));
    return found;
  };
  return { clock, find, given };
}

describe('when a database is looked at', () => {
  test('at once, and then once a minute, with what was read before', async () => {
    const { clock, find, given } = lookerWith(REACHED, REACHED);
    expect(await find()).toEqual({ look: undefined, catalog: undefined });
    clock.nowMs = 59_999;
    expect(await find()).toEqual({ look: REACHED, catalog });
    expect(given).toEqual([undefined]);
    clock.nowMs = 60_000;
    await find();
    expect(given).toEqual([undefined, catalog]);
  });

  test('what was read stays known while the database is away, and is forgotten with another database', async () => {
    const { clock, find, given } = lookerWith(REACHED, AWAY, AWAY);
    await find();
    clock.nowMs = 60_000;
    await find();
    expect(await find()).toEqual({ look: AWAY, catalog });
    expect(await find('other')).toEqual({ look: undefined, catalog: undefined });
    expect(given).toEqual([undefined, catalog, undefined]);
  });
});

describe('what is said of a policy', () => {
  const connection = connectionJson('shop') as unknown as KubernetesObject;
  const [reading] = readSources({
    ...{ key: { namespace: 'data', name: 'shop' }, connection, published: [] },
    policies: [policyJson('support', 'shop', { tables: [{ name: 'public.u' }] }) as unknown as KubernetesObject],
  }).policies;
  const unread: DatabaseLook = { ...REACHED, catalog: { kind: 'unread', message: 'too large' } };

  test.each([
    ['nothing to log in with', undefined, { kind: 'unknown', why: 'the operator cannot log in to the database' }],
    ['not looked at yet', { look: undefined, catalog: undefined }, { kind: 'pending' }],
    ['out of reach', { look: AWAY, catalog: undefined }, { kind: 'unknown', why: 'db:5432: refused' }],
    ['a catalog that cannot be read', { look: unread, catalog: undefined }, { kind: 'unknown', why: 'too large' }],
    ['read', { look: REACHED, catalog }, { kind: 'known', isFresh: true }],
    ['read, and away now', { look: AWAY, catalog }, { kind: 'known', isFresh: false }],
  ])('of a database that is %s', (_what, found, expected) => {
    if (reading === undefined) throw new Error('no policy');
    expect(new CatalogJudge().judge([reading], found)(reading)).toMatchObject(expected);
  });

  test('the same policies and catalog are judged once', () => {
    if (reading === undefined) throw new Error('no policy');
    const judge = new CatalogJudge();
    const fitOf = () => {
      const state = judge.judge([reading], { look: REACHED, catalog })(reading);
      return state.kind === 'known' ? state.fit : undefined;
    };
    expect(fitOf()?.unknownNames).toHaveLength(1);
    expect(fitOf()).toBe(fitOf());
  });
});
