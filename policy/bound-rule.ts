import { bindRowFilter, compileRowFilter } from '#sql/filter.ts';
import type { Problem } from '#crds/decode.ts';
import type { ExpressionPieces } from '#sql/relation-view.ts';
import type { Identity } from './identity.ts';
import type { AppliedRule, PlacedRule } from './table-rules.ts';

/** A row filter with the identity's values in it. */
export interface IdentityFilter {
  readonly expression: ExpressionPieces;
  readonly columns: readonly string[];
  readonly bareColumns: readonly string[];
}

/** A rule as it holds for one relation and one identity. */
export interface BoundRule extends AppliedRule {
  readonly filter: IdentityFilter | undefined;
}

export type BoundFilters =
  | { readonly kind: 'bound'; readonly filters: ReadonlyMap<PlacedRule['rule'], IdentityFilter> }
  | { readonly kind: 'missing'; readonly policy: string; readonly value: string }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** Compiles and binds the row filters of all rules. A value that the identity lacks refuses the connection. */
export function bindFilters(rules: readonly PlacedRule[], identity: Identity): BoundFilters {
  const filters = new Map<PlacedRule['rule'], IdentityFilter>();
  const problems: Problem[] = [];
  let missing: { readonly policy: string; readonly value: string } | undefined;
  for (const { rule, policy, path } of rules) {
    if (rule.rowFilter === undefined) continue;
    const compiled = compileRowFilter(rule.rowFilter);
    if (compiled.kind === 'invalid') {
      problems.push({ path: `${policy}: ${path}.rowFilter`, problem: compiled.problem });
      continue;
    }
    const bound = bindRowFilter(compiled.template, identity);
    if (bound.kind === 'missing') missing ??= { policy, value: bound.value };
    else
      filters.set(rule, {
        expression: bound.expression,
        columns: bound.columns,
        bareColumns: compiled.template.bareColumns,
      });
  }
  if (problems.length > 0) return { kind: 'invalid', problems };
  return missing === undefined ? { kind: 'bound', filters } : { kind: 'missing', ...missing };
}
