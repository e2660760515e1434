/** Random FROM clauses. */
import type { Choices } from './choices.ts';
import { expression } from './expressions.ts';
import { type Column, type Room, type Source, type SqlType, type Table, TABLES } from './tables.ts';

interface From {
  readonly text: string;
  readonly sources: readonly Source[];
}

const TYPES: readonly SqlType[] = [
  'int',
  'text',
  'numeric',
  'date',
  'boolean',
  'jsonb',
  'text[]',
  'status',
  'timestamp',
];

export function someTypes(choices: Choices, atMost: number): readonly SqlType[] {
  return Array.from({ length: 1 + choices.below(atMost) }, () => choices.pick(TYPES));
}

/** A table under an alias, or under its own name. */
function tableSource(choices: Choices, room: Room): From {
  const isCte = room.ctes.length > 0 && choices.chance(60);
  const table = choices.pick(isCte ? room.ctes : TABLES);
  if (isCte) choices.features.add('CTE');
  const shadowed = room.ctes.some(({ name }) => name === table.name);
  if (shadowed && !isCte) return aliased(choices, `public.${table.name}`, table);
  if (!isCte && choices.chance(10)) return aliased(choices, choices.with('ONLY', `ONLY ${table.name}`), table);
  if (!isCte && table.name !== 'order_summary' && choices.chance(8)) {
    const alias = choices.alias('t');
    const text = `${table.name} AS ${alias} TABLESAMPLE bernoulli (100) REPEATABLE (1)`;
    return { text: choices.with('TABLESAMPLE', text), sources: [sourceOf(table, alias, table.columns)] };
  }
  return aliased(choices, table.name, table);
}

function sourceOf(table: Table, alias: string, columns: readonly Column[]): Source {
  const key = columns === table.columns && table.key !== undefined ? { key: table.key } : {};
  return {
    alias,
    columns,
    isComplete: table.name !== 'public.customers' && table.name !== 'products',
    hasRow: true,
    ...key,
  };
}

function aliased(choices: Choices, name: string, table: Table): From {
  const alias = choices.alias('t');
  if (choices.chance(15)) {
    const columns = table.columns.map((column, index) =>
      index === 0 ? { ...column, name: choices.alias('k') } : column,
    );
    const text = `${name} AS ${alias} (${columns[0]?.name ?? ''})`;
    // Of the lists of columns here the first one is always the table's first.
    return { text: choices.with('column aliases', text), sources: [sourceOf(table, alias, columns)] };
  }
  return { text: `${name} ${choices.pick(['', 'AS '])}${alias}`, sources: [sourceOf(table, alias, table.columns)] };
}

function subSelectSource(choices: Choices, room: Room, before: readonly Source[]): From {
  const isLateral = before.length > 0 && choices.chance(50);
  const types = someTypes(choices, 3);
  const outer = isLateral ? [...before, ...room.outer] : room.outer;
  const query = room.query(types, choices, { ...room, sources: [], outer, depth: room.depth + 1 });
  const alias = choices.alias('s');
  const columns = types.map((type) => ({ name: choices.alias('c'), type }));
  const names = columns.map(({ name }) => name).join(', ');
  choices.features.add(isLateral ? 'LATERAL' : 'sub-select in FROM');
  return {
    text: `${isLateral ? 'LATERAL ' : ''}${query} AS ${alias} (${names})`,
    sources: [{ alias, columns, isComplete: true, hasRow: true }],
  };
}

function valuesSource(choices: Choices): From {
  const alias = choices.alias('v');
  const columns: readonly Column[] = [
    { name: choices.alias('c'), type: 'int' },
    { name: choices.alias('c'), type: 'text' },
  ];
  const names = columns.map(({ name }) => name).join(', ');
  const text = `(VALUES (1, 'eu'), (${choices.pick([5, 7, 40])}, 'Ada 5'), (NULL, '12')) AS ${alias} (${names})`;
  return { text: choices.with('VALUES', text), sources: [{ alias, columns, isComplete: true, hasRow: true }] };
}

function functionSource(choices: Choices, room: Room, before: readonly Source[]): From {
  const alias = choices.alias('f');
  const name = choices.alias('c');
  const inside = { ...room, sources: [], outer: [...before, ...room.outer], depth: room.depth + 2 };
  choices.features.add('function in FROM');
  const made = choices.pick<() => readonly [string, readonly Column[]]>([
    () => [`generate_series(1, 4) AS ${alias} (${name})`, [{ name, type: 'int' }]],
    () => [`unnest(${expression('text[]', choices, inside)}) AS ${alias} (${name})`, [{ name, type: 'text' }]],
    () => [
      `unnest(${expression('text[]', choices, inside)}) WITH ORDINALITY AS ${alias} (${name}, n)`,
      [{ name, type: 'text' }],
    ],
    () => [
      `jsonb_each_text(jsonb_build_object('a', ${expression('text', choices, inside)})) AS ${alias} (k, ${name})`,
      [{ name, type: 'text' }],
    ],
  ])();
  return { text: made[0], sources: [{ alias, columns: made[1], isComplete: false, hasRow: false }] };
}

function oneSource(choices: Choices, room: Room, before: readonly Source[]): From {
  const kind = choices.below(10);
  if (kind < 6 || room.depth > 2) return tableSource(choices, room);
  if (kind < 8) return subSelectSource(choices, room, before);
  return kind === 8 ? valuesSource(choices) : functionSource(choices, room, before);
}

function equalInts(choices: Choices, left: readonly Source[], right: Source): string | undefined {
  const ints = (source: Source): readonly string[] =>
    source.columns.filter(({ type }) => type === 'int').map(({ name }) => `${source.alias}.${name}`);
  const lefts = left.flatMap(ints);
  const rights = ints(right);
  if (lefts.length === 0 || rights.length === 0) return undefined;
  return `${choices.pick(lefts)} = ${choices.pick(rights)}`;
}

/** Names that stand once on the left and in the right source, with the same type. */
function commonNames(left: readonly Source[], right: Source): readonly string[] {
  const all = left.flatMap(({ columns }) => columns);
  return right.columns
    .filter(({ name, type }) => {
      const same = all.filter((column) => column.name === name);
      return same.length === 1 && same[0]?.type === type;
    })
    .map(({ name }) => name);
}

function joined(choices: Choices, room: Room, left: From): From {
  const right = oneSource(choices, room, left.sources);
  const source = right.sources[0];
  if (source === undefined) return left;
  const sources = [...left.sources, ...right.sources];
  const join = (words: string, condition = ''): From => ({
    text: `${left.text} ${words} ${right.text}${condition}`,
    sources,
  });
  const equal = equalInts(choices, left.sources, source);
  const common = commonNames(left.sources, source);
  const isLateral = /^LATERAL|^unnest|^jsonb|^generate/.test(right.text);
  const kind = choices.below(8);
  if (kind === 1 && common.length > 0) {
    return join(choices.with('USING', choices.pick(['JOIN', 'LEFT JOIN'])), ` USING (${choices.pick(common)})`);
  }
  if (kind === 2 && common.length > 0 && left.sources.length === 1 && source.isComplete) {
    return join(choices.with('NATURAL', 'NATURAL JOIN'));
  }
  if (equal === undefined) return join(choices.with('CROSS JOIN', 'CROSS JOIN'));
  if (kind === 3 && !isLateral) return join(choices.with('FULL JOIN', 'FULL JOIN'), ` ON ${equal}`);
  if (kind === 4 && !isLateral) return join(choices.with('RIGHT JOIN', 'RIGHT JOIN'), ` ON ${equal}`);
  const more = expression('boolean', choices, { ...room, sources, depth: room.depth + 3 });
  if (kind === 5) return join(choices.with('LEFT JOIN', 'LEFT JOIN'), ` ON ${equal} AND ${more}`);
  if (kind === 6) return join(choices.with('JOIN', 'JOIN'), ` ON ${equal} AND ${more}`);
  return join('JOIN', ` ON ${equal}`);
}

/** What stands behind FROM, and the names it gives. */
export function fromClause(choices: Choices, room: Room): From {
  let from = oneSource(choices, room, []);
  const more = choices.below(10);
  const count = more < 5 ? 0 : more < 9 ? 1 : 2;
  for (let index = 0; index < count && choices.isRich; index++) from = joined(choices, room, from);
  return from;
}
