import type { Oid } from './catalog.ts';

/** What a statement is and touches: what guardrails see and the record names. Names are `schema.table[.column]`, unquoted. */
export interface StatementFacts {
  /** PostgreSQL command tag without counts: SELECT, INSERT, UPDATE, DELETE, MERGE, COPY, EXPLAIN, PREPARE, SET, BEGIN ... */
  readonly command: string;
  /** A WHERE clause stands on the (UPDATE, DELETE, SELECT) statement itself. */
  readonly hasWhere: boolean;
  readonly relations: readonly string[];
  /** Columns it names of governed relations: `public.customers.email`. */
  readonly columns: readonly string[];
  readonly functions: readonly string[];
}

export interface Facts extends StatementFacts {
  /** This statement and each nested in it (CTE, EXPLAIN, COPY, PREPARE): guardrails are evaluated for every one. */
  readonly nested: readonly StatementFacts[];
  /** Masked columns whose view stood in for a reference. */
  readonly masked: readonly string[];
  /** Relations whose row filter was applied. */
  readonly rowFilters: readonly string[];
  readonly readRelationOids: readonly Oid[];
  readonly writtenRelationOids: readonly Oid[];
}
