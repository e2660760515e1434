/**
 * The CustomResourceDefinitions of the Prometheus operator and of cert-manager, as their own releases hold them: what the chart writes for
 * them is checked by these. They come from pinned Go modules, whose content the Go tool verifies.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../drivers/toolchains.ts';
import { kubectl, succeed } from './programs.ts';

interface Source {
  readonly module: string;
  readonly folder: string;
  readonly plurals: readonly string[];
}

const SOURCES: readonly Source[] = [
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    folder: 'example/prometheus-operator-crd',
    plurals: ['servicemonitors', 'podmonitors', 'prometheusrules'],
  },
  {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    folder: 'deploy/crds',
    plurals: ['certificates', 'issuers'],
  },
];

async function filesOf({ module, folder, plurals }: Source): Promise<readonly string[]> {
  const go = findProgram('go', '/usr/local/go/bin');
  if (go === undefined) throw new Error(`go is not installed: the definitions are in the Go module ${module}`);
  const { Dir: root } = JSON.parse(await succeed(go, ['mod', 'download', '-json', module])) as { readonly Dir: string };
  const files = readdirSync(join(root, folder)).filter((file) =>
    plurals.some((plural) => file.endsWith(`_${plural}.yaml`)),
  );
  if (files.length !== plurals.length) throw new Error(`${module} lacks some of ${plurals.join(', ')}`);
  return files.map((file) => join(root, folder, file));
}

/** Puts them into the cluster; what is answered takes them out again. */
export async function installForeignDefinitions(): Promise<() => Promise<void>> {
  const files = (await Promise.all(SOURCES.map(filesOf))).flat().flatMap((file) => ['--filename', file]);
  await kubectl('apply', '--server-side', '--force-conflicts', ...files);
  await kubectl('wait', '--for=condition=Established', '--timeout=30s', ...files);
  return async () => void (await kubectl('delete', '--ignore-not-found', '--wait=false', ...files));
}
