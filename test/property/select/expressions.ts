/** Random expressions of a given type. The first maker of each type is the simplest one: what is left when the choices have run out. */
import type { Choices } from './choices.ts';
import type { Room, SqlType } from './tables.ts';

type Maker = (choices: Choices, room: Room) => string;

const LITERALS: Readonly<Record<SqlType, readonly string[]>> = {
  int: ['1', '0', '7', '-3', '42', '(7)'],
  numeric: ['1.50', '100.00', '-0.25'],
  text: [`'eu'`, `'us'`, `'a%'`, `''`, `'Ada 5'`, `E'it\\'s'`, `'Ö'::text`],
  boolean: ['true', 'false', 'NULL::boolean'],
  date: [`date '2026-03-01'`, `'1990-01-01'::date`],
  timestamp: [`timestamp '2026-02-01 12:00'`],
  timestamptz: [`timestamptz '2025-03-01 00:00Z'`],
  interval: [`interval '5 hours'`],
  uuid: [`'00000000-0000-0000-0000-000000000004'::uuid`],
  jsonb: [`'{"level": 2}'::jsonb`, `'[1, 2]'::jsonb`],
  'text[]': [`ARRAY['x', 't1']`, `'{x,t2}'::text[]`],
  status: [`'paid'::status`, `'cart'::status`],
};

/** A column of that type in reach, or a literal. */
function leaf(type: SqlType): Maker {
  return (choices, room) => {
    const near = named(room.sources, type);
    const far = named(room.outer, type);
    const from = far.length > 0 && (near.length === 0 || choices.chance(30)) ? far : near;
    if (from.length === 0 || choices.chance(10)) return choices.pick(LITERALS[type]);
    const { alias, name } = choices.pick(from);
    if (from === far) choices.features.add('outer reference');
    const sameNamed = [...room.sources, ...room.outer].filter((source) => source.columns.some((c) => c.name === name));
    return sameNamed.length === 1 && choices.chance(40) ? name : `${alias}.${name}`;
  };
}

function named(sources: Room['sources'], type: SqlType): readonly { readonly alias: string; readonly name: string }[] {
  return sources.flatMap(({ alias, columns }) =>
    columns.filter((column) => column.type === type).map(({ name }) => ({ alias, name })),
  );
}

const deeper = (room: Room): Room => ({ ...room, depth: room.depth + 1 });
const of =
  (type: SqlType): Maker =>
  (choices, room) =>
    expression(type, choices, deeper(room));
const int = of('int');
const text = of('text');
const numeric = of('numeric');
const condition = of('boolean');

/** An expression that may fail for some rows, where the statement has one left; else the other one. */
function failing(feature: string, make: Maker, otherwise: Maker): Maker {
  return (choices, room) => {
    if (choices.failures === 0) return otherwise(choices, room);
    choices.failures -= 1;
    return choices.with(feature, make(choices, room));
  };
}

function caseOf(type: SqlType): Maker {
  return (choices, room) =>
    choices.with(
      'CASE',
      `CASE WHEN ${condition(choices, room)} THEN ${of(type)(choices, room)} ELSE ${of(type)(choices, room)} END`,
    );
}

function coalesceOf(type: SqlType): Maker {
  return (choices, room) => `coalesce(${of(type)(choices, room)}, ${of(type)(choices, room)})`;
}

const below = (room: Room): Room => ({
  ...room,
  outer: [...room.sources, ...room.outer],
  sources: [],
  depth: room.depth + 1,
});

/** A sub-select of one row: the first one, or, where a failure is left, as many as there are. */
function scalarSubQuery(type: SqlType, choices: Choices, room: Room): string | undefined {
  if (room.depth > 2) return undefined;
  choices.features.add('scalar sub-select');
  const query = room.query([type], choices, below(room));
  if (choices.failures > 0 && choices.chance(20)) {
    choices.failures -= 1;
    return choices.with('sub-select of too many rows', query);
  }
  return `(SELECT * FROM ${query} AS one ORDER BY 1 LIMIT 1)`;
}

function subQueryCondition(choices: Choices, room: Room): string | undefined {
  if (room.depth > 2) return undefined;
  const type = choices.pick(COMPARED);
  const query = room.query([type], choices, below(room));
  const value = of(type)(choices, room);
  return choices.pick([
    () => choices.with('EXISTS', `EXISTS ${query}`),
    () => choices.with('IN', `${value} IN ${query}`),
    () => choices.with('IN', `${value} NOT IN ${query}`),
    () => choices.with('ANY', `${value} = ANY ${query}`),
    () => choices.with('ANY', `${value} < ALL ${query}`),
    () => choices.with('ARRAY', `${value} = ANY (ARRAY${query})`),
  ])();
}

const scalar =
  (type: SqlType): Maker =>
  (choices, room) =>
    scalarSubQuery(type, choices, room) ?? leaf(type)(choices, room);

const INTS: readonly Maker[] = [
  leaf('int'),
  (c, r) => `${int(c, r)} + ${int(c, r)}`,
  (c, r) => `(${int(c, r)} - ${int(c, r)})`,
  (c, r) => `length(${text(c, r)})`,
  (c, r) => `abs(${int(c, r)})`,
  (c, r) => `greatest(${int(c, r)}, ${int(c, r)})`,
  (c, r) => `nullif(${int(c, r)}, ${int(c, r)})`,
  (c, r) => `extract(year FROM ${of('date')(c, r)})::int`,
  (c, r) => `cardinality(${of('text[]')(c, r)})`,
  (c, r) => `(${of('jsonb')(c, r)} ->> 'level')::int`,
  failing('cast that fails', (c, r) => `${text(c, r)}::int`, leaf('int')),
  failing('cast that fails', (c, r) => `CAST(${text(c, r)} AS integer)`, leaf('int')),
  failing('division that fails', (c, r) => `100 / (${int(c, r)} - ${int(c, r)})`, leaf('int')),
  failing('division that fails', (c, r) => `${int(c, r)} % ${int(c, r)}`, leaf('int')),
  caseOf('int'),
  coalesceOf('int'),
  scalar('int'),
];

const NUMERICS: readonly Maker[] = [
  leaf('numeric'),
  (c, r) => `round(${numeric(c, r)} * 1.5, 2)`,
  (c, r) => `${int(c, r)}::numeric(12,2)`,
  (c, r) => `(${numeric(c, r)} + ${numeric(c, r)})`,
  failing('function that fails', (c, r) => `round(ln(${numeric(c, r)}), 2)`, leaf('numeric')),
  failing('cast that fails', (c, r) => `${numeric(c, r)}::amount::numeric(12,2)`, leaf('numeric')),
  caseOf('numeric'),
  coalesceOf('numeric'),
  scalar('numeric'),
];

const TEXTS: readonly Maker[] = [
  leaf('text'),
  (c, r) => `upper(${text(c, r)})`,
  (c, r) => `(${text(c, r)} || ${text(c, r)})`,
  (c, r) => `left(${text(c, r)}, 3)`,
  (c, r) => `substring(${text(c, r)} from 2 for 3)`,
  (c, r) => `${int(c, r)}::text`,
  (c, r) => `concat_ws('-', ${text(c, r)}, ${int(c, r)}, ${of('status')(c, r)})`,
  (c, r) => `to_char(${of('date')(c, r)}, 'YYYY-MM')`,
  (c, r) => `${of('status')(c, r)}::text`,
  (c, r) => `md5(${text(c, r)})`,
  (c, r) => `(${of('jsonb')(c, r)} ->> 'lang')`,
  (c, r) => `(${of('text[]')(c, r)})[1]`,
  (c, r) => `${text(c, r)} COLLATE "C"`,
  (c, r) => `format('%s/%s', ${text(c, r)}, ${int(c, r)})`,
  failing('function that fails', (c, r) => `substr(${text(c, r)}, 1, ${int(c, r)})`, leaf('text')),
  failing('function that fails', (c, r) => `chr(${int(c, r)})`, leaf('text')),
  caseOf('text'),
  coalesceOf('text'),
  scalar('text'),
];

const COMPARED: readonly SqlType[] = ['int', 'text', 'numeric', 'date', 'timestamp', 'timestamptz', 'status', 'uuid'];

function comparison(choices: Choices, room: Room): string {
  const type = choices.pick(COMPARED);
  const operator = choices.pick(['=', '<', '>=', '<>', 'IS DISTINCT FROM']);
  return `(${of(type)(choices, room)} ${operator} ${of(type)(choices, room)})`;
}

function rowComparison(choices: Choices, room: Room): string {
  const operator = choices.pick(['=', '<', '>=', '<>']);
  const side = (): string => `(${int(choices, room)}, ${text(choices, room)})`;
  return choices.with('row comparison', `${side()} ${operator} ${side()}`);
}

function wholeRowTest(choices: Choices, room: Room): string {
  const rows = room.sources.filter(({ hasRow }) => hasRow);
  if (rows.length === 0) return comparison(choices, room);
  const { alias } = choices.pick(rows);
  return choices.with('whole row', choices.pick([`${alias} IS NOT NULL`, `(${alias} = ${alias})`, `${alias} IS NULL`]));
}

const BOOLEANS: readonly Maker[] = [
  comparison,
  (c, r) => `(${condition(c, r)} AND ${condition(c, r)})`,
  (c, r) => `(${condition(c, r)} OR ${condition(c, r)})`,
  (c, r) => `NOT ${condition(c, r)}`,
  (c, r) => `(${c.pick([int, text, numeric])(c, r)} IS NULL)`,
  (c, r) => `(${text(c, r)} LIKE ${c.pick([`'%a%'`, `'eu'`, `'user%'`, `'%5'`])})`,
  (c, r) => `(${text(c, r)} ~ ${c.pick([`'^[A-C]'`, `'[0-9]+$'`])})`,
  (c, r) => `(${int(c, r)} IN (1, 5, ${int(c, r)}))`,
  (c, r) => `(${text(c, r)} = ANY (${of('text[]')(c, r)}))`,
  (c, r) => `(${int(c, r)} BETWEEN ${int(c, r)} AND ${int(c, r)})`,
  (c, r) => `(${of('jsonb')(c, r)} @> '{"lang": "de"}')`,
  (c, r) => `(${condition(c, r)} IS NOT TRUE)`,
  (c, r) => `(${of('date')(c, r)} < ${of('date')(c, r)} + 100)`,
  rowComparison,
  wholeRowTest,
  (c, r) => subQueryCondition(c, r) ?? comparison(c, r),
  (c, r) => subQueryCondition(c, r) ?? comparison(c, r),
];

const MAKERS: Readonly<Record<SqlType, readonly Maker[]>> = {
  int: INTS,
  numeric: NUMERICS,
  text: TEXTS,
  boolean: BOOLEANS,
  date: [leaf('date'), (c, r) => `${of('timestamp')(c, r)}::date`, coalesceOf('date'), caseOf('date'), scalar('date')],
  timestamp: [leaf('timestamp'), (c, r) => `date_trunc('month', ${of('timestamp')(c, r)})`, coalesceOf('timestamp')],
  timestamptz: [leaf('timestamptz'), coalesceOf('timestamptz')],
  interval: [leaf('interval')],
  uuid: [leaf('uuid'), coalesceOf('uuid')],
  jsonb: [
    leaf('jsonb'),
    (c, r) => `jsonb_build_object('k', ${int(c, r)}, 't', ${text(c, r)})`,
    (c, r) => `to_jsonb(${text(c, r)})`,
    (c, r) => wholeRowAsJson(c, r),
  ],
  'text[]': [
    leaf('text[]'),
    (c, r) => `ARRAY[${text(c, r)}, ${text(c, r)}]`,
    (c, r) => `string_to_array(${text(c, r)}, ' ')`,
  ],
  status: [leaf('status'), coalesceOf('status'), caseOf('status')],
};

function wholeRowAsJson(choices: Choices, room: Room): string {
  const rows = room.sources.filter(({ hasRow }) => hasRow);
  if (rows.length === 0) return leaf('jsonb')(choices, room);
  return choices.with('whole row', `to_jsonb(${choices.pick(rows).alias})`);
}

/** An expression of that type over what the room holds. */
export function expression(type: SqlType, choices: Choices, room: Room): string {
  const makers = MAKERS[type];
  if (room.depth > 4 || !choices.isRich) return leaf(type)(choices, room);
  const made = choices.pick(makers)(choices, room);
  return /^[\w."]+$/.test(made) ? made : `(${made})`;
}
