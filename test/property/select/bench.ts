/**
 * One random SELECT before three servers' ends: through the gate on the real shop, through the gate on another shop that differs only in what
 * the policy hides, and directly on the honest view.
 */
import { comparable } from '#test/corpus/fidelity/comparable.ts';
import { isRefusedByGate, type Observer, type Step } from '#test/corpus/observer.ts';
import { difference, startThreeDatabases } from '../three-databases.ts';
import type { RandomSelect } from './queries.ts';

/** How the statement is sent. */
export type Manner = 'simple' | 'extended' | 'binary' | 'describe';

export interface SelectVerdict {
  readonly kind: 'refused' | 'rows' | 'error';
  /** An error that one side raised and the other did not, in a statement with an expression that may fail: the planner's choice. */
  readonly isPlanned: boolean;
  /** What is wrong: lines of the honest database and of the gate, or of both gates. */
  readonly problem: string | undefined;
}

export interface SelectBench {
  readonly judge: (select: RandomSelect, manner: Manner) => Promise<SelectVerdict>;
  readonly faults: () => readonly string[];
  readonly stop: () => Promise<void>;
}

/**
 * Which of several failing rows or conditions comes first is the planner's to choose, as is whether one is reached at all below a LIMIT: an
 * outcome counts where the honest database gives it under one of these.
 */
export const PLANS: readonly (readonly string[])[] = [
  ['enable_hashjoin'],
  ['enable_nestloop'],
  ['enable_mergejoin'],
  ['enable_hashjoin', 'enable_mergejoin'],
  ['enable_hashjoin', 'enable_nestloop'],
  ['enable_hashagg', 'enable_sort'],
  ['enable_seqscan'],
  ['enable_indexscan', 'enable_bitmapscan', 'enable_indexonlyscan'],
];

function stepOf(text: string, manner: Manner): Step {
  switch (manner) {
    case 'simple':
      return text;
    case 'extended':
      return { parse: text };
    case 'binary':
      return { parse: text, binary: true };
    case 'describe':
      return { describe: text };
  }
}

/** Binary rows hold the OIDs of their columns' types, which differ from database to database. */
function mannerOf(select: RandomSelect, manner: Manner): Manner {
  return manner === 'binary' && select.features.has('row as output') ? 'extended' : manner;
}

/** Whether the statement failed on a value: a cast, a division, a sub-select of too many rows, chr(0). */
function hasFailed(seen: readonly string[]): boolean {
  return /^E (?:2[12]|54000)/.test(errorOf(seen) ?? '');
}

const errorOf = (seen: readonly string[]): string | undefined => seen.find((text) => text.startsWith('E '));

export async function startSelectBench(version: 18 | 15): Promise<SelectBench> {
  const { real, other, honest, names, faults, stop } = await startThreeDatabases(version);
  const judge = async (select: RandomSelect, manner: Manner): Promise<SelectVerdict> => {
    const step = stepOf(select.text, mannerOf(select, manner));
    const options = { isOrdered: select.isOrdered, hasOids: false };
    const [seenReal, seenOther, seenHonest] = await Promise.all([real.see(step), other.see(step), honest.see(step)]);
    const actual = comparable(seenReal, names.real, options);
    const twin = comparable(seenOther, names.other, options);
    const isRefused = isRefusedByGate(seenReal);
    const kind = isRefused ? 'refused' : errorOf(actual) === undefined ? 'rows' : 'error';
    const leak = difference(actual, twin);
    const verdict = { kind, isPlanned: false, problem: undefined } as const;
    if (leak !== undefined) return { ...verdict, problem: `the twins differ: ${leak}` };
    if (isRefused) return verdict;
    const expected = comparable(seenHonest, names.honest, options);
    const unlike = difference(expected, actual);
    if (unlike === undefined) return verdict;
    if (!hasFailed(expected) && !hasFailed(actual)) {
      return { ...verdict, problem: `not as on the honest view: ${unlike}` };
    }
    const isSame = (seen: readonly string[]): boolean =>
      difference(comparable(seen, names.honest, options), actual) === undefined;
    if (await someOtherPlan(honest, step, isSame)) return verdict;
    if (select.mayFail) return { ...verdict, isPlanned: true };
    return { ...verdict, problem: `not as on the honest view, under any plan: ${unlike}` };
  };
  return { judge, faults, stop };
}

async function someOtherPlan(
  honest: Observer,
  step: Step,
  isSame: (seen: readonly string[]) => boolean,
): Promise<boolean> {
  for (const settings of PLANS) {
    for (const name of settings) await honest.see(`SET ${name} = off`);
    const seen = await honest.see(step);
    for (const name of settings) await honest.see(`RESET ${name}`);
    if (isSame(seen)) return true;
  }
  return false;
}
