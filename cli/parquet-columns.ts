/** A record as a row of the columnar copy. Pure. */
import type { BasicType } from 'hyparquet-writer';

type Value = string | number | bigint | boolean | Date | null;

interface Column {
  readonly name: string;
  readonly type: BasicType;
  /** Members down to the value in the record. */
  readonly path: readonly string[];
  readonly convert: (value: unknown, record: unknown) => Value;
}

const text = (value: unknown): Value => (typeof value === 'string' ? value : null);
const whole = (value: unknown): Value => (Number.isSafeInteger(value) ? BigInt(value as number) : null);
const real = (value: unknown): Value => (typeof value === 'number' ? value : null);
const truth = (value: unknown): Value => (typeof value === 'boolean' ? value : null);
const time = (value: unknown): Value => (typeof value === 'number' ? new Date(value) : null);
/** A list as JSON text: names may hold any sign. */
const list = (value: unknown): Value => (Array.isArray(value) ? JSON.stringify(value) : null);
/** `system:serviceaccount:NAMESPACE:NAME`. */
const namespaceOf = (value: unknown): Value =>
  (typeof value === 'string' && /^system:serviceaccount:([^:]+):/.exec(value)?.[1]) || null;

function column(name: string, type: BasicType, path: string, convert: Column['convert']): Column {
  return { name, type, path: path.split('.'), convert };
}

export const COLUMNS: readonly Column[] = [
  column('time', 'TIMESTAMP', 'time', time),
  column('uid', 'STRING', 'metadata.uid', text),
  column('chain', 'STRING', 'unmapped.chain.id', text),
  column('seq', 'INT64', 'unmapped.chain.seq', whole),
  column('hash', 'STRING', 'unmapped.chain.hash', text),
  column('pod', 'STRING', 'src_endpoint.instance_uid', text),
  column('session', 'STRING', 'actor.session.uid', text),
  column('user', 'STRING', 'actor.user.uid', text),
  column('groups', 'STRING', 'actor.user.groups', list),
  column('namespace', 'STRING', 'actor.user.uid', namespaceOf),
  column('hostname', 'STRING', 'dst_endpoint.hostname', text),
  column('port', 'INT64', 'dst_endpoint.port', whole),
  column('database', 'STRING', 'database.name', text),
  column('policy', 'STRING', 'policy.uid', text),
  column('generation', 'STRING', 'policy.version', text),
  column('phase', 'STRING', 'unmapped.phase', text),
  column('disposition', 'STRING', 'disposition', text),
  column('command', 'STRING', 'unmapped.command', text),
  column('statement', 'STRING', 'query_info.uid', text),
  column('query', 'STRING', 'query_info.query_string', text),
  column('status', 'STRING', 'status_code', text),
  column('reason', 'STRING', 'unmapped.reason', text),
  column('rows', 'INT64', 'unmapped.rows', whole),
  column('bytes', 'INT64', 'unmapped.bytes', whole),
  column('duration_ms', 'DOUBLE', 'unmapped.durationMs', real),
  column('relations', 'STRING', 'unmapped.relations', list),
  column('masked', 'STRING', 'unmapped.masked', list),
  column('row_filters', 'STRING', 'unmapped.rowFilters', list),
  column('rewritten', 'BOOLEAN', 'unmapped.rewritten', truth),
  column('sessions', 'INT64', 'unmapped.sessions', whole),
];

export interface Row {
  readonly chain: string;
  readonly seq: number;
  /** `YYYY-MM-DD`, UTC. */
  readonly date: string;
  /** One for each of COLUMNS. */
  readonly values: readonly Value[];
}

function valueAt(record: unknown, path: readonly string[]): unknown {
  let found = record;
  for (const name of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}

/** Undefined: this is no record of a chain. */
export function rowOf(record: unknown): Row | undefined {
  const values = COLUMNS.map(({ path, convert }) => convert(valueAt(record, path), record));
  const chain = valueAt(record, ['unmapped', 'chain', 'id']);
  const seq = valueAt(record, ['unmapped', 'chain', 'seq']);
  const timeMs = valueAt(record, ['time']);
  if (typeof chain !== 'string' || typeof seq !== 'number' || typeof timeMs !== 'number') return undefined;
  const at = new Date(timeMs);
  if (Number.isNaN(at.getTime()) || !Number.isSafeInteger(seq)) return undefined;
  return { chain, seq, date: at.toISOString().slice(0, 10), values };
}
