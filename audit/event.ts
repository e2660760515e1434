/**
 * One audit event before it gets its place in the chain. audit/record.ts turns it into the OCSF object of the contract (design §6);
 * audit/chain.ts adds `metadata.sequence` and `unmapped.chain` and prints the canonical line.
 */
export interface SessionContext {
  readonly sessionUid: string;
  readonly actorUid: string;
  readonly groups: readonly string[];
  readonly hostname: string;
  readonly port: number;
  readonly database: string;
}

/** What every record about a decided statement says. One object serves all executions of it: printers keep what they made of it. */
export interface StatementAbout {
  readonly command: string;
  readonly disposition: 'Allowed' | 'Denied' | 'Masked' | 'ApprovalRequired' | 'Approved';
  readonly policies: readonly string[];
  readonly generation: number;
  readonly reason: string;
  readonly relations: readonly string[];
  readonly masked: readonly string[];
  readonly rowFilters: readonly string[];
  readonly rewritten: boolean;
}

export type AuditEvent =
  | {
      readonly phase: 'decision';
      readonly timeMs: number;
      readonly session: SessionContext;
      readonly statementUid: string;
      readonly about: StatementAbout;
      readonly queryString: string;
      readonly sqlstate: string;
      /** Only when `audit.parameters` asks for it. */
      readonly parameters: readonly (string | null)[] | undefined;
    }
  | {
      readonly phase: 'completion';
      readonly timeMs: number;
      readonly session: SessionContext;
      readonly statementUid: string;
      readonly about: StatementAbout;
      readonly sqlstate: string;
      readonly rows: number;
      readonly bytes: number;
      readonly durationMs: number;
    }
  | {
      readonly phase: 'session';
      readonly timeMs: number;
      readonly session: SessionContext | undefined;
      /** session_start, session_end, session_refused, process_start, process_end. */
      readonly reason: string;
      readonly sqlstate: string;
      readonly policies: readonly string[];
      readonly generation: number;
    }
  | {
      readonly phase: 'policy';
      readonly timeMs: number;
      /** loaded, rejected, withdrawn. */
      readonly reason: string;
      readonly policies: readonly string[];
      readonly generation: number;
      readonly detail?: string;
    }
  | { readonly phase: 'heartbeat'; readonly timeMs: number; readonly sessions: number }
  | {
      readonly phase: 'gap';
      readonly timeMs: number;
      /** resumed, torn_line, file_replaced, unwritable. */
      readonly reason: string;
      /** Records that were not kept; the statements they speak of were not forwarded, or their decisions are on record. */
      readonly lost?: number;
      /** The last line of the chain that this one goes on from. */
      readonly after?: { readonly chain: string; readonly seq: number };
    };

/** What the agent received for one statement: kept apart from the records, which never hold values. */
export interface RecordedResult {
  /** UID of the session. */
  readonly session: string;
  /** UID of the statement, as in its records. */
  readonly statement: string;
  /** From 1. */
  readonly part: number;
  readonly columns?: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** More was received than is kept. */
  readonly truncated?: true;
  /** Unix milliseconds. */
  readonly time: number;
}

/** Where events go. `append` returns once the lines are written (write, not fsync): false means nothing may be forwarded (58030). */
export interface AuditSink {
  /** Writes all events in one write; all or nothing. Never throws. */
  append(events: readonly AuditEvent[]): boolean;
  /** Whether the last write worked; a failed sink tries again at the next append. */
  readonly writable: boolean;
  /** Keeps a result; never throws, and may drop it where there is no room. Absent: results are not kept. */
  readonly appendResult?: (result: RecordedResult) => void;
  /** Number of the last line written. */
  readonly lastSeq: number;
  /** Resolves when the line of this number is kept for good (in S3); absent: the sink cannot say. */
  readonly whenConfirmed?: (seq: number) => Promise<void>;
  close(): Promise<void>;
}
