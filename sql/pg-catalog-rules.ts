/**
 * The relations of pg_catalog that an agent may read, each narrowed to what its identity may use. What has no entry is refused, above all
 * statistics, other sessions' work, role secrets, files, locks, replication and large objects.
 */
import type { Oid } from './catalog.ts';
import { quoteLiteral } from './identifiers.ts';
import { isSettingReadable, listedSettings } from './settings-list.ts';
import { blank, EMPTY, filtered, onlyWhere, type SystemRelationRule, WHOLE } from './system-relation-rule.ts';
import { FIRST_USER_OID, type VisibleObjects } from './visible-objects.ts';
import {
  isAddressVisible,
  isAnyOf,
  isColumnVisible,
  isDefaultVisible,
  isExtensionVisible,
  isVisible,
  unlistedConstraint,
} from './visible-predicates.ts';

const ZERO_XID = `'0'::pg_catalog.xid`;
const BUILTIN = `'${FIRST_USER_OID}'::pg_catalog.oid`;

/** (schema, name) pairs of visible relations: for views that know names only. */
export function visibleRelationNames(visible: VisibleObjects): string {
  return `(SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE ${isVisible('relationOrIndex', 'c.oid', visible)})`;
}

function ownRoleOnly(column: string): string {
  return onlyWhere(`x.${column} = current_user`, column, 'NULL');
}

/** Columns that print a function's name: `-` where that function is not the identity's to see. */
function functionColumns(columns: readonly string[], visible: VisibleObjects): Readonly<Record<string, string>> {
  const entries = columns.map((column): readonly [string, string] => {
    const shown = isVisible('function', `x.${column}::pg_catalog.oid`, visible);
    return [column, onlyWhere(shown, column, '0::pg_catalog.oid::pg_catalog.regproc')];
  });
  return Object.fromEntries(entries);
}

const AGGREGATE_FUNCTIONS = [
  'aggtransfn',
  'aggfinalfn',
  'aggcombinefn',
  'aggserialfn',
  'aggdeserialfn',
  'aggmtransfn',
  'aggminvtransfn',
  'aggmfinalfn',
];
const TYPE_FUNCTIONS = [
  'typinput',
  'typoutput',
  'typreceive',
  'typsend',
  'typmodin',
  'typmodout',
  'typanalyze',
  'typsubscript',
];

/** Relations at either end of a visible foreign key. */
function foreignKeyEnds(visible: VisibleObjects): readonly Oid[] {
  const shown = new Set(visible.constraintOids);
  return visible.relationOids.flatMap((oid) =>
    (visible.catalog.relationByOid.get(oid)?.constraints ?? [])
      .filter((constraint) => constraint.kind === 'f' && shown.has(constraint.oid))
      .flatMap((constraint) => [
        oid,
        ...(constraint.foreignRelationOid === undefined ? [] : [constraint.foreignRelationOid]),
      ]),
  );
}

function isListedConstraint(oid: string, visible: VisibleObjects): string {
  return `(${oid} < ${BUILTIN} OR ${isAnyOf(oid, visible.constraintOids)})`;
}

/** Bounds are values of the key of the table above: they show where it is neither masked nor hidden, and no row filter parts the rows. */
function isBoundVisible(visible: VisibleObjects): string {
  const parent = `${isAnyOf('i.inhparent', visible.countableOids)} AND ${isVisible('partitionedByVisible', 'i.inhparent', visible)}`;
  const ofVisibleKey = `EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = x.oid AND ${parent})`;
  return `(${isVisible('wholeRelation', 'x.oid', visible)} OR (${isAnyOf('x.oid', visible.countableOids)} AND ${ofVisibleKey}))`;
}

function classColumns(visible: VisibleObjects): Readonly<Record<string, string>> {
  const countable = isAnyOf('x.oid', visible.countableOids);
  const builtin = `x.oid < ${BUILTIN}`;
  const checks = visibleCheckCounts(visible);
  return {
    relfilenode: '0::pg_catalog.oid',
    relpages: onlyWhere(countable, 'relpages', '0'),
    reltuples: onlyWhere(countable, 'reltuples', "'-1'::pg_catalog.float4"),
    relallvisible: onlyWhere(countable, 'relallvisible', '0'),
    relallfrozen: onlyWhere(countable, 'relallfrozen', '0'),
    reltoastrelid: '0::pg_catalog.oid',
    relchecks: `CASE ${checks} WHEN ${builtin} THEN x.relchecks ELSE '0'::pg_catalog.int2 END`,
    // Of triggers only those of foreign keys are known to the identity.
    relhastriggers: `(x.oid < ${BUILTIN} AND x.relhastriggers) OR ${isAnyOf('x.oid', foreignKeyEnds(visible))}`,
    relrowsecurity: 'false',
    relforcerowsecurity: 'false',
    relrewrite: '0::pg_catalog.oid',
    relfrozenxid: ZERO_XID,
    relminmxid: ZERO_XID,
    relacl: blank('relacl'),
    reloptions: onlyWhere(builtin, 'reloptions', 'NULL'),
    relpartbound: onlyWhere(isBoundVisible(visible), 'relpartbound', 'NULL'),
  };
}

/** `WHEN x.oid = ANY (...) THEN n` for relations by their number of visible CHECK constraints. */
function visibleCheckCounts(visible: VisibleObjects): string {
  const constraints = new Set(visible.constraintOids);
  const byCount = new Map<number, number[]>();
  for (const oid of visible.relationOids) {
    const relation = visible.catalog.relationByOid.get(oid);
    const count = relation?.constraints.filter((one) => one.kind === 'c' && constraints.has(one.oid)).length ?? 0;
    if (count > 0) byCount.set(count, [...(byCount.get(count) ?? []), oid]);
  }
  return [...byCount]
    .map(([count, oids]) => `WHEN ${isAnyOf('x.oid', oids)} THEN '${count}'::pg_catalog.int2`)
    .join(' ');
}

function attributeColumns(visible: VisibleObjects): Readonly<Record<string, string>> {
  const shown = isDefaultVisible('x.attrelid', 'x.attnum', visible);
  return {
    attacl: blank('attacl'),
    attfdwoptions: blank('attfdwoptions'),
    // The default at the time of ADD COLUMN: a value of the column.
    attmissingval: blank('attmissingval'),
    atthasmissing: 'false',
    atthasdef: onlyWhere(shown, 'atthasdef', 'false'),
    attstattarget: blank('attstattarget'),
  };
}

/** Condition over a row of pg_constraint: listed ones, NOT NULL of visible columns (18 on), checks of visible domains, the session's own. */
export function constraintCondition(alias: string, visible: VisibleObjects): string {
  const temporary = `${alias}.conrelid = ANY (SELECT t.oid FROM pg_catalog.pg_class AS t WHERE t.relnamespace = pg_catalog.pg_my_temp_schema())`;
  return `(${isListedConstraint(`${alias}.oid`, visible)} OR ${unlistedConstraint(alias, visible)} OR ${temporary})`;
}

/** Facts of the server that clients read and nobody can set, besides the settings an agent may change. */
const FIXED_SETTINGS =
  `block_size in_hot_standby integer_datetimes lc_collate lc_ctype max_connections max_function_args max_identifier_length
  max_index_keys segment_size server_encoding server_version server_version_num wal_block_size`.split(/\s+/);

function settingNames(): string {
  return [...listedSettings(), ...FIXED_SETTINGS].filter(isSettingReadable).map(quoteLiteral).join(', ');
}

const OWN_ROLE = 'x.rolname = current_user';
const OWN_USER = 'x.usename = current_user';

const isOwnRelation =
  (column: string) =>
  (visible: VisibleObjects): string =>
    isVisible('relation', `x.${column}`, visible);

const byName =
  (schema: string, name: string) =>
  (visible: VisibleObjects): string =>
    `(x.${schema}, x.${name}) IN ${visibleRelationNames(visible)}`;

const STATIO_COUNTERS: Readonly<Record<string, string>> = Object.fromEntries(
  ['heap', 'idx', 'toast', 'tidx'].flatMap((part) =>
    ['read', 'hit'].map((kind) => [`${part}_blks_${kind}`, blank(`${part}_blks_${kind}`)] as const),
  ),
);

/** By relation name. */
export const PG_CATALOG_RULES: Readonly<Record<string, SystemRelationRule>> = {
  pg_class: filtered((v) => isVisible('relationOrIndex', 'x.oid', v), classColumns),
  pg_attribute: filtered(
    (v) => `NOT x.attisdropped AND ${isColumnVisible('x.attrelid', 'x.attnum', v)}`,
    attributeColumns,
  ),
  pg_attrdef: filtered((v) => isDefaultVisible('x.adrelid', 'x.adnum', v)),
  pg_constraint: filtered(
    (v) => constraintCondition('x', v),
    (v) => ({
      conbin: onlyWhere(`x.conrelid = 0 OR ${isVisible('expressionRelation', 'x.conrelid', v)}`, 'conbin', 'NULL'),
    }),
  ),
  pg_index: filtered(
    (v) => isVisible('index', 'x.indexrelid', v),
    (v) => ({
      indexprs: onlyWhere(isVisible('expressionRelation', 'x.indrelid', v), 'indexprs', 'NULL'),
      indpred: onlyWhere(isVisible('expressionRelation', 'x.indrelid', v), 'indpred', 'NULL'),
    }),
  ),
  pg_inherits: filtered(
    (v) => `${isVisible('relationOrIndex', 'x.inhrelid', v)} AND ${isVisible('relationOrIndex', 'x.inhparent', v)}`,
  ),
  pg_partitioned_table: filtered(
    (v) =>
      `(${isVisible('wholeRelation', 'x.partrelid', v)} OR ${isVisible('partitionedByVisible', 'x.partrelid', v)})`,
  ),
  pg_sequence: filtered(isOwnRelation('seqrelid')),
  pg_type: filtered(
    (v) => isVisible('type', 'x.oid', v),
    (v) => ({ typacl: blank('typacl'), ...functionColumns(TYPE_FUNCTIONS, v) }),
  ),
  pg_enum: filtered((v) => isVisible('type', 'x.enumtypid', v)),
  pg_range: filtered(
    (v) => isVisible('type', 'x.rngtypid', v),
    (v) => functionColumns(['rngcanonical', 'rngsubdiff'], v),
  ),
  pg_proc: filtered(
    (v) => isVisible('function', 'x.oid', v),
    (v) => ({
      ...functionColumns(['prosupport'], v),
      prosrc: onlyWhere(`x.oid < ${BUILTIN}`, 'prosrc', 'NULL'),
      probin: onlyWhere(`x.oid < ${BUILTIN}`, 'probin', 'NULL'),
      prosqlbody: onlyWhere(`x.oid < ${BUILTIN}`, 'prosqlbody', 'NULL'),
      proargdefaults: onlyWhere(`x.oid < ${BUILTIN}`, 'proargdefaults', 'NULL'),
      proconfig: blank('proconfig'),
      proacl: blank('proacl'),
    }),
  ),
  pg_aggregate: filtered(
    (v) => isVisible('function', 'x.aggfnoid::pg_catalog.oid', v),
    (v) => functionColumns(AGGREGATE_FUNCTIONS, v),
  ),
  pg_operator: filtered(
    (v) => isVisible('operator', 'x.oid', v),
    (v) => functionColumns(['oprcode', 'oprrest', 'oprjoin'], v),
  ),
  pg_opclass: filtered((v) => `(x.oid < ${BUILTIN} OR ${isAnyOf('x.opcintype', v.typeOids)})`),
  pg_opfamily: filtered(() => `x.oid < ${BUILTIN}`),
  pg_amop: filtered((v) => `x.oid < ${BUILTIN} AND ${isVisible('operator', 'x.amopopr', v)}`),
  pg_amproc: filtered(() => `x.oid < ${BUILTIN}`),
  pg_cast: filtered(
    (v) =>
      `${isVisible('type', 'x.castsource', v)} AND ${isVisible('type', 'x.casttarget', v)} AND ${isVisible('function', 'x.castfunc', v)}`,
  ),
  pg_am: filtered(() => `x.oid < ${BUILTIN}`),
  pg_collation: filtered(() => `x.oid < ${BUILTIN}`),
  pg_conversion: filtered(() => `x.oid < ${BUILTIN}`),
  pg_language: filtered(
    () => `x.oid < ${BUILTIN}`,
    () => ({ lanacl: blank('lanacl') }),
  ),
  pg_namespace: filtered(
    (v) => isVisible('namespace', 'x.oid', v),
    () => ({ nspacl: blank('nspacl') }),
  ),
  pg_description: filtered((v) => isAddressVisible('x.classoid', 'x.objoid', 'x.objsubid', v)),
  pg_shdescription: filtered(
    (v) => `x.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND ${isVisible('database', 'x.objoid', v)}`,
  ),
  pg_depend: filtered(
    (v) =>
      `${isAddressVisible('x.classid', 'x.objid', 'x.objsubid', v)} AND ${isAddressVisible('x.refclassid', 'x.refobjid', 'x.refobjsubid', v)}`,
  ),
  pg_extension: filtered(
    (v) => isExtensionVisible('x', v),
    () => ({ extconfig: blank('extconfig'), extcondition: blank('extcondition') }),
  ),
  pg_ts_config: filtered(() => `x.oid < ${BUILTIN}`),
  pg_ts_config_map: filtered(() => `x.mapcfg < ${BUILTIN}`),
  pg_ts_dict: filtered(() => `x.oid < ${BUILTIN}`),
  pg_ts_parser: filtered(() => `x.oid < ${BUILTIN}`),
  pg_ts_template: filtered(() => `x.oid < ${BUILTIN}`),
  pg_tablespace: filtered(
    () => `x.oid < ${BUILTIN}`,
    () => ({ spcacl: blank('spcacl'), spcoptions: blank('spcoptions') }),
  ),
  pg_database: filtered(
    () => 'x.datname = pg_catalog.current_database()',
    () => ({ datacl: blank('datacl'), datfrozenxid: ZERO_XID, datminmxid: ZERO_XID }),
  ),
  pg_roles: filtered(
    () => OWN_ROLE,
    () => ({ rolpassword: blank('rolpassword'), rolconfig: blank('rolconfig'), rolvaliduntil: blank('rolvaliduntil') }),
  ),
  pg_user: filtered(
    () => OWN_USER,
    () => ({ passwd: blank('passwd'), useconfig: blank('useconfig'), valuntil: blank('valuntil') }),
  ),
  pg_settings: filtered(
    () => `pg_catalog.lower(x.name) IN (${settingNames()})`,
    () => ({ sourcefile: blank('sourcefile'), sourceline: blank('sourceline') }),
  ),
  pg_tables: filtered(byName('schemaname', 'tablename'), (v) => ({
    tableowner: ownRoleOnly('tableowner'),
    hasrules: 'false',
    hastriggers: `(x.schemaname, x.tablename) IN (SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE ${isAnyOf('c.oid', foreignKeyEnds(v))})`,
    rowsecurity: 'false',
  })),
  pg_views: filtered(byName('schemaname', 'viewname'), () => ({
    viewowner: ownRoleOnly('viewowner'),
    definition: blank('definition'),
  })),
  pg_matviews: filtered(byName('schemaname', 'matviewname'), () => ({
    matviewowner: ownRoleOnly('matviewowner'),
    definition: blank('definition'),
  })),
  pg_indexes: filtered((v) => `(x.schemaname, x.indexname) IN ${visibleRelationNames(v)}`),
  pg_sequences: filtered(byName('schemaname', 'sequencename'), () => ({
    sequenceowner: ownRoleOnly('sequenceowner'),
    last_value: blank('last_value'),
  })),
  // Names only: Sequelize joins it for them. Counters tell of rows and statements.
  pg_statio_all_tables: filtered(
    (v) => isVisible('relation', 'x.relid', v),
    () => STATIO_COUNTERS,
  ),
  pg_db_role_setting: EMPTY,
  pg_available_extensions: filtered((v) => `x.name IN (${['plpgsql', ...v.extensions].map(quoteLiteral).join(', ')})`),
  pg_timezone_names: WHOLE,
  pg_timezone_abbrevs: WHOLE,

  pg_auth_members: EMPTY,
  pg_default_acl: EMPTY,
  pg_event_trigger: EMPTY,
  pg_foreign_data_wrapper: EMPTY,
  pg_foreign_server: EMPTY,
  pg_foreign_table: EMPTY,
  pg_init_privs: EMPTY,
  pg_policies: EMPTY,
  pg_policy: EMPTY,
  pg_publication: EMPTY,
  pg_publication_namespace: EMPTY,
  pg_publication_rel: EMPTY,
  pg_publication_tables: EMPTY,
  pg_rewrite: EMPTY,
  pg_rules: EMPTY,
  pg_seclabel: EMPTY,
  pg_seclabels: EMPTY,
  pg_shdepend: EMPTY,
  pg_shseclabel: EMPTY,
  pg_statistic_ext: EMPTY,
  pg_subscription: EMPTY,
  pg_subscription_rel: EMPTY,
  pg_transform: EMPTY,
  pg_trigger: EMPTY,
  pg_user_mapping: EMPTY,
  pg_user_mappings: EMPTY,
};
