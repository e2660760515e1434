import { execFileSync } from 'node:child_process';

/** Puts this checkout's CRDs into the cluster, once for all files. */
export function setup(): void {
  const folder = new URL('../../crds/', import.meta.url).pathname;
  const files = ['databaseconnections', 'databaseaccesspolicies'].flatMap((plural) => [
    '-f',
    `${folder}postern.dev_${plural}.yaml`,
  ]);
  execFileSync('kubectl', ['apply', '--server-side', '--force-conflicts', ...files], { stdio: 'ignore' });
  execFileSync('kubectl', ['wait', '--for=condition=Established', '--timeout=30s', ...files], { stdio: 'ignore' });
}
