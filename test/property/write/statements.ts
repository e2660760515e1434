/** Random INSERT, UPDATE, DELETE and MERGE statements over the fidelity shop: what they do does not depend on the plan. */
import { Choices } from '../select/choices.ts';
import { expression } from '../select/expressions.ts';
import { query, whereClause } from '../select/queries.ts';
import { fromClause } from '../select/sources.ts';
import type { Column, Room, Source } from '../select/tables.ts';
import { valueFor, WRITABLE, type WritableTable } from './tables.ts';

export interface RandomWrite {
  readonly text: string;
  readonly features: ReadonlySet<string>;
  /** Whether it holds an expression that fails on some values. */
  readonly mayFail: boolean;
}

type Settable = WritableTable['columns'][number];

const TOP: Room = { sources: [], outer: [], ctes: [], depth: 2, query };

function sourceOf(alias: string, columns: readonly Column[], key?: readonly string[]): Source {
  return { alias, columns, isComplete: false, hasRow: false, ...(key === undefined ? {} : { key }) };
}

const targetSource = (alias: string, table: WritableTable): Source =>
  sourceOf(alias, [...table.columns, ...table.readable], table.key);

function roomOf(sources: readonly Source[]): Room {
  return { ...TOP, sources };
}

/** The required columns and some of the others, in the order of the table. */
function someColumns(table: WritableTable, choices: Choices): readonly Settable[] {
  return table.columns.filter((column) => column.isRequired || choices.chance(50));
}

function returning(choices: Choices, room: Room, prefix = ''): string {
  if (!choices.chance(60)) return '';
  if (choices.chance(25)) return choices.with('RETURNING *', ` RETURNING ${prefix}*`);
  const [target] = room.sources;
  const outputs = Array.from({ length: 1 + choices.below(3) }, () =>
    expression(choices.pick(['int', 'text', 'numeric', 'boolean']), choices, {
      ...room,
      sources: target === undefined ? [] : [target],
    }),
  );
  return choices.with('RETURNING', ` RETURNING ${outputs.join(', ')}`);
}

function insert(table: WritableTable, choices: Choices): string {
  const columns = someColumns(table, choices);
  const names = columns.map(({ name }) => name).join(', ');
  const head = `INSERT INTO ${table.name} AS n (${names})`;
  if (choices.chance(30)) {
    const types = columns.map(({ type }) => type);
    const room = { ...TOP, depth: 1 };
    const rows = `SELECT * FROM ${query(types, choices, room)} AS q ORDER BY 1 LIMIT 3`;
    return `${head} ${choices.with('INSERT SELECT', rows)}${returning(choices, roomOf([targetSource('n', table)]))}`;
  }
  if (choices.chance(30)) return `${head} ${insertBesideItself(table, columns, choices)}`;
  const row = (): string => `(${columns.map((column) => valueFor(column, choices, TOP, true)).join(', ')})`;
  const rows = Array.from({ length: 1 + choices.below(3) }, row).join(', ');
  choices.features.add('INSERT VALUES');
  return `${head} VALUES ${rows}${onConflict(table, choices)}${returning(choices, roomOf([targetSource('n', table)]))}`;
}

/** A row made of one that is there, under a key of its own. */
function insertBesideItself(table: WritableTable, columns: readonly Settable[], choices: Choices): string {
  const room = roomOf([targetSource('o', table)]);
  const outputs = columns.map((column) => {
    if (table.key.includes(column.name) && table.key.at(-1) === column.name) return `o.${column.name} + 4000`;
    return choices.chance(70) ? `o.${column.name}` : valueFor(column, choices, room, false);
  });
  const condition = whereClause(choices, room);
  const order = table.key.map((name) => `o.${name}`).join(', ');
  choices.features.add('INSERT of rows that are there');
  return `SELECT ${outputs.join(', ')} FROM ${table.name} o${condition} ORDER BY ${order} LIMIT 4`;
}

function onConflict(table: WritableTable, choices: Choices): string {
  const target = ` ON CONFLICT (${table.key.join(', ')})`;
  return choices.pick([
    () => '',
    () => '',
    () => choices.with('ON CONFLICT DO NOTHING', ' ON CONFLICT DO NOTHING'),
    () => choices.with('ON CONFLICT DO NOTHING', `${target} DO NOTHING`),
    () => {
      const room = roomOf([targetSource('n', table), targetSource('excluded', { ...table, readable: [] })]);
      const where = whereClause(choices, room);
      return choices.with('ON CONFLICT DO UPDATE', `${target} DO UPDATE SET ${setList(table, choices, room)}${where}`);
    },
  ])();
}

function setList(table: WritableTable, choices: Choices, room: Room): string {
  const free = table.columns.filter(({ name }) => !table.key.includes(name) || choices.chance(10));
  const chosen = free.filter(() => choices.chance(30));
  const columns = chosen.length === 0 ? free.slice(-1) : chosen;
  if (columns.length > 1 && choices.chance(20)) {
    const names = columns.map(({ name }) => name).join(', ');
    const values = columns.map((column) => valueFor(column, choices, room, false));
    const row = choices.chance(50)
      ? choices.with('SET of a sub-select', `(SELECT ${values.join(', ')})`)
      : choices.with('SET of a row', `ROW (${values.join(', ')})`);
    return `(${names}) = ${row}`;
  }
  return columns.map((column) => `${column.name} = ${valueFor(column, choices, room, true)}`).join(', ');
}

function condition(choices: Choices, room: Room): string {
  return choices.chance(30) ? '' : whereClause(choices, room);
}

function update(table: WritableTable, choices: Choices): string {
  const target = targetSource('u', table);
  const only = choices.chance(10) ? choices.with('ONLY', 'ONLY ') : '';
  if (choices.chance(35)) {
    const partner = choices.pick(table.partners);
    const room = roomOf([target, sourceOf('p', partner.columns)]);
    const set = setList(table, choices, room);
    const more = whereClause(choices, room).replace(/^ WHERE /, ' AND ');
    const join = `FROM ${partner.table} p WHERE p.${partner.column} = u.${partner.targetColumn}${more}`;
    choices.features.add('UPDATE FROM');
    return `UPDATE ${only}${table.name} u SET ${set} ${join}${returning(choices, room, 'u.')}`;
  }
  const room = roomOf([target]);
  choices.features.add('UPDATE');
  const set = setList(table, choices, room);
  return `UPDATE ${only}${table.name} AS u SET ${set}${condition(choices, room)}${returning(choices, room)}`;
}

function deletion(table: WritableTable, choices: Choices): string {
  const target = targetSource('d', table);
  if (choices.chance(35)) {
    const { text, sources } = fromClause(choices, { ...TOP, depth: 3 });
    const room = roomOf([target, ...sources]);
    const where = whereClause(choices, room);
    choices.features.add('DELETE USING');
    return `DELETE FROM ${table.name} d USING ${text}${where}${returning(choices, room, 'd.')}`;
  }
  const room = roomOf([target]);
  choices.features.add('DELETE');
  return `DELETE FROM ${table.name} AS d${condition(choices, room)}${returning(choices, room)}`;
}

function merge(table: WritableTable, choices: Choices): string {
  const target = targetSource('m', table);
  const partner = choices.pick(table.partners);
  const isPartner = choices.chance(50);
  const source = isPartner ? sourceOf('s', partner.columns) : sourceOf('s', [{ name: 'k', type: 'int' }]);
  const using = isPartner ? `${partner.table} s` : '(VALUES (2), (3), (200), (201)) AS s (k)';
  const on = isPartner ? `s.${partner.column} = m.${partner.targetColumn}` : `m.${table.key[0] ?? ''} = s.k`;
  const both = roomOf([target, source]);
  const and = (room: Room): string =>
    choices.chance(50) ? ` AND ${expression('boolean', choices, { ...room, depth: 3 })}` : '';
  const matched = choices.pick([
    () => `UPDATE SET ${setList(table, choices, both)}`,
    () => 'DELETE',
    () => 'DO NOTHING',
  ]);
  const clauses = [` WHEN MATCHED${and(both)} THEN ${matched()}`];
  if (choices.chance(60)) {
    const room = roomOf([source]);
    const columns = someColumns(table, choices);
    const values = columns.map((column, index) =>
      index === 0 && !isPartner ? 's.k' : valueFor(column, choices, room, true),
    );
    const names = columns.map(({ name }) => name).join(', ');
    choices.features.add('MERGE that inserts');
    clauses.push(` WHEN NOT MATCHED${and(room)} THEN INSERT (${names}) VALUES (${values.join(', ')})`);
  }
  choices.features.add('MERGE');
  return `MERGE INTO ${table.name} m USING ${using} ON ${on}${clauses.join('')}`;
}

function inCte(text: string, choices: Choices): string {
  if (!text.includes(' RETURNING ') || !choices.chance(30)) return text;
  return choices.with('write in a CTE', `WITH w AS (${text}) SELECT count(*) FROM w`);
}

const KINDS = [insert, update, deletion, insert, update, deletion, merge];

/** One statement made of the numbers; the same numbers give the same statement. */
export function randomWrite(numbers: readonly number[]): RandomWrite {
  const choices = new Choices(numbers);
  const table = choices.pick(WRITABLE);
  const text = inCte(choices.pick(KINDS)(table, choices), choices);
  const { features } = choices;
  const mayFail = [...features].some((feature) => feature.endsWith('fails') || feature.endsWith('too many rows'));
  return { text, features, mayFail };
}
