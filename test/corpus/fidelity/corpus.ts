/** All that is compared. */
import { readFileSync } from 'node:fs';
import { ANALYTIC } from './analytic.ts';
import { CLIENTS } from './clients.ts';
import { INTROSPECTION } from './introspection.ts';
import type { FidelityCase } from './runner.ts';
import { SESSIONS } from './sessions.ts';

/** What psql 15 sends for its backslash commands (captured with `psql -E`). */
function psqlCases(): readonly FidelityCase[] {
  const captured: readonly { readonly from: string; readonly sql: string }[] = JSON.parse(
    readFileSync(new URL('psql-15.json', import.meta.url), 'utf8'),
  );
  return captured.map(({ from, sql }) => ({ from, steps: [sql] }));
}

export const FIDELITY_CORPUS: readonly FidelityCase[] = [
  ...psqlCases(),
  ...INTROSPECTION,
  ...CLIENTS,
  ...ANALYTIC,
  ...SESSIONS,
];
