/**
 * `npm run test:cluster [FILE]...`: what needs a real API server. Takes the cluster of KUBECONFIG, else starts one and ends it again; where
 * neither can be, it says how to get one and fails.
 */
import { spawnSync } from 'node:child_process';
import { findCluster } from './find-cluster.ts';

const cluster = findCluster({ fresh: false });
if (cluster.kind === 'missing') {
  console.error(cluster.advice);
  process.exit(1);
}
try {
  const vitest = new URL('../../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
  const config = new URL('vitest.config.ts', import.meta.url).pathname;
  const { status } = spawnSync(process.execPath, [vitest, 'run', '--config', config, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, ...cluster.environment },
  });
  process.exitCode = status ?? 1;
} finally {
  cluster.release();
}
