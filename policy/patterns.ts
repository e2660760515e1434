import type { RE2JS } from 're2js';
import type { Problem } from '#crds/decode.ts';
import { type DatabaseAccessPolicy, qualifiedName } from '#crds/kinds.ts';

type Re2 = { readonly RE2JS: Pick<typeof RE2JS, 'compile'> };

let re2: Re2 | undefined;

/** Loads RE2 if a policy has redaction patterns; loadGuardrails() calls it. */
export async function loadPatterns(policies: readonly DatabaseAccessPolicy[]): Promise<void> {
  if (re2 === undefined && policies.some((policy) => (policy.spec.redact?.patterns.length ?? 0) > 0))
    re2 = await import('re2js');
}

/** Patterns that RE2 does not take (it has no look-around and no back-references), or that match the empty text. */
export function patternProblems(policy: DatabaseAccessPolicy): readonly Problem[] {
  return (policy.spec.redact?.patterns ?? []).flatMap(({ regex }, index) => {
    const problem = patternProblem(regex);
    return problem === undefined
      ? []
      : [{ path: `${qualifiedName(policy)}: spec.redact.patterns[${index}].regex`, problem }];
  });
}

function patternProblem(regex: string): string | undefined {
  if (re2 === undefined) return 'the RE2 library is not loaded';
  try {
    return re2.RE2JS.compile(regex).matcher('').find()
      ? 'matches the empty text, so it would match everywhere'
      : undefined;
  } catch (error) {
    return `is not a regular expression of RE2: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'unknown error'}`;
  }
}
