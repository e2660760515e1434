import type { Oid } from './catalog.ts';
import type { RelationView } from './relation-view.ts';

/** What a policy allows of functions and operators beyond the built-in allow-list. */
export interface FunctionGrants {
  /** `schema\0name` of user functions. */
  readonly functions: ReadonlySet<string>;
  /** `schema\0operator` of user operators. */
  readonly operators: ReadonlySet<string>;
  /** Extensions all of whose functions, operators and types are allowed. */
  readonly extensions: ReadonlySet<string>;
}

/** The SQL side of an identity's rights: all the analysis needs to rewrite or refuse. Pure data, made by policy/compile.ts. */
export interface Access {
  readonly views: ReadonlyMap<Oid, RelationView>;
  /** Relations named by any policy of the connection (for whatever identity). */
  readonly governedOids: ReadonlySet<Oid>;
  readonly functions: FunctionGrants;
  /** Command tags allowed beyond what tables' actions imply, e.g. `CREATE TEMPORARY TABLE`, `LISTEN`. */
  readonly allowedCommands: ReadonlySet<string>;
  readonly deniedCommands: ReadonlySet<string>;
  /** Schemas that hold at least one granted relation or function, in name order. */
  readonly schemas: readonly string[];
  /** The connection's searchPath. */
  readonly defaultSearchPath: readonly string[];
  readonly chosenKeys: 'Allow' | 'Refuse';
  readonly statementTimeoutMs?: number;
  /** Some Insert, Update or Delete is granted. */
  readonly grantsWrite: boolean;
}

/** A temporary table this session has created: readable and writable, not governed. */
export interface TemporaryRelation {
  readonly name: string;
  /** Known when the gate could tell (CREATE TEMPORARY TABLE with a column list, or AS with known columns). */
  readonly columns?: readonly string[];
}

/** What the analysis must know of the session; a plain value that the session replaces as statements succeed. */
export interface SessionNames {
  /** As the server has it now, without the implicit pg_catalog and pg_temp. */
  readonly searchPath: readonly string[];
  readonly temporaryRelations: ReadonlyMap<string, TemporaryRelation>;
  /** SQL-level cursors, with the access generation they were declared under; the relation OID `WHERE CURRENT OF` may target. */
  readonly cursors: ReadonlyMap<string, { readonly generation: number; readonly relationOids: readonly Oid[] }>;
  /** SQL-level prepared statements: name → own text and the rewritten one the server holds. */
  readonly preparedStatements: ReadonlyMap<
    string,
    { readonly text: string; readonly rewritten: string; readonly generation: number }
  >;
}
