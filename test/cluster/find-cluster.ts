import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Scripts beside this repository that start a real one-node Kubernetes; their README says how. */
const SCRIPTS = new URL('../../../shared/cluster/', import.meta.url).pathname;

export type FoundCluster =
  | {
      readonly kind: 'found';
      /** For the suites: KUBECONFIG, PATH with kubectl and helm, POSTERN_IMAGE_LOAD. */
      readonly environment: Readonly<Record<string, string>>;
      /** Ends a cluster that was started here; leaves any other as it is. */
      readonly release: () => void;
    }
  | { readonly kind: 'missing'; readonly advice: string };

/**
 * A cluster to test against: the one of KUBECONFIG; else one that is started here, from nothing where `fresh` asks for that. A suite must
 * never pass for want of a cluster, so that is an answer of its own.
 */
export function findCluster({ fresh }: { readonly fresh: boolean }): FoundCluster {
  const given = process.env['KUBECONFIG'];
  if (given !== undefined && given !== '') {
    const load = process.env['POSTERN_IMAGE_LOAD'] ?? (existsSync(`${SCRIPTS}load`) ? `${SCRIPTS}load` : undefined);
    return {
      kind: 'found',
      environment: { KUBECONFIG: given, PATH: toolPath(), ...(load === undefined ? {} : { POSTERN_IMAGE_LOAD: load }) },
      release: () => undefined,
    };
  }
  if (!existsSync(`${SCRIPTS}up`)) return { kind: 'missing', advice: ADVICE };
  if (fresh) run('down');
  const kubeconfig = run('up').trim();
  return {
    kind: 'found',
    environment: { KUBECONFIG: kubeconfig, PATH: toolPath(), POSTERN_IMAGE_LOAD: `${SCRIPTS}load` },
    release: () => void run('down'),
  };
}

const ADVICE = [
  'There is no cluster to test against. With Docker, kind and Helm:',
  '  hack/kind/up && export KUBECONFIG=$(hack/kind/kubeconfig) POSTERN_IMAGE_LOAD="kind load image-archive --name postern"',
  'With a cluster of your own: set KUBECONFIG, and POSTERN_IMAGE_LOAD to a command that imports image archives (.tar) into its nodes.',
].join('\n');

/** PATH with the folder of kubectl and helm that the scripts build, where they exist. */
function toolPath(): string {
  const path = process.env['PATH'] ?? '';
  const hasAll = ['kubectl', 'helm'].every((program) =>
    path.split(delimiter).some((folder) => existsSync(join(folder, program))),
  );
  if (hasAll || !existsSync(`${SCRIPTS}build`)) return path;
  return `${run('build', 'kube', 'helm').trim()}${delimiter}${path}`;
}

function run(script: string, ...parameters: readonly string[]): string {
  return execFileSync(`${SCRIPTS}${script}`, parameters, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
