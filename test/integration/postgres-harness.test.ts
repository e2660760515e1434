import pg from 'pg';
import { describe, expect, inject, test } from 'vitest';
import { createDatabase, isPostgresInstalled, startPostgres } from '#test/postgres.ts';

async function versionBehind(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const result = await client.query<{ server_version: string }>('SHOW server_version');
    return String(result.rows[0]?.server_version);
  } finally {
    await client.end();
  }
}

describe('the PostgreSQL harness', () => {
  test('the shared server is PostgreSQL 18 and gives each file a database of its own', async () => {
    const adminUrl = inject('sharedPostgresUrl');
    await createDatabase(adminUrl, 'harness');
    expect(await versionBehind(adminUrl.replace(/\/postgres$/, '/harness'))).toMatch(/^18\./);
  });

  const versions = ([18, 15] as const).filter(isPostgresInstalled);
  test.each(versions)(
    'PostgreSQL %i starts, answers on TCP and on its socket, and is gone after stop',
    async (version) => {
      const server = await startPostgres({ version, settings: { work_mem: '5MB' } });
      expect(await versionBehind(server.adminUrl())).toMatch(new RegExp(`^${version}\\.`));
      const client = new pg.Client({
        host: server.socketDirectory,
        port: server.port,
        user: server.superuser,
        password: server.password,
        database: 'postgres',
      });
      await client.connect();
      expect((await client.query<{ work_mem: string }>('SHOW work_mem')).rows).toEqual([{ work_mem: '5MB' }]);
      await client.end();
      await server.stop();
      expect(() => process.kill(server.pid, 0)).toThrow('ESRCH');
    },
  );
});
