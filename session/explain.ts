import { Buffer } from 'node:buffer';

/**
 * EXPLAIN output of a governed statement, reduced to the plan's shape: node types, relations, indexes and joins as the agent may know
 * them; no costs, rows, widths, buffers, times, conditions, filters, output lists or settings. What is not on the lists is dropped.
 */
export type ExplainFormat = 'text' | 'json' | 'xml' | 'yaml';

/** One cell in; `undefined`: the row is dropped. Text format has a line a row, the others one document in one row. */
export function reduceExplainCell(format: ExplainFormat, cell: Buffer): Buffer | undefined {
  const text = cell.toString('utf8');
  const reduced = REDUCERS[format](text);
  return reduced === undefined ? undefined : Buffer.from(reduced, 'utf8');
}

const REDUCERS: Readonly<Record<ExplainFormat, (text: string) => string | undefined>> = {
  text: reduceTextLine,
  json: reduceJson,
  xml: (text) => keepLines(text, isXmlLine),
  yaml: (text) => keepLines(text, isYamlLine),
};

/** First words of PostgreSQL's node names (commands/explain.c), after an optional Parallel, Partial, Finalize or Async. */
const NODE_LINE =
  /^(\s*->\s+|\s*)((?:Parallel |Async |Partial |Finalize |Simple )*(?:Aggregate|Append|Bitmap Heap Scan|Bitmap Index Scan|BitmapAnd|BitmapOr|CTE Scan|Custom Scan|Delete|Foreign Scan|Function Scan|Gather|Gather Merge|Group|GroupAggregate|Hash|HashAggregate|Hash Join|Hash (?:Left|Right|Full|Semi|Anti|Right Semi|Right Anti) Join|HashSetOp [A-Za-z]+(?: All)?|Incremental Sort|Index Only Scan|Index Scan|Insert|Limit|LockRows|Materialize|Memoize|Merge|Merge Append|Merge Join|Merge (?:Left|Right|Full|Semi|Anti|Right Semi|Right Anti) Join|MixedAggregate|Named Tuplestore Scan|Nested Loop|Nested Loop (?:Left|Right|Full|Semi|Anti) Join|ProjectSet|Recursive Union|Result|Sample Scan|Seq Scan|SetOp [A-Za-z]+(?: All)?|Sort|Subquery Scan|Table Function Scan|Tid Range Scan|Tid Scan|Unique|Update|Values Scan|WindowAgg|WorkTable Scan|Utility Statement)(?: Backward)?)((?: using [^\s()]+)?(?: on [^()]+?)?)?(\s+\(.*\))?\s*$/;
const SUB_PLAN_LINE = /^(\s*)(InitPlan|SubPlan) ([0-9]+).*$/;
const CTE_LINE = /^(\s*)CTE ("(?:[^"]|"")*"|[^\s"()]+)$/;

function reduceTextLine(line: string): string | undefined {
  const node = NODE_LINE.exec(line);
  if (node !== null) return `${node[1] ?? ''}${node[2] ?? ''}${node[3] ?? ''}`;
  const sub = SUB_PLAN_LINE.exec(line);
  if (sub !== null) return `${sub[1] ?? ''}${sub[2] ?? ''} ${sub[3] ?? ''}`;
  return CTE_LINE.test(line) ? line : undefined;
}

const KEPT_KEYS: ReadonlySet<string> = new Set([
  'Plan',
  'Plans',
  'Node Type',
  'Parent Relationship',
  'Subplan Name',
  'Join Type',
  'Strategy',
  'Partial Mode',
  'Operation',
  'Command',
  'Parallel Aware',
  'Async Capable',
  'Scan Direction',
  'Relation Name',
  'Schema',
  'Alias',
  'Index Name',
  'CTE Name',
  'Function Name',
]);

function reduceJson(text: string): string | undefined {
  let plan: unknown;
  try {
    plan = JSON.parse(text);
  } catch {
    return '[]';
  }
  return JSON.stringify(reduceValue(plan), undefined, 2);
}

function reduceValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reduceValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (KEPT_KEYS.has(key) ? [[key, reduceValue(inner)]] : [])),
  );
}

/** Line by line: PostgreSQL prints one element or key a line, and a forged line inside a value would have to hold `<` or start a line. */
function keepLines(text: string, isKept: (line: string) => boolean): string {
  return text
    .split('\n')
    .filter((line) => isKept(line))
    .join('\n');
}

function isYamlLine(line: string): boolean {
  const key = /^\s*(?:- )?([A-Za-z -]+):(?: (?:"(?:[^"\\]|\\.)*"|[a-z]+))?\s*$/.exec(line)?.[1];
  return key !== undefined && KEPT_KEYS.has(key);
}

function isXmlLine(line: string): boolean {
  if (/^<explain xmlns="[^"<>]*">$|^<\/explain>$/.test(line)) return true;
  if (/^\s*<\/?(Query|Plan|Plans)>$/.test(line)) return true;
  const match = /^\s*<([A-Za-z-]+)>[^<>]*<\/([A-Za-z-]+)>$/.exec(line);
  return match !== null && match[1] === match[2] && KEPT_KEYS.has((match[1] ?? '').replaceAll('-', ' '));
}
