/** The proxy's metrics (design §6). No label carries SQL text, a user or a table. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { SessionObserver } from '#session/observer.ts';
import type { ShipmentResult } from '#proxy/spool/shipper.ts';

/**
 * What came of asking for credentials: granted; denied (for one of the connections at least); refused for the token, for the pod, for asking
 * too often; the operator not ready, not reached, or not understood.
 */
export type CredentialResult =
  | 'granted'
  | 'denied'
  | 'unauthorized'
  | 'forbidden'
  | 'throttled'
  | 'unavailable'
  | 'unreachable'
  | 'malformed';

export interface ProxyMetrics {
  readonly registry: Registry;
  readonly observer: SessionObserver;
  /** Generation that is enforced for a connection (`namespace/name`), and when it was loaded. */
  readonly bundleLoaded: (connection: string, generation: number, timeMs: number) => void;
  readonly bundleRejected: (connection: string) => void;
  readonly credentialRefresh: (result: CredentialResult) => void;
  readonly auditShipment: (result: ShipmentResult) => void;
  /** Asked at each scrape. */
  readonly measureAudit: (read: () => { readonly spoolBytes: number; readonly lagSeconds: number }) => void;
}

const decisionBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25];
const upstreamBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60];

/** A registry of its own, so that several proxies can live in one process (tests, demo). */
export function createMetrics(now: () => number = Date.now): ProxyMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const sessions = new Gauge({ name: 'postern_sessions', help: 'Open sessions.', registers });
  const approvals = new Gauge({
    name: 'postern_approvals_pending',
    help: 'Statements that wait for approval.',
    registers,
  });
  approvals.set(0);
  sessions.set(0);
  const loadedAtMs = new Map<string, number>();
  const generation = new Gauge({
    name: 'postern_bundle_generation',
    help: 'Generation of the policies enforced.',
    labelNames: ['connection'],
    registers,
  });
  new Gauge({
    name: 'postern_bundle_age_seconds',
    help: 'Time since the policies enforced were loaded.',
    labelNames: ['connection'],
    registers,
    collect() {
      for (const [connection, timeMs] of loadedAtMs) this.set({ connection }, (now() - timeMs) / 1000);
    },
  });
  const rejected = new Counter({
    name: 'postern_bundle_rejected_total',
    help: 'Bundles or edits of the policies that were refused; the last good ones stay in force.',
    labelNames: ['connection'],
    registers,
  });
  const credentials = new Counter({
    name: 'postern_credential_refresh_total',
    help: 'Attempts to read the database credentials.',
    labelNames: ['result'],
    registers,
  });
  const shipments = new Counter({
    name: 'postern_audit_shipments_total',
    help: 'Batches of audit records sent to the collector, by what came of it; refused ones are a defect or tampering.',
    labelNames: ['result'],
    registers,
  });
  return {
    registry,
    observer: sessionObserver(registers, sessions),
    bundleLoaded: (connection, number, timeMs) => {
      generation.set({ connection }, number);
      loadedAtMs.set(connection, timeMs);
    },
    bundleRejected: (connection) => rejected.inc({ connection }),
    credentialRefresh: (result) => credentials.inc({ result }),
    auditShipment: (result) => shipments.inc({ result }),
    measureAudit: (read) => measureAudit(registers, read),
  };
}

function sessionObserver(registers: Registry[], sessions: Gauge): SessionObserver {
  const statements = new Counter({
    name: 'postern_statements_total',
    help: 'Statements by decision, command tag and determining policy.',
    labelNames: ['decision', 'command', 'policy'],
    registers,
  });
  const decisions = new Histogram({
    name: 'postern_decision_seconds',
    help: 'Time to decide and rewrite a statement that was not in the cache.',
    buckets: decisionBuckets,
    registers,
  });
  const upstream = new Histogram({
    name: 'postern_upstream_seconds',
    help: 'From forwarding a statement to its completion.',
    buckets: upstreamBuckets,
    registers,
  });
  const rows = new Counter({ name: 'postern_rows_total', help: 'Rows sent to agents.', registers });
  const bytes = new Counter({ name: 'postern_bytes_total', help: 'Bytes of results sent to agents.', registers });
  const masked = new Counter({ name: 'postern_masked_columns_total', help: 'Masked columns read.', registers });
  const cache = new Counter({
    name: 'postern_parse_cache_total',
    help: 'Look-ups of decisions by statement text.',
    labelNames: ['result'],
    registers,
  });
  return {
    statement: (decision, command, policy) => statements.inc({ decision, command, policy }),
    decisionSeconds: (seconds) => decisions.observe(seconds),
    upstreamSeconds: (seconds) => upstream.observe(seconds),
    rows: (count) => rows.inc(count),
    bytes: (count) => bytes.inc(count),
    maskedColumns: (count) => masked.inc(count),
    parseCache: (result) => cache.inc({ result }),
    sessions: (delta) => sessions.inc(delta),
  };
}

function measureAudit(
  registers: Registry[],
  read: () => { readonly spoolBytes: number; readonly lagSeconds: number },
): void {
  new Gauge({
    name: 'postern_audit_spool_bytes',
    help: 'Bytes of audit records not yet confirmed.',
    registers,
    collect() {
      this.set(read().spoolBytes);
    },
  });
  new Gauge({
    name: 'postern_audit_lag_seconds',
    help: 'Age of the oldest audit record not yet confirmed.',
    registers,
    collect() {
      this.set(read().lagSeconds);
    },
  });
}
