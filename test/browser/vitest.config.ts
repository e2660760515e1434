import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: new URL('../..', import.meta.url).pathname,
  test: {
    include: ['test/browser/**/*.test.ts'],
    pool: 'forks',
    globalSetup: ['test/scratch-folder.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
