/**
 * `npm run test:s3 [FILE]...`: the collector against a real S3 server that checks signatures, conditional writes and Object Lock: Versity S3
 * Gateway. Takes the program of POSTERN_VERSITYGW, else builds it; where neither can be, it says how to get one and fails.
 */
import { spawnSync } from 'node:child_process';
import { findVersityGateway } from './find-versitygw.ts';

const found = findVersityGateway();
if (found.kind === 'missing') {
  console.error(found.advice);
  process.exit(1);
}
const vitest = new URL('../../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
const config = new URL('vitest.config.ts', import.meta.url).pathname;
const { status } = spawnSync(process.execPath, [vitest, 'run', '--config', config, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, POSTERN_VERSITYGW: found.program },
});
process.exitCode = status ?? 1;
