/** Names of output columns as the server gives them. Source: FigureColname in PostgreSQL's parse_target.c, by behaviour. */
import type { Tree } from './parser.ts';
import { listField, nameList, stringField, treeField, unwrap } from './tree-access.ts';

interface Named {
  readonly name: string;
  /** A weak name (a type's) gives way to the argument's own. */
  readonly strength: 1 | 2;
}

function strong(name: string | undefined): Named | undefined {
  return name === undefined ? undefined : { name, strength: 2 };
}

function castName(content: Tree): Named | undefined {
  const inner = treeField(content, 'arg');
  const argument = inner === undefined ? undefined : figure(inner);
  if (argument?.strength === 2) return argument;
  const type = nameList(treeField(content, 'typeName') ?? {}, 'names').at(-1);
  return type === undefined ? argument : { name: type, strength: 1 };
}

function subLinkName(content: Tree): Named | undefined {
  const kind = stringField(content, 'subLinkType') ?? 'EXISTS_SUBLINK';
  if (kind === 'EXISTS_SUBLINK') return strong('exists');
  if (kind === 'ARRAY_SUBLINK') return strong('array');
  if (kind !== 'EXPR_SUBLINK') return undefined;
  const target = listField(treeField(treeField(content, 'subselect') ?? {}, 'SelectStmt') ?? {}, 'targetList')[0];
  const resTarget = target === undefined ? undefined : treeField(target, 'ResTarget');
  if (resTarget === undefined) return undefined;
  const value = treeField(resTarget, 'val');
  return strong(stringField(resTarget, 'name')) ?? (value === undefined ? undefined : figure(value));
}

function caseName(content: Tree): Named {
  const otherwise = treeField(content, 'defresult');
  const named = otherwise === undefined ? undefined : figure(otherwise);
  return named?.strength === 2 ? named : { name: 'case', strength: 1 };
}

const VALUE_FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ['SVFOP_CURRENT_DATE', 'current_date'],
  ['SVFOP_CURRENT_TIME', 'current_time'],
  ['SVFOP_CURRENT_TIME_N', 'current_time'],
  ['SVFOP_CURRENT_TIMESTAMP', 'current_timestamp'],
  ['SVFOP_CURRENT_TIMESTAMP_N', 'current_timestamp'],
  ['SVFOP_LOCALTIME', 'localtime'],
  ['SVFOP_LOCALTIME_N', 'localtime'],
  ['SVFOP_LOCALTIMESTAMP', 'localtimestamp'],
  ['SVFOP_LOCALTIMESTAMP_N', 'localtimestamp'],
  ['SVFOP_CURRENT_ROLE', 'current_role'],
  ['SVFOP_CURRENT_USER', 'current_user'],
  ['SVFOP_USER', 'user'],
  ['SVFOP_SESSION_USER', 'session_user'],
  ['SVFOP_CURRENT_CATALOG', 'current_catalog'],
  ['SVFOP_CURRENT_SCHEMA', 'current_schema'],
]);

const FIXED: ReadonlyMap<string, string> = new Map([
  ['CoalesceExpr', 'coalesce'],
  ['GroupingFunc', 'grouping'],
  ['MergeSupportFunc', 'merge_action'],
  ['A_ArrayExpr', 'array'],
  ['RowExpr', 'row'],
  ['XmlSerialize', 'xmlserialize'],
  ['JsonParseExpr', 'json'],
  ['JsonScalarExpr', 'json_scalar'],
  ['JsonSerializeExpr', 'json_serialize'],
  ['JsonObjectConstructor', 'json_object'],
  ['JsonArrayConstructor', 'json_array'],
  ['JsonArrayQueryConstructor', 'json_array'],
  ['JsonObjectAgg', 'json_objectagg'],
  ['JsonArrayAgg', 'json_arrayagg'],
]);

function figure(node: Tree): Named | undefined {
  const [tag, content] = unwrap(node);
  const fixed = FIXED.get(tag);
  if (fixed !== undefined) return strong(fixed);
  switch (tag) {
    case 'ColumnRef':
      return strong(nameList(content, 'fields').at(-1));
    case 'A_Indirection':
      return strong(nameList(content, 'indirection').at(-1)) ?? figure(treeField(content, 'arg') ?? {});
    case 'FuncCall':
      return strong(nameList(content, 'funcname').at(-1));
    case 'A_Expr':
      return stringField(content, 'kind') === 'AEXPR_NULLIF' ? strong('nullif') : undefined;
    case 'TypeCast':
      return castName(content);
    case 'CollateClause':
      return figure(treeField(content, 'arg') ?? {});
    case 'SubLink':
      return subLinkName(content);
    case 'CaseExpr':
      return caseName(content);
    case 'MinMaxExpr':
      return strong(stringField(content, 'op') === 'IS_LEAST' ? 'least' : 'greatest');
    case 'SQLValueFunction':
      return strong(VALUE_FUNCTIONS.get(stringField(content, 'op') ?? ''));
    case 'XmlExpr':
      return strong((stringField(content, 'op') ?? '').replace(/^IS_/, '').toLowerCase());
    case 'JsonFuncExpr':
      return strong((stringField(content, 'op') ?? '').replace(/_OP$/, '').toLowerCase());
    default:
      return undefined;
  }
}

/** The name of an unnamed output expression: `?column?` where the server finds none. */
export function columnName(node: Tree): string {
  return figure(node)?.name ?? '?column?';
}
