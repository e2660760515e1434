/** vitest's global set-up: one PostgreSQL 18 for all integration tests, started when the run has any. */
import type { TestProject } from 'vitest/node';
import { type PostgresServer, startPostgres } from './postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser's URL of the shared server's `postgres` database. */
    readonly sharedPostgresUrl: string;
    /** Directory of its unix socket. */
    readonly sharedPostgresSocketDirectory: string;
  }
}

let server: PostgresServer | undefined;

export async function setup(project: TestProject): Promise<void> {
  const { testFiles } = await project.globTestFiles();
  const selected = project.vitest.config.related ?? [];
  const filters = process.argv.filter(
    (argument) => !argument.startsWith('-') && argument.includes('test/') && !argument.includes('vitest.config'),
  );
  const needed =
    selected.length > 0 ||
    filters.length === 0 ||
    filters.some((filter) => testFiles.some((file) => file.includes(filter) && file.includes('/integration/')));
  if (!needed) {
    project.provide('sharedPostgresUrl', '');
    project.provide('sharedPostgresSocketDirectory', '');
    return;
  }
  server = await startPostgres();
  project.provide('sharedPostgresUrl', server.adminUrl());
  project.provide('sharedPostgresSocketDirectory', server.socketDirectory);
}

export async function teardown(): Promise<void> {
  await server?.stop();
}
