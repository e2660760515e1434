/** Random SELECT statements over the tables of the fidelity shop: what they return does not depend on the plan. */
import { Choices } from './choices.ts';
import { expression } from './expressions.ts';
import { fromClause, someTypes } from './sources.ts';
import { type Room, type Source, type SqlType, type Table, TABLES } from './tables.ts';

export function whereClause(choices: Choices, room: Room): string {
  const count = choices.below(3);
  if (count === 0) return '';
  const conditions = Array.from({ length: count }, () => expression('boolean', choices, room));
  return ` WHERE ${conditions.join(' AND ')}`;
}

function list(expressions: readonly string[], choices: Choices): string {
  return expressions.map((text) => (choices.chance(60) ? `${text} AS ${choices.alias('o')}` : text)).join(', ');
}

function plainSelect(types: readonly SqlType[], choices: Choices, outer: Room): string {
  const { text, sources } = fromClause(choices, outer);
  const room = { ...outer, sources };
  const where = whereClause(choices, room);
  const isDistinct = choices.chance(12);
  const outputs = types.map((type) =>
    choices.chance(15) ? windowed(type, choices, room) : expression(type, choices, room),
  );
  const distinct = isDistinct ? choices.with('DISTINCT', 'DISTINCT ') : '';
  return `SELECT ${distinct}${list(outputs, choices)} FROM ${text}${where}`;
}

/** A window function whose result does not depend on the order of equal rows. */
function windowed(type: SqlType, choices: Choices, room: Room): string {
  const flat = { ...room, depth: room.depth + 2 };
  const by = choices.pick<SqlType>(['int', 'text', 'date']);
  const order = `ORDER BY ${expression(by, choices, flat)}`;
  const partition = choices.chance(50) ? `PARTITION BY ${expression('text', choices, flat)} ` : '';
  choices.features.add('window');
  const over = `OVER (${partition}${order})`;
  if (type === 'int') {
    return choices.pick([
      () => `rank() ${over}::int`,
      () => `count(*) ${over}::int`,
      () => `sum(${expression('int', choices, flat)}) ${over}::int`,
      () => `(dense_rank() ${over})::int`,
      () => `max(${expression('int', choices, flat)}) FILTER (WHERE ${expression('boolean', choices, flat)}) ${over}`,
    ])();
  }
  if (type === 'text' || type === 'numeric' || type === 'date')
    return `max(${expression(type, choices, flat)}) ${over}`;
  return expression(type, choices, room);
}

/** An aggregate of that type whose result does not depend on the order of its input. */
function aggregate(type: SqlType, choices: Choices, room: Room): string {
  const inside = { ...room, outer: [], depth: room.depth + 1 };
  const of = (inner: SqlType): string => expression(inner, choices, inside);
  const filter = choices.chance(15) ? choices.with('FILTER', ` FILTER (WHERE ${of('boolean')})`) : '';
  switch (type) {
    case 'int':
      return choices.pick([
        () => `count(*)${filter}::int`,
        () => `max(${of('int')})${filter}`,
        () => `count(DISTINCT ${of('text')})${filter}::int`,
        () => `sum(${of('int')})${filter}::int`,
        () => wholeRowCount(choices, inside),
      ])();
    case 'numeric':
      return choices.pick([() => `sum(${of('numeric')})${filter}`, () => `round(avg(${of('numeric')})${filter}, 2)`])();
    case 'text':
      return choices.pick([
        () => `max(${of('text')})${filter}`,
        () => ((value) => `string_agg(${value}, ',' ORDER BY ${value})${filter}`)(of('text')),
      ])();
    case 'boolean':
      return choices.pick([() => `bool_and(${of('boolean')})${filter}`, () => `bool_or(${of('boolean')})${filter}`])();
    case 'jsonb':
      return ((value) => `jsonb_agg(${value} ORDER BY ${value})${filter}`)(of('int'));
    case 'text[]':
      return ((value) => `array_agg(${value} ORDER BY ${value})${filter}`)(of('text'));
    case 'uuid':
      return ((value) => `(array_agg(${value} ORDER BY ${value})${filter})[1]`)(of('uuid'));
    default:
      return `min(${of(type)})${filter}`;
  }
}

function wholeRowCount(choices: Choices, room: Room): string {
  const row = room.sources.find(({ hasRow, columns }) => hasRow && columns.every(({ type }) => type !== 'jsonb'));
  return row === undefined ? 'count(*)::int' : choices.with('whole row', `count(${row.alias})::int`);
}

function groupClause(names: readonly string[], choices: Choices): string {
  const all = names.join(', ');
  if (choices.chance(75)) return all;
  const kind = choices.pick(['ROLLUP', 'CUBE', 'GROUPING SETS']);
  const sets = kind === 'GROUPING SETS' ? `GROUPING SETS ((${all}), (${names[0] ?? ''}), ())` : `${kind} (${all})`;
  return choices.with(kind, sets);
}

function groupedSelect(types: readonly SqlType[], choices: Choices, outer: Room): string {
  const { text, sources } = fromClause(choices, outer);
  const room = { ...outer, sources };
  const where = whereClause(choices, room);
  const columns = sources.flatMap((source) =>
    source.columns.map((column) => ({ type: column.type, name: `${source.alias}.${column.name}` })),
  );
  const count = choices.below(3);
  const groups = Array.from({ length: count }, () => choices.pick(columns));
  const outputs = types.map((type) => {
    const group = groups.find((one) => one.type === type);
    return group !== undefined && choices.chance(60) ? group.name : aggregate(type, choices, room);
  });
  const by = count === 0 ? '' : ` GROUP BY ${groupClause([...new Set(groups.map(({ name }) => name))], choices)}`;
  const having = choices.chance(25) ? choices.with('HAVING', ` HAVING ${havingCondition(choices, room, groups)}`) : '';
  if (count > 0) choices.features.add('GROUP BY');
  return `SELECT ${list(outputs, choices)} FROM ${text}${where}${by}${having}`;
}

function havingCondition(choices: Choices, room: Room, groups: readonly { readonly name: string }[]): string {
  const group = groups[0];
  if (group !== undefined && choices.chance(40)) return `${group.name} IS NOT NULL`;
  const type = choices.pick<SqlType>(['int', 'text', 'numeric']);
  const value = expression(type, choices, { ...room, sources: [], outer: [], depth: 5 });
  return `${aggregate(type, choices, room)} ${choices.pick(['>', '<=', '<>'])} ${value}`;
}

/** All columns of a table grouped by its primary key. */
function groupedByKey(types: readonly SqlType[], choices: Choices, outer: Room): string {
  const { text, sources } = fromClause(choices, outer);
  const room = { ...outer, sources };
  const keyed = sources.find(({ key }) => key !== undefined);
  if (keyed?.key === undefined) return plainSelect(types, choices, outer);
  const only: Room = { ...room, sources: [keyed], depth: room.depth + 2 };
  const outputs = types.map((type) =>
    choices.chance(40) ? aggregate(type, choices, room) : expression(type, choices, only),
  );
  const key = keyed.key.map((name) => `${keyed.alias}.${name}`).join(', ');
  choices.features.add('GROUP BY a key');
  return `SELECT ${list(outputs, choices)} FROM ${text} GROUP BY ${key}`;
}

function setOperation(types: readonly SqlType[], choices: Choices, room: Room): string {
  const operator = choices.pick(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL', 'INTERSECT ALL']);
  const deeper = { ...room, depth: room.depth + 1 };
  const left = select(types, choices, deeper);
  const right = select(types, choices, deeper);
  choices.features.add(operator);
  return `(${left}) ${operator} (${right})`;
}

function distinctOn(types: readonly SqlType[], choices: Choices, outer: Room): string {
  const { text, sources } = fromClause(choices, outer);
  const room = { ...outer, sources };
  const where = whereClause(choices, room);
  const names = types.map(() => choices.alias('d'));
  const outputs = types.map((type, index) => `${expression(type, choices, room)} AS ${names[index] ?? ''}`);
  const order = names.map((_, index) => index + 1).join(', ');
  choices.features.add('DISTINCT ON');
  const made = `SELECT DISTINCT ON (${names[0] ?? ''}) ${outputs.join(', ')} FROM ${text}${where} ORDER BY ${order}`;
  return `SELECT * FROM (${made}) AS ${choices.alias('s')}`;
}

const KINDS = [
  plainSelect,
  plainSelect,
  plainSelect,
  groupedSelect,
  groupedSelect,
  groupedByKey,
  setOperation,
  distinctOn,
];

function select(types: readonly SqlType[], choices: Choices, room: Room): string {
  const simple = room.depth > 2 || !choices.isRich;
  return simple ? plainSelect(types, choices, room) : choices.pick(KINDS)(types, choices, room);
}

function withClause(choices: Choices, room: Room): { readonly text: string; readonly room: Room } {
  if (room.depth > 1 || !choices.chance(25)) return { text: '', room };
  if (choices.chance(20)) return recursiveClause(choices, room);
  const types = someTypes(choices, 4);
  const columns = types.map((type) => ({ name: choices.alias('w'), type }));
  // Sometimes under the name of a table, which it then hides.
  const name = choices.chance(25)
    ? choices.with('CTE that hides a table', choices.pick(TABLES.slice(0, 3)).name)
    : choices.alias('w');
  const query = room.query(types, choices, { ...room, depth: room.depth + 1 });
  const kind = choices.pick(['', 'MATERIALIZED ', 'NOT MATERIALIZED ']);
  const names = columns.map((column) => column.name).join(', ');
  const cte: Table = { name, columns };
  const ctes = [...room.ctes.filter((one) => one.name !== name), cte];
  return { text: `WITH ${name} (${names}) AS ${kind}${query} `, room: { ...room, ctes } };
}

function recursiveClause(choices: Choices, room: Room): { readonly text: string; readonly room: Room } {
  const name = choices.alias('r');
  const start = expression('boolean', choices, {
    ...room,
    sources: [
      {
        alias: 'e',
        columns: TABLES.find((table) => table.name === 'employees')?.columns ?? [],
        isComplete: true,
        hasRow: true,
      },
    ],
    depth: room.depth + 2,
  });
  const text = `WITH RECURSIVE ${name} (id, label, depth) AS (SELECT e.id, e.name, 1 FROM public.employees e WHERE ${start} UNION SELECT e.id, e.name, x.depth + 1 FROM public.employees e JOIN ${name} x ON e.manager_id = x.id WHERE x.depth < 4) `;
  const cte: Table = {
    name,
    columns: [
      { name: 'id', type: 'int' },
      { name: 'label', type: 'text' },
      { name: 'depth', type: 'int' },
    ],
  };
  choices.features.add('WITH RECURSIVE');
  return { text, room: { ...room, ctes: [...room.ctes, cte] } };
}

/** Only behind an order over all columns: rows that are equal in all of them are the same to a reader. */
function limited(
  made: string,
  types: readonly SqlType[],
  choices: Choices,
): { readonly text: string; readonly isOrdered: boolean } {
  if (!choices.chance(35)) return { text: made, isOrdered: false };
  const keys = types.map(
    (_, index) => `${index + 1}${choices.pick(['', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'])}`,
  );
  const limit = choices.pick(['', ' LIMIT 5', ' OFFSET 2', ' LIMIT 3 OFFSET 1', ' FETCH FIRST 2 ROWS WITH TIES']);
  choices.features.add(limit === '' ? 'ORDER BY' : 'LIMIT');
  return { text: `${made} ORDER BY ${keys.join(', ')}${limit}`, isOrdered: true };
}

export function query(types: readonly SqlType[], choices: Choices, outer: Room): string {
  const { text, room } = withClause(choices, outer);
  return `(${text}${limited(select(types, choices, room), types, choices).text})`;
}

export interface RandomSelect {
  readonly text: string;
  /** Whether the order of its rows is given. */
  readonly isOrdered: boolean;
  readonly features: ReadonlySet<string>;
  /** Whether it holds an expression that fails on some values. */
  readonly mayFail: boolean;
}

/** `SELECT *`, `SELECT t.*`, whole rows: output columns that the grammar does not know by type. */
function starSelect(choices: Choices, outer: Room): string {
  const { text, sources } = fromClause(choices, outer);
  const where = whereClause(choices, { ...outer, sources });
  const complete = sources.filter((source: Source) => source.isComplete || source.hasRow);
  const one = complete.length === 0 ? undefined : choices.pick(complete);
  const kind = choices.below(4);
  if (one === undefined || kind === 0) return choices.with('*', `SELECT * FROM ${text}${where}`);
  if (kind === 1) return choices.with('t.*', `SELECT ${one.alias}.*, 1 AS one FROM ${text}${where}`);
  if (kind === 2 && one.hasRow) return choices.with('row as output', `SELECT ${one.alias} FROM ${text}${where}`);
  return one.hasRow
    ? choices.with('whole row', `SELECT row_to_json(${one.alias}), ${one.alias}::text FROM ${text}${where}`)
    : `SELECT * FROM ${text}`;
}

function asRandom(text: string, isOrdered: boolean, { features }: Choices): RandomSelect {
  const mayFail = [...features].some((feature) => feature.endsWith('fails') || feature.endsWith('too many rows'));
  return { text, isOrdered, features, mayFail };
}

/** One statement made of the numbers; the same numbers give the same statement. */
export function randomSelect(numbers: readonly number[]): RandomSelect {
  const choices = new Choices(numbers);
  const top: Room = { sources: [], outer: [], ctes: [], depth: 0, query };
  const { text, room } = withClause(choices, top);
  if (choices.chance(15)) {
    return asRandom(`${text}${starSelect(choices, room)}`, false, choices);
  }
  const types = someTypes(choices, 5);
  const made = limited(select(types, choices, room), types, choices);
  return asRandom(`${text}${made.text}`, made.isOrdered, choices);
}
