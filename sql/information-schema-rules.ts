/**
 * The views of information_schema that an agent may read, narrowed to visible schemas, tables and columns. The views themselves show only what
 * the database role has rights on, so an agent sees the narrower of both. What has no entry is refused.
 */
import { constraintCondition, visibleRelationNames } from './pg-catalog-rules.ts';
import { blank, EMPTY, filtered, onlyWhere, type SystemRelationRule, WHOLE } from './system-relation-rule.ts';
import type { VisibleObjects } from './visible-objects.ts';
import { isColumnPlain, isColumnVisible, isDefaultVisible, isVisible } from './visible-predicates.ts';

type Condition = (visible: VisibleObjects) => string;

const relation =
  (prefix = 'table'): Condition =>
  (visible) =>
    `(x.${prefix}_schema::pg_catalog.name, x.${prefix}_name::pg_catalog.name) IN ${visibleRelationNames(visible)}`;

type ColumnCondition = (relationOid: string, attnum: string, visible: VisibleObjects) => string;

function columnNames(visible: VisibleObjects, test: ColumnCondition): string {
  const condition = test('a.attrelid', 'a.attnum', visible);
  return `(SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped AND ${isVisible('relation', 'c.oid', visible)} AND ${condition})`;
}

function isColumn(visible: VisibleObjects, test: ColumnCondition, column = 'column_name'): string {
  return `(x.table_schema::pg_catalog.name, x.table_name::pg_catalog.name, x.${column}::pg_catalog.name) IN ${columnNames(visible, test)}`;
}

const column: Condition = (visible) => isColumn(visible, isColumnVisible);

const isDefaultNamed: Condition = (visible) => isColumn(visible, isDefaultVisible);

/** Constraint names repeat within a schema: a name counts only if no hidden constraint of the schema has it too. */
const constraintByName: Condition = (visible) => {
  const all =
    'SELECT n.nspname, k.conname FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_namespace AS n ON n.oid = k.connamespace WHERE';
  const shown = constraintCondition('k', visible);
  const name = '(x.constraint_schema::pg_catalog.name, x.constraint_name::pg_catalog.name)';
  return `(${name} IN (${all} ${shown}) AND ${name} NOT IN (${all} NOT (${shown})))`;
};

const constraintOfTable: Condition = (visible) =>
  `(x.constraint_schema::pg_catalog.name, x.constraint_name::pg_catalog.name, x.table_schema::pg_catalog.name, x.table_name::pg_catalog.name) IN (SELECT n.nspname, k.conname, m.nspname, c.relname FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_namespace AS n ON n.oid = k.connamespace JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace AS m ON m.oid = c.relnamespace WHERE ${constraintCondition('k', visible)})`;

/** Before version 18 NOT NULL stands in table_constraints under a name made of numbers, without a row in pg_constraint. */
const notNullOfColumn: Condition = (visible) =>
  `(x.table_schema::pg_catalog.name, x.table_name::pg_catalog.name, x.constraint_name::pg_catalog.text) IN (SELECT m.nspname, c.relname, pg_catalog.concat(m.oid, '_', c.oid, '_', a.attnum, '_not_null') FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS m ON m.oid = c.relnamespace WHERE a.attnum > 0 AND ${isColumnVisible('a.attrelid', 'a.attnum', visible)})`;

const routine: Condition = (visible) =>
  `(x.specific_schema::pg_catalog.name, x.specific_name::pg_catalog.text) IN (SELECT n.nspname, p.proname OPERATOR(pg_catalog.||) '_' OPERATOR(pg_catalog.||) p.oid::pg_catalog.text FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE ${isVisible('function', 'p.oid', visible)})`;

const userType =
  (schema: string, name: string): Condition =>
  (visible) =>
    `(x.${schema}::pg_catalog.name, x.${name}::pg_catalog.name) IN (SELECT n.nspname, y.typname FROM pg_catalog.pg_type AS y JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace WHERE ${isVisible('type', 'y.oid', visible)})`;

const schema =
  (name: string): Condition =>
  (visible) =>
    `x.${name}::pg_catalog.name IN (SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE ${isVisible('namespace', 'n.oid', visible)})`;

const OWN_GRANTEE = "(x.grantee::pg_catalog.name = current_user OR x.grantee::pg_catalog.text = 'PUBLIC')";

const and =
  (...conditions: readonly Condition[]): Condition =>
  (visible) =>
    conditions.map((condition) => condition(visible)).join(' AND ');

const ownGrantee: Condition = () => OWN_GRANTEE;
const GRANTOR = (): Readonly<Record<string, string>> => ({
  grantor: onlyWhere('x.grantor::pg_catalog.name = current_user', 'grantor', 'NULL'),
});

const SYSTEM_COLLATION = "x.default_collate_schema::pg_catalog.text = 'pg_catalog'";

const ownRole: Condition = () => 'x.role_name::pg_catalog.name = current_user';

/** By view name. */
export const INFORMATION_SCHEMA_RULES: Readonly<Record<string, SystemRelationRule>> = {
  information_schema_catalog_name: WHOLE,
  sql_features: WHOLE,
  sql_implementation_info: WHOLE,
  sql_sizing: WHOLE,
  character_sets: filtered(
    () => 'true',
    () => ({
      default_collate_schema: onlyWhere(SYSTEM_COLLATION, 'default_collate_schema', 'NULL'),
      default_collate_name: onlyWhere(SYSTEM_COLLATION, 'default_collate_name', 'NULL'),
    }),
  ),
  collations: filtered(() => "x.collation_schema::pg_catalog.text = 'pg_catalog'"),
  collation_character_set_applicability: filtered(() => "x.collation_schema::pg_catalog.text = 'pg_catalog'"),

  schemata: filtered(schema('schema_name'), () => ({
    schema_owner: onlyWhere('x.schema_owner::pg_catalog.name = current_user', 'schema_owner', 'NULL'),
  })),
  tables: filtered(relation()),
  views: filtered(relation(), () => ({ view_definition: blank('view_definition') })),
  columns: filtered(column, (v) => ({
    column_default: onlyWhere(isDefaultNamed(v), 'column_default', 'NULL'),
    generation_expression: onlyWhere(isDefaultNamed(v), 'generation_expression', 'NULL'),
  })),
  column_column_usage: filtered(
    (v) => `${isColumn(v, isColumnPlain)} AND ${isColumn(v, isColumnPlain, 'dependent_column')}`,
  ),
  column_domain_usage: filtered(and(column, userType('domain_schema', 'domain_name'))),
  column_udt_usage: filtered(and(column, userType('udt_schema', 'udt_name'))),
  column_privileges: filtered(and(column, ownGrantee), GRANTOR),
  role_column_grants: filtered(and(column, ownGrantee), GRANTOR),
  table_privileges: filtered(and(relation(), ownGrantee), GRANTOR),
  role_table_grants: filtered(and(relation(), ownGrantee), GRANTOR),
  element_types: filtered(
    (v) =>
      `x.object_type::pg_catalog.text = 'TABLE' AND (x.object_schema::pg_catalog.name, x.object_name::pg_catalog.name, x.collection_type_identifier::pg_catalog.text) IN (SELECT n.nspname, c.relname, a.attnum::pg_catalog.text FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped AND ${isVisible('relation', 'c.oid', v)} AND ${isColumnVisible('a.attrelid', 'a.attnum', v)})`,
  ),

  table_constraints: filtered((visible) => `(${constraintOfTable(visible)} OR ${notNullOfColumn(visible)})`),
  key_column_usage: filtered(and(constraintOfTable, column)),
  // Here the table is the referenced one for a foreign key, so the constraint is told by its name only.
  constraint_column_usage: filtered(and(constraintByName, column)),
  constraint_table_usage: filtered(and(constraintByName, relation())),
  referential_constraints: filtered(constraintByName),
  check_constraints: filtered(constraintByName),

  sequences: filtered(relation('sequence')),
  domains: filtered(userType('domain_schema', 'domain_name')),
  domain_constraints: filtered(userType('domain_schema', 'domain_name')),
  domain_udt_usage: filtered(and(userType('domain_schema', 'domain_name'), userType('udt_schema', 'udt_name'))),
  attributes: filtered(userType('udt_schema', 'udt_name')),
  user_defined_types: filtered(userType('user_defined_type_schema', 'user_defined_type_name')),

  routines: filtered(routine, () => ({
    routine_definition: blank('routine_definition'),
    external_name: blank('external_name'),
  })),
  parameters: filtered(routine, () => ({ parameter_default: blank('parameter_default') })),
  // These two join every function with every role: seconds, for what has_function_privilege answers.
  routine_privileges: EMPTY,
  role_routine_grants: EMPTY,

  enabled_roles: filtered(ownRole),
  applicable_roles: filtered(and(ownRole, ownGrantee)),
  administrable_role_authorizations: filtered(and(ownRole, ownGrantee)),

  check_constraint_routine_usage: EMPTY,
  column_options: EMPTY,
  data_type_privileges: EMPTY,
  foreign_data_wrapper_options: EMPTY,
  foreign_data_wrappers: EMPTY,
  foreign_server_options: EMPTY,
  foreign_servers: EMPTY,
  foreign_table_options: EMPTY,
  foreign_tables: EMPTY,
  role_udt_grants: EMPTY,
  role_usage_grants: EMPTY,
  routine_column_usage: EMPTY,
  routine_routine_usage: EMPTY,
  routine_sequence_usage: EMPTY,
  routine_table_usage: EMPTY,
  // Not readable for ordinary roles.
  sql_parts: EMPTY,
  transforms: EMPTY,
  triggered_update_columns: EMPTY,
  triggers: EMPTY,
  udt_privileges: EMPTY,
  usage_privileges: EMPTY,
  user_mapping_options: EMPTY,
  user_mappings: EMPTY,
  view_column_usage: EMPTY,
  view_routine_usage: EMPTY,
  view_table_usage: EMPTY,
};
