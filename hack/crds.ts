/** `node hack/crds.ts`: writes crds/postern.dev_*.yaml and the chart's copies from the schemas in crds/kinds.ts. `--check` only compares. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { crdFiles } from './crd-files.ts';

const root = new URL('..', import.meta.url);
const check = process.argv.includes('--check');
let differs = false;
for (const [path, text] of crdFiles()) {
  const file = new URL(path, root);
  if (check) {
    if (readOrEmpty(file) === text) continue;
    differs = true;
    console.error(`${path} is not what crds/kinds.ts says; run node hack/crds.ts`);
  } else {
    mkdirSync(new URL('.', file), { recursive: true });
    writeFileSync(file, text);
  }
}
process.exitCode = differs ? 1 : 0;

function readOrEmpty(file: URL): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
