import type { Buffer } from 'node:buffer';
import type { AuditEvent } from '#audit/event.ts';
import type { SessionNames } from '#sql/access.ts';
import type { TextDecision } from '#policy/decision.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { denialFor } from '#policy/reasons.ts';
import { encodeGateError, type GateError } from '#wire/error-response.ts';
import { Framer } from '#wire/framer.ts';
import { backendLengthLimit, FRONTEND, frontendLengthLimit } from '#wire/messages.ts';
import { WireError } from '#wire/wire-error.ts';
import type { ByteQueue } from './byte-queue.ts';
import { handleClientMessage } from './client-messages.ts';
import type { FrameView } from './forward.ts';
import { mayStreamRow, passRows } from './result-rows.ts';
import { handleServerMessage } from './server-messages.ts';
import type { NamesState } from './session-names.ts';
import {
  createSessionState,
  failSession,
  type FrontState,
  type SessionEnd,
  type SessionPorts,
  type SessionState,
  undoEntry,
} from './session-state.ts';
import { endRuns } from './statement-end.ts';

/** How long the server has to answer a cancel before the session is given up. */
const CANCEL_GRACE_MS = 5_000;
/** The server's own statement_timeout comes first. */
const TIMEOUT_SLACK_MS = 200;

/**
 * One session between an agent and the database, without sockets: bytes in, bytes out. After each call the bytes in `toServer` and
 * `toClient` are to be written, and `end` says whether the session is over. See session-state.ts for the theory of operation.
 */
export class Session {
  readonly #state: SessionState;
  readonly #ports: SessionPorts;
  readonly #client: Framer;
  readonly #server: Framer;
  /** The messages of the batch at hand, kept so that it can be done again when the record cannot be written. */
  readonly #batch: FrameView[] = [];
  /** A message that has to wait. */
  #waiting: FrameView | undefined;
  /** How things stood before the batch whose decisions are not recorded yet. */
  #unsettled: Checkpoint | undefined;
  /** Decisions were taken, and it is not known yet whether they are recorded. */
  #awaitsRecord = false;

  constructor(options: {
    readonly ports: SessionPorts;
    readonly names: NamesState;
    /** Reported parameters that must keep this value; another ends the session. */
    readonly pinnedParameters: ReadonlyMap<string, string>;
  }) {
    this.#state = createSessionState(options);
    this.#ports = options.ports;
    this.#client = new Framer({ lengthLimit: frontendLengthLimit, mayStream: (tag) => tag === FRONTEND.copyData });
    this.#server = new Framer({
      lengthLimit: backendLengthLimit,
      mayStream: (tag, totalBytes) => mayStreamRow(this.#state, tag, totalBytes),
    });
  }

  get toServer(): ByteQueue {
    return this.#state.toServer;
  }

  get toClient(): ByteQueue {
    return this.#state.toClient;
  }

  get end(): SessionEnd | undefined {
    return this.#state.end;
  }

  /** No more bytes of the client should be read for now. */
  get isStalled(): boolean {
    return this.#state.stalled !== undefined;
  }

  /** The client has said goodbye: when it closes now, nothing is cancelled. */
  get isTerminating(): boolean {
    return this.#state.isTerminating;
  }

  /** Bytes of rows that the statement at the head has sent so far. */
  get streamedBytes(): number {
    return this.#state.queue.first?.bytes ?? 0;
  }

  /** Bytes of the client that are kept. */
  get pendingBytes(): number {
    return this.#client.pendingBytes;
  }

  /** Something still refers to the client's last chunk: it waits, or has not been recorded, or not been taken out of `toServer`. */
  get needsChunk(): boolean {
    const { stalled, events, toServer } = this.#state;
    const isAhead = stalled !== undefined || this.#awaitsRecord || events.length > 0;
    return isAhead || toServer.length > 0 || this.#waiting !== undefined;
  }

  /** A row of the server stands half written to the client: whatever is sent now is read as its value. */
  get isMidRow(): boolean {
    return this.#server.remaining > 0;
  }

  /** Transaction status of the last ReadyForQuery, and nothing outstanding. */
  get isQuiet(): boolean {
    return this.#state.queue.length === 0 && this.#state.status === 0x49;
  }

  /**
   * Statements are decided but not recorded: nothing of them may be written to the server, and nothing may be told to the session, until
   * `takeDecisions` and `settle` have been called.
   */
  get hasDecisions(): boolean {
    return this.#state.events.length > 0;
  }

  /** Between `takeDecisions` and `settle`: the server may answer what went before, but nothing goes to it and no client bytes may come. */
  get awaitsRecord(): boolean {
    return this.#awaitsRecord;
  }

  /** The decision records of the batch at hand. */
  takeDecisions(): readonly AuditEvent[] {
    const { events } = this.#state;
    this.#state.events = [];
    this.#awaitsRecord = true;
    return events;
  }

  /** The records are written, or they could not be: then, where they must, the batch is taken back and answered with 58030. */
  settle(written: boolean): void {
    const checkpoint = this.#unsettled;
    this.#unsettled = undefined;
    this.#awaitsRecord = false;
    if (!written && checkpoint !== undefined) this.#takeBack(checkpoint);
    this.#armTimer();
    if (this.#state.end !== undefined) this.#finish();
  }

  /** Goes on where what the session waited for has come, perhaps while its record was under way; to be called when what was settled is written. */
  resumeIfDue(): void {
    const { stalled, queue, arrived, cancelsInFlight, end } = this.#state;
    if (this.#awaitsRecord || end !== undefined) return;
    const isDue =
      (stalled === 'barrier' && queue.length === 0) ||
      (stalled === 'decision' && arrived !== undefined) ||
      (stalled === 'cancel' && cancelsInFlight === 0);
    if (isDue) this.#resume();
  }

  /** Bytes from the agent. The buffer must stay unchanged until they are written. */
  receiveFromClient(chunk: Buffer): void {
    try {
      this.#client.push(chunk);
      this.#pump();
    } catch (error) {
      this.#onBreach(error);
    }
    if (this.#state.end !== undefined) this.#finish();
  }

  /** Bytes from the database. The buffer must stay unchanged until they are written; nothing else refers to it afterwards. */
  receiveFromServer(chunk: Buffer): void {
    const state = this.#state;
    const server = this.#server;
    try {
      server.push(chunk);
      while (state.end === undefined) {
        if (passRows(state, server)) continue;
        if (!server.next()) break;
        handleServerMessage(state, server);
      }
      if (state.stalled === 'barrier') this.resumeIfDue();
      if (state.isTerminating && state.queue.length === 0) state.end ??= { kind: 'client' };
    } catch (error) {
      this.#onBreach(error);
    }
    if (state.end !== undefined) this.#finish();
  }

  /** The answer to a decision that was made elsewhere. */
  resumeDecision(text: string, policy: EffectivePolicy, names: SessionNames, decision: TextDecision): void {
    if (this.#state.stalled !== 'decision') return;
    this.#state.arrived = { text, policy, names, decision };
    this.#guarded(() => this.resumeIfDue());
  }

  /** A cancel request has arrived at the server. */
  cancelDone(): void {
    this.#state.cancelsInFlight--;
    if (this.#state.stalled === 'cancel') this.#guarded(() => this.resumeIfDue());
  }

  /** The timer asked for by `armTimer`. */
  onTimer(): void {
    this.#state.timerArmed = false;
    const entry = this.#state.queue.first;
    const policy = entry?.sent?.hit.decided.policy;
    const timeoutMs = policy?.limits.statementTimeoutMs;
    if (entry?.runs === undefined || policy === undefined || timeoutMs === undefined) return;
    const ranMs = this.#ports.nowMs() - Math.max(entry.startedMs, this.#state.lastCompletionMs);
    if (ranMs >= timeoutMs + TIMEOUT_SLACK_MS + CANCEL_GRACE_MS) {
      failSession(this.#state, denialFor('time_limit', { limit: String(timeoutMs / 1000) }, policy.errors));
      return;
    }
    if (ranMs >= timeoutMs + TIMEOUT_SLACK_MS && entry.limit === undefined) {
      entry.limit = denialFor('time_limit', { limit: String(timeoutMs / 1000) }, policy.errors);
      this.#state.cancelsInFlight++;
      this.#ports.cancelUpstream();
    }
    this.#armTimer();
  }

  /** Ends the session from outside: policy withdrawn, draining, upstream lost. */
  fail(error: Omit<GateError, 'severity'>): void {
    failSession(this.#state, error);
    this.#finish();
  }

  /** The session is over: what is still owed a completion record gets it. */
  close(sqlstate: string): void {
    for (const entry of this.#state.queue) endRuns(this.#state, entry, sqlstate);
  }

  #resume(): void {
    this.#state.stalled = undefined;
    this.#pump();
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#onBreach(error);
    }
    this.#finish();
  }

  #onBreach(error: unknown): void {
    if (!(error instanceof WireError)) throw error;
    failSession(this.#state, { slug: 'protocol_violation', sqlstate: error.sqlstate, message: error.message });
  }

  #finish(): void {
    const { end } = this.#state;
    if (end?.kind !== 'failed' || this.#finished) return;
    this.#finished = true;
    // The connection just closes.
    if (this.isMidRow) return;
    this.#state.toClient.push(encodeGateError(end.error));
  }
  #finished = false;

  /** Takes the client's messages as far as possible, as one batch: one audit write, one write to the server. */
  #pump(): void {
    const state = this.#state;
    if (state.stalled !== undefined || state.end !== undefined) return;
    if (state.cancelsInFlight > 0) {
      state.stalled = 'cancel';
      return;
    }
    const checkpoint = this.#checkpoint();
    this.#batch.length = 0;
    if (this.#waiting !== undefined) this.#take(this.#waiting);
    while (state.stalled === undefined && state.end === undefined && this.#client.next()) this.#take(this.#client);
    if (state.events.length === 0) this.#armTimer();
    else this.#unsettled = checkpoint;
  }

  /** Handles a message; one that has to wait is kept and offered again first. */
  #take(frame: FrameView): void {
    this.#waiting = undefined;
    const keeps = this.#ports.audit.required;
    const kept = keeps || frame !== this.#client ? copyView(frame) : frame;
    if (keeps) this.#batch.push(kept);
    if (handleClientMessage(this.#state, kept)) return;
    this.#waiting = copyView(kept);
    if (keeps) this.#batch.pop();
  }

  /** Does the batch again as one that cannot be recorded. */
  #takeBack(checkpoint: Checkpoint): void {
    const state = this.#state;
    const { end, stalled } = state;
    state.isTerminating = false;
    this.#restore(checkpoint);
    state.auditDown = true;
    for (const frame of this.#batch) {
      if (state.end !== undefined) break;
      handleClientMessage(state, frame);
    }
    state.auditDown = false;
    state.events = [];
    state.end = end;
    state.stalled = stalled;
  }

  #checkpoint(): Checkpoint | undefined {
    if (!this.#ports.audit.required) return undefined;
    const state = this.#state;
    return {
      front: { ...state.front },
      queueLength: state.queue.length,
      clientBytes: state.toClient.length,
      serverBytes: state.toServer.length,
      passingCopyIn: state.passingCopyIn,
    };
  }

  #restore(checkpoint: Checkpoint): void {
    const state = this.#state;
    state.queue.truncate(checkpoint.queueLength, (entry) => undoEntry(state, entry));
    state.front = checkpoint.front;
    state.passingCopyIn = checkpoint.passingCopyIn;
    state.toServer.truncate(checkpoint.serverBytes);
    state.toClient.truncate(checkpoint.clientBytes);
  }

  #armTimer(): void {
    const state = this.#state;
    if (state.timerArmed || state.queue.length === 0) return;
    const timeoutMs = state.queue.first?.sent?.hit.decided.policy.limits.statementTimeoutMs;
    if (timeoutMs === undefined) return;
    state.timerArmed = true;
    this.#ports.armTimer(timeoutMs + TIMEOUT_SLACK_MS);
  }
}

interface Checkpoint {
  readonly front: FrontState;
  readonly queueLength: number;
  readonly clientBytes: number;
  readonly serverBytes: number;
  readonly passingCopyIn: boolean;
}

function copyView(frame: FrameView): FrameView {
  const { tag, buffer, start, end, remaining, isContinuation } = frame;
  return { tag, buffer, start, end, remaining, isContinuation };
}
