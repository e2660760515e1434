/**
 * `npm run test:browser [FILE]...`: pages that we write, in a real browser. Takes the program of POSTERN_BROWSER, else a Chromium or Chrome that
 * is installed; where there is none, it says how to get one and fails.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

function findBrowser(): string | undefined {
  const given = process.env['POSTERN_BROWSER'];
  if (given !== undefined && given !== '') return given;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

const browser = findBrowser();
if (browser === undefined) {
  console.error(
    'There is no browser here: install one (apt-get install chromium), or set POSTERN_BROWSER to the program of a Chromium or Chrome.',
  );
  process.exit(1);
}
const vitest = new URL('../../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
const config = new URL('vitest.config.ts', import.meta.url).pathname;
const { status } = spawnSync(process.execPath, [vitest, 'run', '--config', config, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, POSTERN_BROWSER: browser },
});
process.exitCode = status ?? 1;
