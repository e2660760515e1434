/** What the tables of statements in the write tests are made of, and the servers they run on. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { isPostgresInstalled } from '#test/postgres.ts';
import { type Outcome, type RunOptions, startWriteFixture, type WriteFixture } from './write-fixture.ts';

export const done = (rows: readonly (readonly unknown[])[], count = rows.length): Partial<Outcome> => ({
  kind: 'done',
  rows,
  count,
});
export const changed = (count: number): Partial<Outcome> => ({ kind: 'done', rows: [], count });
export const refused = (slug: string, more: Record<string, unknown> = {}): Partial<Outcome> => ({
  kind: 'refused',
  slug,
  ...more,
});
export const checked = (sqlstate: string, message: string): Partial<Outcome> => ({
  kind: 'failed',
  sqlstate,
  message,
  byGate: true,
});
export const failed = (sqlstate: string): Partial<Outcome> => ({ kind: 'failed', sqlstate, byGate: false });
export const missing = (subject: string): Partial<Outcome> =>
  refused('undefined_object', { sqlstate: '42703', subject });

export const OUTSIDE = checked('42501', 'new row violates the row filter for public.customers');
export const ORPHAN = checked(
  '23503',
  'insert or update on table "orders" violates foreign key constraint "orders_customer_id_fkey"',
);
export const HIDDEN_KEY = checked('23505', 'duplicate key value violates a unique constraint');

export const REGIONS = 'SELECT id, name, region FROM customers ORDER BY id';

/** One statement and what must come of it. */
export interface WriteCase {
  readonly name: string;
  readonly sql: string;
  readonly expected: Partial<Outcome>;
  readonly options?: RunOptions;
  /** A query of ours and its rows, after the statement. */
  readonly after?: readonly [string, readonly (readonly unknown[])[]];
  /** Versions of the server that have what is asked of it. */
  readonly minimum?: number;
  readonly below?: number;
}

/** Changes everything that the identity must not learn, and nothing that its views show. Keys of hidden rows stay. */
const OTHER_SECRETS = `
UPDATE customers SET ssn = 'q' || ssn, secret = 2, badge = 'q' || badge, email = overlay(email PLACING 'xyz' FROM 2 FOR 2);
UPDATE customers SET name = 'Zed', level = 3, region = 'asia' WHERE region <> 'eu';
UPDATE watched SET note = 'elsewhere', region = 'asia' WHERE region <> 'eu';
UPDATE tree SET parent_id = 1, region = 'asia' WHERE region <> 'eu';
`;

/** What a test needs of the server it runs on. */
export interface WriteServer {
  readonly fixture: () => WriteFixture;
  readonly forServer: (cases: readonly WriteCase[]) => readonly WriteCase[];
  readonly check: (each: WriteCase) => Promise<void>;
}

/** Runs a suite on every installed server, with a database of its own. */
export function describeWrites(name: string, suite: (server: WriteServer) => void): void {
  describe.each(([18, 15] as const).filter(isPostgresInstalled))(`${name} on PostgreSQL %i`, (version) => {
    let started: WriteFixture | undefined;
    const fixture = (): WriteFixture => {
      if (started === undefined) throw new Error('the server has not started');
      return started;
    };
    beforeAll(async () => {
      started = await startWriteFixture(version);
    });
    afterAll(async () => {
      await started?.stop();
    });
    suite({
      fixture,
      forServer: (cases) =>
        cases.filter((each) => (each.minimum ?? 0) <= version * 10_000 && version * 10_000 < (each.below ?? 990_000)),
      check: async ({ sql, expected, options, after }) => {
        const seen: unknown[][] = [];
        const look = after === undefined ? {} : { look: after[0], seen };
        const own = fixture().cursorsOver(options);
        const outcome = await fixture().run(sql, { ...own, ...look });
        expect(outcome, fixture().rewrite(sql, own)).toMatchObject(expected);
        const before = `${OTHER_SECRETS}; ${own.before ?? ''}`;
        expect(await fixture().run(sql, { ...own, before }), 'with other secrets').toEqual(outcome);
        if (after !== undefined) expect(seen).toEqual(after[1]);
      },
    });
  });
}
