import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeResource } from '#crds/decode.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import { lookAtDatabase } from '#operator/database-look/look-at-database.ts';
import { createAuthority } from '#test/certificates.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { connectionJson } from '#test/signed-bundles.ts';

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
