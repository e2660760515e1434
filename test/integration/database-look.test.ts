import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LoadedCatalog } from '#catalog/load-catalog.ts';
import { readCatalog } from '#catalog/read-catalog.ts';
import { decodeResource } from '#crds/decode.ts';
import type { DatabaseAccessPolicy, DatabaseConnection } from '#crds/kinds.ts';
import { lookAtDatabase } from '#operator/database-look/look-at-database.ts';
import { effectivePolicy } from '#policy/effective.ts';
import { judgeFit } from '#policy/fit.ts';
import { type CatalogSnapshot, indexCatalog, qualifiedKey } from '#sql/catalog.ts';
import { loadParser } from '#sql/parser.ts';
import { createAuthority } from '#test/certificates.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { connectionJson, policyJson } from '#test/signed-bundles.ts';

let server: PostgresServer;
let admin: pg.Client;
let caPem = '';

beforeAll(async () => {
  const authority = createAuthority();
  const { certificatePem, keyPem } = authority.issue(['127.0.0.1', 'localhost']);
  caPem = authority.caPem;
  server = await startPostgres({
    tls: { certificatePem, keyPem },
    hba: ['host all clear 127.0.0.1/32 password', 'host all all 127.0.0.1/32 scram-sha-256'],
  });
  await server.createDatabase('looked');
  admin = new pg.Client({ connectionString: server.adminUrl('looked') });
  await admin.connect();
  await admin.query(`
    CREATE ROLE narrow LOGIN PASSWORD 'pw'; CREATE ROLE owner_role NOLOGIN;
    CREATE ROLE super LOGIN SUPERUSER PASSWORD 'pw';
    CREATE ROLE bypass LOGIN BYPASSRLS PASSWORD 'pw';
    CREATE ROLE maker LOGIN CREATEROLE CREATEDB PASSWORD 'pw';
    CREATE ROLE replica LOGIN REPLICATION PASSWORD 'pw';
    CREATE ROLE files LOGIN PASSWORD 'pw'; GRANT pg_read_server_files, pg_execute_server_program TO files;
    CREATE ROLE middle NOLOGIN BYPASSRLS; GRANT pg_write_server_files TO middle;
    CREATE ROLE indirect LOGIN PASSWORD 'pw'; GRANT middle TO indirect;
    CREATE ROLE owner LOGIN PASSWORD 'pw'; GRANT owner_role TO owner;
    CREATE ROLE clear LOGIN PASSWORD 'pw';
    CREATE SCHEMA s AUTHORIZATION owner_role; CREATE TABLE s.t (id int); ALTER TABLE s.t OWNER TO owner_role;
    GRANT USAGE ON SCHEMA s TO narrow; GRANT SELECT ON s.t TO narrow;`);
});

afterAll(async () => {
  await admin.end();
  await server.stop();
});

function connectionWith(spec: Readonly<Record<string, unknown>>): DatabaseConnection {
  const json = connectionJson('shop', { host: '127.0.0.1', port: server.port, database: 'looked', ...spec });
  const decoded = decodeResource(json);
  if (decoded.kind !== 'decoded' || decoded.resource.kind !== 'DatabaseConnection') throw new Error('sample');
  return decoded.resource;
}

const as = (username: string, password = 'pw', tlsCa?: string) => ({ username, password, tlsCa });

describe('least privilege', () => {
  test.each([
    ['a role with no more than grants', 'narrow', []],
    ['a superuser', 'super', ['it is a superuser']],
    ['BYPASSRLS', 'bypass', ['BYPASSRLS']],
    ['CREATEROLE and CREATEDB', 'maker', ['CREATEROLE', 'CREATEDB']],
    ['replication', 'replica', ['REPLICATION']],
    ['files and programs', 'files', ['member of pg_read_server_files', 'member of pg_execute_server_program']],
    [
      'what another role lends it',
      'indirect',
      ['BYPASSRLS by way of middle', 'member of pg_write_server_files by way of middle'],
    ],
    ['ownership through another role', 'owner', ['owner of schema s', 'owner of table s.t']],
  ] as const)('%s', async (_what, username, excess) => {
    const look = await lookAtDatabase(connectionWith({}), as(username));
    if (look.kind !== 'reached') throw new Error(look.message);
    expect(look.facts.role).toBe(username);
    expect(look.facts.serverVersion).toMatch(/^18\.\d+$/);
    expect([...look.facts.excess].sort()).toEqual([...excess].sort());
  });
});

describe('the reason why a database is not reached', () => {
  test.each([
    ['a wrong password', {}, as('narrow', 'wrong one'), 'AuthenticationFailed'],
    ['a database that is not there', { database: 'other' }, as('narrow'), 'DatabaseNotFound'],
    ['a port where nobody listens', { port: 1 }, as('narrow'), 'ConnectionRefused'],
    ['a name that is not there', { host: 'nowhere.invalid' }, as('narrow'), 'NameNotFound'],
    ['a certificate of an authority that is not trusted', { tls: { mode: 'VerifyFull' } }, as('narrow'), 'TlsFailed'],
    ['a socket folder of another pod', { host: '/run/postgresql' }, as('narrow'), 'NotReachableFromHere'],
    ['a server that wants the password in clear', {}, as('clear'), 'WeakAuthentication'],
    ['the same within unverified TLS', { tls: { mode: 'Require' } }, as('clear'), 'WeakAuthentication'],
  ] as const)('%s', async (_what, spec, material, reason) => {
    const look = await lookAtDatabase(connectionWith(spec), material);
    expect(look).toMatchObject({ kind: 'failed', reason });
    expect(JSON.stringify(look)).not.toContain('wrong one');
  });
});

describe('TLS', () => {
  test.each(['Require', 'VerifyCA', 'VerifyFull'])('%s reaches the server', async (mode) => {
    const look = await lookAtDatabase(connectionWith({ tls: { mode } }), as('narrow', 'pw', caPem));
    expect(look.kind).toBe('reached');
  });

  test('a password in clear is given to a server that is verified', async () => {
    const look = await lookAtDatabase(connectionWith({ tls: { mode: 'VerifyFull' } }), as('clear', 'pw', caPem));
    expect(look.kind).toBe('reached');
  });
});

describe('the catalog', () => {
  const policies = (...specs: readonly Readonly<Record<string, unknown>>[]): readonly DatabaseAccessPolicy[] =>
    specs.map((spec, index) => {
      const decoded = decodeResource(policyJson(`p${index}`, 'shop', spec));
      if (decoded.kind !== 'decoded' || decoded.resource.kind !== 'DatabaseAccessPolicy') throw new Error('sample');
      return decoded.resource;
    });
  const read = async (known?: LoadedCatalog): Promise<LoadedCatalog> => {
    const look = await lookAtDatabase(connectionWith({}), as('narrow'), known);
    if (look.kind !== 'reached' || look.catalog.kind !== 'read') throw new Error(JSON.stringify(look));
    return look.catalog.loaded;
  };
  const fitsOf = (catalog: LoadedCatalog, ...specs: readonly Readonly<Record<string, unknown>>[]) => [
    ...judgeFit(policies(...specs), catalog.snapshot).values(),
  ];

  beforeAll(async () => {
    await loadParser();
    await admin.query(`
      CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]+$'); CREATE TYPE mood AS ENUM ('glad');
      CREATE TABLE people (id int PRIMARY KEY, region text, mail varchar(5), feeling mood NOT NULL, code code, born date);
      CREATE TABLE secret (id int PRIMARY KEY);
      CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, region text, person int REFERENCES people, s int REFERENCES secret);
      CREATE TABLE log (id int, note text) PARTITION BY RANGE (id); CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (9);`);
  });

  test('is read by a role without any right, once for each state of the database', async () => {
    const first = await read();
    expect(first.snapshot.relationByName.get(qualifiedKey('public', 'people'))?.columns).toHaveLength(6);
    expect(await read(first), 'not read again').toBe(first);
    await admin.query('ALTER TABLE secret ADD late int');
    const second = await read(first);
    expect(second).not.toBe(first);
    expect(second.snapshot.relationByName.get(qualifiedKey('public', 'secret'))?.columns).toHaveLength(2);
  });

  test('says of each policy the same as the sidecar: the column, and the methods that fit', async () => {
    const mask = (column: string, method: string) => ({
      tables: [{ name: 'public.people', mask: [{ columns: [column], with: { method } }] }],
    });
    const specs = [mask('mail', 'Redact'), mask('born', 'Email'), mask('code', 'Redact'), mask('region', 'Redact')];
    const full = await fullCatalog();
    const fits = fitsOf(await read(), ...specs);
    expect(fits.map(({ problems }) => problems.map(({ problem }) => problem))).toEqual([
      [
        'column public.people.mail: Redact does not fit varchar(5): [redacted] has 10 characters; use one of: SetNull, Partial',
      ],
      ['column public.people.born: Email does not fit date: it reads a text; use one of: SetNull, Redact, Truncate'],
      [
        'column public.people.code: Redact does not fit public.code: the result may break a CHECK of the domain; use one of: SetNull',
      ],
      [],
    ]);
    for (const [index, spec] of specs.entries()) {
      const result = effectivePolicy({
        ...{ connection: connectionWith({}), policies: policies(spec), catalog: full, generation: 1 },
        identity: { namespace: 'agents', serviceAccount: 'support-bot', groups: [], claims: {} },
      });
      const told = result.kind === 'invalid' ? result.problems.map(({ problem }) => problem) : [];
      expect(told).toEqual(fits[index]?.problems.map(({ problem }) => problem));
    }
  });

  test('names conflicts, what the database lacks, and the tables where keys can be chosen', async () => {
    const [wide, narrow] = fitsOf(
      await read(),
      { tables: [{ name: 'public.log' }, { name: 'public.nothing' }] },
      {
        tables: [
          { name: 'public.log_1', hide: ['note'] },
          { name: 'public.people', actions: ['Select', 'Insert'], rowFilter: "region = 'eu'" },
          { name: 'public.visits', actions: ['Insert'], rowFilter: "region = 'eu'" },
        ],
      },
    );
    expect(wide?.conflicts).toEqual([
      'public.log: its child public.log_1 has a stricter view of its own; read the children by their names (together with data/p1)',
    ]);
    expect(wide?.unknownNames.map(({ problem }) => problem)).toEqual([
      'public.nothing is not a table or view of this database; it is not granted',
    ]);
    expect(wide?.chosenKeyTables).toEqual([]);
    // visits: its own key is always generated, but it refers to a table that is not granted.
    expect(narrow?.chosenKeyTables).toEqual(['public.people', 'public.visits']);
  });

  test.each(['Require', 'Disable'])(
    'of more bytes than are taken is a finding of its own, with TLS %s',
    async (mode) => {
      const look = await lookAtDatabase(connectionWith({ tls: { mode } }), as('narrow'), undefined, 50_000);
      expect(look).toMatchObject({
        kind: 'reached',
        facts: { role: 'narrow' },
        catalog: { kind: 'unread', message: 'its catalog is larger than 50000 bytes' },
      });
    },
  );

  async function fullCatalog(): Promise<CatalogSnapshot> {
    const query = async (text: string) =>
      (await admin.query<(string | null)[]>({ text, rowMode: 'array', types: { getTypeParser: () => String } })).rows;
    return indexCatalog(await readCatalog(query));
  }
});
