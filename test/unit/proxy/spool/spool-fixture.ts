/** A spool in a folder of its own, with a peer that takes its records. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent } from '#audit/event.ts';
import type { Finding } from '#audit/finding.ts';
import { LineScan } from '#audit/line-scan.ts';
import { ChainSet } from '#audit/verify.ts';
import type { Log } from '#proxy/log.ts';
import type { ShipmentResult } from '#proxy/spool/shipper.ts';
import { openSpool, type Spool, type SpoolOptions } from '#proxy/spool/spool.ts';
import { createAuthority, type TestAuthority } from '#test/certificates.ts';
import { CollectorPeer } from '#test/collector-peer.ts';

export const FAST = { gatherMs: 1, firstRetryMs: 2, maxRetryMs: 8, refusedRetryMs: 50 };

export class SpoolFixture {
  readonly authority: TestAuthority = createAuthority();
  readonly peer = new CollectorPeer();
  readonly root: string = mkdtempSync(join(tmpdir(), 'postern-spool-'));
  readonly tokens: string = join(this.root, 'tokens');
  readonly logged: string[] = [];
  readonly results: ShipmentResult[] = [];
  readonly #spools: Spool[] = [];
  #count = 0;

  async open(): Promise<void> {
    cpSync(mkdtempSync(join(this.root, 'empty-')), this.tokens, { recursive: true });
    this.writeToken('first token');
    await this.peer.open(this.authority.issue(['127.0.0.1']));
  }

  writeToken(token: string): void {
    writeFileSync(join(this.tokens, 'collector'), `${token}\n`);
  }

  /** A directory that does not exist yet. */
  newDirectory(): string {
    this.#count++;
    return join(this.root, `spool-${this.#count}`);
  }

  spool(directory: string, changes: Partial<SpoolOptions> = {}): Spool {
    const write = (fields: object, message: string): void => {
      this.logged.push(`${message} ${JSON.stringify(fields)}`);
    };
    const log: Log = { info: write, warn: write, error: write };
    const spool = openSpool({
      directory,
      limitBytes: 10_000_000,
      productVersion: '0.1.0-test',
      instanceUid: 'pod-uid-1',
      collector: { url: this.peer.url, tokenDirectory: this.tokens },
      log,
      timing: FAST,
      flushMs: 20_000,
      ...changes,
    });
    this.#spools.push(spool);
    return spool;
  }

  ship(spool: Spool, authorities: () => readonly string[] | undefined = () => [this.authority.caPem]): void {
    spool.ship({ certificateAuthorities: authorities, onResult: (result) => this.results.push(result) });
  }

  async closeSpools(): Promise<void> {
    await Promise.all(this.#spools.splice(0).map((spool) => spool.sink.close()));
  }

  async close(): Promise<void> {
    await this.peer.close();
    rmSync(this.root, { recursive: true });
  }
}

/** An event that can be found again by its mark. */
export function marked(mark: string): AuditEvent {
  return { phase: 'policy', timeMs: Date.now(), reason: mark, policies: [], generation: 1 };
}

export function edge(reason: 'process_start' | 'process_end'): AuditEvent {
  const about = { session: undefined, sqlstate: '00000', policies: [], generation: 0 };
  return { phase: 'session', timeMs: Date.now(), reason, ...about };
}

/** Segments in a spool, `<chain>/<file>`, in order. */
export function segmentsIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ndjson'))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** Whole lines that are in a spool. */
export function linesIn(directory: string): readonly string[] {
  return segmentsIn(directory).flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1));
}

export function seqOf(line: string): number {
  return Number(/"prev":"[^"]*","seq":(\d+)\}/.exec(line)?.[1]);
}

export function chainOf(line: string): string {
  return /"chain":\{"hash":"[^"]*","id":"([^"]+)"/.exec(line)?.[1] ?? '';
}

/** Lines of several chains, each line once, in the order of their chains. */
export function inOrder(lines: readonly string[]): readonly string[] {
  return [...new Set(lines)].toSorted((a, b) => chainOf(a).localeCompare(chainOf(b)) || seqOf(a) - seqOf(b));
}

export function verify(lines: readonly string[]): readonly Finding[] {
  const scan = new LineScan('f');
  scan.add(Buffer.from(lines.map((line) => `${line}\n`).join('')));
  const chains = new ChainSet({ isRepeatFinding: true });
  chains.add(scan.finish(), 'f');
  return chains.finish(false).findings;
}
