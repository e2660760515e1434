/** What the operator writes into a policy's status about the database. */
import { POLICY_DOCUMENTATION } from './documentation.ts';
import type { JsonMap } from './json.ts';

const described = (path: string, schema: JsonMap): JsonMap => ({
  description: POLICY_DOCUMENTATION[path] ?? '',
  ...schema,
});

/** `schema.table`, both of them quoted at worst. */
const TABLE_NAME: JsonMap = { type: 'string', maxLength: 260 };

const CHOSEN_KEYS = 'status.writes.chosenKeys';
const TABLES = 'status.allColumns.tables';

/** `status.writes` and `status.allColumns` of a policy. */
export const CATALOG_STATUS: JsonMap = {
  writes: described('status.writes', {
    type: 'object',
    properties: {
      chosenKeys: described(CHOSEN_KEYS, {
        type: 'array',
        maxItems: 1000,
        'x-kubernetes-list-type': 'set',
        items: described(`${CHOSEN_KEYS}[]`, TABLE_NAME),
      }),
    },
  }),
  allColumns: described('status.allColumns', {
    type: 'object',
    properties: {
      generation: described('status.allColumns.generation', { type: 'integer', format: 'int64', minimum: 0 }),
      tables: described(TABLES, {
        type: 'array',
        maxItems: 1000,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        items: described(`${TABLES}[]`, {
          type: 'object',
          required: ['name', 'oid', 'lastColumn'],
          properties: {
            name: described(`${TABLES}[].name`, TABLE_NAME),
            oid: described(`${TABLES}[].oid`, { type: 'integer', format: 'int64', minimum: 0 }),
            lastColumn: described(`${TABLES}[].lastColumn`, { type: 'integer', format: 'int32', minimum: 0 }),
          },
        }),
      }),
    },
  }),
};
