import { readFileSync } from 'node:fs';

/** Put in by the bundler (hack/build.ts); absent where the sources run directly. */
declare const POSTERN_VERSION: string | undefined;

function readVersion(): string {
  if (typeof POSTERN_VERSION === 'string') return POSTERN_VERSION;
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const isManifest = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return isManifest && typeof manifest.version === 'string' ? manifest.version : '0.0.0';
}

/** The version of this program. */
export const version = readVersion();
