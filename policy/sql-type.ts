import type { CatalogColumn, CatalogSnapshot, CatalogType, Oid } from '#sql/catalog.ts';
import { quoteQualified } from '#sql/identifiers.ts';

/** What masks must know of a column's type: how to write it, and what it is under its domains. */
export interface ColumnType {
  /** `pg_catalog."varchar"(20)`: a cast to it keeps type and type modifier. */
  readonly sql: string;
  /** The type as people read it: `varchar(20)`. */
  readonly display: string;
  readonly base: CatalogType;
  /** Type modifier of the base type, -1 for none. */
  readonly typmod: number;
  readonly family: TypeFamily;
  /** Most characters a value may have; `undefined`: no limit. */
  readonly maxLength: number | undefined;
  readonly domainNotNull: boolean;
  /** CHECK constraints of the domains above the base type. */
  readonly domainChecks: readonly string[];
}

export type TypeFamily =
  | 'text'
  | 'int2'
  | 'int4'
  | 'int8'
  | 'numeric'
  | 'float4'
  | 'float8'
  | 'date'
  | 'timestamp'
  | 'timestamptz'
  | 'uuid'
  | 'other';

const FAMILIES: Readonly<Record<string, TypeFamily>> = {
  text: 'text',
  varchar: 'text',
  bpchar: 'text',
  name: 'text',
  int2: 'int2',
  int4: 'int4',
  int8: 'int8',
  numeric: 'numeric',
  float4: 'float4',
  float8: 'float8',
  date: 'date',
  timestamp: 'timestamp',
  timestamptz: 'timestamptz',
  uuid: 'uuid',
};

function familyOf(type: CatalogType): TypeFamily {
  if (type.schema === 'pg_catalog') return FAMILIES[type.name] ?? 'other';
  return isCitext(type) ? 'text' : 'other';
}

/** citext lives in whatever schema its extension was put into. */
export function isCitext(type: CatalogType): boolean {
  return type.name === 'citext' && type.extension === 'citext' && type.kind === 'b';
}

/** The column's type, or `undefined` where the catalog snapshot does not hold it. */
export function columnType(
  column: Pick<CatalogColumn, 'typeOid' | 'typmod'>,
  catalog: CatalogSnapshot,
): ColumnType | undefined {
  const own = catalog.typeByOid.get(column.typeOid);
  if (own === undefined) return undefined;
  let base = own;
  let typmod = column.typmod;
  let domainNotNull = false;
  const domainChecks: string[] = [];
  const seen = new Set<Oid>();
  while (base.kind === 'd') {
    const under = catalog.typeByOid.get(base.domainBaseOid);
    if (under === undefined || seen.has(base.oid)) return undefined;
    seen.add(base.oid);
    typmod = base.domainTypmod;
    domainNotNull ||= base.domainNotNull;
    domainChecks.push(...base.domainChecks);
    base = under;
  }
  const modifiers = own.kind === 'd' ? '' : typeModifiers(own, typmod, catalog);
  return {
    sql: `${quoteQualified(own.schema, own.name)}${modifiers}`,
    display: `${own.schema === 'pg_catalog' ? own.name : `${own.schema}.${own.name}`}${modifiers}`,
    base,
    typmod,
    family: familyOf(base),
    maxLength: maxLength(base, typmod),
    domainNotNull,
    domainChecks,
  };
}

function maxLength(base: CatalogType, typmod: number): number | undefined {
  if (base.schema !== 'pg_catalog') return undefined;
  if (base.name === 'name') return 63;
  return (base.name === 'varchar' || base.name === 'bpchar') && typmod >= 4 ? typmod - 4 : undefined;
}

/** Digits before and after the decimal point of `numeric(p, s)`; src/include/utils/numeric.h: ((p << 16) | (s & 0x7ff)) + 4. */
export function numericModifier(typmod: number): { readonly precision: number; readonly scale: number } | undefined {
  if (typmod < 4) return undefined;
  const packed = typmod - 4;
  const scale = packed & 0x7ff;
  return { precision: (packed >> 16) & 0xffff, scale: scale >= 0x400 ? scale - 0x800 : scale };
}

/**
 * Prints the type modifiers of the built-in types that have some (an array has its element's). A modifier of another type is
 * left out: such columns get NULL or a constant of the type without it.
 */
function typeModifiers(type: CatalogType, typmod: number, catalog: CatalogSnapshot): string {
  if (typmod < 0) return '';
  const element = type.category === 'A' ? catalog.typeByOid.get(type.elementOid) : type;
  if (element === undefined || element.schema !== 'pg_catalog') return '';
  switch (element.name) {
    case 'varchar':
    case 'bpchar':
      return typmod >= 4 ? `(${typmod - 4})` : '';
    case 'numeric': {
      const modifier = numericModifier(typmod);
      return modifier === undefined ? '' : `(${modifier.precision},${modifier.scale})`;
    }
    case 'bit':
    case 'varbit':
    case 'time':
    case 'timetz':
    case 'timestamp':
    case 'timestamptz':
      return `(${typmod})`;
    case 'interval':
      // src/include/utils/timestamp.h: range << 16 | precision; 0xFFFF is "no precision".
      return (typmod & 0xffff) === 0xffff
        ? `(${(typmod >> 16) & 0x7fff})`
        : `(${(typmod >> 16) & 0x7fff},${typmod & 0xffff})`;
    default:
      return '';
  }
}
