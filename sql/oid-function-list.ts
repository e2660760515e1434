/** Built-in functions that take objects by number or name: which argument is what. Names that have no entry here take none or are refused. */
import type { RegType } from './reg-types.ts';

/**
 * What an OID must belong to. `relation` includes sequences and views; `wholeRelation` only those without hidden, masked or filtered parts;
 * `expressionRelation` a relation whose column names a foreign expression may pick by number: with hidden columns it counts as 0;
 * `ancestors` a relation of which all partition ancestors are visible too, `partitionTree` all partitions below as well; `object` any catalog object the identity may see; `builtin` what
 * every database has; `none` nothing, so that the function gives NULL.
 */
export type ObjectClass =
  | 'relation'
  | 'index'
  | 'relationOrIndex'
  | 'wholeRelation'
  | 'expressionRelation'
  | 'ancestors'
  | 'partitionTree'
  /** Partitioned by columns that are visible and not masked. */
  | 'partitionedByVisible'
  | 'constraint'
  /** Also those that the snapshot does not list: NOT NULL, CHECK of domains. */
  | 'anyConstraint'
  | 'type'
  | 'function'
  | 'operator'
  | 'namespace'
  | 'role'
  | 'database'
  | 'sharedObject'
  | 'object'
  | 'builtin'
  | 'none';

export interface OidArgument {
  /** Position among the arguments, from 0. */
  readonly index: number;
  readonly objectClass: ObjectClass;
  /** `oid`: the parameter is oid. `oidOrName`: overloads take the object's name as text. */
  readonly accepts: 'oid' | 'oidOrName';
  /** The parameter's own type where it is an alias type: a string literal there is a name, see `visibleRegLiteral`. */
  readonly regType?: RegType;
}

type Rules = Readonly<Record<number, readonly OidArgument[]>>;

function oid(index: number, objectClass: ObjectClass, regType?: RegType): OidArgument {
  return { index, objectClass, accepts: 'oid', ...(regType === undefined ? {} : { regType }) };
}

function named(index: number, objectClass: ObjectClass): OidArgument {
  return { index, objectClass, accepts: 'oidOrName' };
}

/** Rules for the first argument, the same for each number of arguments given. */
function first(argument: OidArgument, ...arities: readonly number[]): Rules {
  return Object.fromEntries(arities.map((arity) => [arity, [argument]]));
}

/** has_X_privilege(object, privilege) and has_X_privilege(role, object, privilege). */
function privilege(objectClass: ObjectClass): Rules {
  return { 2: [named(0, objectClass)], 3: [named(0, 'role'), named(1, objectClass)] };
}

const NONE = named(0, 'none');

/** By function name and number of arguments. */
export const OID_FUNCTIONS: Readonly<Record<string, Rules>> = {
  format_type: first(oid(0, 'type'), 2),
  pg_basetype: first(oid(0, 'type', 'regtype'), 1),
  obj_description: first(oid(0, 'object'), 1, 2),
  shobj_description: first(oid(0, 'sharedObject'), 2),
  pg_get_userbyid: first(oid(0, 'role'), 1),

  pg_get_indexdef: first(oid(0, 'index'), 1, 3),
  pg_get_constraintdef: first(oid(0, 'anyConstraint'), 1, 2),
  // The first argument can only come from a catalog row that the identity sees (pg_node_tree has no input), but of any relation.
  pg_get_expr: { 2: [oid(1, 'expressionRelation')], 3: [oid(1, 'expressionRelation')] },
  pg_get_partkeydef: first(oid(0, 'partitionedByVisible'), 1),
  pg_get_partition_constraintdef: first(oid(0, 'wholeRelation'), 1),
  pg_get_replica_identity_index: first(oid(0, 'wholeRelation', 'regclass'), 1),
  pg_relation_is_publishable: first(oid(0, 'relation', 'regclass'), 1),
  // Only where every ancestor is visible too; of others, as of relations without any, it gives no row.
  pg_partition_ancestors: first(oid(0, 'ancestors'), 1),
  pg_partition_tree: first(oid(0, 'partitionTree', 'regclass'), 1),
  pg_relation_is_updatable: first(oid(0, 'relation', 'regclass'), 2),
  pg_column_is_updatable: first(oid(0, 'relation', 'regclass'), 3),
  pg_sequence_parameters: first(oid(0, 'relation'), 1),
  pg_index_column_has_property: first(oid(0, 'index', 'regclass'), 3),
  pg_index_has_property: first(oid(0, 'index', 'regclass'), 2),

  pg_get_function_arguments: first(oid(0, 'function'), 1),
  pg_get_function_identity_arguments: first(oid(0, 'function'), 1),
  pg_get_function_result: first(oid(0, 'function'), 1),
  pg_get_function_arg_default: first(oid(0, 'function'), 2),

  // Definitions that show what the policy hides: bodies, conditions, rules.
  pg_get_functiondef: first(oid(0, 'builtin'), 1),
  pg_get_function_sqlbody: first(NONE, 1),
  pg_get_viewdef: first(NONE, 1, 2),
  pg_get_ruledef: first(NONE, 1, 2),
  pg_get_triggerdef: first(NONE, 1, 2),
  pg_get_statisticsobjdef: first(NONE, 1),
  pg_get_statisticsobjdef_columns: first(NONE, 1),
  pg_get_statisticsobjdef_expressions: first(NONE, 1),
  pg_tablespace_location: first(NONE, 1),
  // Sizes tell of rows that the policy hides.
  pg_table_size: first(NONE, 1),
  pg_indexes_size: first(NONE, 1),
  pg_total_relation_size: first(NONE, 1),
  pg_relation_size: first(NONE, 1, 2),
  pg_database_size: first(NONE, 1),
  pg_tablespace_size: first(NONE, 1),

  pg_statistics_obj_is_visible: first(NONE, 1),

  pg_table_is_visible: first(oid(0, 'relationOrIndex'), 1),
  pg_type_is_visible: first(oid(0, 'type'), 1),
  pg_function_is_visible: first(oid(0, 'function'), 1),
  pg_operator_is_visible: first(oid(0, 'operator'), 1),
  pg_collation_is_visible: first(oid(0, 'builtin'), 1),
  pg_conversion_is_visible: first(oid(0, 'builtin'), 1),
  pg_opclass_is_visible: first(oid(0, 'builtin'), 1),
  pg_opfamily_is_visible: first(oid(0, 'builtin'), 1),
  pg_ts_config_is_visible: first(oid(0, 'builtin'), 1),
  pg_ts_dict_is_visible: first(oid(0, 'builtin'), 1),
  pg_ts_parser_is_visible: first(oid(0, 'builtin'), 1),
  pg_ts_template_is_visible: first(oid(0, 'builtin'), 1),
  pg_is_other_temp_schema: first(oid(0, 'namespace'), 1),

  has_table_privilege: privilege('relation'),
  has_any_column_privilege: privilege('relation'),
  has_sequence_privilege: privilege('relation'),
  has_schema_privilege: privilege('namespace'),
  has_database_privilege: privilege('database'),
  has_function_privilege: privilege('function'),
  has_type_privilege: privilege('type'),
  pg_has_role: privilege('role'),
};
