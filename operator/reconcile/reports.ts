/**
 * What sidecars say that they enforce. Each replica hears its own share; it tells the others in a ConfigMap of the operator's namespace, so
 * that the leader knows all without a call for each pod. Pure but for the book's own memory; times are given.
 */
import { type ConnectionReport, ENFORCEMENT_STATES } from '#bundle/credentials-exchange.ts';

export interface PodReport {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly connections: readonly ConnectionReport[];
}

/** A sidecar asks at least every 30 s; one that has not for this long says nothing any more. */
export const REPORT_LIFE_MS = 120_000;
const MAX_PODS = 5000;

export class ReportBook {
  readonly #own = new Map<string, PodReport>();
  /** By replica. */
  readonly #others = new Map<string, ReadonlyMap<string, PodReport>>();

  /** Notes a report that this replica was given; true: it says something new. */
  record(report: PodReport): boolean {
    const before = this.#own.get(report.uid);
    // Newest last, so that what is left out beyond the bound is the oldest.
    this.#own.delete(report.uid);
    this.#own.set(report.uid, report);
    return before === undefined || JSON.stringify(before.connections) !== JSON.stringify(report.connections);
  }

  /** Takes what another replica tells; undefined: it is gone. */
  take(replica: string, reports: readonly PodReport[] | undefined): void {
    if (reports === undefined) this.#others.delete(replica);
    else this.#others.set(replica, new Map(reports.map((report) => [report.uid, report])));
  }

  /** The newest report of a pod about a connection (`namespace/name`), not older than `REPORT_LIFE_MS`. */
  find(uid: string, connection: string, nowMs: number): ConnectionReport | undefined {
    let newest = this.#own.get(uid);
    for (const reports of this.#others.values()) {
      const other = reports.get(uid);
      if (other !== undefined && (newest === undefined || other.atMs > newest.atMs)) newest = other;
    }
    if (newest === undefined || nowMs - newest.atMs > REPORT_LIFE_MS) return undefined;
    return newest.connections.find((report) => report.connection === connection);
  }

  /** What this replica tells the others; forgets what is too old. */
  tell(nowMs: number): readonly PodReport[] {
    for (const [uid, report] of this.#own) {
      if (nowMs - report.atMs > REPORT_LIFE_MS) this.#own.delete(uid);
    }
    return [...this.#own.values()].slice(-MAX_PODS);
  }
}

/** The text of `reports.json`. */
export function encodeReports(reports: readonly PodReport[]): string {
  return JSON.stringify(
    reports.map(({ namespace, name, uid, atMs, connections }) => [namespace, name, uid, atMs, connections]),
  );
}

/** What cannot be read is nothing: a report is never authority. */
export function decodeReports(text: string): readonly PodReport[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(value) ? value.flatMap((entry: unknown) => decodeReport(entry) ?? []) : [];
}

function decodeReport(entry: unknown): PodReport | undefined {
  if (!Array.isArray(entry)) return undefined;
  const [namespace, name, uid, atMs, connections] = entry as readonly unknown[];
  if (typeof namespace !== 'string' || typeof name !== 'string' || typeof uid !== 'string') return undefined;
  if (typeof atMs !== 'number' || !Array.isArray(connections)) return undefined;
  return { namespace, name, uid, atMs, connections: connections.filter(isConnectionReport) };
}

function isConnectionReport(value: unknown): value is ConnectionReport {
  const report = value as Partial<ConnectionReport> | null;
  return (
    typeof report?.connection === 'string' &&
    typeof report.appliedGeneration === 'number' &&
    typeof report.keySetVersion === 'number' &&
    ENFORCEMENT_STATES.some((state) => state === report.state)
  );
}
