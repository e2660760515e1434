/** Reads the YAML kinds and v1 Secrets from a file or folder: without a cluster they are the whole configuration. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { decodeManifest, formatProblem, type Resource } from '#crds/decode.ts';
import type { DatabaseAccessPolicy, DatabaseConnection, Secret } from '#crds/kinds.ts';

/** All resources found, none of them with a fault. */
export interface Manifests {
  readonly connections: readonly DatabaseConnection[];
  readonly policies: readonly DatabaseAccessPolicy[];
  readonly secrets: readonly Secret[];
}

/** `problems`: one line each, `file:line: Kind ns/name: path: what is expected`. */
export type ManifestsRead =
  | { readonly kind: 'loaded'; readonly manifests: Manifests; readonly fingerprint: string }
  | { readonly kind: 'invalid'; readonly problems: readonly string[]; readonly fingerprint: string };

interface Found {
  readonly file: string;
  readonly resource: Resource;
}

/** Reads everything under `path`; a folder's `.yaml`, `.yml` and `.json` files, not those of folders below. Never rejects. */
export async function readManifests(path: string): Promise<ManifestsRead> {
  let files: readonly ManifestFile[];
  try {
    files = await readFiles(path);
  } catch (error) {
    const problem = `${path}: cannot be read: ${error instanceof Error ? error.message : 'unknown error'}`;
    return { kind: 'invalid', problems: [problem], fingerprint: problem };
  }
  const fingerprint = files.map((file) => `${file.name}\n${file.text}`).join('\0');
  const found: Found[] = [];
  const problems: string[] = [];
  for (const file of files) await decodeFile(file, found, problems);
  problems.push(...duplicates(found));
  if (found.length === 0 && problems.length === 0) problems.push(`${path}: no DatabaseConnection in it`);
  if (problems.length > 0) return { kind: 'invalid', problems, fingerprint };
  const resources = found.map((entry) => entry.resource);
  return {
    kind: 'loaded',
    fingerprint,
    manifests: {
      connections: resources.filter((resource) => resource.kind === 'DatabaseConnection'),
      policies: resources.filter((resource) => resource.kind === 'DatabaseAccessPolicy'),
      secrets: resources.filter((resource) => resource.kind === 'Secret'),
    },
  };
}

interface ManifestFile {
  readonly name: string;
  readonly text: string;
}

/** Whether a file of this name in a folder of manifests is one of them. */
export function isManifestName(name: string): boolean {
  return /^[^.].*\.(?:ya?ml|json)$/.test(name);
}

async function readFiles(path: string): Promise<readonly ManifestFile[]> {
  const found = await stat(path);
  if (!found.isDirectory()) return [{ name: basename(path), text: await readFile(path, 'utf8') }];
  const names = (await readdir(path)).filter(isManifestName).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(path, name), 'utf8')));
  return names.map((name, index) => ({ name, text: texts[index] ?? '' }));
}

async function decodeFile(file: ManifestFile, found: Found[], problems: string[]): Promise<void> {
  const { parseYaml } = await import('./parse-yaml.ts');
  const read = parseYaml(file.text);
  if (read.kind === 'invalid') {
    problems.push(`${file.name}:${read.line}: not valid YAML: ${read.message}`);
    return;
  }
  for (const { value, lineOf } of read.documents) {
    for (const decoded of decodeManifest(value)) {
      if (decoded.kind === 'decoded') found.push({ file: file.name, resource: decoded.resource });
      else if (decoded.kind === 'invalid') {
        for (const problem of decoded.problems) {
          const line = lineOf(stepsOf(problem.path));
          const place = line === undefined ? file.name : `${file.name}:${line}`;
          problems.push(`${place}: ${decoded.name}: ${formatProblem(problem)}`);
        }
      }
    }
  }
}

/** `spec.tables[0].name` → its steps. */
function stepsOf(path: string): readonly string[] {
  return path.split(/[.[\]]+/).filter((step) => step !== '');
}

function duplicates(found: readonly Found[]): readonly string[] {
  const seen = new Map<string, string>();
  const problems: string[] = [];
  for (const { file, resource } of found) {
    const name = `${resource.kind} ${resource.namespace}/${resource.name}`;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, file);
    else problems.push(`${file}: ${name}: is also in ${first}; each may stand once`);
  }
  return problems;
}
