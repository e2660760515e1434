/** The tables of the fidelity shop that the policy lets the agent write, and values that mostly suit their columns. */
import type { Choices } from '../select/choices.ts';
import { expression } from '../select/expressions.ts';
import type { Column, Room, SqlType } from '../select/tables.ts';

/** A table that at most one row of joins a row of the target. */
interface Partner {
  readonly table: string;
  /** Its column, and the target's, that must be equal. */
  readonly column: string;
  readonly targetColumn: string;
  readonly columns: readonly Column[];
}

interface SettableColumn extends Column {
  /** SQL of values that a row can have; mostly one of these is taken. */
  readonly values: readonly string[];
  readonly isRequired: boolean;
}

export interface WritableTable {
  readonly name: string;
  readonly key: readonly string[];
  readonly columns: readonly SettableColumn[];
  /** What a statement may read of it: also what must not be set. */
  readonly readable: readonly Column[];
  readonly partners: readonly Partner[];
}

function settable(name: string, type: SqlType, values: readonly string[], isRequired = false): SettableColumn {
  return { name, type, values, isRequired };
}

const CUSTOMERS: readonly Column[] = [
  { name: 'name', type: 'text' },
  { name: 'email', type: 'text' },
  { name: 'points', type: 'int' },
  { name: 'birth_date', type: 'date' },
];

/** Customers 1, 4, 7 ... are of another region: hidden. */
const CUSTOMER_IDS = ['2', '3', '5', '6', '9', '2', '4', '999'];
const KEYS = ['2', '3', '5', '200', '201', '202', '203', '5000'];

const ORDERS: WritableTable = {
  name: 'orders',
  key: ['id'],
  columns: [
    settable('id', 'int', KEYS, true),
    settable('customer_id', 'int', CUSTOMER_IDS, true),
    settable('region', 'text', ["'eu'", "'eu'", "'eu'", "'us'", 'DEFAULT']),
    settable('status', 'status', ["'paid'", "'cart'::status", 'DEFAULT']),
    settable('total', 'numeric', ['12.50', 'NULL', '0']),
    settable('placed_at', 'timestamp', ["'2026-05-01 10:00'", "timestamp '2026-01-31'"], true),
    settable('note', 'text', ["'new'", 'NULL', "'eu'"]),
  ],
  readable: [],
  partners: [{ table: 'customers', column: 'id', targetColumn: 'customer_id', columns: CUSTOMERS }],
};

const ORDER_ITEMS: WritableTable = {
  name: 'order_items',
  key: ['order_id', 'line'],
  columns: [
    settable('order_id', 'int', ['2', '3', '5', '6', '1', '1000001'], true),
    settable('line', 'int', ['1', '2', '7', '8'], true),
    settable('product_id', 'int', ['1', '2', '20', '21'], true),
    settable('quantity', 'int', ['1', '3', '0'], true),
    settable('unit_price', 'numeric', ['2.25', 'NULL']),
  ],
  readable: [],
  partners: [
    {
      table: 'orders',
      column: 'id',
      targetColumn: 'order_id',
      columns: [
        { name: 'region', type: 'text' },
        { name: 'total', type: 'numeric' },
        { name: 'note', type: 'text' },
      ],
    },
    {
      table: 'products',
      column: 'id',
      targetColumn: 'product_id',
      columns: [
        { name: 'stock', type: 'int' },
        { name: 'sku', type: 'text' },
      ],
    },
  ],
};

const TICKETS: WritableTable = {
  name: 'tickets',
  key: ['id'],
  columns: [
    settable('id', 'int', KEYS, true),
    settable('customer_id', 'int', CUSTOMER_IDS),
    settable('title', 'text', ["'new'", "'ticket 2'", "'ticket 900'"], true),
    settable('state', 'text', ["'open'", "'open'", "'waiting'", "'closed'", 'NULL', 'DEFAULT']),
    settable('priority', 'int', ['1', '2', 'DEFAULT', 'NULL']),
    settable('uid', 'uuid', ['NULL', "'00000000-0000-0000-0000-000000000009'"]),
  ],
  readable: [{ name: 'body', type: 'text' }],
  partners: [
    { table: 'customers', column: 'id', targetColumn: 'customer_id', columns: CUSTOMERS },
    { table: 'employees', column: 'id', targetColumn: 'id', columns: [{ name: 'salary', type: 'int' }] },
  ],
};

/** Those with a filter stand twice, so that they are picked more often. */
export const WRITABLE: readonly WritableTable[] = [ORDERS, TICKETS, ORDER_ITEMS, ORDERS, TICKETS];

/** A value for the column: a likely one, or any expression over what the room holds. `DEFAULT` only where it may stand. */
export function valueFor(column: SettableColumn, choices: Choices, room: Room, mayDefault: boolean): string {
  const likely = column.values.filter((value) => mayDefault || value !== 'DEFAULT');
  return choices.chance(25) ? expression(column.type, choices, room) : choices.pick(likely);
}
