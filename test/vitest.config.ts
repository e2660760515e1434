import { defineConfig } from 'vitest/config';

/** `npm test`: the suites that need no more than Node. The drivers' suite has its own config: it needs other toolchains. */
export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/{unit,property,integration}/**/*.test.ts', 'test/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    globalSetup: ['test/scratch-folder.ts', 'test/shared-server.ts'],
    // Ours first: the run closes with vitest's own summary.
    reporters: ['./test/not-run-reporter.ts', 'default'],
  },
});
