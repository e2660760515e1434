/** What a proxy process has once, however many connections it serves: the audit's chain, metrics, health, heartbeat, and its end. */
import type { AddressInfo } from 'node:net';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import type { SessionObserver } from '#session/observer.ts';
import type { AdminServer } from './admin.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { createEarlyObserver } from './early-observer.ts';
import type { ProxyMetrics } from './metrics.ts';

const heartbeatMs = 10_000;
const defaultDrainMs = 20_000;

/** Before anything listens. */
export interface BegunProcess {
  readonly sink: AuditSink;
  readonly observer: SessionObserver;
  /** prom-client loads after the first connections can come in. */
  readonly metrics: Promise<ProxyMetrics>;
}

/** What of the record is not kept for good yet. */
export type MeasureAudit = () => { readonly spoolBytes: number; readonly lagSeconds: number };

/** Opens the record of this process. Without `measure` nothing ever waits to be kept. */
export function beginProcess(sink: AuditSink, measure: MeasureAudit = nothingWaits): BegunProcess {
  const early = createEarlyObserver();
  const load = async (): Promise<ProxyMetrics> => await loadMetrics(early.handOver, measure);
  const metrics = new Promise<ProxyMetrics>((resolve) => setImmediate(() => resolve(load())));
  sink.append([processEvent('process_start', 0)]);
  return { sink, observer: early.observer, metrics };
}

export interface ProcessParts {
  readonly gates: readonly ConnectionGate[];
  /** `host` absent: every address, of both families where there are two. */
  readonly admin: { readonly host: string | undefined; readonly port: number } | undefined;
  /** Before the connections are drained: what would change the configuration ends. */
  readonly stop: () => void;
  /** After they are gone. */
  readonly release: () => void;
}

export interface RunningProcess {
  readonly adminAddress: AddressInfo | undefined;
  /** Lets transactions end (57P01), at most `timeoutMs`; then the last record is written. */
  readonly close: (timeoutMs?: number) => Promise<void>;
}

/** Rejects where the admin address is taken; then the connections are closed. */
export async function runProcess({ sink, metrics }: BegunProcess, parts: ProcessParts): Promise<RunningProcess> {
  const { gates } = parts;
  const closeGates = async (timeoutMs: number): Promise<void> => {
    await Promise.all(gates.map((gate) => gate.close(timeoutMs)));
  };
  const admin = await openAdmin(parts, metrics).catch(async (error: unknown) => {
    parts.stop();
    await closeGates(0);
    parts.release();
    throw error;
  });
  const heartbeat = setInterval(() => {
    const sessions = gates.reduce((sum, gate) => sum + gate.connectionCount(), 0);
    sink.append([{ phase: 'heartbeat', timeMs: Date.now(), sessions }]);
  }, heartbeatMs);
  heartbeat.unref();
  const close = async (timeoutMs: number): Promise<void> => {
    parts.stop();
    clearInterval(heartbeat);
    await closeGates(timeoutMs);
    parts.release();
    await admin?.close();
    sink.append([processEvent('process_end', Math.max(0, ...gates.map((gate) => gate.live.recordedGeneration)))]);
    await sink.close();
  };
  let closing: Promise<void> | undefined;
  return {
    adminAddress: admin?.address,
    close: (timeoutMs = defaultDrainMs) => {
      closing ??= close(timeoutMs);
      return closing;
    },
  };
}

/** Resolves when policies and catalog are loaded. */
export async function untilReady({ live }: ConnectionGate): Promise<void> {
  if (live.notReady() === undefined) return;
  await new Promise<void>((resolve) => {
    const unsubscribe = live.subscribe(() => {
      if (live.notReady() !== undefined) return;
      unsubscribe();
      resolve();
    });
  });
}

function processEvent(reason: 'process_start' | 'process_end', generation: number): AuditEvent {
  return {
    phase: 'session',
    timeMs: Date.now(),
    session: undefined,
    reason,
    sqlstate: '00000',
    policies: [],
    generation,
  };
}

function nothingWaits(): ReturnType<MeasureAudit> {
  return { spoolBytes: 0, lagSeconds: 0 };
}

async function loadMetrics(
  handOver: (observer: SessionObserver) => void,
  measure: MeasureAudit,
): Promise<ProxyMetrics> {
  const { createMetrics } = await import('./metrics.ts');
  const metrics = createMetrics();
  metrics.measureAudit(measure);
  handOver(metrics.observer);
  return metrics;
}

async function openAdmin(parts: ProcessParts, metrics: Promise<ProxyMetrics>): Promise<AdminServer | undefined> {
  const { admin, gates } = parts;
  if (admin === undefined) return undefined;
  const { startAdmin } = await import('./admin.ts');
  return await startAdmin(admin.host, admin.port, {
    notReady: () => notReady(gates),
    metrics: async () => {
      const { registry } = await metrics;
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  });
}

function notReady(gates: readonly ConnectionGate[]): string | undefined {
  const reasons = gates.flatMap((gate) => {
    const reason = gate.live.notReady();
    if (reason === undefined) return [];
    return [gates.length === 1 ? reason : `${gate.connection}: ${reason}`];
  });
  return reasons.length === 0 ? undefined : reasons.join('; ');
}
