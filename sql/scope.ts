/**
 * Names as the server resolves them: what each FROM item offers, level by level, and what reading a column of it would mean
 * for the row filters behind it.
 */
import type { Oid } from './catalog.ts';
import type { RelationView } from './relation-view.ts';

/** What stands for "this row is inside the filter" at some level of the statement. */
export type GuardCondition =
  /** A flag column added to a FROM item; its name is unique in the statement, save where a common table expression is named twice. */
  | { readonly kind: 'flag'; readonly name: string; readonly qualifier?: string }
  /** The filter itself, over the target of an UPDATE, DELETE or MERGE. */
  | { readonly kind: 'filter'; readonly sql: string };

/** A filtered relation that an expression reads, with the means to keep the expression from running on hidden rows. */
export interface Guard {
  /** The level at which the guarded item stands. */
  readonly scope: Scope;
  readonly key: object;
  /**
   * Asks for the condition; `undefined` where the item was fenced off instead, so that nothing can be pushed below it. `from` is the
   * level at which the condition will stand: the target of a write must be reachable there by its own name.
   */
  request(from?: Scope): GuardCondition | undefined;
  /** Fences the relation off (OFFSET 0) where no flag can be tested; absent where it cannot be. */
  fence?(): void;
}

export interface ScopeColumn {
  readonly name: string;
  /** Known only where the column is a plain one of a relation, or an expression of known type. */
  readonly typeOid: Oid | undefined;
  readonly guards: readonly Guard[];
  /** Computing it cannot raise or show anything. */
  readonly leakproof: boolean;
  /** A merged column of JOIN USING that is the column of that name of one side. */
  readonly owner?: FromItem;
  /** `schema.table.column` for the facts. */
  readonly fact?: string;
  /** Target of a write only: reading it is refused, and why. */
  readonly unreadable?: 'hidden' | 'masked' | 'ungranted';
  /** Target of a write only: what stands in its place in RETURNING (the mask). */
  readonly replacement?: string;
}

export interface FromItem {
  /** Name by which it is referred to; `undefined` for none. */
  readonly alias: string | undefined;
  readonly columns: readonly ScopeColumn[];
  /** False where the server knows columns that the gate does not (functions returning records, temporary tables). */
  readonly complete: boolean;
  readonly relation?: { readonly schema: string; readonly name: string; readonly oid: Oid; readonly hasAlias: boolean };
  readonly view?: RelationView;
  /** A sub-select stands in its place. */
  readonly replaced: boolean;
  /** The session's own temporary table. */
  readonly temporary?: boolean;
  /** A derived table's own level. */
  readonly inner?: Scope;
  /** Target of a write: its columns are the base table's. */
  readonly isTarget?: boolean;
  /** Target of a write only: columns that the server knows and that do not exist for the identity. */
  readonly absent?: ReadonlySet<string>;
  /** Reads a system column; refuses where there is none to be had. */
  systemColumn?(name: string): ScopeColumn;
  /** Columns of ours that were added, which `*` and whole-row references must not show. */
  extras(): readonly string[];
  /** Names of columns that something reads: masks of the others need not be computed. */
  readonly used?: Set<string>;
  /** Guards of the whole item, for whole-row references. */
  readonly allGuards: readonly Guard[];
}

/** A column as `*` shows it: its SQL and what it is. */
export type StarEntry =
  | { readonly kind: 'column'; readonly sql: string; readonly column: ScopeColumn; readonly item: FromItem | undefined }
  | { readonly kind: 'item'; readonly item: FromItem };

export interface CteEntry {
  readonly name: string;
  readonly columns: readonly ScopeColumn[];
  readonly complete: boolean;
  readonly extras: () => readonly string[];
  /** Guards as they look from an item that refers to the CTE. */
  readonly guardsFor: (columnIndex: number, scope: Scope) => readonly Guard[];
}

export interface QueryTraits {
  /** Reads a column of a level around it. */
  correlated: boolean;
  /** Calls a volatile function. */
  volatile: boolean;
}

export interface Scope {
  readonly parent: Scope | undefined;
  readonly items: FromItem[];
  readonly ctes: Map<string, CteEntry>;
  star: readonly StarEntry[];
  /** JOIN USING and NATURAL: merged columns, found before the items' own. */
  readonly merged: Map<string, ScopeColumn>;
  /** References at this level outside of aggregates, while they are recorded for GROUP BY: to a column, or to a whole row (`undefined`). */
  ungrouped: { item: FromItem; name: string | undefined; location: number | undefined }[] | undefined;
  aggregateDepth: number;
  /** A row lock stands at this level: nothing below it may be fenced. */
  locked: boolean;
  /** An expression that is not guarded, may raise, and reads an outer level's filtered relation. */
  leakyOuter: boolean;
  /** Something inside may raise, whatever it reads: whether the query runs at all can then be seen. */
  raises: boolean;
  /** What is known of the whole query that this level belongs to; shared by the copies of a level. */
  readonly traits: QueryTraits;
  /** Guards of outer levels read anywhere inside. */
  readonly outerGuards: Map<object, Guard>;
}

export function newScope(parent: Scope | undefined): Scope {
  return {
    parent,
    items: [],
    ctes: new Map(),
    star: [],
    merged: new Map(),
    ungrouped: undefined,
    aggregateDepth: 0,
    locked: false,
    leakyOuter: false,
    raises: false,
    traits: { correlated: false, volatile: false },
    outerGuards: new Map(),
  };
}

export function findCte(scope: Scope | undefined, name: string): CteEntry | undefined {
  for (let level = scope; level !== undefined; level = level.parent) {
    const found = level.ctes.get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

export interface FoundColumn {
  readonly kind: 'column';
  readonly column: ScopeColumn;
  readonly item: FromItem | undefined;
  readonly scope: Scope;
}
export interface FoundItem {
  readonly kind: 'item';
  readonly item: FromItem;
  readonly scope: Scope;
}
/** `exists`: the name may be a column of an item whose columns the gate does not know. */
export interface NotFound {
  readonly kind: 'unknown';
  readonly guards: readonly Guard[];
  readonly exists: boolean;
}
export type Found = FoundColumn | FoundItem | NotFound;

const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

function itemColumn(item: FromItem, name: string): ScopeColumn | undefined {
  const column = item.columns.find((c) => c.name === name);
  if (column !== undefined) return column;
  if (item.absent?.has(name) === true)
    return { name, typeOid: undefined, guards: [], leakproof: false, unreadable: 'hidden' };
  return SYSTEM_COLUMNS.has(name) ? item.systemColumn?.(name) : undefined;
}

/** Guards of items at a level whose columns the gate does not know: one of them may be meant. */
function incompleteGuards(level: Scope): readonly Guard[] {
  return level.items.flatMap((item) => (item.complete ? [] : item.allGuards));
}

/** A column found behind items of unknown columns: the server may mean one of theirs. */
function uncertain(found: FoundColumn, guards: readonly Guard[]): FoundColumn {
  const { column } = found;
  return {
    ...found,
    column: { ...column, typeOid: undefined, leakproof: false, guards: [...column.guards, ...guards] },
  };
}

function columnAt(level: Scope, name: string): FoundColumn | undefined {
  const merged = level.merged.get(name);
  if (merged !== undefined) return { kind: 'column', column: merged, item: undefined, scope: level };
  for (const item of level.items) {
    const column = itemColumn(item, name);
    if (column !== undefined) return { kind: 'column', column, item, scope: level };
  }
  return undefined;
}

/** Whether an unqualified name is a column of this level. */
export function hasColumn(scope: Scope, name: string): boolean {
  return columnAt(scope, name) !== undefined;
}

/**
 * An unqualified name: a column at any level (merged ones first), outward; only where no level has one, an item's own name (whole row).
 * Source: transformColumnRef in PostgreSQL's parse_expr.c, by behaviour.
 */
export function resolveColumn(scope: Scope, name: string): Found {
  const guards: Guard[] = [];
  let isUncertain = false;
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const found = columnAt(level, name);
    if (found !== undefined) return isUncertain ? uncertain(found, guards) : found;
    isUncertain ||= level.items.some((item) => !item.complete);
    guards.push(...incompleteGuards(level));
  }
  const whole = resolveItem(scope, name);
  if (whole !== undefined) return whole;
  return { kind: 'unknown', guards, exists: isUncertain };
}

/** `alias.*` or the `alias` of `alias.column`; with a schema, the relation of that name that carries no alias. */
export function resolveItem(scope: Scope, name: string, schema?: string): FoundItem | undefined {
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const item = level.items.find((candidate) =>
      schema === undefined
        ? candidate.alias === name
        : candidate.relation?.schema === schema && candidate.relation.name === name && !candidate.relation.hasAlias,
    );
    if (item !== undefined) return { kind: 'item', item, scope: level };
  }
  return undefined;
}

/** `alias.column`. */
export function resolveQualified(scope: Scope, alias: string, name: string, schema?: string): Found {
  const found = resolveItem(scope, alias, schema);
  if (found === undefined) return { kind: 'unknown', guards: [], exists: false };
  const column = itemColumn(found.item, name);
  if (column !== undefined) return { kind: 'column', column, item: found.item, scope: found.scope };
  return { kind: 'unknown', guards: found.item.allGuards, exists: !found.item.complete };
}

/** The level as a sub-query of FROM without LATERAL sees it: its common table expressions and outer levels, not its siblings. */
export function withoutSiblings(scope: Scope): Scope {
  return { ...newScope(scope.parent), ctes: scope.ctes, traits: scope.traits };
}
