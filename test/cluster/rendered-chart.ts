/** What `helm template` makes of our chart. */
import { parseAllDocuments } from 'yaml';
import { succeed } from './programs.ts';

export const CHART = new URL('../../charts/postern', import.meta.url).pathname;

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

/** `values`: as of `--set-json`. */
export async function renderChart(namespace: string, ...values: readonly string[]): Promise<readonly Manifest[]> {
  const text = await succeed('helm', [
    'template',
    'postern',
    CHART,
    '--namespace',
    namespace,
    ...values.flatMap((value) => ['--set-json', value]),
  ]);
  return parseAllDocuments(text).flatMap((document) => {
    const manifest = document.toJS() as Manifest | null;
    return manifest === null ? [] : [manifest];
  });
}
