/** What a statement does to the names that the next statement of the same text sees. */
import type { SessionNames } from './access.ts';
import type { SessionEffect } from './analysis.ts';

function isSamePath(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name, index) => name === right[index]);
}

/** The names after an effect, as the analysis of the following statements needs them; the session keeps its own books. */
export function namesAfter(
  names: SessionNames,
  effect: SessionEffect,
  generation: number,
  defaultSearchPath: readonly string[],
): SessionNames {
  switch (effect.kind) {
    case 'searchPath':
      return { ...names, searchPath: effect.schemas ?? defaultSearchPath };
    case 'resetAll':
      return { ...names, searchPath: defaultSearchPath };
    case 'discardAll':
      return {
        searchPath: defaultSearchPath,
        temporaryRelations: new Map(),
        cursors: new Map(),
        preparedStatements: new Map(),
      };
    case 'createTemporary':
      return {
        ...names,
        temporaryRelations: new Map([...names.temporaryRelations, [effect.relation.name, effect.relation]]),
      };
    case 'dropTemporary':
      return {
        ...names,
        temporaryRelations: new Map([...names.temporaryRelations].filter(([name]) => !effect.names.includes(name))),
      };
    case 'discardTemporary':
      return { ...names, temporaryRelations: new Map() };
    case 'prepare':
      return {
        ...names,
        preparedStatements: new Map([
          ...names.preparedStatements,
          [effect.name, { text: effect.text, rewritten: effect.rewritten, generation }],
        ]),
      };
    case 'deallocate':
      return {
        ...names,
        preparedStatements: new Map(
          [...names.preparedStatements].filter(([name]) => effect.name !== undefined && name !== effect.name),
        ),
      };
    case 'declareCursor':
      return {
        ...names,
        cursors: new Map([...names.cursors, [effect.name, { generation, relationOids: effect.relationOids }]]),
      };
    case 'closeCursor':
      return {
        ...names,
        cursors: new Map([...names.cursors].filter(([name]) => effect.name !== undefined && name !== effect.name)),
      };
    case 'rollback':
    case 'rollbackTo':
      // What the path was before is the session's to know: until the text has run, no unqualified name is certain.
      return isSamePath(names.searchPath, defaultSearchPath) ? names : { ...names, searchPath: [] };
    case 'set':
    case 'begin':
    case 'commit':
    case 'savepoint':
    case 'release':
      return names;
  }
}
