import type { Oid } from './catalog.ts';
import { quoteIdentifier } from './identifiers.ts';

/**
 * An SQL expression over one relation's columns, kept as pieces so that it can be printed under any qualifier:
 * a string is literal SQL text, an object stands for a column of the relation.
 */
export type ExpressionPieces = readonly (string | { readonly column: string })[];

/** One visible column of an identity's view. */
export interface ViewColumn {
  readonly name: string;
  readonly attnum: number;
  readonly typeOid: Oid;
  readonly typmod: number;
  /** Absent: the column itself. Present: the total, type-keeping expression that stands in its place. */
  readonly mask?: { readonly method: string; readonly expression: ExpressionPieces };
}

export type TableAction = 'Select' | 'Insert' | 'Update' | 'Delete';

/** What one identity may see and do of one relation: all its policies together, the stricter holding. */
export interface RelationView {
  readonly relationOid: Oid;
  readonly schema: string;
  readonly name: string;
  readonly actions: ReadonlySet<TableAction>;
  /** Visible columns in attnum order. */
  readonly columns: readonly ViewColumn[];
  /** Names of live columns that do not exist for the identity. */
  readonly hiddenColumns: ReadonlySet<string>;
  /** Boolean expression, already closed over identity values; absent: every row. `columns` are those it reads. */
  readonly rowFilter?: { readonly expression: ExpressionPieces; readonly columns: readonly string[] };
  /** No masks, no filter, nothing hidden: the reference is only schema-qualified. */
  readonly isWhole: boolean;
  /** `namespace/name` of the policies that contribute. */
  readonly policies: readonly string[];
  /** Set where reading must be refused although granted (e.g. a partition stricter than its parent), with the reason. */
  readonly conflict?: string;
}

/** Prints pieces with every column as `qualifier.column`; no qualifier: the bare quoted column. */
export function printExpression(pieces: ExpressionPieces, quote: (name: string) => string, qualifier?: string): string {
  return pieces
    .map((piece) => {
      if (typeof piece === 'string') return piece;
      const column = quote(piece.column);
      return qualifier === undefined ? column : `${qualifier}.${column}`;
    })
    .join('');
}

const printedBare = new WeakMap<ExpressionPieces, string>();

/** Prints pieces over bare quoted columns; once, since it stands in every statement that reads the relation. */
export function printBare(pieces: ExpressionPieces): string {
  let sql = printedBare.get(pieces);
  if (sql === undefined) printedBare.set(pieces, (sql = printExpression(pieces, quoteIdentifier)));
  return sql;
}
