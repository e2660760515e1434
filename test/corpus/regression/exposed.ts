/**
 * Looks at a text that is about to be sent, without any of the code that made it but the parser: does a table with rules stand anywhere but
 * as the only relation of a select that names no hidden column, gives no masked one as it is, and has a condition where rows are hidden?
 */
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { parseSql, type Tree } from '#sql/parser.ts';
import { asNode, isTree, listField, nameList, treeField } from '#sql/tree-access.ts';

interface Rules {
  readonly isGranted: boolean;
  readonly isFiltered: boolean;
  readonly isWhole: boolean;
  readonly hidden: ReadonlySet<string>;
  readonly masked: ReadonlySet<string>;
}

function rulesOf(name: string, schema: string, policy: EffectivePolicy): Rules | undefined {
  const relation = policy.catalog.relations.find((one) => one.schema === schema && one.name === name);
  if (relation === undefined) return undefined;
  const view = policy.access.views.get(relation.oid);
  const shown = new Set(view?.columns.map((column) => column.name));
  const hidden = relation.columns.map((column) => column.name).filter((column) => !shown.has(column));
  const masked = view?.columns.filter((column) => column.mask !== undefined).map((column) => column.name) ?? [];
  return {
    isGranted: view !== undefined,
    isFiltered: view?.rowFilter !== undefined,
    isWhole: view?.isWhole === true,
    hidden: new Set(hidden),
    masked: new Set(masked),
  };
}

interface Search {
  readonly policy: EffectivePolicy;
  /** Names of the statement's own CTEs. */
  readonly ctes: ReadonlySet<string>;
}

/** A complaint, or undefined where all is as it should be. */
export function findExposed(text: string, policy: EffectivePolicy): string | undefined {
  for (const { stmt } of parseSql(text)) {
    const ctes = new Set<string>();
    collectCtes(stmt, ctes);
    const found = search(stmt, undefined, { policy, ctes });
    if (found !== undefined) return found;
  }
  return undefined;
}

function collectCtes(value: unknown, names: Set<string>): void {
  if (Array.isArray(value)) for (const element of value) collectCtes(element, names);
  if (!isTree(value)) return;
  const name = value['ctename'];
  if (typeof name === 'string') names.add(name);
  for (const child of Object.values(value)) collectCtes(child, names);
}

const WRITES: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);
/** Their names are aliases, or of objects the session makes. */
const OTHER_NAMES: ReadonlySet<string> = new Set(['LockingClause', 'IntoClause', 'CreateStmt', 'DropStmt']);

function search(value: unknown, parent: Tree | undefined, context: Search): string | undefined {
  if (Array.isArray(value)) {
    for (const element of value) {
      const found = search(element, parent, context);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (!isTree(value)) return undefined;
  for (const [key, child] of Object.entries(value)) {
    if (OTHER_NAMES.has(key) || (!isTree(child) && !Array.isArray(child))) continue;
    const found = step(key, child, parent, context);
    if (found !== undefined) return found;
  }
  return undefined;
}

function step(key: string, child: Tree | unknown[], parent: Tree | undefined, context: Search): string | undefined {
  if (Array.isArray(child)) return search(child, parent, context);
  if (key === 'RangeVar') return checkRead(child, parent, context);
  if (WRITES.has(key)) return checkWrite(key, child, context);
  if (key === 'SelectStmt') return search(child, child, context);
  // COPY FROM names the table it writes.
  if (key === 'CopyStmt' && child['is_from'] === true) return checkWrite(key, child, context);
  if (key === 'relation' && typeof child['relname'] === 'string') return checkRead(child, undefined, context);
  if (key === 'larg' || key === 'rarg')
    return search(child, child['SelectStmt'] === undefined ? child : parent, context);
  return search(child, parent, context);
}

function governed(rangeVar: Tree, context: Search): { readonly name: string; readonly rules: Rules } | undefined {
  const name = typeof rangeVar['relname'] === 'string' ? rangeVar['relname'] : '';
  const schema = rangeVar['schemaname'];
  if (schema === undefined && context.ctes.has(name)) return undefined;
  const rules = rulesOf(name, typeof schema === 'string' ? schema : 'public', context.policy);
  return rules === undefined ? undefined : { name, rules };
}

function checkRead(rangeVar: Tree, select: Tree | undefined, context: Search): string | undefined {
  const found = governed(rangeVar, context);
  const schema = rangeVar['schemaname'];
  if (found === undefined || schema === 'pg_catalog' || schema === 'information_schema') return undefined;
  const { name, rules } = found;
  if (!rules.isGranted) return `${name} is not granted`;
  if (rules.isWhole) return undefined;
  const from = select === undefined ? [] : listField(select, 'fromClause');
  const sample = asNode(from[0], 'RangeTableSample');
  const only = sample === undefined ? from[0] : treeField(sample, 'relation');
  if (select === undefined || from.length !== 1 || asNode(only, 'RangeVar') !== rangeVar)
    return `${name} stands outside of a view`;
  if (rules.isFiltered && select['whereClause'] === undefined) return `${name} without its row filter`;
  const targets = listField(select, 'targetList');
  for (const target of targets) {
    const column = asNode(treeField(asNode(target, 'ResTarget') ?? {}, 'val'), 'ColumnRef');
    if (column === undefined) continue;
    const last = nameList(column, 'fields').at(-1);
    if (
      listField(column, 'fields').some(
        (field) => asNode(field, 'A_Star') !== undefined || field['A_Star'] !== undefined,
      )
    )
      return `${name} by a star`;
    if (last !== undefined && (rules.masked.has(last) || rules.hidden.has(last))) return `${name}.${last} as it is`;
  }
  return undefined;
}

function checkWrite(tag: string, statement: Tree, context: Search): string | undefined {
  const target = treeField(statement, 'relation');
  const found = target === undefined ? undefined : governed(target, context);
  if (found !== undefined && target?.['schemaname'] !== undefined) {
    if (!found.rules.isGranted) return `${found.name} is not granted`;
    const needsCondition = found.rules.isFiltered && (tag === 'UpdateStmt' || tag === 'DeleteStmt');
    if (needsCondition && statement['whereClause'] === undefined)
      return `${tag} of ${found.name} without its row filter`;
  }
  const rest = Object.fromEntries(Object.entries(statement).filter(([key]) => key !== 'relation'));
  return search(rest, undefined, context);
}
