/**
 * `npm run test:e2e [FILE]...`: the image, the chart and everything they promise, on a real cluster. Takes the cluster of KUBECONFIG with
 * POSTERN_IMAGE_LOAD, else starts one and ends it again; where neither can be, it says how to get one and fails.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findCluster } from '../cluster/find-cluster.ts';
import { IMAGE } from './cluster.ts';

const ROOT = new URL('../..', import.meta.url).pathname;

const cluster = findCluster({ fresh: false });
if (cluster.kind === 'missing') {
  console.error(cluster.advice);
  process.exit(1);
}
const environment = { ...process.env, ...cluster.environment };
try {
  loadImages(cluster.environment['POSTERN_IMAGE_LOAD']);
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const config = new URL('vitest.config.ts', import.meta.url).pathname;
  const { status } = spawnSync(process.execPath, [vitest, 'run', '--config', config, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: environment,
  });
  process.exitCode = status ?? 1;
} finally {
  cluster.release();
}

/** The release and the one that it is upgraded to: the same program under another version. */
function loadImages(command: string | undefined): void {
  if (command === undefined)
    throw new Error('set POSTERN_IMAGE_LOAD to a command that imports image archives, e.g. kind load image-archive');
  const folder = mkdtempSync(join(tmpdir(), 'postern-images-'));
  try {
    for (const [tag, version] of [
      [IMAGE.nextTag, { POSTERN_VERSION: '0.1.1-next' }],
      [IMAGE.tag, {}],
    ] as const) {
      const archive = join(folder, `${tag}.tar`);
      execFileSync(join(ROOT, 'images/build'), [`${IMAGE.repository}:${tag}`, archive], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { ...environment, NODE_IMAGE: nodeImage(), ...version },
      });
      execFileSync('sh', ['-c', `${command} "$1"`, 'sh', archive], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: environment,
      });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The base image that is here already, where there is one: it needs no registry. */
function nodeImage(): string {
  const given = process.env['NODE_IMAGE'];
  if (given !== undefined) return given;
  const local = 'localhost/node:26';
  return spawnSync('buildah', ['images', '--quiet', local], { stdio: 'ignore' }).status === 0
    ? local
    : 'docker.io/library/node:26-bookworm-slim';
}
