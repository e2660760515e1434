/** The tables of the fidelity shop as the policy shows them, with the types that the grammar knows. */

import type { Choices } from './choices.ts';

export type SqlType =
  | 'int'
  | 'numeric'
  | 'text'
  | 'boolean'
  | 'date'
  | 'timestamp'
  | 'timestamptz'
  | 'interval'
  | 'uuid'
  | 'jsonb'
  | 'text[]'
  | 'status';

export interface Column {
  /** As it is written in a statement. */
  readonly name: string;
  readonly type: SqlType;
}

export interface Table {
  readonly name: string;
  readonly columns: readonly Column[];
  /** The columns of a primary key: grouping by them gives all others. */
  readonly key?: readonly string[];
  /** The name the table has without an alias, where that is plain. */
  readonly plainName?: string;
}

function columns(list: string): readonly Column[] {
  return list.split(', ').map((text) => {
    const at = text.lastIndexOf(' ');
    // The list is written here, and every type in it is one of the union.
    return { name: text.slice(0, at), type: text.slice(at + 1) as SqlType };
  });
}

/** Those with a filter or a mask stand more than once, so that they are picked more often. */
export const TABLES: readonly Table[] = [
  {
    name: 'customers',
    columns: columns(
      'id int, name text, email text, phone text, birth_date date, region text, points int, created_at timestamptz, attributes jsonb, tags text[]',
    ),
    key: ['id'],
  },
  {
    name: 'orders',
    columns: columns(
      'id int, customer_id int, region text, status status, total numeric, placed_at timestamp, note text',
    ),
    key: ['id'],
  },
  {
    name: 'tickets',
    columns: columns(
      'id int, customer_id int, title text, state text, priority int, body text, opened timestamptz, due interval, uid uuid',
    ),
    key: ['id'],
  },
  {
    name: 'public.customers',
    plainName: 'customers',
    columns: columns(
      'id int, name text, email text, region text, points int, tags text[], birth_date date, phone text',
    ),
    key: ['id'],
  },
  {
    name: 'employees',
    columns: columns('id int, name text, manager_id int, team text, salary int, hired date'),
    key: ['id'],
  },
  {
    name: 'payments',
    columns: columns('id int, paid_on date, order_id int, method text, card text, value numeric'),
    key: ['id', 'paid_on'],
  },
  { name: 'payments_1', columns: columns('id int, paid_on date, order_id int, card text, value numeric') },
  { name: 'order_summary', columns: columns('id int, status status, total numeric, product text') },
  { name: 'products', columns: columns('id int, sku text, name text, price numeric, stock int'), key: ['id'] },
  {
    name: 'order_items',
    columns: columns('order_id int, line int, product_id int, quantity int, unit_price numeric'),
    key: ['order_id', 'line'],
  },
  { name: '"Odd Names"', columns: columns('"Id" int, "select" text, "wéird ""col" text'), key: ['"Id"'] },
];

/** What stands in a FROM clause, under the name it has there. */
export interface Source {
  readonly alias: string;
  readonly columns: readonly Column[];
  /** Whether the columns are all that the source has, in their order: `*` gives them. */
  readonly isComplete: boolean;
  readonly key?: readonly string[];
  /** Whether `alias` is a whole row in an expression. */
  readonly hasRow: boolean;
}

/** What an expression may name, and how deep it stands. */
export interface Room {
  /** A query with output columns of these types, in parentheses; it may name what the room holds. */
  readonly query: (types: readonly SqlType[], choices: Choices, room: Room) => string;
  readonly sources: readonly Source[];
  /** Sources of the queries around. */
  readonly outer: readonly Source[];
  readonly ctes: readonly Table[];
  readonly depth: number;
}
