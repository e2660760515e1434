/** What a system relation shows: shared by the tables of rules for pg_catalog and information_schema. */
import type { VisibleObjects } from './visible-objects.ts';

export type SystemRelationRule =
  /** The same in every database: shown as it is. */
  | { readonly kind: 'whole' }
  /** Has no rows for an agent, whatever it holds. The relation is not even read. */
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'filtered';
      /** Condition over alias `x`. */
      readonly where: (visible: VisibleObjects) => string;
      /** Expressions over `x` that stand in for columns, by column name; names that a server version lacks are ignored. */
      readonly columns?: (visible: VisibleObjects) => Readonly<Record<string, string>>;
    };

export const WHOLE: SystemRelationRule = { kind: 'whole' };
export const EMPTY: SystemRelationRule = { kind: 'empty' };

/** A rule from its condition and replaced columns. */
export function filtered(
  where: (visible: VisibleObjects) => string,
  columns?: (visible: VisibleObjects) => Readonly<Record<string, string>>,
): SystemRelationRule {
  return columns === undefined ? { kind: 'filtered', where } : { kind: 'filtered', where, columns };
}

/** The column's own type, but NULL. */
export function blank(column: string): string {
  return `CASE WHEN false THEN x.${column} END`;
}

/** The column where the condition holds, else the given value of its type. */
export function onlyWhere(condition: string, column: string, otherwise: string): string {
  return `CASE WHEN ${condition} THEN x.${column} ELSE ${otherwise} END`;
}
