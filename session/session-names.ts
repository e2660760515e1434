import type { SessionNames } from '#sql/access.ts';
import type { SessionEffect } from '#sql/analysis.ts';

/**
 * The session's names as the server has them, kept as plain values: effects are applied when a statement is forwarded, and an older
 * value is put back when the statement fails or the transaction is rolled back. Where it is not certain, less is known, never more:
 * a temporary table that may be gone is forgotten, so that its name is refused.
 */
export interface NamesState {
  readonly names: SessionNames;
  /** What search_path becomes at the end of the transaction (SET LOCAL undone). */
  readonly committedSearchPath: readonly string[];
  readonly defaultSearchPath: readonly string[];
  /** As it was at BEGIN; absent outside a transaction block. */
  readonly atBegin: SessionNames | undefined;
  /** The savepoints of the transaction, oldest first, each with what was known then. */
  readonly savepoints: readonly Savepoint[];
}

interface Savepoint {
  readonly name: string;
  readonly names: SessionNames;
  readonly committedSearchPath: readonly string[];
}

/** A fresh session. `searchPath`: as the start-up packet and the pins have set it. */
export function initialNames(searchPath: readonly string[]): NamesState {
  const names: SessionNames = {
    searchPath,
    temporaryRelations: new Map(),
    cursors: new Map(),
    preparedStatements: new Map(),
  };
  return {
    names,
    committedSearchPath: searchPath,
    defaultSearchPath: searchPath,
    atBegin: undefined,
    savepoints: [],
  };
}

/** Applies one effect. `generation` marks cursors and prepared statements with the policy they were decided under. */
export function applyEffect(state: NamesState, effect: SessionEffect, generation: number): NamesState {
  const { names } = state;
  switch (effect.kind) {
    case 'set':
      return state;
    case 'searchPath':
      return setSearchPath(state, effect.schemas ?? state.defaultSearchPath, effect.local);
    case 'resetAll':
      return setSearchPath(state, state.defaultSearchPath, false);
    case 'discardAll':
      return { ...initialNames(state.defaultSearchPath), atBegin: state.atBegin, savepoints: state.savepoints };
    case 'createTemporary':
      return withNames(state, {
        temporaryRelations: new Map(names.temporaryRelations).set(effect.relation.name, effect.relation),
      });
    case 'dropTemporary':
      return withNames(state, { temporaryRelations: without(names.temporaryRelations, effect.names) });
    case 'discardTemporary':
      return withNames(state, { temporaryRelations: new Map() });
    case 'prepare': {
      const statement = { text: effect.text, rewritten: effect.rewritten, generation };
      return withNames(state, { preparedStatements: new Map(names.preparedStatements).set(effect.name, statement) });
    }
    case 'deallocate':
      return withNames(state, { preparedStatements: withoutOneOrAll(names.preparedStatements, effect.name) });
    case 'declareCursor': {
      const cursor = { generation, relationOids: effect.relationOids };
      return withNames(state, { cursors: new Map(names.cursors).set(effect.name, cursor) });
    }
    case 'closeCursor':
      return withNames(state, { cursors: withoutOneOrAll(names.cursors, effect.name) });
    case 'begin':
      return state.atBegin === undefined ? { ...state, atBegin: names } : state;
    case 'commit':
      return endTransaction(state);
    case 'rollback':
      return rollBack(state);
    case 'savepoint': {
      const point = { name: effect.name, names, committedSearchPath: state.committedSearchPath };
      return { ...state, savepoints: [...state.savepoints, point] };
    }
    case 'release':
      return releaseSavepoint(state, effect.name);
    case 'rollbackTo':
      return rollBackTo(state, effect.name);
  }
}

/** RELEASE forgets the savepoint and all later ones; a name that is not there is an error of the server's, which undoes this. */
function releaseSavepoint(state: NamesState, name: string): NamesState {
  const index = state.savepoints.findLastIndex((point) => point.name === name);
  return index < 0 ? state : { ...state, savepoints: state.savepoints.slice(0, index) };
}

/** ROLLBACK TO: as at the savepoint, which stays. Prepared statements are not transactional, and a cursor that was closed stays closed. */
function rollBackTo(state: NamesState, name: string): NamesState {
  const index = state.savepoints.findLastIndex((point) => point.name === name);
  const point = state.savepoints[index];
  if (point === undefined) return state;
  const { preparedStatements, cursors } = state.names;
  const open = [...point.names.cursors].filter(([cursor, declared]) => cursors.get(cursor) === declared);
  return {
    ...state,
    savepoints: state.savepoints.slice(0, index + 1),
    committedSearchPath: point.committedSearchPath,
    names: { ...point.names, preparedStatements, cursors: new Map(open) },
  };
}

/** COMMIT took effect: SET LOCAL is undone, the rest stays. */
export function endTransaction(state: NamesState): NamesState {
  const ended = state.atBegin === undefined ? state : { ...state, atBegin: undefined, savepoints: [] };
  if (ended.names.searchPath === ended.committedSearchPath) return ended;
  return withNames(ended, { searchPath: ended.committedSearchPath });
}

/** ROLLBACK (also a COMMIT that the server answers with ROLLBACK): as at BEGIN, but prepared statements are not transactional. */
export function rollBack(state: NamesState): NamesState {
  const { atBegin } = state;
  if (atBegin === undefined) return endTransaction(state);
  if (atBegin === state.names) return { ...state, atBegin: undefined, savepoints: [] };
  return {
    ...state,
    atBegin: undefined,
    savepoints: [],
    committedSearchPath: atBegin.searchPath,
    names: { ...atBegin, preparedStatements: state.names.preparedStatements },
  };
}

/**
 * A part of the transaction may be undone (a failed text of several statements): only temporary tables that
 * `before` and the present agree on stay known.
 */
export function forgetUncertain(state: NamesState, before: SessionNames): NamesState {
  const now = state.names.temporaryRelations;
  const kept = [...before.temporaryRelations].filter(([name, relation]) => now.get(name) === relation);
  if (kept.length === now.size) return state;
  return withNames(state, { temporaryRelations: new Map(kept) });
}

/** The server reports search_path itself (PostgreSQL 18): what it says holds. */
export function reportSearchPath(state: NamesState, searchPath: readonly string[]): NamesState {
  if (sameList(state.names.searchPath, searchPath)) return state;
  const committed = state.atBegin === undefined ? searchPath : state.committedSearchPath;
  return { ...withNames(state, { searchPath }), committedSearchPath: committed };
}

function setSearchPath(state: NamesState, searchPath: readonly string[], local: boolean): NamesState {
  const changed = withNames(state, { searchPath });
  return local ? changed : { ...changed, committedSearchPath: searchPath };
}

function withNames(state: NamesState, change: Partial<SessionNames>): NamesState {
  return { ...state, names: { ...state.names, ...change } };
}

function without<V>(map: ReadonlyMap<string, V>, names: readonly string[]): ReadonlyMap<string, V> {
  const copy = new Map(map);
  for (const name of names) copy.delete(name);
  return copy;
}

function withoutOneOrAll<V>(map: ReadonlyMap<string, V>, name: string | undefined): ReadonlyMap<string, V> {
  return name === undefined ? new Map() : without(map, [name]);
}

function sameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}
