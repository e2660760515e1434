/**
 * No node's field is overlooked: for every node of a query that the walk accepts, each field of PostgreSQL's struct is either harmless (a
 * name, a flag, something the parser never fills) or walked, and a type that does not exist is noticed there.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Access } from '#sql/access.ts';
import { analyzeText } from '#sql/analyze.ts';
import { loadParser } from '#sql/parser.ts';
import { sampleCatalog } from '#test/sample-catalog.ts';

const CATALOG = sampleCatalog([{ name: 'public.t', columns: { a: 'int4', b: 'text', c: 'jsonb' } }]);
const [T] = CATALOG.relations;
const ACCESS: Access = {
  views: new Map([
    [
      T?.oid ?? 0,
      {
        relationOid: T?.oid ?? 0,
        schema: 'public',
        name: 't',
        actions: new Set(['Select', 'Update']),
        columns: T?.columns ?? [],
        hiddenColumns: new Set(),
        isWhole: true,
        policies: [],
      },
    ],
  ]),
  governedOids: new Set([T?.oid ?? 0]),
  functions: { functions: new Set(), operators: new Set(), extensions: new Set() },
  allowedCommands: new Set(),
  deniedCommands: new Set(),
  schemas: ['public'],
  defaultSearchPath: ['public'],
  chosenKeys: 'Allow',
  grantsWrite: false,
};

/** Filled by parse analysis or later, or a place in the text. */
const NEVER_PARSED: ReadonlySet<string> = new Set(
  `xpr location casetype casecollid coalescetype coalescecollid minmaxtype minmaxcollid inputcollid row_typeid colnames_row typmod
   refs agglevelsup typeId typeMod collation msftype msfcollid formatted_expr coerce rtindex cterecursive cterefcount ctecolnames
   ctecoltypes ctecoltypmods ctecolcollations cycle_mark_type cycle_mark_typmod cycle_mark_collation cycle_mark_neop typeOid typemod
   argisrow subLinkId argnumber rexpr_list_start rexpr_list_end list_start list_end name_location returning`.split(
    /\s+/,
  ),
);

/** Names, flags and kinds: no expression can stand there. */
const PLAIN: Readonly<Record<string, string>> = {
  ColumnRef: 'fields',
  A_Const: 'ival fval boolval sval bsval isnull',
  ParamRef: 'number',
  A_Expr: 'kind name',
  BoolExpr: 'boolop',
  NullTest: 'nulltesttype',
  BooleanTest: 'booltesttype',
  FuncCall: 'funcname agg_within_group agg_star agg_distinct func_variadic funcformat',
  SubLink: 'subLinkType operName',
  MinMaxExpr: 'op',
  CollateClause: 'collname',
  A_Indices: 'is_slice',
  RowExpr: 'row_format colnames',
  SQLValueFunction: 'op type',
  NamedArgExpr: 'name',
  SortBy: 'sortby_dir sortby_nulls useOp',
  XmlExpr: 'op name arg_names xmloption indent type',
  XmlSerialize: 'xmloption indent',
  JsonFuncExpr: 'op column_name wrapper quotes',
  JsonObjectConstructor: 'absent_on_null unique',
  JsonArrayConstructor: 'absent_on_null',
  JsonArrayQueryConstructor: 'format absent_on_null',
  JsonObjectAgg: 'absent_on_null unique',
  JsonArrayAgg: 'absent_on_null',
  JsonValueExpr: 'format',
  // The grammar has no RETURNING for JSON() and JSON_SCALAR().
  JsonParseExpr: 'unique_keys output',
  JsonScalarExpr: 'output',
  JsonIsPredicate: 'format item_type unique_keys',
  JsonArgument: 'name',
  JsonBehavior: 'btype',
  RangeVar: 'catalogname schemaname relname inh relpersistence alias',
  RangeSubselect: 'lateral alias',
  JoinExpr: 'jointype isNatural usingClause join_using_alias alias',
  RangeFunction: 'lateral ordinality is_rowsfrom alias',
  RangeTableSample: 'method',
  RangeTableFunc: 'lateral alias',
  RangeTableFuncCol: 'colname for_ordinality is_not_null',
  JsonTable: 'alias lateral pathspec',
  JsonTableColumn: 'coltype name pathspec format wrapper quotes',
  SelectStmt: 'groupDistinct limitOption op all',
  WindowDef: 'name refname frameOptions',
  GroupingSet: 'kind',
  CommonTableExpr: 'ctename aliascolnames ctematerialized',
  CTESearchClause: 'search_col_list search_breadth_first search_seq_column',
  CTECycleClause: 'cycle_col_list cycle_mark_column cycle_path_column',
  WithClause: 'recursive',
  LockingClause: 'lockedRels strength waitPolicy',
  ResTarget: 'name indirection',
  TypeName: 'setof typmods arrayBounds',
};

/** An expression that is refused wherever it is looked at. */
const CALL = '(1::missing)';

/** `tag.field` → a statement with something refused in that field. */
const WALKED: Readonly<Record<string, string>> = {
  'A_Expr.lexpr': `SELECT ${CALL} + 1`,
  'A_Expr.rexpr': `SELECT a IN (1, ${CALL}) FROM t`,
  'BoolExpr.args': `SELECT true AND ${CALL}`,
  'NullTest.arg': `SELECT ${CALL} IS NULL`,
  'BooleanTest.arg': `SELECT ${CALL} IS TRUE`,
  'TypeCast.arg': `SELECT ${CALL}::text`,
  'TypeCast.typeName': 'SELECT 1::missing',
  'FuncCall.args': `SELECT count(${CALL})`,
  'FuncCall.agg_order': `SELECT count(a ORDER BY ${CALL}) FROM t`,
  'FuncCall.agg_filter': `SELECT count(*) FILTER (WHERE ${CALL}) FROM t`,
  'FuncCall.over': `SELECT count(*) OVER (ORDER BY ${CALL}) FROM t`,
  'SubLink.testexpr': `SELECT ${CALL} IN (SELECT 1)`,
  'SubLink.subselect': `SELECT EXISTS (SELECT ${CALL})`,
  'CaseExpr.arg': `SELECT CASE ${CALL} WHEN 1 THEN 2 END`,
  'CaseExpr.args': `SELECT CASE WHEN ${CALL} THEN 2 END`,
  'CaseExpr.defresult': `SELECT CASE WHEN true THEN 2 ELSE ${CALL} END`,
  'CaseWhen.expr': `SELECT CASE WHEN ${CALL} THEN 2 END`,
  'CaseWhen.result': `SELECT CASE WHEN true THEN ${CALL} END`,
  'CoalesceExpr.args': `SELECT COALESCE(1, ${CALL})`,
  'MinMaxExpr.args': `SELECT GREATEST(1, ${CALL})`,
  'CollateClause.arg': `SELECT ${CALL} COLLATE "C"`,
  'A_ArrayExpr.elements': `SELECT ARRAY[${CALL}]`,
  'A_Indirection.arg': `SELECT (${CALL})[1]`,
  'A_Indirection.indirection': `SELECT (c)[${CALL}] FROM t`,
  'A_Indices.lidx': `SELECT (c)[${CALL}:1] FROM t`,
  'A_Indices.uidx': `SELECT (c)[1:${CALL}] FROM t`,
  'RowExpr.args': `SELECT ROW(1, ${CALL})`,
  'List.items': `SELECT a IN (${CALL}) FROM t`,
  'GroupingFunc.args': `SELECT GROUPING(${CALL}) FROM t GROUP BY a`,
  'NamedArgExpr.arg': `SELECT count(x => ${CALL})`,
  'SortBy.node': `SELECT a FROM t ORDER BY ${CALL}`,
  'XmlExpr.named_args': `SELECT xmlforest(${CALL} AS x)`,
  'XmlExpr.args': `SELECT xmlconcat(${CALL})`,
  'XmlSerialize.expr': `SELECT xmlserialize(content ${CALL} AS text)`,
  'XmlSerialize.typeName': 'SELECT xmlserialize(content b AS missing) FROM t',
  'JsonFuncExpr.context_item': `SELECT JSON_VALUE(${CALL}, '$')`,
  'JsonFuncExpr.pathspec': `SELECT JSON_VALUE(c, ${CALL}) FROM t`,
  'JsonFuncExpr.passing': `SELECT JSON_VALUE(c, '$' PASSING ${CALL} AS x) FROM t`,
  'JsonFuncExpr.output': "SELECT JSON_VALUE(c, '$' RETURNING missing) FROM t",
  'JsonFuncExpr.on_empty': `SELECT JSON_VALUE(c, '$' DEFAULT ${CALL} ON EMPTY) FROM t`,
  'JsonFuncExpr.on_error': `SELECT JSON_VALUE(c, '$' DEFAULT ${CALL} ON ERROR) FROM t`,
  'JsonObjectConstructor.exprs': `SELECT JSON_OBJECT('a': ${CALL})`,
  'JsonObjectConstructor.output': "SELECT JSON_OBJECT('a': 1 RETURNING missing)",
  'JsonArrayConstructor.exprs': `SELECT JSON_ARRAY(${CALL})`,
  'JsonArrayConstructor.output': 'SELECT JSON_ARRAY(1 RETURNING missing)',
  'JsonArrayQueryConstructor.query': `SELECT JSON_ARRAY(SELECT ${CALL})`,
  'JsonArrayQueryConstructor.output': 'SELECT JSON_ARRAY(SELECT 1 RETURNING missing)',
  'JsonObjectAgg.constructor': `SELECT JSON_OBJECTAGG('a': 1) FILTER (WHERE ${CALL})`,
  'JsonObjectAgg.arg': `SELECT JSON_OBJECTAGG('a': ${CALL})`,
  'JsonArrayAgg.constructor': `SELECT JSON_ARRAYAGG(1) FILTER (WHERE ${CALL})`,
  'JsonArrayAgg.arg': `SELECT JSON_ARRAYAGG(${CALL})`,
  'JsonAggConstructor.output': 'SELECT JSON_ARRAYAGG(1 RETURNING missing)',
  'JsonAggConstructor.agg_filter': `SELECT JSON_ARRAYAGG(1) FILTER (WHERE ${CALL})`,
  'JsonAggConstructor.agg_order': `SELECT JSON_ARRAYAGG(a ORDER BY ${CALL}) FROM t`,
  'JsonAggConstructor.over': `SELECT JSON_ARRAYAGG(a) OVER (ORDER BY ${CALL}) FROM t`,
  'JsonKeyValue.key': `SELECT JSON_OBJECT(${CALL}: 1)`,
  'JsonKeyValue.value': `SELECT JSON_OBJECT('a': ${CALL})`,
  'JsonValueExpr.raw_expr': `SELECT JSON_ARRAY(${CALL} FORMAT JSON)`,
  'JsonParseExpr.expr': `SELECT JSON(${CALL})`,
  'JsonScalarExpr.expr': `SELECT JSON_SCALAR(${CALL})`,
  'JsonSerializeExpr.expr': `SELECT JSON_SERIALIZE(${CALL})`,
  'JsonSerializeExpr.output': 'SELECT JSON_SERIALIZE(c RETURNING missing) FROM t',
  'JsonIsPredicate.expr': `SELECT ${CALL} IS JSON`,
  'JsonArgument.val': `SELECT JSON_VALUE(c, '$' PASSING ${CALL} AS x) FROM t`,
  'JsonBehavior.expr': `SELECT JSON_VALUE(c, '$' DEFAULT ${CALL} ON EMPTY) FROM t`,
  'JsonOutput.typeName': "SELECT JSON_OBJECT('a': 1 RETURNING missing)",
  'RangeSubselect.subquery': `SELECT 1 FROM (SELECT ${CALL}) x`,
  'JoinExpr.larg': `SELECT 1 FROM (SELECT ${CALL}) x CROSS JOIN t`,
  'JoinExpr.rarg': `SELECT 1 FROM t CROSS JOIN (SELECT ${CALL}) x`,
  'JoinExpr.quals': `SELECT 1 FROM t JOIN t u ON ${CALL}`,
  'RangeFunction.functions': `SELECT 1 FROM ROWS FROM (count(1), count(${CALL})) x`,
  'RangeFunction.coldeflist': 'SELECT 1 FROM count(1) AS x(a missing)',
  'RangeTableSample.relation': 'SELECT 1 FROM missing TABLESAMPLE SYSTEM (1)',
  'RangeTableSample.args': `SELECT 1 FROM t TABLESAMPLE SYSTEM (${CALL})`,
  'RangeTableSample.repeatable': `SELECT 1 FROM t TABLESAMPLE SYSTEM (1) REPEATABLE (${CALL})`,
  'RangeTableFunc.docexpr': `SELECT 1 FROM XMLTABLE('/' PASSING ${CALL} COLUMNS a text) x`,
  'RangeTableFunc.rowexpr': `SELECT 1 FROM XMLTABLE((${CALL}) PASSING '' COLUMNS a text) x`,
  'RangeTableFunc.namespaces': `SELECT 1 FROM XMLTABLE(XMLNAMESPACES(${CALL} AS n), '/' PASSING '' COLUMNS a text) x`,
  'RangeTableFunc.columns': `SELECT 1 FROM XMLTABLE('/' PASSING '' COLUMNS a text PATH ${CALL}) x`,
  'RangeTableFuncCol.typeName': "SELECT 1 FROM XMLTABLE('/' PASSING '' COLUMNS a missing) x",
  'RangeTableFuncCol.colexpr': `SELECT 1 FROM XMLTABLE('/' PASSING '' COLUMNS a text PATH ${CALL}) x`,
  'RangeTableFuncCol.coldefexpr': `SELECT 1 FROM XMLTABLE('/' PASSING '' COLUMNS a text DEFAULT ${CALL}) x`,
  'JsonTable.context_item': `SELECT 1 FROM JSON_TABLE(${CALL}, '$' COLUMNS (a int)) x`,
  'JsonTable.passing': `SELECT 1 FROM JSON_TABLE('{}', '$' PASSING ${CALL} AS p COLUMNS (a int)) x`,
  'JsonTable.columns': `SELECT 1 FROM JSON_TABLE('{}', '$' COLUMNS (a int DEFAULT ${CALL} ON EMPTY)) x`,
  'JsonTable.on_error': `SELECT 1 FROM JSON_TABLE('{}', '$' COLUMNS (a int) DEFAULT ${CALL} ON ERROR) x`,
  'JsonTableColumn.typeName': "SELECT 1 FROM JSON_TABLE('{}', '$' COLUMNS (a missing)) x",
  'JsonTableColumn.columns': `SELECT 1 FROM JSON_TABLE('{}', '$' COLUMNS (NESTED PATH '$' COLUMNS (a int DEFAULT ${CALL} ON EMPTY))) x`,
  'JsonTableColumn.on_empty': `SELECT 1 FROM JSON_TABLE('{}', '$' COLUMNS (a int DEFAULT ${CALL} ON EMPTY)) x`,
  'JsonTableColumn.on_error': `SELECT 1 FROM JSON_TABLE('{}', '$' COLUMNS (a int DEFAULT ${CALL} ON ERROR)) x`,
  'SelectStmt.distinctClause': `SELECT DISTINCT ON (${CALL}) a FROM t`,
  'SelectStmt.intoClause': 'SELECT a INTO missing FROM t',
  'SelectStmt.targetList': `SELECT ${CALL}`,
  'SelectStmt.fromClause': 'SELECT 1 FROM missing',
  'SelectStmt.whereClause': `SELECT a FROM t WHERE ${CALL}`,
  'SelectStmt.groupClause': `SELECT a FROM t GROUP BY ${CALL}`,
  'SelectStmt.havingClause': `SELECT count(*) FROM t HAVING ${CALL}`,
  'SelectStmt.windowClause': `SELECT a FROM t WINDOW w AS (ORDER BY ${CALL})`,
  'SelectStmt.valuesLists': `VALUES (1), (${CALL})`,
  'SelectStmt.sortClause': `SELECT a FROM t ORDER BY ${CALL}`,
  'SelectStmt.limitOffset': `SELECT a FROM t OFFSET ${CALL}`,
  'SelectStmt.limitCount': `SELECT a FROM t LIMIT ${CALL}`,
  'SelectStmt.lockingClause': 'SELECT a FROM t FOR UPDATE OF missing',
  'SelectStmt.withClause': `WITH w AS (SELECT ${CALL}) SELECT 1`,
  'SelectStmt.larg': `SELECT ${CALL} UNION SELECT 1`,
  'SelectStmt.rarg': `SELECT 1 UNION SELECT ${CALL}`,
  'WindowDef.partitionClause': `SELECT count(*) OVER (PARTITION BY ${CALL}) FROM t`,
  'WindowDef.orderClause': `SELECT count(*) OVER (ORDER BY ${CALL}) FROM t`,
  'WindowDef.startOffset': `SELECT count(*) OVER (ROWS ${CALL} PRECEDING) FROM t`,
  'WindowDef.endOffset': `SELECT count(*) OVER (ROWS BETWEEN 1 PRECEDING AND ${CALL} FOLLOWING) FROM t`,
  'GroupingSet.content': `SELECT 1 FROM t GROUP BY ROLLUP (a, ${CALL})`,
  'CommonTableExpr.ctequery': `WITH w AS (SELECT ${CALL}) SELECT 1`,
  'CommonTableExpr.search_clause':
    'WITH RECURSIVE w(a) AS (SELECT 1 UNION ALL SELECT a FROM w) SEARCH DEPTH FIRST BY a SET o SELECT missing FROM w',
  'CommonTableExpr.cycle_clause':
    "WITH RECURSIVE w(a) AS (SELECT 1 UNION ALL SELECT a FROM w) CYCLE a SET m TO missing 'x' DEFAULT false USING p SELECT 1 FROM w",
  'CTECycleClause.cycle_mark_value':
    "WITH RECURSIVE w(a) AS (SELECT 1 UNION ALL SELECT a FROM w) CYCLE a SET m TO missing 'x' DEFAULT false USING p SELECT 1 FROM w",
  'CTECycleClause.cycle_mark_default':
    "WITH RECURSIVE w(a) AS (SELECT 1 UNION ALL SELECT a FROM w) CYCLE a SET m TO true DEFAULT missing 'x' USING p SELECT 1 FROM w",
  'WithClause.ctes': `WITH v AS (SELECT 1), w AS (SELECT ${CALL}) SELECT 1`,
  'ResTarget.val': `SELECT ${CALL} AS x`,
  'TypeName.names': 'SELECT 1::missing',
  'TypeName.pct_type': '',
};

const TAGS = [...new Set([...Object.keys(PLAIN), ...Object.keys(WALKED).map((key) => key.split('.')[0] ?? '')])];

/** Fields of the structs as libpg-query's own type definitions list them. */
function fieldsOf(definitions: string, tag: string): readonly string[] {
  const body = new RegExp(`export interface ${tag} \\{([^}]*)\\}`).exec(definitions)?.[1];
  if (body === undefined) throw new Error(`no definition of ${tag}`);
  return [...body.matchAll(/^\s+(\w+)\??:/gm)].map((match) => match[1] ?? '');
}

function refusal(text: string): string {
  const { statements } = analyzeText({
    text,
    catalog: CATALOG,
    access: ACCESS,
    session: {
      searchPath: ['public'],
      temporaryRelations: new Map(),
      cursors: new Map(),
      preparedStatements: new Map(),
    },
    parameterTypeOids: [],
    generation: 1,
    checkToken: 'token',
  });
  const [statement] = statements;
  return statement?.kind === 'refused' ? `${statement.slug} ${statement.subject ?? ''}` : 'accepted';
}

describe('fields of the nodes of a query', () => {
  beforeAll(async () => {
    await loadParser();
  });
  const definitions = readFileSync(
    join(dirname(createRequire(import.meta.url).resolve('@pgsql/types')), 'types.d.ts'),
    'utf8',
  );

  test.each(TAGS)('%s has none that is not judged', (tag) => {
    const plain = new Set((PLAIN[tag] ?? '').split(' '));
    const open = fieldsOf(definitions, tag).filter(
      (field) => !plain.has(field) && !(`${tag}.${field}` in WALKED) && !NEVER_PARSED.has(field),
    );
    expect(open).toEqual([]);
  });

  test.each(Object.entries(WALKED).filter(([, text]) => text !== ''))('%s is walked: %s', (_field, text) => {
    expect(refusal(text)).toMatch(
      /^(undefined_object|relation_not_granted|statement_not_allowed) .*(missing|SELECT INTO)/,
    );
  });
});
