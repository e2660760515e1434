import { describe, expect, test } from 'vitest';
import type { SessionEffect } from '#sql/analysis.ts';
import {
  applyEffect,
  forgetUncertain,
  initialNames,
  type NamesState,
  reportSearchPath,
  rollBack,
} from '#session/session-names.ts';

const start = initialNames(['public']);

function after(state: NamesState, ...effects: readonly SessionEffect[]): NamesState {
  return effects.reduce((current, effect) => applyEffect(current, effect, 1), state);
}

const temporary = (name: string): SessionEffect => ({ kind: 'createTemporary', relation: { name } });
const path = (schemas: readonly string[] | undefined, local = false): SessionEffect => ({
  kind: 'searchPath',
  schemas,
  local,
});
const tables = (state: NamesState): string[] => [...state.names.temporaryRelations.keys()];

describe('names of a session', () => {
  test('SET search_path holds, RESET goes back to the start', () => {
    expect(after(start, path(['a'])).names.searchPath).toEqual(['a']);
    expect(after(start, path(['a']), path(undefined)).names.searchPath).toEqual(['public']);
    expect(after(start, path(['a']), { kind: 'resetAll' }).names.searchPath).toEqual(['public']);
  });

  test('SET LOCAL ends with the transaction', () => {
    const inside = after(start, { kind: 'begin' }, path(['a'], true));
    expect(inside.names.searchPath).toEqual(['a']);
    expect(after(inside, { kind: 'commit' }).names.searchPath).toEqual(['public']);
    expect(after(inside, { kind: 'rollback' }).names.searchPath).toEqual(['public']);
  });

  test('ROLLBACK restores what was at BEGIN, except prepared statements', () => {
    const inside = after(
      start,
      temporary('before'),
      { kind: 'begin' },
      temporary('inside'),
      { kind: 'dropTemporary', names: ['before'] },
      path(['a']),
      { kind: 'prepare', name: 'p', text: 'SELECT 1', rewritten: 'SELECT 1' },
    );
    expect(tables(inside)).toEqual(['inside']);
    const back = after(inside, { kind: 'rollback' });
    expect(tables(back)).toEqual(['before']);
    expect(back.names.searchPath).toEqual(['public']);
    expect([...back.names.preparedStatements.keys()]).toEqual(['p']);
    expect(tables(after(inside, { kind: 'commit' }))).toEqual(['inside']);
  });

  test('a transaction without changes leaves the very same names', () => {
    expect(after(start, { kind: 'begin' }, { kind: 'commit' }).names).toBe(start.names);
    expect(rollBack(after(start, { kind: 'begin' })).names).toBe(start.names);
  });

  test('DISCARD ALL forgets everything', () => {
    const full = after(start, temporary('t'), path(['a']), { kind: 'declareCursor', name: 'c', relationOids: [1] });
    expect(after(full, { kind: 'discardAll' }).names).toEqual(start.names);
  });

  test('where it is uncertain what remains, only tables known before and now are kept', () => {
    const before = after(start, temporary('kept'), temporary('dropped'));
    const now = after(before, { kind: 'dropTemporary', names: ['dropped'] }, temporary('new'));
    expect(tables(forgetUncertain(now, before.names))).toEqual(['kept']);
  });

  test('ROLLBACK TO restores what was at the savepoint, again and again, and RELEASE forgets it', () => {
    const inside = after(start, { kind: 'begin' }, temporary('kept'), { kind: 'savepoint', name: 's' });
    const later = after(inside, path(['a']), temporary('gone'), { kind: 'savepoint', name: 't' }, path(['b']));
    const back = after(later, { kind: 'rollbackTo', name: 's' });
    expect(back.names.searchPath).toEqual(['public']);
    expect(back.committedSearchPath).toEqual(['public']);
    expect(tables(back)).toEqual(['kept']);
    expect(after(back, { kind: 'rollbackTo', name: 't' })).toBe(back);
    expect(after(back, path(['c']), { kind: 'rollbackTo', name: 's' }).names.searchPath).toEqual(['public']);
    const released = after(later, { kind: 'release', name: 's' });
    expect(released.names.searchPath).toEqual(['b']);
    expect(after(released, { kind: 'rollbackTo', name: 's' })).toBe(released);
    expect(after(later, { kind: 'rollback' }).savepoints).toEqual([]);
  });

  test('of two savepoints of one name the later one counts', () => {
    const inside = after(start, { kind: 'begin' }, { kind: 'savepoint', name: 's' }, path(['a']));
    const twice = after(inside, { kind: 'savepoint', name: 's' }, path(['b']));
    const once = after(twice, { kind: 'release', name: 's' });
    expect(after(twice, { kind: 'rollbackTo', name: 's' }).names.searchPath).toEqual(['a']);
    expect(after(once, { kind: 'rollbackTo', name: 's' }).names.searchPath).toEqual(['public']);
  });

  test('a cursor that was closed stays closed, one that was declared is gone', () => {
    const declared = after(start, { kind: 'begin' }, { kind: 'declareCursor', name: 'c', relationOids: [1] });
    const inside = after(declared, { kind: 'savepoint', name: 's' }, { kind: 'closeCursor', name: 'c' });
    const both = after(inside, { kind: 'declareCursor', name: 'd', relationOids: [] });
    expect(after(both, { kind: 'rollbackTo', name: 's' }).names.cursors.size).toBe(0);
  });

  test('what the server reports holds', () => {
    expect(reportSearchPath(start, ['x']).names.searchPath).toEqual(['x']);
    expect(reportSearchPath(start, ['public'])).toBe(start);
  });

  test('cursors and prepared statements by name or all', () => {
    const full = after(
      start,
      { kind: 'declareCursor', name: 'c', relationOids: [7] },
      { kind: 'declareCursor', name: 'd', relationOids: [] },
      { kind: 'prepare', name: 'p', text: 'a', rewritten: 'b' },
    );
    expect(full.names.cursors.get('c')).toEqual({ generation: 1, relationOids: [7] });
    expect([...after(full, { kind: 'closeCursor', name: 'c' }).names.cursors.keys()]).toEqual(['d']);
    expect(after(full, { kind: 'closeCursor', name: undefined }).names.cursors.size).toBe(0);
    expect(after(full, { kind: 'deallocate', name: undefined }).names.preparedStatements.size).toBe(0);
  });
});
