/** The collector's metrics (design §6). */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface CollectorMetrics {
  readonly registry: Registry;
  /** Confirmed records. */
  readonly records: (count: number) => void;
  readonly object: (result: 'ok' | 'error') => void;
  readonly committed: (seconds: number) => void;
  readonly digest: (result: 'ok' | 'error') => void;
  /** A gap record; what is no known reason counts as other. */
  readonly gap: (reason: string) => void;
  /** Of an answer; `reason` is one of a fixed set, empty for 200. */
  readonly answered: (status: number, reason: string) => void;
}

const GAP_REASONS = new Set(['resumed', 'torn_line', 'file_replaced', 'unwritable']);

export function createCollectorMetrics(pendingBytes: () => number): CollectorMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const records = new Counter({ name: 'postern_records_total', help: 'Records that S3 has acknowledged.', registers });
  const objects = new Counter({
    name: 'postern_objects_total',
    help: 'Objects written to S3.',
    labelNames: ['result'],
    registers,
  });
  const commit = new Histogram({
    name: 'postern_commit_seconds',
    help: 'From the receipt of a batch to the acknowledgement of S3.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30],
    registers,
  });
  const answers = new Counter({
    name: 'postern_collector_answers_total',
    help: 'Answers to sidecars.',
    labelNames: ['status', 'reason'],
    registers,
  });
  const digests = new Counter({
    name: 'postern_digests_total',
    help: 'Signed digests written to S3.',
    labelNames: ['result'],
    registers,
  });
  const gaps = new Counter({
    name: 'postern_audit_gaps_total',
    help: 'Gap records among those confirmed: a process resumed, or could not record for a while.',
    labelNames: ['reason'],
    registers,
  });
  new Gauge({
    name: 'postern_collector_pending_bytes',
    help: 'Bytes of batches in memory, until S3 has them.',
    registers,
    collect() {
      this.set(pendingBytes());
    },
  });
  return {
    registry,
    records: (count) => records.inc(count),
    object: (result) => objects.inc({ result }),
    digest: (result) => digests.inc({ result }),
    gap: (reason) => gaps.inc({ reason: GAP_REASONS.has(reason) ? reason : 'other' }),
    committed: (seconds) => commit.observe(seconds),
    answered: (status, reason) => answers.inc({ status: String(status), reason }),
  };
}
