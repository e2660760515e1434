/** Columns that became visible by `columns: ["*"]` since a policy was written: what its tables were then stands in its status. Pure. */
import type { OpenTable } from '#policy/fit.ts';

/** `status.allColumns`: tables with all their columns, as they were when this generation of the policy was first compared with the database. */
export interface AllColumns {
  readonly generation: number;
  readonly tables: readonly KnownTable[];
}

interface KnownTable {
  readonly name: string;
  readonly oid: number;
  readonly lastColumn: number;
}

export interface Growth {
  readonly allColumns: AllColumns;
  /** `public.customers.phone`; `public.invoices` for a table that is new as a whole. */
  readonly added: readonly string[];
}

export const MAX_TABLES = 1000;

/** What was added since `before`; another generation of the policy begins anew, since whoever wrote it could see the table. */
export function growthOf(before: AllColumns | undefined, generation: number, tables: readonly OpenTable[]): Growth {
  if (before?.generation !== generation) {
    const known = tables.slice(0, MAX_TABLES).map(({ name, oid, lastColumn }) => ({ name, oid, lastColumn }));
    return { allColumns: { generation, tables: known }, added: [] };
  }
  const known = new Map(before.tables.map((table) => [table.name, table]));
  // Beyond that many, one that is not known may just not have been set down.
  const isWhole = before.tables.length < MAX_TABLES;
  const added = tables.flatMap((table) => {
    const then = known.get(table.name);
    if (then?.oid !== table.oid) return (then !== undefined || isWhole) && table.columns.length > 0 ? [table.name] : [];
    return table.columns.filter(({ attnum }) => attnum > then.lastColumn).map(({ name }) => `${table.name}.${name}`);
  });
  return { allColumns: before, added };
}

/** Reads it from a status; what is not of that form counts as not there. */
export function readAllColumns(status: unknown): AllColumns | undefined {
  const value = isMap(status) ? status['allColumns'] : undefined;
  if (!isMap(value) || typeof value['generation'] !== 'number' || !Array.isArray(value['tables'])) return undefined;
  const tables = (value['tables'] as readonly unknown[]).flatMap((table): readonly KnownTable[] => {
    if (!isMap(table)) return [];
    const { name, oid, lastColumn } = table;
    const isKnown = typeof name === 'string' && typeof oid === 'number' && typeof lastColumn === 'number';
    return isKnown ? [{ name, oid, lastColumn }] : [];
  });
  return { generation: value['generation'], tables };
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
