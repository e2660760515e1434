import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { AuditEvent, SessionContext } from '#audit/event.ts';
import type { Denial, TextDecision } from '#policy/decision.ts';
import type { DecisionInput, EffectivePolicy } from '#policy/effective-policy.ts';
import type { Identity } from '#policy/identity.ts';
import { denialFor } from '#policy/reasons.ts';
import type { DecisionCache } from '#session/decision-cache.ts';
import { encodeDenial } from '#session/denials.ts';
import { Session } from '#session/session.ts';
import { initialNames } from '#session/session-names.ts';
import type { UsageLimits } from '#session/usage-limits.ts';
import {
  encodeAuthenticationOk,
  encodeBackendKeyData,
  encodeParameterStatus,
  encodeReadyForQuery,
  encodeTerminate,
} from '#wire/encode.ts';
import { TRANSACTION_STATUS } from '#wire/messages.ts';
import { newTimedUid } from './timed-uid.ts';
import { WireError } from '#wire/wire-error.ts';
import type { CancelKeys } from './cancel.ts';
import { type HandshakeResult, refuseClient, shakeHands } from './client-handshake.ts';
import type { ConnectionDependencies, UpstreamConnection } from './connection-ports.ts';
import type { BusyPoll } from './busy-poll.ts';
import { pinnedParameters } from './pinned-parameters.ts';
import { ReadBuffer } from './read-buffer.ts';
import type { RecordQueue, RecordStrength } from './record-queue.ts';
import { describeSession, sessionEvent } from './session-events.ts';
import { writeAll } from './write-segments.ts';

/** What all connections of the process share. */
export interface ConnectionRuntime {
  readonly dependencies: ConnectionDependencies;
  readonly cache: DecisionCache;
  readonly usage: UsageLimits;
  readonly cancels: CancelKeys;
  readonly records: RecordQueue;
  readonly poll: BusyPoll;
  /** Decides now (an answer) or elsewhere (a promise): large texts must not hold the event loop. */
  decide(input: DecisionInput): TextDecision | Promise<TextDecision>;
}

/** The client must have said who it is by then. */
const HANDSHAKE_TIMEOUT_MS = 60_000;
const READ_BUFFER_BYTES = 64 * 1024;
/** Words of a client up to this length are copied where they will be needed longer than their read: cheaper than another buffer. */
const COPY_UP_TO_BYTES = 4 * 1024;
/** A result longer than this is read in large pieces, with a pause between them in which the next one comes together. */
const STREAM_FROM_BYTES = 512 * 1024;
const STREAM_BUFFER_BYTES = 256 * 1024;
const STREAM_PAUSE_MS = 1;

type Ready = Extract<HandshakeResult, { kind: 'ready' }>;

/**
 * One client socket and one server socket, and the session between them. The only place that catches: whatever goes wrong inside ends
 * this connection with a clear error and no other.
 */
export class Connection {
  readonly #runtime: ConnectionRuntime;
  #client: Socket;
  #upstream: UpstreamConnection | undefined;
  #session: Session | undefined;
  #context: SessionContext | undefined;
  #identity: Identity | undefined;
  #identityKey: string | undefined;
  #cancelProcessId: number | undefined;
  #unsubscribe: (() => void) | undefined;
  #statementTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  readonly #clientReader = new ReadBuffer({ sizeBytes: READ_BUFFER_BYTES });
  #isDraining = false;
  #isOver = false;
  #onOver: (() => void) | undefined;

  constructor(client: Socket, runtime: ConnectionRuntime) {
    this.#client = client;
    this.#runtime = runtime;
    client.on('error', () => {});
  }

  /** Serves the client from its first byte; resolves when both sockets are given up. Never rejects. */
  async serve(): Promise<void> {
    const over = new Promise<void>((resolve) => {
      this.#onOver = resolve;
    });
    const timer = setTimeout(() => this.#client.destroy(), HANDSHAKE_TIMEOUT_MS);
    try {
      const { tls, authentication } = this.#runtime.dependencies;
      const result = await shakeHands(this.#client, { tls, authentication });
      this.#client = result.socket;
      await this.#proceed(result);
    } catch (error) {
      this.#onFault(error);
    } finally {
      clearTimeout(timer);
    }
    await over;
  }

  /** Ends the session as soon as no transaction is open (57P01). */
  drain(): void {
    this.#isDraining = true;
    this.#endIfDrained();
  }

  async #proceed(result: HandshakeResult): Promise<void> {
    switch (result.kind) {
      case 'gone':
        this.#client.destroy();
        this.#finish('08006');
        return;
      case 'cancel':
        await this.#runtime.cancels.request(result.key);
        this.#client.end();
        this.#finish('00000');
        return;
      case 'refused':
        this.#refuse(result.denial);
        return;
      case 'ready':
        await this.#open(result);
    }
  }

  async #open(ready: Ready): Promise<void> {
    const { dependencies, usage } = this.#runtime;
    const { identity, startup } = ready;
    this.#identity = identity;
    const state = dependencies.gate.current(identity);
    if (state.kind === 'unavailable') {
      this.#refuse(state.denial);
      return;
    }
    const { policy } = state;
    const key = JSON.stringify(identity);
    const { maxConnections } = policy.limits;
    if (!usage.openConnection(key, policy.mode === 'Observe' ? undefined : maxConnections)) {
      this.#refuse(denialFor('too_many_connections', { limit: String(maxConnections) }, policy.errors));
      return;
    }
    this.#identityKey = key;
    const reader = new ReadBuffer({ sizeBytes: READ_BUFFER_BYTES });
    const result = await dependencies.connectUpstream({ startup, identity, policy, reader });
    if (result.kind === 'refused') {
      this.#refuse(result.denial);
      return;
    }
    this.#upstream = result.upstream;
    if (this.#client.destroyed) {
      this.#onClientGone();
      return;
    }
    this.#start(ready, policy, result.upstream, result.searchPath);
  }

  /** Both sides are there: from here on the session rules. */
  #start(ready: Ready, policy: EffectivePolicy, upstream: UpstreamConnection, searchPath: readonly string[]): void {
    const { dependencies, records, cancels } = this.#runtime;
    const context = describeSession(ready.identity, dependencies.destination, policy);
    this.#context = context;
    const started = records.append([sessionEvent(context, 'session_start', '00000', policy)]);
    if (!started && dependencies.audit.required) {
      this.#refuse(denialFor('audit_unwritable', {}, policy.errors));
      return;
    }
    dependencies.observer.sessions(1);
    const key = cancels.issue(ready.startup.protocolMinor, () => upstream.cancel());
    this.#cancelProcessId = key.processId;
    this.#session = this.#createSession(context, ready.identity, upstream, searchPath);
    this.#attach(upstream);
    const greeting = [encodeAuthenticationOk()];
    for (const [name, value] of upstream.parameters) greeting.push(encodeParameterStatus(name, value));
    greeting.push(encodeBackendKeyData(key.processId, key.secret), encodeReadyForQuery(TRANSACTION_STATUS.idle));
    writeAll(this.#client, greeting);
    this.#watchPolicy(ready.identity, ready.expiresAtMs);
    const { leftover } = upstream;
    if (leftover.length > 0) this.#fromServer(Buffer.from(leftover));
    upstream.socket.resume();
    if (ready.rest.length > 0) this.#fromClient(ready.rest);
    if (this.#session.isStalled || this.#isOver) return;
    this.#client.resume();
  }

  #createSession(
    context: SessionContext,
    identity: Identity,
    upstream: UpstreamConnection,
    searchPath: readonly string[],
  ): Session {
    const { dependencies, records, usage, cache } = this.#runtime;
    const key = this.#identityKey ?? '';
    const { sink, results } = dependencies.audit;
    const addResult = results === 'Masked' ? sink.appendResult : undefined;
    const session: Session = new Session({
      names: initialNames(searchPath),
      pinnedParameters: pinnedParameters(upstream.parameters),
      ports: {
        context,
        cache,
        observer: dependencies.observer,
        checkToken: dependencies.checkToken,
        get audit() {
          return dependencies.audit;
        },
        policy: () => this.#currentPolicy(identity),
        decide: (input) => this.#decide(input),
        addCompletion: (event) => records.add(event),
        ...(addResult === undefined ? {} : { addResult }),
        takeStatement: (perMinute) => usage.takeStatement(key, perMinute, performance.now()),
        cancelUpstream: () => void upstream.cancel().finally(() => this.#guard(() => session.cancelDone())),
        armTimer: (delayMs) => {
          this.#statementTimer = setTimeout(() => this.#guard(() => session.onTimer()), delayMs);
        },
        nowMs: () => performance.now(),
        timeMs: () => Date.now(),
        newUid: newTimedUid,
      },
    });
    return session;
  }

  #currentPolicy(identity: Identity): EffectivePolicy | Denial {
    const state = this.#runtime.dependencies.gate.current(identity);
    if (state.kind === 'ready') return state.policy;
    return { ...state.denial, severity: 'ERROR' };
  }

  #decide(input: DecisionInput): TextDecision | undefined {
    const answer = this.#runtime.decide(input);
    if (!(answer instanceof Promise)) return answer;
    const { text, policy, session: names } = input;
    answer.then(
      (decision) => this.#guard(() => this.#session?.resumeDecision(text, policy, names, decision)),
      (error: unknown) => this.#onFault(error),
    );
    return undefined;
  }

  #attach(upstream: UpstreamConnection): void {
    const client = this.#client;
    this.#clientReader.receive = (chunk) => this.#fromReadBuffer(chunk);
    if (!this.#clientReader.takeOver(client)) client.on('data', (chunk: Buffer) => this.#fromClient(chunk));
    client.on('drain', this.#readServer);
    client.on('end', () => this.#onClientGone());
    client.on('close', () => this.#onClientGone());
    upstream.reader.receive = (chunk) => this.#fromServer(chunk);
    upstream.socket.on('drain', () => this.#readClient());
    const lost = (): void => this.#guard(() => this.#session?.fail(denialFor('upstream_lost')));
    upstream.socket.on('error', lost);
    upstream.socket.on('end', lost);
    upstream.socket.on('close', lost);
  }

  /** Bytes of the client that are overwritten by its next read unless they are kept. */
  #fromReadBuffer(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    if (this.#runtime.dependencies.audit.required && chunk.length <= COPY_UP_TO_BYTES) {
      this.#fromClient(Buffer.from(chunk));
      return true;
    }
    this.#fromClient(chunk);
    const session = this.#session;
    const isPending = session === undefined || session.needsChunk || (this.#upstream?.socket.writableLength ?? 0) > 0;
    if (isPending) this.#clientReader.keep();
    return true;
  }

  #fromClient(chunk: Buffer): void {
    this.#runtime.poll.arrived();
    this.#guard(() => this.#session?.receiveFromClient(chunk));
  }

  /** Goes on reading the client where nothing stands against it. */
  #readClient(): void {
    if (this.#isOver || this.#session?.isStalled === true || this.#session?.awaitsRecord === true) return;
    if (this.#client.isPaused() && this.#upstream?.socket.writableNeedDrain !== true) this.#client.resume();
  }

  /** False: the client does not read, so the server is not read either until it does. */
  #fromServer(chunk: Buffer): boolean {
    this.#runtime.poll.arrived();
    this.#guard(() => this.#session?.receiveFromServer(chunk));
    if (this.#isOver) return false;
    const reader = this.#upstream?.reader;
    if (this.#client.writableLength > 0 || this.#session?.hasDecisions === true) reader?.keep();
    if (this.#client.writableNeedDrain) return false;
    if ((this.#session?.streamedBytes ?? 0) < STREAM_FROM_BYTES) {
      reader?.resize(READ_BUFFER_BYTES);
      return true;
    }
    reader?.resize(STREAM_BUFFER_BYTES);
    if (chunk.length >= STREAM_BUFFER_BYTES) return true;
    setTimeout(this.#readServer, STREAM_PAUSE_MS);
    return false;
  }

  readonly #readServer = (): void => {
    if (!this.#isOver && !this.#client.writableNeedDrain) this.#upstream?.socket.resume();
  };

  /** Runs a step of the session and writes what it gives, once its decisions are recorded; a fault ends this connection. */
  #guard(step: () => void): void {
    if (this.#session?.hasDecisions === true) this.#runtime.records.settleAll();
    if (this.#isOver) return;
    try {
      step();
      if (this.#session?.hasDecisions === true) this.#runtime.records.enlist(this);
      else this.#write();
    } catch (error) {
      this.#onFault(error);
    }
  }

  /** For the record queue. */
  get recordStrength(): RecordStrength {
    const { required, durability } = this.#runtime.dependencies.audit;
    if (!required) return 'none';
    return durability === 'Confirmed' ? 'confirmed' : 'written';
  }

  /** For the record queue: the records are written, but will not be confirmed any more. */
  abandon(): void {
    this.#guard(() => this.#session?.fail(denialFor('audit_unwritable')));
  }

  /** For the record queue. */
  takeDecisions(): readonly AuditEvent[] {
    return this.#session?.takeDecisions() ?? [];
  }

  /** For the record queue: what was decided is recorded and goes on its way, or it is refused. */
  settle(written: boolean): void {
    if (this.#isOver) return;
    try {
      this.#session?.settle(written);
      this.#write();
      if (this.#session?.isStalled === true) this.#guard(() => this.#session?.resumeIfDue());
    } catch (error) {
      this.#onFault(error);
    }
  }

  #write(): void {
    const session = this.#session;
    const upstream = this.#upstream;
    if (session === undefined || upstream === undefined) return;
    const answers = session.toClient.length > 0;
    const asks = session.toServer.length > 0 && !session.awaitsRecord;
    if (asks) writeAll(upstream.socket, session.toServer.take());
    if (answers) writeAll(this.#client, session.toClient.take());
    if (asks || answers) this.#runtime.poll.expect(asks ? 'server' : 'client', this.#cancelProcessId ?? 0);
    if (session.end !== undefined) this.#end(session.end.kind === 'failed' ? session.end.error.sqlstate : '00000');
    else {
      if (session.isStalled || session.awaitsRecord || upstream.socket.writableNeedDrain) this.#client.pause();
      else if (this.#client.isPaused()) this.#client.resume();
      if (this.#isDraining) this.#endIfDrained();
    }
  }

  #endIfDrained(): void {
    if (this.#session === undefined || this.#session.isQuiet) {
      this.#guard(() => this.#session?.fail(denialFor('draining')));
    }
  }

  #watchPolicy(identity: Identity, expiresAtMs: number | undefined): void {
    const { gate } = this.#runtime.dependencies;
    this.#unsubscribe = gate.subscribe(() => {
      const state = gate.current(identity);
      if (state.kind === 'unavailable' && state.ends) {
        this.#guard(() => this.#session?.fail(denialFor('policy_withdrawn')));
      }
    });
    if (expiresAtMs === undefined) return;
    const expire = (): void => {
      const leftMs = expiresAtMs - Date.now();
      if (leftMs > 0) this.#expiryTimer = setTimeout(expire, Math.min(leftMs, MAX_TIMER_MS));
      else this.#guard(() => this.#session?.fail(denialFor('token_expired')));
    };
    expire();
  }

  /** The client left: what it had running is of no use to anybody. */
  #onClientGone(): void {
    if (this.#session?.hasDecisions === true) this.#runtime.records.settleAll();
    if (this.#isOver) return;
    const upstream = this.#upstream;
    const session = this.#session;
    if (upstream !== undefined && session?.isQuiet === false && !session.isTerminating) void upstream.cancel();
    this.#end('08006');
  }

  /** Before the session has begun. */
  #refuse(denial: Denial): void {
    const { records, dependencies } = this.#runtime;
    const identity = this.#identity;
    const context =
      identity === undefined
        ? undefined
        : (this.#context ?? describeSession(identity, dependencies.destination, undefined));
    records.append([sessionEvent(context, 'session_refused', denial.sqlstate, undefined)]);
    this.#context = undefined;
    refuseClient(this.#client, denial);
    this.#finish(denial.sqlstate);
  }

  #onFault(error: unknown): void {
    if (this.#isOver) return;
    if (error instanceof WireError) {
      refuseClient(this.#client, { ...denialFor('protocol_violation'), message: error.message });
      this.#finish(error.sqlstate);
      return;
    }
    const id = randomUUID();
    this.#runtime.dependencies.reportFault(error, id);
    if (this.#session?.isMidRow === true) this.#client.end();
    else this.#client.end(encodeDenial(denialFor('internal_error', { subject: id })));
    this.#finish('XX000');
  }

  #end(sqlstate: string): void {
    this.#client.end();
    this.#finish(sqlstate);
  }

  /** Lets go of everything, once. */
  #finish(sqlstate: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#statementTimer);
    clearTimeout(this.#expiryTimer);
    this.#unsubscribe?.();
    const { cancels, usage, records, dependencies } = this.#runtime;
    if (this.#cancelProcessId !== undefined) cancels.revoke(this.#cancelProcessId);
    if (this.#identityKey !== undefined) usage.closeConnection(this.#identityKey);
    this.#closeUpstream();
    this.#closeClient();
    if (this.#session !== undefined && this.#context !== undefined) {
      this.#session.close(sqlstate === '00000' ? '57014' : sqlstate);
      dependencies.observer.sessions(-1);
      records.append([sessionEvent(this.#context, 'session_end', sqlstate, undefined)]);
    }
    this.#onOver?.();
  }

  /** What the client has not read after a while is given up. */
  #closeClient(): void {
    const client = this.#client;
    client.removeAllListeners('data');
    client.resume();
    const timer = setTimeout(() => client.destroy(), 2_000);
    timer.unref();
    client.once('close', () => clearTimeout(timer));
  }

  #closeUpstream(): void {
    const socket = this.#upstream?.socket;
    if (socket === undefined || socket.destroyed) return;
    if (socket.writableNeedDrain) socket.destroy();
    else socket.end(encodeTerminate(), () => socket.destroy());
    socket.on('error', () => {});
  }
}

const MAX_TIMER_MS = 0x7fffffff;
