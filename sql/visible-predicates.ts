/** SQL conditions that hold exactly for catalog objects the identity may see. Every name is qualified; no condition can raise. */
import type { Oid } from './catalog.ts';
import { quoteLiteral } from './identifiers.ts';
import type { ObjectClass } from './oid-function-list.ts';
import { FIRST_USER_OID, type VisibleObjects } from './visible-objects.ts';

/** The session's own temporary relations are its own business. */
const OWN_TEMPORARY =
  '(SELECT t.oid FROM pg_catalog.pg_class AS t WHERE t.relnamespace = pg_catalog.pg_my_temp_schema())';

/** OIDs of the catalogs that classid and classoid columns name (fixed in PostgreSQL's headers). */
export const CATALOG_OIDS = {
  type: 1247,
  attribute: 1249,
  function: 1255,
  relation: 1259,
  constraint: 2606,
  attrdef: 2604,
  operator: 2617,
} as const;
const NAMESPACE_CATALOG = 2615;
const EXTENSION_CATALOG = 3079;

/** `expression = ANY ('{...}')` over an OID list; never true for an empty one. */
export function isAnyOf(expression: string, oids: readonly Oid[]): string {
  return `${expression} OPERATOR(pg_catalog.=) ANY ('{${oids.join(',')}}'::pg_catalog.oid[])`;
}

function isBuiltin(expression: string): string {
  return `${expression} OPERATOR(pg_catalog.<) '${FIRST_USER_OID}'::pg_catalog.oid`;
}

function or(...conditions: readonly string[]): string {
  return `(${conditions.join(' OR ')})`;
}

/** Condition on an OID expression, which is printed more than once: pass a column. */
export function isVisible(objectClass: ObjectClass, oid: string, visible: VisibleObjects): string {
  const temporary = `${oid} OPERATOR(pg_catalog.=) ANY ${OWN_TEMPORARY}`;
  switch (objectClass) {
    case 'relation':
      return or(isBuiltin(oid), isAnyOf(oid, visible.relationOids), temporary);
    case 'index':
      return or(isBuiltin(oid), isAnyOf(oid, visible.indexOids), temporary);
    case 'relationOrIndex':
      return or(
        isBuiltin(oid),
        isAnyOf(oid, [...visible.relationOids, ...visible.indexOids, ...visible.compositeRelationOids]),
        temporary,
      );
    case 'expressionRelation':
      return or(isBuiltin(oid), isAnyOf(oid, visible.openRelationOids), temporary);
    case 'ancestors':
      return `(${isVisible('relationOrIndex', oid, visible)} AND NOT ${hasHiddenMember('pg_partition_ancestors', oid, visible)})`;
    case 'partitionTree':
      return `(${isVisible('ancestors', oid, visible)} AND NOT ${hasHiddenMember('pg_partition_tree', oid, visible)})`;
    case 'wholeRelation':
      return or(isAnyOf(oid, visible.wholeRelationOids), temporary);
    case 'constraint':
      return or(isBuiltin(oid), isAnyOf(oid, visible.constraintOids));
    case 'partitionedByVisible':
      return `${oid} OPERATOR(pg_catalog.=) ANY (SELECT p.partrelid FROM pg_catalog.pg_partitioned_table AS p WHERE p.partexprs IS NULL AND ${isAnyOf('p.partrelid', visible.relationOids)} AND NOT EXISTS (SELECT 1 FROM unnest(p.partattrs::pg_catalog.int2[]) AS k (attnum) WHERE NOT ${isColumnPlain('p.partrelid', 'k.attnum', visible)}))`;
    case 'anyConstraint':
      return or(
        isVisible('constraint', oid, visible),
        `${oid} OPERATOR(pg_catalog.=) ANY (SELECT k.oid FROM pg_catalog.pg_constraint AS k WHERE ${unlistedConstraint('k', visible)})`,
      );
    case 'type':
      return or(
        isBuiltin(oid),
        isAnyOf(oid, visible.typeOids),
        `${oid} OPERATOR(pg_catalog.=) ANY (SELECT y.oid FROM pg_catalog.pg_type AS y WHERE y.typnamespace = pg_catalog.pg_my_temp_schema())`,
      );
    case 'function':
      return or(isBuiltin(oid), isAnyOf(oid, visible.functionOids));
    case 'operator':
      return or(isBuiltin(oid), isAnyOf(oid, visible.operatorOids));
    case 'namespace':
      return or(isAnyOf(oid, visible.schemaOids), `${oid} OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()`);
    case 'role':
      return or(
        `${oid} OPERATOR(pg_catalog.=) 0::pg_catalog.oid`,
        `${oid} OPERATOR(pg_catalog.=) (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)`,
      );
    case 'database':
      return `${oid} OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())`;
    case 'sharedObject':
      return or(isVisible('role', oid, visible), isVisible('database', oid, visible));
    case 'object':
      return or(
        isBuiltin(oid),
        isAnyOf(oid, [
          ...visible.relationOids,
          ...visible.indexOids,
          ...visible.constraintOids,
          ...visible.typeOids,
          ...visible.functionOids,
          ...visible.operatorOids,
          ...visible.schemaOids,
        ]),
        temporary,
      );
    case 'builtin':
      return isBuiltin(oid);
    case 'none':
      return 'false';
  }
}

function isAmong(relationOid: string, attnum: string, keys: readonly number[]): string {
  const key = `(${relationOid}::pg_catalog.int8 OPERATOR(pg_catalog.*) 65536 OPERATOR(pg_catalog.+) ${attnum})`;
  return `${key} OPERATOR(pg_catalog.=) ANY ('{${keys.join(',')}}'::pg_catalog.int8[])`;
}

/** Whether one of the relations that the function gives for the OID, its first column, is hidden. */
function hasHiddenMember(functionName: string, oid: string, visible: VisibleObjects): string {
  const members = `pg_catalog.${functionName}(${oid}) AS p (r), LATERAL (SELECT p.r::pg_catalog.oid AS r OFFSET 0) AS a`;
  return `EXISTS (SELECT FROM ${members} WHERE NOT ${isVisible('relationOrIndex', 'a.r', visible)})`;
}

/** Constraints that the snapshot does not list: NOT NULL of visible columns (since version 18), CHECK of visible domains. */
export function unlistedConstraint(alias: string, visible: VisibleObjects): string {
  const ofColumn = `${alias}.contype = 'n' AND ${alias}.conrelid <> 0 AND ${isColumnVisible(`${alias}.conrelid`, `${alias}.conkey[1]`, visible)}`;
  const ofType = `${alias}.contypid <> 0 AND ${isVisible('type', `${alias}.contypid`, visible)} AND ${dependsOnlyOnVisible(CATALOG_OIDS.constraint, `${alias}.oid`, visible)}`;
  return `((${ofColumn}) OR (${ofType}))`;
}

/** Condition on a column of a relation, given as two column expressions; system columns (below 0) show with their relation. */
export function isColumnVisible(relationOid: string, attnum: string, visible: VisibleObjects): string {
  return or(
    isBuiltin(relationOid),
    isAmong(relationOid, attnum, visible.columnKeys),
    `(${attnum} OPERATOR(pg_catalog.<) 0 AND ${isAnyOf(relationOid, visible.relationOids)})`,
    isAnyOf(relationOid, [...visible.indexOids, ...visible.compositeRelationOids]),
    `${relationOid} OPERATOR(pg_catalog.=) ANY ${OWN_TEMPORARY}`,
  );
}

/** The same, and the column is not masked. */
export function isColumnPlain(relationOid: string, attnum: string, visible: VisibleObjects): string {
  return or(
    isBuiltin(relationOid),
    isAmong(relationOid, attnum, visible.plainColumnKeys),
    `${relationOid} OPERATOR(pg_catalog.=) ANY ${OWN_TEMPORARY}`,
  );
}

/** Condition on the default or generation expression of a column. */
export function isDefaultVisible(relationOid: string, attnum: string, visible: VisibleObjects): string {
  return or(
    isBuiltin(relationOid),
    isAmong(relationOid, attnum, visible.defaultKeys),
    `${relationOid} OPERATOR(pg_catalog.=) ANY ${OWN_TEMPORARY}`,
  );
}

/** Condition on an object address of pg_depend and pg_description. Classes that are not listed count as built-in objects only. */
export function isAddressVisible(classOid: string, oid: string, part: string, visible: VisibleObjects): string {
  const cases: readonly (readonly [number, string])[] = [
    [
      CATALOG_OIDS.relation,
      `CASE WHEN ${part} OPERATOR(pg_catalog.=) 0 THEN ${isVisible('relationOrIndex', oid, visible)} ELSE ${isColumnVisible(oid, part, visible)} END`,
    ],
    [CATALOG_OIDS.type, isVisible('type', oid, visible)],
    [CATALOG_OIDS.function, isVisible('function', oid, visible)],
    [CATALOG_OIDS.constraint, isVisible('constraint', oid, visible)],
    [CATALOG_OIDS.operator, isVisible('operator', oid, visible)],
    [NAMESPACE_CATALOG, isVisible('namespace', oid, visible)],
    [
      CATALOG_OIDS.attrdef,
      `EXISTS (SELECT FROM pg_catalog.pg_attrdef AS f WHERE f.oid = ${oid} AND ${isDefaultVisible('f.adrelid', 'f.adnum', visible)})`,
    ],
    [
      EXTENSION_CATALOG,
      `EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE e.oid = ${oid} AND ${isExtensionVisible('e', visible)})`,
    ],
  ];
  const branches = cases.map(([classNumber, condition]) => `WHEN '${classNumber}'::pg_catalog.oid THEN ${condition}`);
  return `CASE ${classOid} ${branches.join(' ')} ELSE ${isBuiltin(oid)} END`;
}

/** Condition on a row of pg_extension under the given alias. */
export function isExtensionVisible(alias: string, visible: VisibleObjects): string {
  const names = visible.extensions.map(quoteLiteral).join(', ');
  return or(
    isBuiltin(`${alias}.oid`),
    `${alias}.extname OPERATOR(pg_catalog.=) ANY (ARRAY[${names}]::pg_catalog.name[])`,
  );
}

/**
 * Whether what an object was made from is visible too: expressions of defaults, constraints and indexes print the names of functions,
 * sequences, types and operators that they use.
 */
export function dependsOnlyOnVisible(classNumber: number, oid: string, visible: VisibleObjects): string {
  const relationClass = `'${CATALOG_OIDS.relation}'::pg_catalog.oid`;
  return `NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS g WHERE g.classid = '${classNumber}'::pg_catalog.oid AND g.objid = ${oid}
    AND g.refobjid >= '${FIRST_USER_OID}'::pg_catalog.oid AND g.deptype <> 'e'
    AND NOT CASE WHEN g.refclassid = ${relationClass} THEN ${isVisible('relationOrIndex', 'g.refobjid', visible)}
      ELSE ${isAddressVisible('g.refclassid', 'g.refobjid', '0', visible)} END)`;
}
