/**
 * One random write before three databases: through the gate on the real shop, through the gate on another shop that differs only in what the
 * policy hides, and directly on the honest view, where the row filters are constraints. Each time in a transaction that is rolled back after
 * everything that the agent sees has been read.
 */
import pg from 'pg';
import { comparable } from '#test/corpus/fidelity/comparable.ts';
import type { ShopKind } from '#test/corpus/fidelity/databases.ts';
import { isRefusedByGate, type Observer, type Step } from '#test/corpus/observer.ts';
import type { PostgresServer } from '#test/postgres.ts';
import { difference, startThreeDatabases } from '../three-databases.ts';
import { PLANS } from '../select/bench.ts';
import type { RandomWrite } from './statements.ts';

export type Manner = 'simple' | 'extended';

export interface WriteVerdict {
  readonly kind: 'refused' | 'done' | 'error';
  /** What is wrong: lines of the honest database and of the gate, or of both gates. */
  readonly problem: string | undefined;
}

export interface WriteBench {
  readonly judge: (write: RandomWrite, manner: Manner) => Promise<WriteVerdict>;
  readonly faults: () => readonly string[];
  readonly stop: () => Promise<void>;
}

/** Keys of hidden rows are out of the way: that a key is taken by one of them is told (writes.chosenKeys), and not on the honest view. */
const HIDDEN_ASIDE = `UPDATE orders SET id = id + 1000000 WHERE region <> 'eu'; UPDATE tickets SET id = id + 1000000, title = 'hidden ' || title WHERE state = 'closed'`;

/** What makes the honest tables behave as the view: a row must be in it, and what is masked shows the mask whatever is written. */
const HONEST_RULES = `ALTER TABLE orders ADD CONSTRAINT row_filter CHECK ((region = 'eu') IS TRUE);
ALTER TABLE tickets ADD CONSTRAINT row_filter CHECK ((state <> 'closed') IS TRUE);
CREATE FUNCTION mask() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := '[redacted]'; RETURN NEW; END $$;
CREATE TRIGGER mask BEFORE INSERT OR UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION mask()`;

/** Numbers that were drawn in a transaction stay drawn. */
const SAME_NUMBERS = `SELECT setval('orders_id_seq', 6000), setval('tickets_id_seq', 6000)`;

const LOOKS = [
  'SELECT * FROM orders ORDER BY id',
  'SELECT * FROM order_items ORDER BY 1, 2',
  'SELECT * FROM tickets ORDER BY id',
];

const errorOf = (seen: readonly string[]): string | undefined => seen.find((text) => text.startsWith('E '));

async function admins(server: PostgresServer): Promise<Readonly<Record<ShopKind, pg.Client>>> {
  const open = async (kind: ShopKind, text: string): Promise<pg.Client> => {
    const url = new URL(server.adminUrl());
    url.pathname = `/${kind}`;
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    await client.query(text);
    await client.query(`ALTER DATABASE ${kind} SET statement_timeout = '3s'`);
    return client;
  };
  return {
    real: await open('real', HIDDEN_ASIDE),
    other: await open('other', HIDDEN_ASIDE),
    honest: await open('honest', HONEST_RULES),
  };
}

export async function startWriteBench(version: 18 | 15): Promise<WriteBench> {
  let databases: readonly pg.Client[] = [];
  const three = await startThreeDatabases(version, async (server) => {
    databases = Object.values(await admins(server));
    return async () => void (await Promise.all(databases.map((client) => client.end())));
  });
  const { real, other, honest, names, faults, stop } = three;
  const judge = async (write: RandomWrite, manner: Manner): Promise<WriteVerdict> => {
    await Promise.all(databases.map((client) => client.query(SAME_NUMBERS)));
    const step: Step = manner === 'simple' ? write.text : { parse: write.text };
    const [seenReal, seenOther, seenHonest] = await Promise.all([real, other, honest].map((one) => outcome(one, step)));
    if (seenReal === undefined || seenOther === undefined || seenHonest === undefined) throw new Error('three answers');
    const isRefused = isRefusedByGate(seenReal.write) && !isRowFilter(seenReal.write);
    const shown = (seen: Outcome, kind: ShopKind): readonly string[] => [
      ...comparable(seen.write.map(asRowFilter), names[kind], { isOrdered: false, hasOids: false }).map(
        withoutModifiers,
      ),
      ...comparable(seen.after, names[kind], { isOrdered: true, hasOids: false }),
    ];
    const [actual, twin, expected] = [shown(seenReal, 'real'), shown(seenOther, 'other'), shown(seenHonest, 'honest')];
    // Nobody waits for a statement whose random joins are too large.
    if ([seenReal, seenOther, seenHonest].some(isTooLong)) return { kind: 'error', problem: undefined };
    const kind = isRefused ? 'refused' : errorOf(seenReal.write) === undefined ? 'done' : 'error';
    const leak = difference(actual, twin);
    if (leak !== undefined) {
      if (isOtherConstraint(seenReal.write, seenOther.write)) return { kind, problem: undefined };
      const honestLines = async (): Promise<readonly string[]> => shown(await outcome(honest, step), 'honest');
      if (await isOfThePlan(honest, honestLines, [actual, twin])) return { kind, problem: undefined };
      return { kind, problem: `the twins differ: ${leak}` };
    }
    if (isRefused) return { kind, problem: undefined };
    const unlike = difference(expected, actual);
    if (unlike === undefined || isAsGood(write, seenHonest.write, seenReal.write)) return { kind, problem: undefined };
    return { kind, problem: `not as on the honest view: ${unlike}` };
  };
  return { judge, faults, stop };
}

interface Outcome {
  readonly write: readonly string[];
  /** What the agent then sees, in the same transaction. */
  readonly after: readonly string[];
}

async function outcome(observer: Observer, step: Step): Promise<Outcome> {
  await observer.see('BEGIN');
  const write = await observer.see(step);
  const after: string[] = [];
  if (errorOf(write) === undefined) for (const look of LOOKS) after.push(...(await observer.see(look)));
  await observer.see('ROLLBACK');
  return { write, after };
}

/**
 * Which value that fails is met first, or at all, is the planner's to choose, and what is hidden counts in its estimates. Then the honest database,
 * where nothing is hidden, must give each of the answers under some plan.
 */
async function isOfThePlan(
  honest: Observer,
  lines: () => Promise<readonly string[]>,
  answers: readonly (readonly string[])[],
): Promise<boolean> {
  const seen = [await lines()];
  for (const settings of PLANS) {
    for (const name of settings) await honest.see(`SET ${name} = off`);
    seen.push(await lines());
    for (const name of settings) await honest.see(`RESET ${name}`);
  }
  return answers.every((answer) => seen.some((one) => difference(one, answer) === undefined));
}

const isTooLong = ({ write, after }: Outcome): boolean =>
  [...write, ...after].some((text) => /^E .*C=57014/.test(text));

/** The constraint of the honest table says what the gate says of its filter. */
function asRowFilter(text: string): string {
  return text.startsWith('E ') && text.includes('n=row_filter') ? text.replace('C=23514', 'C=42501') : text;
}

/** RETURNING of a masked column is described by the mask's expression, whose type modifier may be another. */
function withoutModifiers(text: string): string {
  return text.startsWith('T ') ? text.replaceAll(/ [0-9a-f]{16}/g, '') : text;
}

function isRowFilter(seen: readonly string[]): boolean {
  return /new row violates the row filter/.test(errorOf(seen) ?? '');
}

/**
 * Both fail, on NOT NULL or on a key: which of several rows that are wrong comes first, or which of those that tie is within a LIMIT, is the
 * plan's to choose. That a key fails for a hidden row's sake is the contract's (`writes.chosenKeys`).
 */
function isOtherConstraint(actual: readonly string[], twin: readonly string[]): boolean {
  return [actual, twin].every((seen) => /C=2350[25]/.test(errorOf(seen) ?? ''));
}

/**
 * Which of several faults of a statement is met first is not the view's to say; nor, with ON CONFLICT, whether a row outside of it that is not
 * inserted after all is looked at: a table's constraint is, a view's is not.
 */
function isAsGood({ mayFail, features }: RandomWrite, expected: readonly string[], actual: readonly string[]): boolean {
  const [wanted, found] = [errorOf(expected), errorOf(actual)];
  if (wanted !== undefined && found !== undefined) return true;
  if (mayFail && /C=(?:2[12]|54000)/.test(wanted ?? found ?? '')) return true;
  const isConflict = features.has('ON CONFLICT DO NOTHING') || features.has('ON CONFLICT DO UPDATE');
  return isConflict && found === undefined && /C=23514/.test(wanted ?? '');
}
