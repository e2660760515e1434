import type { Access, SessionNames, TemporaryRelation } from './access.ts';
import type { CatalogSnapshot, Oid } from './catalog.ts';
import type { Facts } from './facts.ts';
import type { Refusal } from './refusal.ts';

/** Everything the analysis of one text depends on; equal inputs give equal answers (so answers can be cached). */
export interface AnalysisInput {
  readonly text: string;
  readonly catalog: CatalogSnapshot;
  readonly access: Access;
  readonly session: SessionNames;
  /** Parameter types of a Parse message (0 = unspecified). */
  readonly parameterTypeOids: readonly Oid[];
  /** Policy generation now in force: cursors declared under another one are refused. */
  readonly generation: number;
  /** Random per process: prefix of the sentinel texts by which added checks are recognised in server errors. */
  readonly checkToken: string;
}

/** A piece of the rewritten text: copied from the agent's text [start, end) in UTF-16 units, or text of ours. */
export type TextPiece = { readonly start: number; readonly end: number } | { readonly insert: string };

/** What the session must do or remember when the statement is forwarded (optimistically, in order). */
export type SessionEffect =
  | { readonly kind: 'set'; readonly name: string; readonly value: string | undefined; readonly local: boolean }
  | { readonly kind: 'searchPath'; readonly schemas: readonly string[] | undefined; readonly local: boolean }
  | { readonly kind: 'resetAll' }
  | { readonly kind: 'discardAll' }
  | { readonly kind: 'createTemporary'; readonly relation: TemporaryRelation }
  | { readonly kind: 'dropTemporary'; readonly names: readonly string[] }
  | { readonly kind: 'discardTemporary' }
  | { readonly kind: 'prepare'; readonly name: string; readonly text: string; readonly rewritten: string }
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  | { readonly kind: 'declareCursor'; readonly name: string; readonly relationOids: readonly Oid[] }
  | { readonly kind: 'closeCursor'; readonly name: string | undefined }
  | { readonly kind: 'begin' }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string };

/** An added check: when the server's error text holds `token`, the agent gets this error instead. */
export interface AddedCheck {
  readonly token: string;
  readonly sqlstate: string;
  readonly slug: string;
  readonly message: string;
}

/** A parameter that is written to a masked column: a value that stands there in the place of a masked one must not be written back. */
export interface SentinelParameter {
  /** 1 is $1. */
  readonly parameter: number;
  readonly texts: readonly string[];
  /** `schema.table.column`, as a message shows it. */
  readonly column: string;
}

/** How the result differs on the wire from what the agent asked for. */
export interface ResultShape {
  /** Trailing columns added by the gate (write checks): stripped from RowDescription and DataRow. */
  readonly strippedColumns: number;
  /** The agent's statement returns no rows: with every column stripped, RowDescription becomes NoData and rows are dropped. */
  readonly hidesRows: boolean;
  /** EXPLAIN output to be reduced to the plan's shape; `undefined` where it passes. */
  readonly explain?: 'text' | 'json' | 'xml' | 'yaml';
}

export interface AcceptedStatement {
  readonly kind: 'accepted';
  readonly facts: Facts;
  /** UTF-16 range of the statement in the agent's text. */
  readonly start: number;
  readonly end: number;
  readonly pieces: readonly TextPiece[];
  readonly rewritten: boolean;
  readonly effects: readonly SessionEffect[];
  readonly checks: readonly AddedCheck[];
  readonly shape: ResultShape;
  /** Touches a governed relation: server errors lose DETAIL and values. */
  readonly governed: boolean;
  readonly copy?: 'in' | 'out';
  /** To be compared with the values of each Bind. */
  readonly sentinels?: readonly SentinelParameter[];
  /** PREPARE only: what holds for each EXECUTE of it. */
  readonly executed?: { readonly checks: readonly AddedCheck[]; readonly shape: ResultShape };
}

export type StatementAnalysis = AcceptedStatement | (Refusal & { readonly facts?: Facts });

/** The answer for a whole text (one simple Query, or one Parse). */
export interface TextAnalysis {
  readonly statements: readonly StatementAnalysis[];
  /** Text to send: all statements with their pieces; `undefined` if any is refused. */
  readonly pieces: readonly TextPiece[] | undefined;
  /** Literals (UTF-16 start offsets) whose value the answer depends on; a text that differs only elsewhere gets the same answer. `undefined`: on every byte. */
  readonly sensitiveLiterals: ReadonlySet<number> | undefined;
}
