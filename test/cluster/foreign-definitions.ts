/**
 * The CustomResourceDefinitions of the Prometheus operator and of cert-manager, as their own releases hold them: what the chart writes for
 * them is checked by these. They come from pinned Go modules, whose content the Go tool verifies.
 */
import { join } from 'node:path';
import { findProgram } from '../drivers/toolchains.ts';
import { kubectl, succeed } from './programs.ts';

interface Source {
  readonly module: string;
  readonly group: string;
  readonly folder: string;
  readonly plurals: readonly string[];
}

const SOURCES: readonly Source[] = [
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    group: 'monitoring.coreos.com',
    folder: 'example/prometheus-operator-crd',
    plurals: ['servicemonitors', 'podmonitors', 'prometheusrules'],
  },
  {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    group: 'cert-manager.io',
    folder: 'deploy/crds',
    plurals: ['certificates', 'issuers'],
  },
];

async function filesOf({ module, group, folder, plurals }: Source): Promise<readonly string[]> {
  const go = findProgram('go', '/usr/local/go/bin');
  if (go === undefined) throw new Error(`go is not installed: the definitions are in the Go module ${module}`);
  const { Dir: root } = JSON.parse(await succeed(go, ['mod', 'download', '-json', module])) as { readonly Dir: string };
  return plurals.map((plural) => join(root, folder, `${group}_${plural}.yaml`));
}

async function isAbsent(name: string): Promise<boolean> {
  return (await kubectl('get', 'customresourcedefinition', name, '--ignore-not-found', '--output=name')) === '';
}

/** Only what the cluster does not have: what somebody else put there is theirs, and so are the objects of it. */
async function absentOf(source: Source): Promise<Source> {
  const absent = await Promise.all(source.plurals.map(async (plural) => await isAbsent(`${plural}.${source.group}`)));
  return { ...source, plurals: source.plurals.filter((_, index) => absent[index]) };
}

/** Puts those that are missing into the cluster; what is answered takes these out again. */
export async function installForeignDefinitions(): Promise<() => Promise<void>> {
  const absent = (await Promise.all(SOURCES.map(absentOf))).filter(({ plurals }) => plurals.length > 0);
  const files = (await Promise.all(absent.map(filesOf))).flat().flatMap((file) => ['--filename', file]);
  if (files.length === 0) return async () => undefined;
  await kubectl('apply', '--server-side', '--force-conflicts', ...files);
  await kubectl('wait', '--for=condition=Established', '--timeout=30s', ...files);
  return async () => void (await kubectl('delete', '--ignore-not-found', '--wait=false', ...files));
}
