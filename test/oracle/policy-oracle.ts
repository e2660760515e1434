/**
 * What policies mean, written down as plainly as possible and slowly: the reference for policy/view.ts and policy/judge-analysis.ts.
 * Knows no partitions and no materialized views.
 */
import type { DatabaseAccessPolicy, MaskSpec, TableRule } from '#crds/kinds.ts';
import type { CatalogRelation } from '#sql/catalog.ts';

/** How one column looks: as it is, masked, or not there. */
export type ColumnLook = 'raw' | 'hidden' | MaskSpec['method'];

export interface OracleView {
  readonly actions: readonly string[];
  readonly columns: Readonly<Record<string, ColumnLook>>;
  /** Texts of the row filters, each of which must hold. */
  readonly filters: readonly string[];
}

function applies(rule: TableRule, relation: CatalogRelation): boolean {
  return (
    rule.name.schema === relation.schema && (rule.name.relation === undefined || rule.name.relation === relation.name)
  );
}

function masksOf(rule: TableRule, column: string): readonly string[] {
  return rule.mask.filter((entry) => entry.columns.includes(column)).map((entry) => JSON.stringify(entry.with));
}

function isVisible(rule: TableRule, relation: CatalogRelation, name: string): boolean {
  if (rule.hide.includes(name)) return false;
  if (!rule.columns.all && !rule.columns.names.includes(name)) return false;
  const column = relation.columns.find((each) => each.name === name);
  if (column === undefined || column.generated === '') return column !== undefined;
  if (masksOf(rule, name).length > 0 || rule.columns.names.includes(name)) return true;
  const sources = relation.columns.filter((each) => column.generatedFrom.includes(each.attnum));
  return sources.every((source) => isVisible(rule, relation, source.name) && masksOf(rule, source.name).length === 0);
}

/** The view that all policies together give of a relation; `undefined`: none grants it. */
export function oracleView(
  policies: readonly DatabaseAccessPolicy[],
  relation: CatalogRelation,
): OracleView | undefined {
  const rules = policies.flatMap((policy) => policy.spec.tables).filter((rule) => applies(rule, relation));
  if (rules.length === 0) return undefined;
  const look = (name: string): ColumnLook => {
    if (!rules.every((rule) => isVisible(rule, relation, name))) return 'hidden';
    const masks = [...new Set(rules.flatMap((rule) => masksOf(rule, name)))];
    const [only] = masks;
    if (only === undefined) return 'raw';
    return masks.length > 1 ? 'Redact' : (JSON.parse(only) as MaskSpec).method;
  };
  return {
    actions: ['Select', 'Insert', 'Update', 'Delete'].filter((action) =>
      rules.every((rule) => rule.actions.some((each) => each === action)),
    ),
    columns: Object.fromEntries(relation.columns.map((column) => [column.name, look(column.name)])),
    filters: [...new Set(rules.flatMap((rule) => rule.rowFilter ?? []))].toSorted(),
  };
}

/** What a guardrail answered for the worst of the statements. */
export type GuardrailAnswer = 'pass' | 'object' | 'error';

export interface OracleStatement {
  readonly refusedSlug: string | undefined;
  /** Its own command and those nested in it. */
  readonly commands: readonly string[];
  readonly guardrails: readonly { readonly action: 'Deny' | 'RequireApproval'; readonly answer: GuardrailAnswer }[];
}

export type OracleOutcome = 'forward' | 'deny' | 'approve';

/** What becomes of one statement taken alone, in Enforce. */
export function oracleOutcome(statement: OracleStatement, deniedCommands: readonly string[]): OracleOutcome {
  if (statement.refusedSlug !== undefined) return 'deny';
  if (statement.commands.some((command) => deniedCommands.includes(command))) return 'deny';
  if (statement.guardrails.some((guardrail) => guardrail.answer === 'error')) return 'deny';
  if (statement.guardrails.some((guardrail) => guardrail.answer === 'object' && guardrail.action === 'Deny'))
    return 'deny';
  return statement.guardrails.some((guardrail) => guardrail.answer === 'object') ? 'approve' : 'forward';
}

/** Whether the text goes to the server. */
export function oracleForwards(
  statements: readonly OracleStatement[],
  deniedCommands: readonly string[],
  mode: 'Enforce' | 'Observe',
): boolean {
  if (mode === 'Observe') {
    return !statements.some((each) =>
      ['invalid_text', 'statement_too_large', 'setting_not_allowed'].includes(each.refusedSlug ?? ''),
    );
  }
  return statements.every((statement) => oracleOutcome(statement, deniedCommands) === 'forward');
}
