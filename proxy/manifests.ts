/** Reads the YAML kinds and v1 Secrets from a file or folder: without a cluster they are the whole configuration. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { decodeManifest, formatProblem, type Resource } from '#crds/decode.ts';
import type { DatabaseAccessPolicy, DatabaseConnection, Secret } from '#crds/kinds.ts';
import type { YamlDocument } from './parse-yaml.ts';

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
  const { documents, lineOf } = parseYaml(file.text);
  for (const document of documents) {
    const at = (offset: number | undefined): string =>
      offset === undefined ? file.name : `${file.name}:${lineOf(offset)}`;
    const start = document.contents?.range?.[0];
    if (document.errors.length > 0) {
      for (const error of document.errors) problems.push(`${at(error.pos[0])}: not valid YAML: ${error.message}`);
      continue;
    }
    for (const decoded of decodeManifest(documentValue(document, problems, at(start)))) {
      if (decoded.kind === 'decoded') found.push({ file: file.name, resource: decoded.resource });
      else if (decoded.kind === 'invalid') {
        for (const problem of decoded.problems) {
          const offset = offsetOf(document, problem.path) ?? start;
          problems.push(`${at(offset)}: ${decoded.name}: ${formatProblem(problem)}`);
        }
      }
    }
  }
}

/** Resolving aliases can fail (an alias bomb): then it is a problem of the file. */
function documentValue(document: YamlDocument, problems: string[], place: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    problems.push(`${place}: not valid YAML: ${error instanceof Error ? error.message : 'unknown error'}`);
    return undefined;
  }
}

/** Where `spec.tables[0].name` stands, or the nearest thing around it. */
function offsetOf(document: YamlDocument, path: string): number | undefined {
  const steps = path.split(/[.[\]]+/).filter((step) => step !== '');
  for (; steps.length > 0; steps.pop()) {
    const node = document.getIn(
      steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step)),
      true,
    );
    if (typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)) {
      const offset: unknown = node.range[0];
      if (typeof offset === 'number') return offset;
    }
  }
  return undefined;
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
