/**
 * vitest's global set-up: a folder of temporary files for the run, which is gone when it ends. A test that is killed, or whose process
 * ends before it tidies up, leaves nothing on the machine.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder: string | undefined;

export function setup(): void {
  // What is kept from run to run (initialized PostgreSQL servers) stays where it was.
  process.env['POSTERN_TEST_CACHE'] ??= tmpdir();
  folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  // PostgreSQL runs as another user below it.
  chmodSync(folder, 0o711);
  process.env['TMPDIR'] = folder;
}

export function teardown(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}
