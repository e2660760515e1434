import { mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openFileSink } from '#audit/file-sink.ts';
import { limitSpool } from '#proxy/spool-limit.ts';

test('records stop at the limit of the spool, and go on when there is room again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-spool-'));
  const path = join(folder, 'records.ndjson');
  const sink = limitSpool(await openFileSink(path), path, 10_000);
  const append = (): boolean => sink.append([{ phase: 'heartbeat', timeMs: 1, sessions: 0 }]);
  let written = 0;
  while (append()) {
    written++;
    if (written % 10 === 0) await sleep(60);
    if (written > 1000) break;
  }
  expect(written).toBeLessThan(100);
  expect(sink.writable).toBe(false);
  const full = (await stat(path)).size;
  expect(full).toBeGreaterThan(10_000);
  expect(append()).toBe(false);
  expect((await stat(path)).size).toBe(full);
  await truncate(path, 0);
  await sleep(60);
  expect(append()).toBe(true);
  await sink.close();
  await rm(folder, { recursive: true });
});
