/** The fidelity corpus: what drivers, ORMs and agents send. */
import { readFileSync } from 'node:fs';
import { ANALYTIC, TRANSACTIONS } from './analytic.ts';
import { INTROSPECTION } from './introspection.ts';
import type { FidelityCase } from './runner.ts';

/** Captured from `psql -E`, with OIDs replaced by names in braces. */
const PSQL: readonly { readonly from: string; readonly text: string }[] = JSON.parse(
  readFileSync(new URL('./psql.json', import.meta.url), 'utf8'),
);

export const FIDELITY_CORPUS: readonly FidelityCase[] = [
  ...ANALYTIC.map((text) => ({ from: 'agent', steps: [text] })),
  ...TRANSACTIONS.map((steps) => ({ from: 'session', steps })),
  ...INTROSPECTION.map(([from, text]) => ({ from, steps: [text] })),
  ...PSQL.map(({ from, text }) => ({ from, steps: [text] })),
];
