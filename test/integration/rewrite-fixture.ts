/**
 * The same statement three ways on a real server: rewritten over the tables, as it is over honest views of what the identity may see, and
 * rewritten over a twin database that differs only in rows and values the identity must not see.
 */
import pg from 'pg';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import { readCatalog } from '#catalog/read-catalog.ts';
import type { SessionNames } from '#sql/access.ts';
import type { AcceptedStatement, TextAnalysis } from '#sql/analysis.ts';
import { analyzeText } from '#sql/analyze.ts';
import { type CatalogSnapshot, indexCatalog } from '#sql/catalog.ts';
import { quoteIdentifier, quoteQualified } from '#sql/identifiers.ts';
import { loadParser } from '#sql/parser.ts';
import { printExpression, type RelationView } from '#sql/relation-view.ts';
import { blankComments } from '#sql/source-text.ts';
import { printPieces } from '#sql/splice.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';

const SCHEMA = `
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE customers (id int PRIMARY KEY, name text, region text, score int, active bool, doc json, email text, secret text,
  "Größe" int, created timestamptz DEFAULT '2025-01-01', amount numeric, tags text[]);
INSERT INTO customers SELECT n, 'name' || n, CASE WHEN n % 3 = 0 THEN 'us' ELSE 'eu' END, n % 7 + 1, n % 2 = 0,
  json_build_object('n', n), 'user' || n || '@example.com', 'zzsecret' || n, n * 2, timestamptz '2025-01-01' + n * interval '1 hour', n / 2.0,
  ARRAY['t' || n % 4] FROM generate_series(1, 60) n;
CREATE TABLE accounts (id int PRIMARY KEY, customer_id int, region text, balance int, open bool, note text);
INSERT INTO accounts SELECT n, n % 60 + 1, CASE WHEN n % 4 = 0 THEN 'US' ELSE 'EU' END, n % 11 + 1, n % 2 = 0, 'note' || n
  FROM generate_series(1, 80) n;
CREATE INDEX accounts_customer ON accounts (customer_id);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total int, status text, zero int DEFAULT 0,
  grade positive DEFAULT 1);
INSERT INTO orders SELECT n, n % 60 + 1, n * 10, CASE WHEN n % 5 = 0 THEN 'open' ELSE 'paid' END FROM generate_series(1, 120) n;
CREATE INDEX orders_customer ON orders (customer_id);
CREATE TABLE big (id int PRIMARY KEY, other int, region text, payload text);
INSERT INTO big SELECT n, n % 100, CASE WHEN n % 10 = 0 THEN 'us' ELSE 'eu' END, 'p' || n FROM generate_series(1, 20000) n;
CREATE INDEX big_other ON big (other);
CREATE TABLE plain (id int, label text);
INSERT INTO plain VALUES (1, 'one'), (2, 'two'), (3, 'three');
CREATE TABLE limits (id int, most positive);
CREATE TABLE payroll (id int, wage int);
CREATE TABLE parts (id int, region text, amount int) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
INSERT INTO parts SELECT n, CASE WHEN n % 2 = 0 THEN 'us' ELSE 'eu' END, n FROM generate_series(1, 20) n;
CREATE VIEW customer_names AS SELECT id, name, score FROM customers;
CREATE VIEW risky AS SELECT id, 100 / score AS ratio FROM customers WHERE score <> 0;
CREATE SCHEMA other;
CREATE TABLE other.customers (id int, remark text);
INSERT INTO other.customers VALUES (1, 'other');
CREATE FUNCTION peek(anyelement) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT wage::text FROM public.payroll LIMIT 1';
CREATE FUNCTION look(text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT wage::text FROM public.payroll LIMIT 1';
ANALYZE;
`;

/** What differs in the twin: hidden rows, hidden and masked values, tables not granted. */
const TWIN = `
UPDATE customers SET score = 0, name = 'zzhidden' || id, active = NOT active, amount = 0, "Größe" = 0 WHERE region <> 'eu';
DELETE FROM customers WHERE region <> 'eu' AND id > 40;
UPDATE customers SET secret = 'zztwin' || id, email = 'twin' || id || '@twin.example';
UPDATE accounts SET balance = 0, note = 'zzhidden' || id, open = NOT open WHERE lower(region) <> 'eu';
DELETE FROM accounts WHERE lower(region) <> 'eu' AND id > 60;
UPDATE parts SET amount = 0 WHERE region <> 'eu';
UPDATE payroll SET wage = 0; ALTER TABLE payroll RENAME TO zzpayroll;
VACUUM FULL customers, accounts, parts;
ANALYZE customers; ANALYZE accounts; ANALYZE parts;
`;

const TABLES = [
  {
    name: 'public.customers',
    actions: ['Select', 'Update'],
    hide: ['secret'],
    mask: [{ columns: ['email'], with: { method: 'Redact' } }],
    rowFilter: "region = 'eu'",
  },
  // A filter that costs more than most predicates: the planner puts those first.
  { name: 'public.accounts', rowFilter: "lower(region) = 'eu' OR lower(region) = 'never' OR upper(region) = 'NEVER'" },
  { name: 'public.orders' },
  { name: 'public.big', actions: ['Select', 'Update'], rowFilter: "region = 'eu'" },
  { name: 'public.plain' },
  // The domain of its column is visible, so casts to it are possible.
  { name: 'public.limits' },
  { name: 'public.parts', rowFilter: "region = 'eu'" },
  { name: 'public.customer_names' },
  { name: 'public.risky' },
  { name: 'other.customers' },
];

export interface RewriteOptions {
  readonly temporary?: readonly { readonly name: string; readonly columns?: readonly string[] }[];
  readonly parameterTypeOids?: readonly number[];
  readonly searchPath?: readonly string[];
  /** Run before the statement, as it is. */
  readonly before?: string;
  readonly values?: readonly unknown[];
}

/** What a client sees of a statement. */
export type Seen =
  | { readonly kind: 'rows'; readonly names: readonly string[]; readonly rows: readonly (readonly unknown[])[] }
  | { readonly kind: 'error'; readonly sqlstate: string; readonly message: string };

export interface RewriteFixture {
  readonly server: PostgresServer;
  readonly catalog: CatalogSnapshot;
  readonly analyze: (text: string, options?: RewriteOptions) => TextAnalysis;
  /** What the database would get; `undefined` where it is refused. */
  readonly rewrite: (text: string, options?: RewriteOptions) => string | undefined;
  /** `slug subject` of the first refusal. */
  readonly refusal: (text: string, options?: RewriteOptions) => string | undefined;
  /** The rewritten statement in the first database. */
  readonly run: (text: string, options?: RewriteOptions) => Promise<Seen>;
  readonly runTwin: (text: string, options?: RewriteOptions) => Promise<Seen>;
  /** The agent's own text over views of what it may see. */
  readonly runHonest: (text: string, options?: RewriteOptions) => Promise<Seen>;
  /** A text as it is in the first database, by a superuser. */
  readonly raw: (text: string) => Promise<Seen>;
  readonly stop: () => Promise<void>;
}

function honestView(view: RelationView): string {
  const columns = view.columns.map((column) =>
    column.mask === undefined
      ? quoteIdentifier(column.name)
      : `${printExpression(column.mask.expression, quoteIdentifier)} AS ${quoteIdentifier(column.name)}`,
  );
  const filter = view.rowFilter === undefined ? 'true' : printExpression(view.rowFilter.expression, quoteIdentifier);
  return `CREATE VIEW honest.${quoteIdentifier(view.name)} AS SELECT ${columns.join(', ')} FROM ${quoteQualified(view.schema, view.name)} WHERE ${filter}`;
}

/** The views that read others stand over honest ones too. */
const HONEST_OVER_HONEST = `
CREATE VIEW honest.customer_names AS SELECT id, name, score FROM honest.customers;
CREATE VIEW honest.risky AS SELECT id, 100 / score AS ratio FROM honest.customers WHERE score <> 0;`;

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

async function see(client: pg.Client, text: string, options: RewriteOptions, path: string): Promise<Seen> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL search_path = ${path}`);
    if (options.before !== undefined) await client.query(options.before);
    const values = options.values === undefined ? {} : { values: [...options.values] };
    const result = await client.query<unknown[]>({ text, rowMode: 'array', ...values });
    const last = Array.isArray(result) ? (result.at(-1) as typeof result) : result;
    return { kind: 'rows', names: last.fields.map((field) => field.name), rows: last.rows };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return { kind: 'error', sqlstate: error.code ?? '', message: error.message };
  } finally {
    await client.query('ROLLBACK');
  }
}

async function snapshot(client: pg.Client): Promise<CatalogSnapshot> {
  const data = await readCatalog(async (text): Promise<(string | null)[][]> => {
    const types = { getTypeParser: () => String };
    return (await client.query<(string | null)[]>({ text, rowMode: 'array', types })).rows;
  });
  return indexCatalog(data);
}

function policyOver(catalog: CatalogSnapshot): EffectivePolicy {
  const policies = [samplePolicy({ tables: TABLES, statements: { allow: ['CREATE TEMPORARY TABLE'] } })];
  const result = effectivePolicy({ connection: sampleConnection(), policies, identity: BOT, catalog, generation: 1 });
  if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
  return result.policy;
}

/** Starts a server of that version with both databases and the honest views. */
export async function startRewriteFixture(version: 18 | 15): Promise<RewriteFixture> {
  await Promise.all([loadParser(), loadGuardrails([])]);
  const server = await startPostgres({ version });
  const first = await connect(await server.createDatabase('shop'));
  await first.query(SCHEMA);
  await first.end();
  const admin = await connect(server.adminUrl());
  await admin.query('CREATE DATABASE twin TEMPLATE shop');
  await admin.end();
  const [client, twin] = [await connect(server.adminUrl('shop')), await connect(server.adminUrl('twin'))];
  for (const statement of TWIN.split(';').filter((each) => each.trim() !== '')) await twin.query(statement);
  const catalog = await snapshot(client);
  const { access } = policyOver(catalog);
  await client.query('CREATE SCHEMA honest');
  for (const view of access.views.values()) {
    const relation = catalog.relationByOid.get(view.relationOid);
    if (view.schema === 'public' && relation?.kind !== 'v') await client.query(honestView(view));
  }
  await client.query(HONEST_OVER_HONEST);
  const names = (options: RewriteOptions): SessionNames => ({
    searchPath: options.searchPath ?? ['public'],
    temporaryRelations: new Map((options.temporary ?? []).map((each) => [each.name, each])),
    cursors: new Map(),
    preparedStatements: new Map(),
  });
  const analyze = (text: string, options: RewriteOptions = {}): TextAnalysis =>
    analyzeText({
      text,
      catalog,
      access,
      session: names(options),
      parameterTypeOids: options.parameterTypeOids ?? [],
      generation: 1,
      checkToken: 'f00dfeedf00dfeed',
    });
  const rewrite = (text: string, options: RewriteOptions = {}): string | undefined => {
    const { pieces } = analyze(text, options);
    return pieces === undefined ? undefined : printPieces(pieces, blankComments(text));
  };
  const refusal = (text: string, options: RewriteOptions = {}): string | undefined => {
    const refused = analyze(text, options).statements.find((statement) => statement.kind === 'refused');
    return refused === undefined ? undefined : `${refused.slug} ${refused.subject ?? ''}`;
  };
  const sent = (text: string, options: RewriteOptions): string => {
    const rewritten = rewrite(text, options);
    if (rewritten === undefined) throw new Error(`refused: ${refusal(text, options) ?? ''}: ${text}`);
    return rewritten;
  };
  const PATH = 'public, pg_temp';
  return {
    server,
    catalog,
    analyze,
    rewrite,
    refusal,
    run: async (text, options = {}) => see(client, sent(text, options), options, PATH),
    runTwin: async (text, options = {}) => see(twin, sent(text, options), options, PATH),
    runHonest: async (text, options = {}) =>
      see(client, text.replaceAll(/\bpublic\./g, 'honest.'), options, 'honest, pg_temp'),
    raw: async (text) => see(client, text, {}, PATH),
    stop: async () => {
      await client.end();
      await twin.end();
      await server.stop();
    },
  };
}

/** The first statement of an accepted text. */
export function accepted(analysis: TextAnalysis): AcceptedStatement {
  const [statement] = analysis.statements;
  if (statement?.kind !== 'accepted') throw new Error(JSON.stringify(statement));
  return statement;
}
