import type { Problem } from '#crds/decode.ts';
import { type DatabaseAccessPolicy, qualifiedName } from '#crds/kinds.ts';
import { compileRowFilter } from '#sql/filter.ts';
import { compileGuardrails } from './guardrails.ts';
import { patternProblems } from './patterns.ts';

/**
 * What is wrong with a policy whoever asks and whatever the database holds: row filters that do not read, guardrails and
 * patterns that do not compile. For the loader: a policy with problems is not taken. Needs loadParser() and loadGuardrails().
 */
export function policyProblems(policy: DatabaseAccessPolicy): readonly Problem[] {
  const filters = policy.spec.tables.flatMap((table, index) => {
    const compiled = table.rowFilter === undefined ? undefined : compileRowFilter(table.rowFilter);
    if (compiled?.kind !== 'invalid') return [];
    return [{ path: `${qualifiedName(policy)}: spec.tables[${index}].rowFilter`, problem: compiled.problem }];
  });
  const guardrails = compileGuardrails(policy);
  return [...filters, ...(guardrails.kind === 'invalid' ? guardrails.problems : []), ...patternProblems(policy)];
}
