/**
 * What a session reports for metrics (design §6, names in proxy/metrics.ts). Calls happen on the hot path: implementations only add to
 * counters. No argument carries SQL text, a user or a table.
 */
export interface SessionObserver {
  /** One decided statement: `decision` allowed, masked, denied, approval_required, error; `command` a command tag; `policy` ns/name. */
  statement(decision: string, command: string, policy: string): void;
  /** Time a decision took when it was not in the cache. */
  decisionSeconds(seconds: number): void;
  /** From forwarding a statement to its completion. */
  upstreamSeconds(seconds: number): void;
  rows(count: number): void;
  bytes(count: number): void;
  maskedColumns(count: number): void;
  parseCache(result: 'exact' | 'shape' | 'miss'): void;
  /** A session opened (+1) or ended (-1). */
  sessions(delta: 1 | -1): void;
}

/** Counts nothing. */
export const SILENT_OBSERVER: SessionObserver = {
  statement() {},
  decisionSeconds() {},
  upstreamSeconds() {},
  rows() {},
  bytes() {},
  maskedColumns() {},
  parseCache() {},
  sessions() {},
};
