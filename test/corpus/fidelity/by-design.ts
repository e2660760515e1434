/** Statements that give less than the honest view on purpose: they work, without an error and with the same columns, and some cells or rows are not there. */
import type { FidelityCase } from './runner.ts';

interface Difference {
  readonly from: string;
  /** Part of the statement, where the client sends others too. */
  readonly text: string;
  readonly reason: string;
}

const SIZES = 'sizes of files tell of hidden rows: NULL';
const ROLES = 'names and grants of other roles are not shown';
const DEFINITION = 'the definition of a view may name what is hidden: NULL';

const DIFFERENCES: readonly Difference[] = [
  { from: 'psql 15 \\d+', text: 'pg_table_size', reason: SIZES },
  { from: 'psql 15 \\dt+', text: 'pg_table_size', reason: SIZES },
  { from: 'psql 15 \\di+', text: 'pg_table_size', reason: SIZES },
  { from: 'psql 15 \\l+', text: 'pg_database_size', reason: SIZES },
  { from: 'psql 15 \\db+', text: 'pg_tablespace_size', reason: SIZES },
  { from: 'psql 15 \\dP+', text: 'pg_partition_tree', reason: SIZES },
  { from: 'psql 15 \\dn+', text: 'nspacl', reason: ROLES },
  { from: 'psql 15 \\du', text: 'pg_roles', reason: ROLES },
  { from: 'psql 15 \\dp', text: 'relacl', reason: ROLES },
  { from: 'psql 15 \\z orders', text: 'relacl', reason: ROLES },
  { from: 'psql 15 \\l', text: 'datacl', reason: ROLES },
  { from: 'psql 15 \\db', text: 'pg_tablespace_location', reason: 'places of files are not shown' },
  { from: 'psql 15 \\d+ order_summary', text: 'pg_get_viewdef', reason: DEFINITION },
  { from: 'psql 15 \\sv order_summary', text: 'pg_get_viewdef', reason: DEFINITION },
  { from: 'psql 15 \\dt *.*', text: 'relkind', reason: 'TOAST tables are not shown' },
  { from: 'psql 15 \\dconfig work_mem', text: 'current_setting', reason: 'only settings on the list have values' },
  {
    from: 'Django',
    text: 'exprdef',
    reason: 'expressions of an index over a table with hidden columns are numbers of columns: NULL',
  },
];

/** Why a statement gives less on purpose; `undefined`: it has to be equal. */
export function differsByDesign(entry: FidelityCase): string | undefined {
  const text = JSON.stringify(entry.steps);
  return DIFFERENCES.find((one) => one.from === entry.from && text.includes(one.text))?.reason;
}
