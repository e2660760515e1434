/** WITH: common table expressions with PostgreSQL's scoping (each sees those before it; RECURSIVE sees itself and all). */
import { derivedGuards, inheritTraits, processQuery, type QueryInfo, withNestedFacts } from './query-info.ts';
import { writeCommand } from './command-tags.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import { newScope, withoutSiblings, type CteEntry, type Scope, type ScopeColumn } from './scope.ts';
import type { Context } from './statement-context.ts';
import { LITERAL_UNKNOWN_TYPE, walkField } from './walk.ts';
import { asNode, booleanField, listField, nameList, stringField, treeField, unwrap } from './tree-access.ts';

const TEXT = 25;

function renamed(columns: readonly ScopeColumn[], names: readonly string[]): readonly ScopeColumn[] {
  return columns.map((column, i) => ({ ...column, name: names[i] ?? column.name }));
}

function queryEntry(
  name: string,
  query: QueryInfo,
  columnNames: readonly string[],
  scope: Scope,
  context: Context,
): CteEntry {
  inheritTraits(scope, query);
  return {
    name,
    columns: renamed(
      query.columns.map((column) => ({ ...column, guards: [] })),
      columnNames,
    ),
    complete: query.complete,
    extras: () => [...query.state.exports.values()],
    guardsFor: (index, scope) => derivedGuards(query, index, scope, context),
  };
}

/** What a recursive term sees of itself: the columns of its first term; nothing is ever pushed into it. */
function processRecursive(
  name: string,
  select: Tree,
  columnNames: readonly string[],
  scope: Scope,
  context: Context,
): CteEntry {
  const first = treeField(select, 'larg');
  const aliases = columnNames;
  const entry: Omit<CteEntry, 'columns' | 'complete'> & { columns: readonly ScopeColumn[]; complete: boolean } = {
    name,
    columns: aliases.map((column) => ({ name: column, typeOid: undefined, guards: [], leakproof: true })),
    complete: false,
    extras: () => [],
    guardsFor: () => [],
  };
  if (first === undefined || stringField(select, 'op') === 'SETOP_NONE') {
    const query = processQuery(select, scope, context, { level: 'nested' });
    return queryEntry(name, query, columnNames, scope, context);
  }
  scope.ctes.set(name, entry);
  // The first term gives names and types; it cannot read the whole, so nothing is known before.
  const onFirstArm = (arm: QueryInfo): void => {
    entry.columns = renamed(arm.columns.map(recursiveColumn), columnNames);
    entry.complete = arm.complete;
  };
  const query = processQuery(select, withoutSiblings(scope), context, { level: 'nested', onFirstArm });
  inheritTraits(scope, query);
  return entry;
}

/** A column of the working table: filled before it is read, so nothing reaches below it. An untyped literal has become text. */
function recursiveColumn(column: ScopeColumn): ScopeColumn {
  const typeOid = column.typeOid === LITERAL_UNKNOWN_TYPE ? TEXT : column.typeOid;
  return { name: column.name, typeOid, guards: [], leakproof: true };
}

function plainColumn(name: string): ScopeColumn {
  return { name, typeOid: undefined, guards: [], leakproof: true };
}

function refuseSearchCycle(cte: Tree): { readonly extra: readonly string[] } {
  const search = treeField(cte, 'search_clause');
  const cycle = treeField(cte, 'cycle_clause');
  const names = [
    stringField(search ?? {}, 'search_seq_column'),
    stringField(cycle ?? {}, 'cycle_mark_column'),
    stringField(cycle ?? {}, 'cycle_path_column'),
  ];
  return { extra: names.filter((name) => name !== undefined) };
}

/** Walks a WITH clause and adds its names to the level. */
export function processWith(withClause: Tree, scope: Scope, context: Context): void {
  const recursive = booleanField(withClause, 'recursive');
  for (const element of listField(withClause, 'ctes')) {
    const cte = asNode(element, 'CommonTableExpr') ?? refuse('not_supported', { subject: 'WITH' });
    const name = stringField(cte, 'ctename') ?? '';
    const columnNames = nameList(cte, 'aliascolnames');
    const [tag, content] = unwrap(treeField(cte, 'ctequery') ?? {});
    const { extra } = refuseSearchCycle(cte);
    const cycle = treeField(cte, 'cycle_clause') ?? {};
    for (const key of ['cycle_mark_value', 'cycle_mark_default']) walkField(cycle, key, newScope(undefined), context);
    let entry: CteEntry;
    if (tag === 'SelectStmt') {
      entry =
        recursive && stringField(content, 'op') !== 'SETOP_NONE'
          ? processRecursive(name, content, columnNames, scope, context)
          : queryEntry(
              name,
              processQuery(content, withoutSiblings(scope), context, { level: 'nested' }),
              columnNames,
              scope,
              context,
            );
    } else {
      const command = writeCommand(tag) ?? refuse('not_supported', { subject: `${tag} in WITH` });
      const written = withNestedFacts(context, command, () =>
        context.walkers.write(tag, content, withoutSiblings(scope), context, 'nested'),
      );
      entry = {
        name,
        columns: renamed(written.columns, columnNames),
        complete: written.complete,
        extras: written.extras,
        guardsFor: () => [],
      };
    }
    scope.ctes.set(
      name,
      extra.length === 0 ? entry : { ...entry, columns: [...entry.columns, ...extra.map(plainColumn)] },
    );
  }
}
