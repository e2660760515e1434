/** What a policy's status says of the database behind it. Pure. */
import { formatProblem } from '#crds/decode.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { PolicyFit } from '#policy/fit.ts';
import { conditionOf, type Finding } from './conditions.ts';
import { type AllColumns, growthOf, MAX_TABLES, readAllColumns } from './grown-tables.ts';

export type CatalogState =
  /** `isFresh`: the database answered when it was asked last. */
  | { readonly kind: 'known'; readonly fit: PolicyFit; readonly isFresh: boolean }
  /** The operator is about to look. */
  | { readonly kind: 'pending' }
  /** `why` is for people. */
  | { readonly kind: 'unknown'; readonly why: string };

export interface CatalogFindings {
  /** What keeps the policy from being ready; undefined: nothing that is known. */
  readonly ready: Finding | undefined;
  /** For a policy that is ready. */
  readonly note: string;
  readonly hasGrown: boolean;
  readonly conflicted: Finding;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** `isOwnWord`: what is in force for the policy is what its manifest says now. */
export function catalogFindings(object: KubernetesObject, state: CatalogState, isOwnWord: boolean): CatalogFindings {
  const conflicted = conflictedOf(state);
  if (state.kind !== 'known' || !isOwnWord) {
    const ready = state.kind === 'known' ? undefined : unknownReady(object, state);
    const note = state.kind === 'unknown' ? `; whether it fits the database is not known: ${state.why}` : '';
    return { ready, note, hasGrown: false, conflicted, fields: keptFields(object) };
  }
  const { fit } = state;
  const growth = growthOf(readAllColumns(object['status']), object.metadata.generation ?? 0, fit.openTables);
  const hasGrown = growth.added.length > 0;
  const note = hasGrown
    ? `; added to the database since, and visible because columns is ["*"]: ${listed(growth.added)}. List the columns, or hide those that agents should not see`
    : '';
  return { ready: misfit(fit), note, hasGrown, conflicted, fields: fieldsOf(fit.chosenKeyTables, growth.allColumns) };
}

function misfit(fit: PolicyFit): Finding | undefined {
  const no = (reason: string, message: string): Finding => ({ type: 'Ready', status: 'False', reason, message });
  const problems = fit.problems.map(formatProblem);
  if (problems.length > 0) {
    return no(
      'DoesNotFit',
      `it does not fit the database: ${listed([...problems, ...fit.unknownNames.map(formatProblem)], '; ')}. Until this is put right sidecars keep what they applied before, and those that start refuse the accounts it names`,
    );
  }
  if (fit.unknownNames.length === 0) return undefined;
  return no(
    'UnknownNames',
    `the database lacks what it names: ${listed(fit.unknownNames.map(formatProblem), '; ')}. All else it says is in force`,
  );
}

const SETTLED = new Set(['Published', 'NoSubjects', 'ColumnsAdded', 'DoesNotFit', 'UnknownNames', 'CatalogUnknown']);
const IN_DOUBT = new Set(['DoesNotFit', 'UnknownNames', 'CatalogUnknown']);

/** A catalog that is not known makes nothing ready that was not: what was found wrong stays, and an edit of that is in doubt. */
function unknownReady(object: KubernetesObject, state: Exclude<CatalogState, { kind: 'known' }>): Finding | undefined {
  const before = conditionOf(object, 'Ready');
  const { status, reason = '', message = '' } = before ?? {};
  const isSame = before?.observedGeneration === (object.metadata.generation ?? 0);
  const kept = (): Finding | undefined =>
    status === undefined ? undefined : { type: 'Ready', status, reason, message };
  if (state.kind === 'pending') {
    if (isSame && SETTLED.has(reason)) return kept();
    const looking = 'published; it is being compared with the database';
    return { type: 'Ready', status: 'Unknown', reason: 'CatalogPending', message: looking };
  }
  if (!IN_DOUBT.has(reason)) return undefined;
  if (isSame && reason !== 'CatalogUnknown') return kept();
  const doubt = `published, but it did not fit the database before, and whether it does now is not known: ${state.why}`;
  return { type: 'Ready', status: 'Unknown', reason: 'CatalogUnknown', message: doubt };
}

function conflictedOf(state: CatalogState): Finding {
  const says = (status: Finding['status'], reason: string, message: string): Finding => ({
    type: 'Conflicted',
    status,
    reason,
    message,
  });
  if (state.kind === 'pending') return says('Unknown', 'CatalogUnknown', 'the catalog of the database is not read yet');
  if (state.kind === 'unknown') return says('Unknown', 'CatalogUnknown', state.why);
  if (!state.isFresh) return says('Unknown', 'CatalogUnknown', 'the database did not answer when it was asked last');
  const { conflicts, isComplete } = state.fit;
  if (conflicts.length > 0) return says('True', 'StricterChild', listed(conflicts, '; '));
  if (!isComplete) {
    return says('Unknown', 'TooManySubjects', 'no conflict is known; there are too many subjects to compare all');
  }
  return says('False', 'NoConflict', 'no table that it grants has a child or partition with a stricter view');
}

function fieldsOf(chosenKeys: readonly string[], allColumns: AllColumns): CatalogFindings['fields'] {
  return {
    ...(chosenKeys.length === 0 ? {} : { writes: { chosenKeys: chosenKeys.slice(0, MAX_TABLES) } }),
    ...(allColumns.tables.length === 0 ? {} : { allColumns }),
  };
}

/** What was found before: an apply without them would take them away. */
function keptFields(object: KubernetesObject): CatalogFindings['fields'] {
  const status = object['status'];
  if (typeof status !== 'object' || status === null) return {};
  const entries = Object.entries(status).filter(([name]) => name === 'writes' || name === 'allColumns');
  return Object.fromEntries(entries);
}

const MAX_LISTED = 10;

function listed(items: readonly string[], separator = ', '): string {
  const rest = items.length - MAX_LISTED;
  return `${items.slice(0, MAX_LISTED).join(separator)}${rest > 0 ? ` and ${rest} more` : ''}`;
}
