/** A shop with masked, hidden and filtered data on a real server, and one identity's statements run against it as the gate would. */
import pg from 'pg';
import { loadGuardrails } from '#policy/guardrails.ts';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { readCatalog } from '#catalog/read-catalog.ts';
import type { SessionNames } from '#sql/access.ts';
import { analyzeText } from '#sql/analyze.ts';
import { indexCatalog, qualifiedKey } from '#sql/catalog.ts';
import type { Facts } from '#sql/facts.ts';
import { loadParser } from '#sql/parser.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';

const SCHEMA = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, badge text UNIQUE, ssn text DEFAULT 'none', region text DEFAULT 'eu',
  level int DEFAULT 5, secret int DEFAULT 1, CONSTRAINT customers_level_check CHECK (level >= secret));
INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com', 'b1', '111', 'eu'), (2, 'Bob', 'bob@example.com', 'b2', '222', 'eu'),
  (3, 'Cid', 'cid@example.com', 'b3', '333', 'us');
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, note text, total int);
INSERT INTO orders VALUES (10, 1, 'first', 100), (11, 3, 'hidden customer', 50);
CREATE TABLE ledgers (id int PRIMARY KEY);
INSERT INTO ledgers VALUES (1);
CREATE TABLE bookings (id int PRIMARY KEY, ledger_id int REFERENCES ledgers, note text);
CREATE TABLE plain (id int, label text);
INSERT INTO plain VALUES (1, 'one');
CREATE TABLE readonly (id int, label text);
CREATE TABLE inbox (id int, label text);
CREATE TABLE watched (id int PRIMARY KEY, region text DEFAULT 'eu', note text);
INSERT INTO watched VALUES (1, 'eu', 'here'), (2, 'us', 'there');
CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'move' THEN NEW.region := 'us'; END IF; RETURN NEW; END $$;
CREATE TRIGGER move BEFORE INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION move();
CREATE TABLE tree (id int PRIMARY KEY, parent_id int REFERENCES tree, region text DEFAULT 'eu');
INSERT INTO tree VALUES (1, NULL, 'eu'), (2, NULL, 'us');
CREATE TABLE priced (id int PRIMARY KEY, hidden int DEFAULT 1, net int, gross int GENERATED ALWAYS AS (net * 2) STORED, late text);
CREATE TABLE parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
CREATE TABLE part_notes (id int, part int, region text, FOREIGN KEY (part, region) REFERENCES parts);
CREATE TABLE raw (id int, label text);
CREATE VIEW raw_view AS SELECT * FROM raw;
CREATE VIEW customer_view AS SELECT * FROM customers;
`;

const ALL = ['Select', 'Insert', 'Update', 'Delete'];

const TABLES = [
  {
    name: 'public.customers',
    actions: ALL,
    hide: ['ssn', 'secret'],
    mask: [
      { columns: ['email'], with: { method: 'Email' } },
      { columns: ['badge'], with: { method: 'Redact' } },
    ],
    rowFilter: "region = 'eu'",
  },
  { name: 'public.orders', actions: ALL },
  { name: 'public.bookings', actions: ALL },
  { name: 'public.readonly', actions: ['Select'] },
  { name: 'public.inbox', actions: ['Insert', 'Update', 'Delete'] },
  { name: 'public.watched', actions: ALL, rowFilter: "region = 'eu'" },
  { name: 'public.tree', actions: ALL, rowFilter: "region = 'eu'" },
  { name: 'public.priced', actions: ALL, hide: ['hidden'], mask: [{ columns: ['late'], with: { method: 'Redact' } }] },
  { name: 'public.parts', actions: ALL, rowFilter: "region = 'eu' AND id < 100" },
  { name: 'public.part_notes', actions: ALL },
  { name: 'public.plain', actions: ALL },
  { name: 'public.raw_view', actions: ALL },
  { name: 'public.customer_view', actions: ALL },
];

/** What came of a statement. `rows` are the agent's, without the columns of the gate. */
export type Outcome =
  | {
      readonly kind: 'done';
      readonly rows: readonly (readonly unknown[])[];
      readonly count: number | null;
      readonly names: readonly string[];
    }
  | { readonly kind: 'failed'; readonly sqlstate: string; readonly message: string; readonly byGate: boolean }
  | { readonly kind: 'refused'; readonly slug: string; readonly sqlstate?: string; readonly subject?: string };

export interface WriteFixture {
  readonly server: PostgresServer;
  readonly client: pg.Client;
  /** Runs a statement as the gate would, inside a transaction of its own that is rolled back after `look`. */
  readonly run: (text: string, options?: RunOptions) => Promise<Outcome>;
  /** The text that the database would get, or the slug of the refusal. */
  readonly rewrite: (text: string, options?: RunOptions) => string;
  readonly facts: (text: string) => Facts | undefined;
  /** The options with cursors over the table of customers. */
  readonly cursorsOver: (options: RunOptions | undefined) => RunOptions;
  readonly stop: () => Promise<void>;
}

export interface RunOptions {
  readonly chosenKeys?: 'Allow' | 'Refuse';
  /** A query of ours that is run before the rollback; its rows go to `seen`. */
  readonly look?: string;
  readonly seen?: unknown[][];
  readonly cursors?: SessionNames['cursors'];
  /** Statements of ours before it, in the same transaction. */
  readonly before?: string;
  readonly temporary?: readonly string[];
}

const TOKEN = 'f00dfeedf00dfeed';

function names(options: RunOptions): SessionNames {
  return {
    searchPath: ['public'],
    temporaryRelations: new Map((options.temporary ?? []).map((name) => [name, { name }])),
    cursors: options.cursors ?? new Map(),
    preparedStatements: new Map(),
  };
}

export async function startWriteFixture(version: 18 | 15): Promise<WriteFixture> {
  await Promise.all([loadParser(), loadGuardrails([])]);
  const server = await startPostgres({ version });
  const client = new pg.Client({ connectionString: server.adminUrl() });
  await client.connect();
  await client.query(SCHEMA);
  const data = await readCatalog(async (text): Promise<(string | null)[][]> => {
    const result = await client.query<(string | null)[]>({
      text,
      rowMode: 'array',
      types: { getTypeParser: () => String },
    });
    return result.rows;
  });
  const catalog = indexCatalog(data);
  const policyFor = (chosenKeys: 'Allow' | 'Refuse'): EffectivePolicy => {
    const result = effectivePolicy({
      connection: sampleConnection(),
      policies: [samplePolicy({ tables: TABLES, writes: { chosenKeys } })],
      identity: BOT,
      catalog,
      generation: 1,
    });
    if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
    return result.policy;
  };
  const policies = { Allow: policyFor('Allow'), Refuse: policyFor('Refuse') };
  const analyze = (text: string, options: RunOptions) => {
    const result = analyzeText({
      text,
      catalog,
      access: policies[options.chosenKeys ?? 'Allow'].access,
      session: names(options),
      parameterTypeOids: [],
      generation: 1,
      checkToken: TOKEN,
    });
    const [statement] = result.statements;
    if (statement === undefined) throw new Error('no statement');
    const sent = (result.pieces ?? []).map((piece) =>
      'insert' in piece ? piece.insert : text.slice(piece.start, piece.end),
    );
    return { statement, sent: sent.join('') };
  };
  const run = async (text: string, options: RunOptions = {}): Promise<Outcome> => {
    const { statement, sent } = analyze(text, options);
    if (statement.kind === 'refused') {
      return {
        kind: 'refused',
        slug: statement.slug,
        ...(statement.sqlstate === undefined ? {} : { sqlstate: statement.sqlstate }),
        ...(statement.subject === undefined ? {} : { subject: statement.subject }),
      };
    }
    await client.query('BEGIN');
    try {
      if (options.before !== undefined) await client.query(options.before);
      const result = await client.query({ text: sent, rowMode: 'array' });
      const { strippedColumns, hidesRows } = statement.shape;
      const kept = result.fields.length - strippedColumns;
      const rows = hidesRows ? [] : result.rows.map((row: unknown[]) => row.slice(0, kept));
      if (options.look !== undefined)
        options.seen?.push(...(await client.query({ text: options.look, rowMode: 'array' })).rows);
      return {
        kind: 'done',
        rows,
        count: result.rowCount,
        names: result.fields.slice(0, kept).map((field) => field.name),
      };
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
      const check = statement.checks.find((each) => error.message.includes(each.token));
      if (check !== undefined)
        return { kind: 'failed', sqlstate: check.sqlstate, message: check.message, byGate: true };
      return { kind: 'failed', sqlstate: error.code ?? '', message: error.message, byGate: false };
    } finally {
      await client.query('ROLLBACK');
    }
  };
  return {
    server,
    client,
    run,
    rewrite: (text, options = {}) => {
      const { statement, sent } = analyze(text, options);
      return statement.kind === 'refused' ? `refused: ${statement.slug}` : sent;
    },
    facts: (text) => analyze(text, {}).statement.facts,
    cursorsOver: (options = {}) => {
      const oid = catalog.relationByName.get(qualifiedKey('public', 'customers'))?.oid ?? 0;
      const cursors = [...(options.cursors ?? [])].map(
        ([name, cursor]) => [name, { ...cursor, relationOids: [oid] }] as const,
      );
      return { ...options, cursors: new Map(cursors) };
    },
    stop: async () => {
      await client.end();
      await server.stop();
    },
  };
}
