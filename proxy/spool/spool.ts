/**
 * The record of a sidecar: a sink that writes this process's chain into the spool, and, where there is a collector, what sends the spool to
 * it. Loses nothing that `append` has answered true for while the volume lives; what the volume takes with it, design §6 says.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { AuditEvent, AuditSink, RecordedResult } from '#audit/event.ts';
import { ChainSink } from '#audit/file-sink.ts';
import { uuidv7 } from '#audit/uuid.ts';
import type { Log } from '#proxy/log.ts';
import { ChainFolder, type SpoolUsage } from './chain-folder.ts';
import { CollectorClient } from './collector-client.ts';
import { ResultQueue } from './result-queue.ts';
import { findChains, type FoundChains } from './resume.ts';
import { SegmentTarget } from './segment-target.ts';
import { MAX_BATCH_BYTES, Shipper, type ShipmentResult, type ShipperTiming } from './shipper.ts';

export interface SpoolOptions {
  readonly directory: string;
  readonly limitBytes: number;
  readonly productVersion: string;
  /** UID of the pod. */
  readonly instanceUid: string;
  /** Absent: records stay in the spool. */
  readonly collector: { readonly url: URL; readonly tokenDirectory: string } | undefined;
  readonly log: Log;
  /** How long the end may take; default 1.5 s. */
  readonly flushMs?: number;
  /** Default about 4 MiB, less in a small spool. */
  readonly segmentBytes?: number;
  readonly timing?: Partial<ShipperTiming>;
  readonly nowMs?: () => number;
}

export interface ShippingPorts {
  /** PEM, from the key set that is trusted now. */
  readonly certificateAuthorities: () => readonly string[] | undefined;
  readonly onResult: (result: ShipmentResult) => void;
}

export interface Spool {
  readonly sink: AuditSink;
  /** Begins to send; without a collector nothing happens. */
  readonly ship: (ports: ShippingPorts) => void;
  /** Of what is not confirmed. */
  readonly measure: () => { readonly spoolBytes: number; readonly lagSeconds: number };
}

const maxSegmentBytes = 4 * 1024 * 1024;
const segmentsInSpool = 8;
const worthDeletingBytes = 64 * 1024;
/** The kubelet may leave no more than 2 s. */
const defaultFlushMs = 1500;

/** Opens the spool. Throws where its directory cannot be read or made. */
export function openSpool(options: SpoolOptions): Spool {
  const { directory, limitBytes, log } = options;
  const nowMs = options.nowMs ?? Date.now;
  const usage: SpoolUsage = { bytes: 0 };
  const segmentBytes = options.segmentBytes ?? Math.min(maxSegmentBytes, Math.ceil(limitBytes / segmentsInSpool));
  const worthBytes = Math.min(worthDeletingBytes, Math.ceil(segmentBytes / 2));
  const found = findChains(directory, usage, worthBytes);
  reportFound(found, log);
  const id = uuidv7(Math.max(nowMs(), timeOf(found.newestId) + 1), randomBytes(10));
  const own = new ChainFolder({
    id,
    folder: join(directory, id),
    usage,
    segments: [],
    confirmedSeq: 0,
    worthDeletingBytes: worthBytes,
  });
  const shipping: { shipper: Shipper | undefined; results: ResultQueue | undefined } = {
    shipper: undefined,
    results: undefined,
  };
  const target = new SegmentTarget({
    chain: own,
    usage,
    limitBytes,
    segmentBytes,
    maxLineBytes: options.collector === undefined ? Number.MAX_SAFE_INTEGER : MAX_BATCH_BYTES,
    gap: found.gap,
    onWritten: () => shipping.shipper?.written(),
  });
  const chained = new ChainSink(target, { ...options, chainId: id, nowMs });
  const chains = [...found.chains, own];
  const close = async (): Promise<void> => {
    await chained.close();
    const flushMs = options.flushMs ?? defaultFlushMs;
    await Promise.all([shipping.shipper?.close(flushMs), shipping.results?.close(flushMs)]);
    shipping.shipper = undefined;
    shipping.results = undefined;
  };
  return {
    sink: spoolSink({
      options,
      chained,
      target,
      own,
      close,
      hurry: () => shipping.shipper?.hurry(),
      addResult: (result) => shipping.results?.add(result),
    }),
    ship: (ports) => {
      if (options.collector === undefined || shipping.shipper !== undefined) return;
      const { url, tokenDirectory } = options.collector;
      const { certificateAuthorities } = ports;
      const openClient = (): CollectorClient =>
        new CollectorClient({ collectorUrl: url, tokenDirectory, certificateAuthorities });
      shipping.shipper = startShipper(options, ports, { found, own, chained, nowMs, client: openClient() });
      // A connection of its own: long results do not hold up records.
      const client = openClient();
      shipping.results = new ResultQueue({
        send: async (session, lines, signal) => await client.sendResults(session, lines, signal),
        log,
      });
    },
    measure: () => measure(chains),
  };
}

function reportFound(found: FoundChains, log: Log): void {
  for (const problem of found.problems) log.error({ problem }, 'the spool is not as a process leaves it');
  if (found.gap === undefined) return;
  const records = found.chains.reduce((sum, chain) => sum + chain.lastSeq - chain.confirmedSeq, 0);
  log.info(
    { chains: found.chains.length, records, reason: found.gap.reason },
    'the spool holds records of an earlier process',
  );
}

/** Of a UUID version 7, Unix milliseconds. */
function timeOf(id: string | undefined): number {
  return id === undefined ? 0 : Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

interface SinkParts {
  readonly options: SpoolOptions;
  readonly chained: ChainSink;
  readonly target: SegmentTarget;
  readonly own: ChainFolder;
  readonly close: () => Promise<void>;
  readonly hurry: () => void;
  readonly addResult: (result: RecordedResult) => void;
}

function spoolSink({ options, chained, target, own, close, hurry, addResult }: SinkParts): AuditSink {
  let hasEnded = false;
  let closing: Promise<void> | undefined;
  return {
    append: (events) => {
      // INVARIANT: nothing stands behind the end of a chain.
      if (hasEnded) return false;
      const ends = events.some(isProcessEnd);
      if (ends) target.allowLastRecord();
      const written = chained.append(events);
      if (ends) hasEnded = written;
      return written;
    },
    get writable() {
      return chained.writable;
    },
    get lastSeq() {
      return chained.lastSeq;
    },
    ...(options.collector === undefined
      ? {}
      : {
          appendResult: addResult,
          whenConfirmed: async (seq: number) => {
            const confirmed = own.whenConfirmed(seq);
            hurry();
            await confirmed;
          },
        }),
    close: () => {
      closing ??= close().then(() => {
        // A chain without its end stays, so that the next process can say what it goes on from.
        if (hasEnded && options.collector !== undefined) own.removeIfConfirmed();
      });
      return closing;
    },
  };
}

function isProcessEnd(event: AuditEvent): boolean {
  return event.phase === 'session' && event.reason === 'process_end';
}

interface ShipperParts {
  readonly found: FoundChains;
  readonly own: ChainFolder;
  readonly chained: ChainSink;
  readonly nowMs: () => number;
  readonly client: CollectorClient;
}

function startShipper(
  options: SpoolOptions,
  ports: ShippingPorts,
  { found, own, chained, nowMs, client }: ShipperParts,
): Shipper {
  const { log, timing } = options;
  const shipper = new Shipper({
    earlier: found.chains,
    own,
    send: (shipment, signal) => client.send(shipment, signal),
    log,
    onResult: ports.onResult,
    onLost: (chain, first, last) => {
      const after = { chain: chain.id, seq: first - 1 };
      chained.append([{ phase: 'gap', timeMs: nowMs(), reason: 'file_replaced', lost: last - first + 1, after }]);
    },
    ...(timing === undefined ? {} : { timing }),
  });
  shipper.start();
  return shipper;
}

function measure(chains: readonly ChainFolder[]): { readonly spoolBytes: number; readonly lagSeconds: number } {
  const spoolBytes = chains.reduce((sum, chain) => sum + chain.pendingBytes, 0);
  const since = chains.flatMap(({ pendingSinceMs }) => (pendingSinceMs === undefined ? [] : [pendingSinceMs]));
  const lagSeconds = since.length === 0 ? 0 : Math.max(0, performance.now() - Math.min(...since)) / 1000;
  return { spoolBytes, lagSeconds };
}
