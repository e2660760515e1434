import { defineConfig } from 'vitest/config';

/** Against a real API server, which all files share: each works in namespaces of its own, and removes them. */
export default defineConfig({
  root: new URL('../..', import.meta.url).pathname,
  test: {
    include: ['test/cluster/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    globalSetup: ['test/scratch-folder.ts', 'test/cluster/install-definitions.ts'],
  },
});
