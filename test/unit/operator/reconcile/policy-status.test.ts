import { beforeAll, describe, expect, test } from 'vitest';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { loadManifestValidation } from '#operator/admission/validate-manifests.ts';
import type { CatalogState } from '#operator/reconcile/catalog-findings.ts';
import { conditionOf, type Status } from '#operator/reconcile/conditions.ts';
import { policyStatus } from '#operator/reconcile/policy-status.ts';
import { readSources } from '#operator/reconcile/sources.ts';
import type { OpenTable, PolicyFit } from '#policy/fit.ts';
import { connectionJson, policyJson } from '#test/signed-bundles.ts';

beforeAll(async () => {
  await loadManifestValidation();
});

const FITS: PolicyFit = {
  ...{ problems: [], unknownNames: [], conflicts: [], isComplete: true, chosenKeyTables: [], openTables: [] },
};
const known = (fit: Partial<PolicyFit> = {}, isFresh = true): CatalogState => ({
  ...{ kind: 'known', fit: { ...FITS, ...fit }, isFresh },
});
const PENDING: CatalogState = { kind: 'pending' };
const AWAY: CatalogState = { kind: 'unknown', why: 'db:5432: refused' };
const misfit = { problems: [{ path: 'spec.tables[0].hide', problem: 'public.t has no column x' }] };
const unknownName = { unknownNames: [{ path: 'spec.tables[0].name', problem: 'public.t is not a table' }] };

/** The statuses of one policy, one after the other: each step is a catalog and the generation of the spec. */
function statusAfter(...steps: readonly (readonly [CatalogState, number])[]): Status {
  let status: Status | undefined;
  for (const [catalog, generation] of steps) {
    const json = policyJson('support', 'shop', {});
    const { metadata } = json as unknown as KubernetesObject;
    const object = { ...json, metadata: { ...metadata, generation }, status } as unknown as KubernetesObject;
    const connection = connectionJson('shop') as unknown as KubernetesObject;
    const key = { namespace: 'data', name: 'shop' };
    const [reading] = readSources({ key, connection, policies: [object], published: [] }).policies;
    if (reading === undefined) throw new Error('not of this connection');
    expect(reading.problems).toEqual([]);
    status = policyStatus({
      ...{ reading, connectionName: 'shop', connectionExists: true, connectionProblem: undefined, publications: [] },
      ...{ keySetVersion: 1, pods: [], reportsSettled: true, catalog, nowIso: '2026-01-01T00:00:00Z' },
    });
  }
  if (status === undefined) throw new Error('no step');
  return status;
}

function shortly(status: Status, type: string): string {
  const { status: truth, reason } = conditionOf({ status } as unknown as KubernetesObject, type) ?? {};
  return `${truth} ${reason}`;
}

describe('Ready, by what is known of the catalog', () => {
  test.each<readonly [string, readonly (readonly [CatalogState, number])[], string]>([
    ['that it fits', [[known(), 1]], 'True Published'],
    ['that it does not', [[known(misfit), 1]], 'False DoesNotFit'],
    ['that a name is not there', [[known(unknownName), 1]], 'False UnknownNames'],
    ['nothing yet', [[PENDING, 1]], 'Unknown CatalogPending'],
    [
      'nothing yet, since the operator began anew',
      [
        [known(), 1],
        [PENDING, 1],
      ],
      'True Published',
    ],
    [
      'nothing yet of an edit',
      [
        [known(), 1],
        [PENDING, 2],
      ],
      'Unknown CatalogPending',
    ],
    ['nothing: the database is out of reach', [[AWAY, 1]], 'True Published'],
    [
      'nothing any more, and it did not fit',
      [
        [known(misfit), 1],
        [AWAY, 1],
      ],
      'False DoesNotFit',
    ],
    [
      'nothing any more of an edit of what did not fit',
      [
        [known(misfit), 1],
        [AWAY, 2],
      ],
      'Unknown CatalogUnknown',
    ],
    [
      'and that stays so',
      [
        [known(misfit), 1],
        [AWAY, 2],
        [AWAY, 2],
        [PENDING, 2],
      ],
      'Unknown CatalogUnknown',
    ],
    [
      'until it is known to fit',
      [
        [known(misfit), 1],
        [AWAY, 2],
        [known(), 2],
      ],
      'True Published',
    ],
  ])('%s', (_what, steps, expected) => {
    expect(shortly(statusAfter(...steps), 'Ready')).toBe(expected);
  });

  test('a policy that does not fit says what does not, and needs somebody', () => {
    const status = statusAfter([known(misfit), 1]);
    expect(conditionOf({ status } as unknown as KubernetesObject, 'Ready')?.message).toBe(
      'it does not fit the database: spec.tables[0].hide: public.t has no column x. Until this is put right sidecars keep what they applied before, and those that start refuse the accounts it names',
    );
    expect(shortly(status, 'Stalled')).toBe('True DoesNotFit');
  });
});

describe('Conflicted', () => {
  test.each<readonly [string, CatalogState, string]>([
    ['no conflict', known(), 'False NoConflict'],
    ['a conflict', known({ conflicts: ['public.t: its child …'] }), 'True StricterChild'],
    ['too many subjects', known({ isComplete: false }), 'Unknown TooManySubjects'],
    ['a database that does not answer any more', known({}, false), 'Unknown CatalogUnknown'],
    ['a database that never answered', AWAY, 'Unknown CatalogUnknown'],
    ['a database that is not looked at yet', PENDING, 'Unknown CatalogUnknown'],
  ])('%s', (_what, catalog, expected) => {
    expect(shortly(statusAfter([catalog, 1]), 'Conflicted')).toBe(expected);
  });
});

describe('what columns: ["*"] shows later', () => {
  const table = (name: string, oid: number, columns: readonly string[]): OpenTable => ({
    ...{ name, oid, lastColumn: columns.length },
    columns: columns.map((column, index) => ({ name: column, attnum: index + 1 })),
  });
  const before = known({ openTables: [table('public.t', 1, ['a'])] });
  const says = (...steps: readonly (readonly [CatalogState, number])[]): string => {
    const status = statusAfter(...steps);
    return `${shortly(status, 'Ready')}: ${status.conditions.find(({ type }) => type === 'Ready')?.message}`;
  };
  const grown = (names: string): string =>
    `True ColumnsAdded: published to the agents it names; added to the database since, and visible because columns is ["*"]: ${names}. List the columns, or hide those that agents should not see`;

  test.each<readonly [string, readonly OpenTable[], string]>([
    ['a column', [table('public.t', 1, ['a', 'b'])], grown('public.t.b')],
    ['a table of the schema', [table('public.t', 1, ['a']), table('public.u', 2, ['a'])], grown('public.u')],
    ['a table that is made anew', [table('public.t', 3, ['a'])], grown('public.t')],
    ['nothing', [table('public.t', 1, ['a'])], 'True Published: published to the agents it names'],
    ['a column less', [table('public.t', 1, [])], 'True Published: published to the agents it names'],
  ])('%s', (_what, openTables, expected) => {
    expect(says([before, 1], [known({ openTables }), 1])).toBe(expected);
    expect(says([before, 1], [AWAY, 1], [known({ openTables }), 1]), 'after the database was away').toBe(expected);
  });

  test('an edit of the policy has seen it', () => {
    const after = known({ openTables: [table('public.t', 1, ['a', 'b'])] });
    expect(says([before, 1], [after, 2])).toBe('True Published: published to the agents it names');
  });

  test('what it is compared with stands in the status, and the tables that chosenKeys is about', () => {
    const status = statusAfter([
      known({ openTables: [table('public.t', 1, ['a'])], chosenKeyTables: ['public.t'] }),
      4,
    ]);
    expect(status['allColumns']).toEqual({ generation: 4, tables: [{ name: 'public.t', oid: 1, lastColumn: 1 }] });
    expect(status['writes']).toEqual({ chosenKeys: ['public.t'] });
  });
});
