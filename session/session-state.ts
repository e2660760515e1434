import type { Buffer } from 'node:buffer';
import type { AuditEvent, RecordedResult, SessionContext } from '#audit/event.ts';
import type { SessionNames } from '#sql/access.ts';
import type { DecisionInput, EffectivePolicy } from '#policy/effective-policy.ts';
import type { Denial, TextDecision } from '#policy/decision.ts';
import type { GateError } from '#wire/error-response.ts';
import { TRANSACTION_STATUS } from '#wire/messages.ts';
import { ByteQueue } from './byte-queue.ts';
import type { CacheHit, DecisionCache } from './decision-cache.ts';
import type { StatementPlan } from './decided-text.ts';
import type { SessionObserver } from './observer.ts';
import type { RowRedactor } from './redaction.ts';
import type { CopyRedaction } from './result-redaction.ts';
import { ResultRecorder } from './result-recorder.ts';
import type { NamesState } from './session-names.ts';

/**
 * One session's state, and what it needs of the world.
 *
 * Theory of operation. Client messages are taken in order; each is decided, changed where needed and appended to `toServer`, together
 * with an entry in `queue` that says what the server must answer. Server messages are matched with the entry at the head: they pass, or
 * change, or are swallowed, on their way to `toClient`. An answer of the gate's own never overtakes: where replies are outstanding or a
 * transaction is open, the server is sent a message that fails in the refused one's place, and its error is replaced by the denial. So
 * the order, the skipping to Sync, the state of the transaction and ReadyForQuery are the server's own and always true.
 */
export interface SessionPorts {
  readonly context: SessionContext;
  readonly cache: DecisionCache;
  readonly observer: SessionObserver;
  readonly checkToken: string;
  readonly audit: { readonly required: boolean; readonly parameters: boolean };
  /** The policy that holds now; the same object until something changes. */
  policy(): EffectivePolicy | Denial;
  /** Decides a text. `undefined`: it is being decided elsewhere; `Session.resumeDecision` is called with the answer. */
  decide(input: DecisionInput): TextDecision | undefined;
  /** Absent: results are not recorded. */
  readonly addResult?: (result: RecordedResult) => void;
  /** A completion: written with the next decision or shortly after. */
  addCompletion(event: AuditEvent): void;
  /** Takes one from the identity's statements per minute; false: over the limit. */
  takeStatement(perMinute: number): boolean;
  /** Asks the server to cancel the running statement; `Session.cancelDone` is called when the request has arrived. */
  cancelUpstream(): void;
  /** Calls `Session.onTimer` after this many milliseconds; one timer a session, re-armed by the session. */
  armTimer(delayMs: number): void;
  /** Monotonic milliseconds with fractions. */
  nowMs(): number;
  /** Milliseconds since 1970. */
  timeMs(): number;
  newUid(): string;
}

/** A text on its way: its decision, and the agent's own words. */
export interface SentText {
  readonly hit: CacheHit;
  readonly text: string;
}

/** One execution of one statement: a decision record has been written, a completion record is owed. */
export interface Run {
  readonly uid: string;
  readonly plan: StatementPlan;
  readonly policy: EffectivePolicy;
}

/** A prepared statement of the extended protocol. */
export interface PreparedStatement {
  readonly name: string;
  readonly typeOids: readonly number[];
  sent: SentText;
  /** The decision recorded at Parse that no Execute has used yet. */
  pendingRuns: readonly Run[] | undefined;
  /** A Parse of ours failed or was skipped: the server may not hold it, parse again before the next use. */
  lost: boolean;
}

export interface Portal {
  readonly name: string;
  readonly statement: PreparedStatement;
  /** Replaced when a newer policy decides the same text. */
  sent: SentText;
  /** Text of the parameters, only where records hold them. */
  readonly parameters: readonly (string | null)[] | undefined;
  /** Formats of results that its Bind asks for. */
  readonly resultFormats: readonly number[];
  policy: EffectivePolicy;
  started: boolean;
  rows: number;
  bytes: number;
}

export type EntryKind = 'query' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'copyEnd';

/** A change of one entry of a table. `before` follows when a change before it is taken back. */
export interface Change<V> {
  before: V | undefined;
  readonly after: V | undefined;
}

/** How to take back a change of the statement or portal table. */
export type Undo =
  | { readonly kind: 'statement'; readonly name: string; readonly change: Change<PreparedStatement> }
  | { readonly kind: 'portal'; readonly name: string; readonly change: Change<Portal> }
  | { readonly kind: 'lost'; readonly statement: PreparedStatement }
  | {
      readonly kind: 'tables';
      readonly statements: ReadonlyMap<string, PreparedStatement>;
      readonly portals: ReadonlyMap<string, Portal>;
    };

/** One expected reply. */
export interface Entry {
  readonly kind: EntryKind;
  readonly sent: SentText | undefined;
  /** Of ours: a successful reply is not for the agent. */
  readonly swallow: boolean;
  /** The error that is certain to come is replaced by this. */
  readonly replacement: Buffer | undefined;
  readonly undo: Undo | undefined;
  readonly portal: Portal | undefined;
  /** The session's names before it, and before the implicit transaction it stands in. */
  readonly namesBefore: NamesState;
  readonly namesAtSync: NamesState;
  readonly startedMs: number;
  runs: readonly Run[] | undefined;
  /** Index of the statement whose replies come now (a Query may hold several). */
  planIndex: number;
  plan: StatementPlan | undefined;
  passes: boolean;
  /** RowDescription or CopyOutResponse seen: rows may come. */
  described: boolean;
  failed: boolean;
  /** Replies are dropped: the agent already has its error. */
  muted: boolean;
  /** Why the gate has the server cancel it. */
  limit: GateError | undefined;
  rows: number;
  bytes: number;
}

export type CopyIn = 'none' | 'simple' | 'extended';

/** What client messages change; replaced as a whole when a batch must be taken back. */
export interface FrontState {
  /** Everything is ignored until Sync. */
  skipping: boolean;
  /** Extended messages have gone to the server since the last Sync. */
  unsynced: boolean;
  /** Names may have changed: the next decision waits until the server has answered. */
  barrier: boolean;
  copyIn: CopyIn;
  names: NamesState;
  /** Names when the last Sync or Query went: what an implicit transaction falls back to. */
  namesAtSync: NamesState;
}

export type SessionEnd =
  | { readonly kind: 'client' }
  | { readonly kind: 'server' }
  | { readonly kind: 'failed'; readonly error: GateError };

export interface SessionState {
  readonly ports: SessionPorts;
  readonly toServer: ByteQueue;
  readonly toClient: ByteQueue;
  readonly queue: EntryQueue;
  readonly statements: Map<string, PreparedStatement>;
  readonly portals: Map<string, Portal>;
  front: FrontState;
  /** Transaction status of the last ReadyForQuery. */
  status: number;
  /** Decision records of the batch at hand. */
  events: AuditEvent[];
  /** The record cannot be written: every statement is refused (58030). */
  auditDown: boolean;
  stalled: 'decision' | 'barrier' | 'cancel' | undefined;
  /** A decision that came from elsewhere, for the message that waits. */
  arrived:
    | {
        readonly text: string;
        readonly policy: EffectivePolicy;
        readonly names: SessionNames;
        readonly decision: TextDecision;
      }
    | undefined;
  cancelsInFlight: number;
  /** The streamed message at hand passes to the server, or to the client; else its parts are dropped. */
  passingCopyIn: boolean;
  passingRow: boolean;
  /** A result was cut off and its Sync is still to come. */
  limitAtSync: GateError | undefined;
  lastCompletionMs: number;
  timerArmed: boolean;
  reportedSearchPath: string | undefined;
  readonly pinnedParameters: ReadonlyMap<string, string>;
  /** Content redaction of the result at hand, where the policy asks for it. */
  rowRedactor: RowRedactor | undefined;
  copyRedaction: CopyRedaction | undefined;
  /** Where results are recorded. */
  readonly results: ResultRecorder | undefined;
  /** The client has said goodbye; what it asked for before is still answered. */
  isTerminating: boolean;
  end: SessionEnd | undefined;
}

/** A queue by array and head index. */
export class EntryQueue {
  #entries: Entry[] = [];
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  get first(): Entry | undefined {
    return this.#entries[this.#head];
  }

  at(index: number): Entry | undefined {
    return this.#entries[this.#head + index];
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  shift(): void {
    this.#head++;
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head > 256) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  removeAt(index: number): void {
    this.#entries.splice(this.#head + index, 1);
  }

  /** Takes back the entries pushed since the length was this, last first. */
  truncate(length: number, undo: (entry: Entry) => void): void {
    while (this.length > length) {
      const entry = this.#entries.pop();
      if (entry !== undefined) undo(entry);
    }
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    }
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#entries.slice(this.#head)[Symbol.iterator]();
  }
}

export function createSessionState(options: {
  readonly ports: SessionPorts;
  readonly names: NamesState;
  readonly pinnedParameters: ReadonlyMap<string, string>;
}): SessionState {
  const { ports, names, pinnedParameters } = options;
  return {
    ports,
    pinnedParameters,
    toServer: new ByteQueue(),
    toClient: new ByteQueue(),
    queue: new EntryQueue(),
    statements: new Map(),
    portals: new Map(),
    front: { skipping: false, unsynced: false, barrier: false, copyIn: 'none', names, namesAtSync: names },
    status: TRANSACTION_STATUS.idle,
    events: [],
    auditDown: false,
    stalled: undefined,
    arrived: undefined,
    cancelsInFlight: 0,
    passingCopyIn: false,
    passingRow: false,
    limitAtSync: undefined,
    lastCompletionMs: 0,
    timerArmed: false,
    reportedSearchPath: undefined,
    rowRedactor: undefined,
    copyRedaction: undefined,
    results: ports.addResult === undefined ? undefined : new ResultRecorder(ports.addResult),
    isTerminating: false,
    end: undefined,
  };
}

/** What a new entry may say; everything else has its usual value. */
export interface EntryOptions {
  readonly kind: EntryKind;
  readonly sent?: SentText | undefined;
  readonly swallow?: boolean;
  readonly replacement?: Buffer;
  readonly undo?: Undo | undefined;
  readonly portal?: Portal;
  readonly runs?: readonly Run[] | undefined;
  readonly namesBefore?: NamesState;
}

/** Appends the expectation of a reply to the message just put into `toServer`. */
export function expectReply(state: SessionState, options: EntryOptions): Entry {
  const { sent } = options;
  const plan = sent?.hit.decided.plans[0];
  const { front } = state;
  const entry: Entry = {
    kind: options.kind,
    sent,
    swallow: options.swallow ?? false,
    replacement: options.replacement,
    undo: options.undo,
    portal: options.portal,
    namesBefore: options.namesBefore ?? front.names,
    namesAtSync: front.namesAtSync,
    startedMs: options.runs === undefined ? 0 : state.ports.nowMs(),
    runs: options.runs,
    planIndex: 0,
    plan,
    passes: passesRows(sent, plan),
    described: false,
    failed: false,
    muted: false,
    limit: undefined,
    rows: options.portal?.rows ?? 0,
    bytes: options.portal?.bytes ?? 0,
  };
  state.queue.push(entry);
  return entry;
}

/** Rows of this statement need no look inside. */
export function passesRows(sent: SentText | undefined, plan: StatementPlan | undefined): boolean {
  const decided = sent?.hit.decided;
  if (decided === undefined || decided.observed) return true;
  return plan?.passes === true && decided.policy.redaction === undefined;
}

/** Takes back what an entry changed in the tables. */
export function undoEntry(state: SessionState, entry: Entry): void {
  const { undo } = entry;
  if (undo === undefined) return;
  if (undo.kind === 'lost') undo.statement.lost = true;
  else if (undo.kind === 'tables') {
    replaceAll(state.statements, undo.statements);
    replaceAll(state.portals, undo.portals);
  } else if (undo.kind === 'statement') {
    if (!putBack(state.statements, undo.name, undo.change)) passBack(state, undo);
  } else if (!putBack(state.portals, undo.name, undo.change)) passBack(state, undo);
}

function replaceAll<V>(map: Map<string, V>, before: ReadonlyMap<string, V>): void {
  map.clear();
  for (const [name, value] of before) map.set(name, value);
}

/** False: the entry has been changed again since, by a message that stands. */
function putBack<V>(map: Map<string, V>, name: string, change: Change<V>): boolean {
  if (map.get(name) !== change.after) return false;
  if (change.before === undefined) map.delete(name);
  else map.set(name, change.before);
  return true;
}

/** The change that came next must, if it is taken back in turn, give back what was there before this one. */
function passBack(state: SessionState, undone: Extract<Undo, { kind: 'statement' | 'portal' }>): void {
  for (const { undo } of state.queue) {
    if (undo?.kind !== undone.kind || undo.name !== undone.name || undo.change.before !== undone.change.after) continue;
    Object.assign(undo.change, { before: undone.change.before });
    return;
  }
}

/** Changes an entry of the statement table; the answer takes it back. */
export function changeStatement(state: SessionState, name: string, after: PreparedStatement | undefined): Undo {
  const change = { before: state.statements.get(name), after };
  if (after === undefined) state.statements.delete(name);
  else state.statements.set(name, after);
  return { kind: 'statement', name, change };
}

/** The same for portals. */
export function changePortal(state: SessionState, name: string, after: Portal | undefined): Undo {
  const change = { before: state.portals.get(name), after };
  if (after === undefined) state.portals.delete(name);
  else state.portals.set(name, after);
  return { kind: 'portal', name, change };
}

/** Ends the session with an error of the gate's own. The first end counts. */
export function failSession(state: SessionState, error: Omit<GateError, 'severity'>): void {
  state.end ??= { kind: 'failed', error: { severity: 'FATAL', ...error } };
}
