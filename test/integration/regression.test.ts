/**
 * Statements in the manner of PostgreSQL's own regression suite, as they are and cut up at random: none makes the core throw, stops it, is
 * refused by a fault of ours, or is sent with a governed table outside of its view.
 */
import { beforeAll, expect, test } from 'vitest';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { judgeText, shopPolicy } from '#test/corpus/regression/bench.ts';
import { REGRESSION_CORPUS } from '#test/corpus/regression/corpus.ts';
import { findExposed } from '#test/corpus/regression/exposed.ts';
import { fuzz } from '#test/fuzz/mutate.ts';

let policy: EffectivePolicy;

beforeAll(async () => {
  policy = await shopPolicy();
});

test('the corpus holds several hundred texts, and most of them are sent', () => {
  expect(new Set(REGRESSION_CORPUS).size).toBeGreaterThanOrEqual(400);
  const accepted = REGRESSION_CORPUS.filter((text) => judgeText(text, policy).isAccepted);
  expect(accepted.length).toBeGreaterThan(200);
});

test.each(REGRESSION_CORPUS)('%s', (text) => {
  expect(judgeText(text, policy).problem).toBeUndefined();
});

test('ten seconds of mutations find nothing', () => {
  const result = fuzz(policy, 20_261_123, 10_000);
  expect(result.findings).toEqual([]);
  expect(result.count).toBeGreaterThan(1_000);
  expect(result.accepted).toBeGreaterThan(50);
}, 60_000);

/** What the search of a sent text would have to find. */
test.each([
  ['SELECT * FROM public.customers', 'customers without its row filter'],
  [
    "SELECT name FROM public.customers c JOIN public.orders o ON true WHERE region = 'eu'",
    'customers stands outside of a view',
  ],
  ["SELECT email FROM public.customers WHERE region = 'eu'", 'customers.email as it is'],
  ["SELECT (SELECT password_hash FROM public.customers WHERE region = 'eu')", 'customers.password_hash as it is'],
  ["SELECT customers.* FROM public.customers WHERE region = 'eu'", 'customers by a star'],
  ['SELECT 1 FROM payroll', 'payroll is not granted'],
  ['DELETE FROM public.orders', 'DeleteStmt of orders without its row filter'],
  ['SELECT 1; COPY public.customers TO STDOUT', 'customers stands outside of a view'],
  ['INSERT INTO public.orders SELECT * FROM public.customers', 'customers without its row filter'],
])('the search finds what is wrong with %s', (text, complaint) => {
  expect(findExposed(text, policy)).toBe(complaint);
});
