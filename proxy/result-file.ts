/** Recorded results beside the audit file: one JSON object a line (audit/event.ts, RecordedResult). Written in the background and bounded. */
import { createWriteStream } from 'node:fs';
import type { AuditSink, RecordedResult } from '#audit/event.ts';
import type { Log } from './log.ts';

/** What may wait for the disk; beyond it results are dropped, records never. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/** The sink, with results going to `path`. A file that cannot be written is said once in the log; records are not concerned. */
export function withResultFile(sink: AuditSink, path: string, log: Log): AuditSink {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  let broken = false;
  stream.on('error', (error) => {
    if (!broken) log.error({ error: error.message }, 'results cannot be recorded');
    broken = true;
  });
  const appendResult = (result: RecordedResult): void => {
    if (broken || stream.writableLength > MAX_WAITING_BYTES) return;
    stream.write(`${JSON.stringify(result)}\n`);
  };
  return {
    append: (events) => sink.append(events),
    get writable() {
      return sink.writable;
    },
    get lastSeq() {
      return sink.lastSeq;
    },
    ...(sink.whenConfirmed === undefined ? {} : { whenConfirmed: sink.whenConfirmed }),
    appendResult,
    close: async () => {
      await new Promise<void>((resolve) => {
        stream.end(resolve);
        stream.once('error', () => resolve());
      });
      await sink.close();
    },
  };
}
