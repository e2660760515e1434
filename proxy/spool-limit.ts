/** Keeps the records within the volume they are written to: past its limit the kubelet would evict the pod, agent and all. */
import { statSync } from 'node:fs';
import type { AuditSink } from '#audit/event.ts';

/** How often the file is measured; what comes in between fits into the part of the volume that is left free. */
const MEASURE_MS = 50;

/** `append` refuses (nothing is forwarded, 58030) while the file at `path` is larger than `limitBytes`. The sink writes to that file. */
export function limitSpool(sink: AuditSink, path: string, limitBytes: number): AuditSink {
  let measuredMs = Number.NEGATIVE_INFINITY;
  let isFull = false;
  const measure = (): void => {
    const now = performance.now();
    if (now - measuredMs < MEASURE_MS) return;
    measuredMs = now;
    isFull = (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > limitBytes;
  };
  return {
    append: (events) => {
      measure();
      return !isFull && sink.append(events);
    },
    get writable() {
      return !isFull && sink.writable;
    },
    get lastSeq() {
      return sink.lastSeq;
    },
    close: () => sink.close(),
  };
}
