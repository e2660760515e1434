/** The operator's metrics (design §6). No label carries a name that agents or their teams choose. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ReflectorMetrics } from '#kubernetes/reflector.ts';

export interface OperatorMetrics {
  readonly registry: Registry;
  readonly reconciled: (kind: string, result: 'ok' | 'error') => void;
  /** Of pods: injected, unchanged, refused ...; `reason` is CamelCase and one of a fixed set. */
  readonly injected: (result: string, reason: string) => void;
  /** From the write of a policy to the report of a proxy that enforces it. */
  readonly propagated: (seconds: number) => void;
  /** Of an answer of the credentials endpoint. */
  readonly credentialsAnswered: (status: number) => void;
  readonly apiRequest: (method: string, path: string, status: number) => void;
  readonly leading: (leads: boolean) => void;
  /** Labelled pods that live, by what is wrong with them. */
  readonly podsWatched: (report: PodReport) => void;
  readonly reflector: ReflectorMetrics;
  /** Asked at each scrape. */
  readonly measure: (read: () => OperatorFigures) => void;
}

export interface PodReport {
  readonly withoutSidecar: number;
  readonly changedSidecar: number;
  readonly outdated: number;
}

/** What is measured when somebody asks. */
export interface OperatorFigures {
  /** Unix milliseconds at which the certificate in use ends. */
  readonly certificateEndsAtMs: number | undefined;
  readonly queueDepth: number;
  readonly nowMs: number;
}

const propagationBuckets = [0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 120];

/** A registry of its own, so that several operators can live in one process (tests). */
export function createOperatorMetrics(): OperatorMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = (name: string, help: string, labelNames: string[]): Counter =>
    new Counter({ name: `postern_${name}`, help, labelNames, registers });
  const reconciles = counter('reconcile_total', 'Reconciled objects.', ['kind', 'result']);
  const injections = counter('injections_total', 'Admitted pods.', ['result', 'reason']);
  const credentials = counter('credential_answers_total', 'Answers to sidecars that asked for credentials.', [
    'status',
  ]);
  const requests = counter('api_requests_total', 'Requests to the API server.', ['method', 'resource', 'status']);
  const restarts = counter('watch_restarts_total', 'Watches that ended and were begun anew.', ['resource', 'reason']);
  const lists = counter('watch_lists_total', 'Collections listed as a whole.', ['resource']);
  const leader = new Gauge({ name: 'postern_leader', help: '1 on the replica that reconciles.', registers });
  leader.set(0);
  const propagation = new Histogram({
    name: 'postern_policy_propagation_seconds',
    help: 'From the write of a bundle to the report of a proxy that enforces it.',
    buckets: propagationBuckets,
    registers,
  });
  const pods = new Gauge({
    name: 'postern_labelled_pods',
    help: 'Labelled pods that live, by what is wrong: no sidecar, one that is not ours, one of an earlier release.',
    labelNames: ['problem'],
    registers,
  });
  return {
    registry,
    podsWatched: (report) => {
      pods.set({ problem: 'SidecarMissing' }, report.withoutSidecar);
      pods.set({ problem: 'SidecarChanged' }, report.changedSidecar);
      pods.set({ problem: 'Outdated' }, report.outdated);
    },
    reconciled: (kind, result) => reconciles.inc({ kind, result }),
    injected: (result, reason) => injections.inc({ result, reason }),
    propagated: (seconds) => propagation.observe(seconds),
    credentialsAnswered: (status) => credentials.inc({ status: String(status) }),
    apiRequest: (method, path, status) => {
      requests.inc({ method, resource: resourceOfPath(path), status: String(status) });
    },
    leading: (leads) => leader.set(leads ? 1 : 0),
    reflector: {
      listed: (path) => lists.inc({ resource: resourceOfPath(path) }),
      watchRestarted: (path, reason) => restarts.inc({ resource: resourceOfPath(path), reason }),
    },
    measure: (read) => measure(registers, read),
  };
}

function measure(registers: Registry[], read: () => OperatorFigures): void {
  new Gauge({
    name: 'postern_certificate_expiry_seconds',
    help: 'Time until the certificate in use ends; 0: there is none.',
    registers,
    collect() {
      const { certificateEndsAtMs, nowMs } = read();
      this.set(certificateEndsAtMs === undefined ? 0 : (certificateEndsAtMs - nowMs) / 1000);
    },
  });
  new Gauge({
    name: 'postern_reconcile_queue_depth',
    help: 'Objects that wait to be reconciled or are being reconciled.',
    registers,
    collect() {
      this.set(read().queueDepth);
    },
  });
}

/** The plural in a REST path: `/api/v1/namespaces/x/pods/y?…` gives `pods`, with a sub-resource `pods/status`. Names never get in. */
export function resourceOfPath(path: string): string {
  const parts = (path.split('?', 1)[0] ?? '').split('/').filter((part) => part !== '');
  const group = parts[0] === 'api' ? parts.slice(2) : parts.slice(3);
  const rest = group[0] === 'namespaces' && group.length > 2 ? group.slice(2) : group;
  const [plural = 'other', , subresource] = rest;
  return subresource === undefined ? plural : `${plural}/${subresource}`;
}
