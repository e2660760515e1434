/** How fast `verify` is: records of a usual size, in a file, by the threads of the command. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileSink } from '#audit/file-sink.ts';
import { openSource } from '#cli/record-source.ts';
import { verifySource } from '#cli/verify.ts';
import { edge, sessionOf, START_MS, statement } from '#test/record-folder.ts';
import { type Figure, median } from './statistics.ts';

const BATCH = 50;

async function writeRecords(path: string, count: number): Promise<void> {
  const sink = await openFileSink(path, { instanceUid: '7c7c9b6e-5bb4-4d2b-8f4c-0a4f6b1f2e11' });
  const session = sessionOf('01998877-1111-7abc-8def-001122334455');
  sink.append([edge('process_start', START_MS)]);
  for (let at = 0; at < count; at += BATCH * 2) {
    const events = Array.from({ length: BATCH }, (_, index) =>
      statement(
        session,
        `s${at + index}`,
        `SELECT id, name, email FROM customers WHERE id = ${at + index} LIMIT 10`,
        START_MS + at,
      ),
    );
    sink.append(events.flat());
  }
  sink.append([edge('process_end', START_MS + count)]);
  await sink.close();
}

/** Records a second: by the clock, and for each second of processor time. */
export async function measureVerify(isQuick: boolean): Promise<readonly Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-verify-'));
  try {
    const path = join(folder, 'audit.ndjson');
    await writeRecords(path, isQuick ? 100_000 : 1_000_000);
    const [wall, processor]: readonly [number[], number[]] = [[], []];
    for (let round = 0; round < (isQuick ? 1 : 5); round++) {
      const [startMs, before] = [performance.now(), process.cpuUsage()];
      const { records, findingCount } = await verifySource(await openSource(path, {}), [], false);
      const { user, system } = process.cpuUsage(before);
      if (findingCount > 0) throw new Error('the records of the bench do not hold');
      wall.push((records / (performance.now() - startMs)) * 1_000);
      processor.push((records / (user + system)) * 1_000_000);
    }
    return [
      {
        group: 'verify',
        name: 'records of a file, by the clock',
        value: median(wall),
        unit: 'records/s',
        goal: { min: 200_000 },
      },
      {
        group: 'verify',
        name: 'records for each second of processor time',
        value: median(processor),
        unit: 'records/s',
      },
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
