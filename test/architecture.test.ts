import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Folder → folders it may import from, besides itself. The order of ARCHITECTURE.md, as data. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  crds: [],
  wire: [],
  sql: [],
  policy: ['crds', 'sql'],
  catalog: ['sql'],
  audit: ['policy', 'crds', 'sql'],
  session: ['wire', 'sql', 'policy', 'audit', 'crds'],
  bundle: ['crds', 'policy'],
  kubernetes: ['crds'],
  proxy: ['crds', 'wire', 'sql', 'policy', 'catalog', 'audit', 'session', 'bundle'],
  operator: ['crds', 'sql', 'policy', 'catalog', 'bundle', 'kubernetes'],
  collector: ['crds', 'policy', 'audit', 'kubernetes'],
  replay: ['crds', 'policy', 'audit'],
  cli: [
    'crds',
    'wire',
    'sql',
    'policy',
    'catalog',
    'audit',
    'session',
    'bundle',
    'kubernetes',
    'proxy',
    'operator',
    'collector',
    'replay',
  ],
};

/** The pure folders: no sockets, clock, randomness, logger, files, environment. */
const PURE = ['crds', 'wire', 'sql', 'policy', 'catalog', 'audit', 'session', 'bundle', 'replay'];
const PURE_NODE_MODULES = new Set(['node:buffer', 'node:crypto', 'node:zlib']);

/** Files of a pure folder that are its I/O border, each with the reason. */
const IO_BORDERS: Readonly<Record<string, string>> = {
  'audit/file-sink.ts': 'the sink that writes the audit file; the event, record and chain beside it stay pure',
};

/** The demo starts the same PostgreSQL as the tests do, from a checkout only: it is left out of the bundle. */
const HARNESS_USERS = new Set(['cli/demo.ts']);

const FORBIDDEN_NAMES = /^(?:utils?|common|helpers?|types|index|misc|shared|lib)\.ts$/;
const MAX_LINES = 500;

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  /** Paths within the repository, and bare specifiers. */
  readonly imports: readonly string[];
  /** Those of them that exist at run time. */
  readonly valueImports: readonly string[];
}

const root = new URL('..', import.meta.url).pathname;

function listFiles(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

function importsOf(path: string, text: string, kind: 'all' | 'value'): readonly string[] {
  // Comments first: a path in prose is no import.
  const prose = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const code = kind === 'all' ? prose : prose.replace(/^(?:import|export) type\b[^'";]*?from\s+'[^']+'/gm, '');
  const specifiers = [
    ...code.matchAll(/^\s*(?:import|export)\b[^'";]*?from\s+'([^']+)'/gm),
    ...code.matchAll(/^\s*import\s+'([^']+)'/gm),
    ...code.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g),
  ].map((match) => match[1] ?? '');
  return specifiers.map((specifier) => {
    if (specifier.startsWith('#')) return specifier.slice(1);
    if (specifier.startsWith('.')) return normalize(join(dirname(path), specifier));
    return specifier;
  });
}

function read(folder: string): readonly SourceFile[] {
  return listFiles(folder).map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return {
      path,
      text,
      lines: text.split('\n').length - 1,
      imports: importsOf(path, text, 'all'),
      valueImports: importsOf(path, text, 'value'),
    };
  });
}

const sources = Object.keys(MAY_IMPORT).flatMap(read);
const all = [...sources, ...read('test'), ...read('hack')];
const folderOf = (path: string): string => path.split('/')[0] ?? '';

describe('the architecture', () => {
  test('the scan sees every folder of the product', () => {
    expect([...new Set(sources.map((file) => folderOf(file.path)))].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
    expect(sources.some((file) => file.imports.includes('sql/catalog.ts'))).toBe(true);
  });

  test('a folder imports only from the layers below it', () => {
    const breaches = sources.flatMap((file) => {
      const own = folderOf(file.path);
      const allowed = new Set([own, ...(MAY_IMPORT[own] ?? [])]);
      return file.imports
        .filter((target) => target.endsWith('.ts') && !allowed.has(folderOf(target)))
        .filter((target) => !(HARNESS_USERS.has(file.path) && target === 'test/postgres.ts'))
        .map((target) => `${file.path} -> ${target}`);
    });
    expect(breaches).toEqual([]);
  });

  test('the pure folders use no I/O, clock, randomness or environment', () => {
    const breaches = sources
      .filter((file) => PURE.includes(folderOf(file.path)) && IO_BORDERS[file.path] === undefined)
      .flatMap((file) => {
        const modules = file.imports.filter((target) => target.startsWith('node:') && !PURE_NODE_MODULES.has(target));
        const code = file.text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
        const calls =
          code.match(
            /\b(?:Date\.now\(|new Date\(\)|Math\.random\(|process\.|performance\.now\(|randomUUID\(|randomBytes\()/g,
          ) ?? [];
        return [...modules, ...calls].map((found) => `${file.path}: ${found}`);
      });
    expect(breaches).toEqual([]);
  });

  test('no import cycle at run time', () => {
    const graph = new Map(
      sources.map((file) => [file.path, file.valueImports.filter((target) => target.endsWith('.ts'))] as const),
    );
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      const start = trail.indexOf(path);
      if (start >= 0) {
        cycles.push([...trail.slice(start), path].join(' -> '));
        return;
      }
      if (done.has(path)) return;
      for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test('every import of our own names a file that exists', () => {
    const known = new Set(all.map((file) => file.path));
    const missing = sources.flatMap((file) =>
      file.imports
        .filter((target) => target.endsWith('.ts') && !known.has(target))
        .map((target) => `${file.path} -> ${target}`),
    );
    expect(missing).toEqual([]);
  });

  test(`no file is longer than ${MAX_LINES} lines, and half of them are at most 200`, () => {
    expect(sources.filter((file) => file.lines > MAX_LINES).map((file) => `${file.path}: ${file.lines}`)).toEqual([]);
    const sizes = sources.map((file) => file.lines).sort((a, b) => a - b);
    expect(sizes[Math.floor(sizes.length / 2)]).toBeLessThanOrEqual(200);
  });

  test('no file is a grab bag by its name, and all names are kebab-case', () => {
    const bad = all.map((file) => basename(file.path)).filter((name) => FORBIDDEN_NAMES.test(name));
    expect(bad).toEqual([]);
    expect(all.filter((file) => !/^[a-z0-9-]+(?:\.(?:test|config|d))*\.ts$/.test(basename(file.path)))).toEqual([]);
  });

  test('every lint exception says why', () => {
    const bare = all.flatMap((file) =>
      file.text
        .split('\n')
        .filter((line) =>
          /^\s*(?:\/\/|\/\*)\s*(?:(?:ox|es)lint-disable|@ts-(?:ignore|expect-error|nocheck)|biome-ignore)/.test(line),
        )
        .filter((line) => !/ -- \S+/.test(line))
        .map((line) => `${file.path}: ${line.trim()}`),
    );
    expect(bare).toEqual([]);
  });

  test('every folder opens with a README of at most 25 lines', () => {
    const lengths = [...Object.keys(MAY_IMPORT), 'test', 'hack'].map((folder) => {
      const text = readFileSync(join(root, folder, 'README.md'), 'utf8');
      return { folder, lines: text.trimEnd().split('\n').length };
    });
    expect(lengths.filter(({ lines }) => lines > 25)).toEqual([]);
  });
});
