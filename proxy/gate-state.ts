/**
 * What is in force now: the connection's policies over the catalog snapshot, per identity. Every change raises the generation and tells
 * the sessions, which decide afresh or end. A broken edit, and a database that is away, leave the last good state in force.
 */
import type { LoadedCatalog } from '#catalog/load-catalog.ts';
import { formatProblem } from '#crds/decode.ts';
import { qualifiedName } from '#crds/kinds.ts';
import { policyProblems } from '#policy/compile.ts';
import { effectivePolicy } from '#policy/effective.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import type { Identity } from '#policy/identity.ts';
import { denialFor } from '#policy/reasons.ts';
import { loadRedaction } from '#session/result-redaction.ts';
import { loadParser } from '#sql/parser.ts';
import type { GateState, PolicyState } from './connection-ports.ts';
import { DependencyError } from './dependency-error.ts';
import type { World } from './world.ts';

/** What the live state reports to log, metrics and audit; `generation` is `recordedGeneration`. */
export interface GateEvents {
  /** Policies and catalog are in force under this generation. */
  readonly loaded: (generation: number, world: World) => void;
  /** New policies were refused; the last good ones stay. Each problem is one line. */
  readonly rejected: (problems: readonly string[], generation: number) => void;
  readonly withdrawn: (generation: number) => void;
  readonly catalogFailed: (error: DependencyError) => void;
  readonly warned: (text: string) => void;
}

export interface LiveGateOptions {
  readonly events: GateEvents;
  readonly readCatalog: (world: World, known: LoadedCatalog | undefined, signal: AbortSignal) => Promise<LoadedCatalog>;
  /** Identities that new policies must fit before they are taken. */
  readonly expected: readonly Identity[];
  /** Between two looks at the database's catalog; default 30 s. */
  readonly refreshMs?: number;
}

const defaultRefreshMs = 30_000;
const firstRetryMs = 250;
const maxRetryMs = 10_000;
const askedRefreshMs = 2000;

/** The state of one connection; `close` ends its timers. */
export class LiveGate implements GateState {
  readonly #options: LiveGateOptions;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  #world: World | undefined;
  #withdrawn = false;
  #isOutdated = false;
  #withdrawnGeneration: number | undefined;
  #isUnfit = false;
  #catalog: LoadedCatalog | undefined;
  #generation = 0;
  /** By object for the sessions' hot path, by value for new ones. Both start empty with every generation. */
  #stateOf = new WeakMap<Identity, PolicyState>();
  #states = new Map<string, PolicyState>();
  #known = new Map<string, Identity>();
  #reason = 'the policies are not loaded yet';
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;
  #lastLookMs = Number.NEGATIVE_INFINITY;

  constructor(options: LiveGateOptions) {
    this.#options = options;
    for (const identity of options.expected) this.#known.set(JSON.stringify(identity), identity);
  }

  get generation(): number {
    return this.#generation;
  }

  /** The generation that records name: of the bundle in force, or without a cluster our own. */
  get recordedGeneration(): number {
    if (this.#withdrawn && this.#withdrawnGeneration !== undefined) return this.#withdrawnGeneration;
    return this.#world?.generation ?? this.#generation;
  }

  /** Nobody gets in. */
  get isWithdrawn(): boolean {
    return this.#withdrawn;
  }

  /** The world whose credentials new connections use. */
  get world(): World | undefined {
    return this.#world;
  }

  /** `undefined`: policies and catalog are loaded. */
  notReady(): string | undefined {
    if (!this.#isReady()) return this.#reason;
    if (this.#isOutdated) return 'the gate is behind on its policies';
    return this.#isUnfit ? 'the policies do not fit the database' : undefined;
  }

  current(identity: Identity): PolicyState {
    const remembered = this.#stateOf.get(identity);
    if (remembered !== undefined) return remembered;
    const state = this.#stateByValue(identity);
    this.#stateOf.set(identity, state);
    return state;
  }

  #stateByValue(identity: Identity): PolicyState {
    const key = JSON.stringify(identity);
    let state = this.#states.get(key);
    if (state === undefined) {
      state = this.#evaluate(identity);
      // Bounded: tokens bring ever new identities.
      if (this.#states.size >= 1000) this.#states.clear();
      this.#states.set(key, state);
    }
    return state;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes new policies and credentials, if they are sound; else they are reported and the last good ones stay. */
  async take(world: World): Promise<boolean> {
    if (this.#world !== undefined && !this.#withdrawn && differsInCredentialsOnly(this.#world, world)) {
      this.#world = world;
      if (this.#catalog === undefined) void this.refresh();
      return true;
    }
    const redacts = world.policies.some((policy) => policy.spec.redact !== undefined);
    await Promise.all([loadParser(), loadGuardrails(world.policies), redacts ? loadRedaction() : undefined]);
    const problems = [...world.policies.flatMap(policyProblems).map(formatProblem), ...this.#misfits(world)];
    if (problems.length > 0) {
      this.reject(problems);
      return false;
    }
    const isSameDatabase = this.#world !== undefined && sameTarget(this.#world, world);
    for (const warning of world.warnings) this.#options.events.warned(warning);
    this.#world = world;
    this.#withdrawn = false;
    this.#isUnfit = false;
    if (!isSameDatabase) this.#catalog = undefined;
    this.#reason = 'the catalog of the database is not loaded yet';
    this.#change();
    if (this.#catalog === undefined) void this.refresh();
    else this.#options.events.loaded(this.recordedGeneration, world);
    return true;
  }

  /** The configuration cannot be used. */
  reject(problems: readonly string[]): void {
    if (this.#world === undefined) this.#reason = 'the policies are not valid';
    this.#options.events.rejected(problems, this.recordedGeneration);
  }

  /** Nothing grants access any more: sessions end, nobody gets in. `generation`: of the bundle that says so. */
  withdraw(generation?: number): void {
    if (this.#withdrawn && generation === this.#withdrawnGeneration) return;
    this.#withdrawn = true;
    this.#withdrawnGeneration = generation;
    this.#change();
    this.#options.events.withdrawn(this.recordedGeneration);
  }

  /** What agents are told while there is no configuration at all. */
  waitFor(reason: string): void {
    if (this.#world !== undefined || this.#reason === reason) return;
    this.#reason = reason;
    this.#forgetStates();
  }

  /** Newer policies exist, and this process has not got them in time: statements are refused (57P03), sessions stay. */
  setOutdated(isOutdated: boolean): void {
    if (isOutdated === this.#isOutdated) return;
    this.#isOutdated = isOutdated;
    this.#forgetStates();
  }

  /** A statement named a relation that the snapshot does not have: looks at the database, at most every two seconds. */
  askForRefresh(): void {
    if (performance.now() - this.#lastLookMs >= askedRefreshMs) void this.refresh();
  }

  /** Reads the catalog if it has changed; one look at a time. Never rejects. */
  async refresh(): Promise<void> {
    this.#refreshing ??= this.#look().finally(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  async #look(): Promise<void> {
    const world = this.#world;
    if (world === undefined || this.#closing.signal.aborted) return;
    this.#lastLookMs = performance.now();
    clearTimeout(this.#timer);
    try {
      const loaded = await this.#options.readCatalog(world, this.#catalog, this.#closing.signal);
      this.#retryMs = firstRetryMs;
      this.#schedule(this.#options.refreshMs ?? defaultRefreshMs);
      if (this.#world !== world) return;
      if (loaded === this.#catalog) return;
      this.#catalog = loaded;
      this.#change();
      this.#isUnfit = this.#options.expected.map((identity) => this.#fits(identity)).includes(false);
      if (this.#isUnfit) return;
      this.#options.events.loaded(this.recordedGeneration, world);
    } catch (cause) {
      if (this.#closing.signal.aborted) return;
      this.#schedule(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, maxRetryMs);
      const error = cause instanceof DependencyError ? cause : unreadable(cause);
      if (this.#catalog === undefined) this.#reason = error.message;
      this.#options.events.catalogFailed(error);
    } finally {
      if (this.#world !== world) this.#schedule(0);
    }
  }

  #schedule(delayMs: number): void {
    if (this.#closing.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), delayMs);
    this.#timer.unref();
  }

  #isReady(): boolean {
    return this.#world !== undefined && this.#catalog !== undefined;
  }

  #change(): void {
    this.#generation++;
    this.#forgetStates();
  }

  #forgetStates(): void {
    this.#states = new Map();
    this.#stateOf = new WeakMap();
    for (const listener of [...this.#listeners]) listener();
  }

  #evaluate(identity: Identity): PolicyState {
    const world = this.#world;
    const catalog = this.#catalog;
    if (this.#withdrawn) {
      const subject = `${identity.namespace}/${identity.serviceAccount}`;
      return { kind: 'unavailable', denial: denialFor('no_policy', { subject }), ends: true };
    }
    if (world === undefined || catalog === undefined) return notReady(this.#reason);
    if (this.#isOutdated) return { kind: 'unavailable', denial: denialFor('policy_outdated'), ends: false };
    const { connection, policies } = world;
    const generation = this.#generation;
    const result = effectivePolicy({
      connection,
      policies,
      identity,
      catalog: catalog.snapshot,
      generation,
      recordedGeneration: this.recordedGeneration,
    });
    switch (result.kind) {
      case 'effective':
        for (const warning of result.warnings) this.#options.events.warned(formatProblem(warning));
        if (this.#known.size < 100) this.#known.set(JSON.stringify(identity), identity);
        return { kind: 'ready', policy: result.policy };
      case 'none':
      case 'refused':
        return { kind: 'unavailable', denial: result.denial, ends: true };
      case 'invalid':
        this.#options.events.rejected(result.problems.map(formatProblem), this.recordedGeneration);
        return notReady(`the policies of ${qualifiedName(connection)} do not fit the database`);
    }
  }

  /** Evaluates, so that policies that do not fit are reported when the catalog is known and not at the first connection. */
  #fits(identity: Identity): boolean {
    const state = this.current(identity);
    return state.kind === 'ready' || state.ends;
  }

  /** What is wrong with new policies for the identities that are known, over the catalog that is known. */
  #misfits(world: World): readonly string[] {
    const snapshot = this.#catalog?.snapshot;
    if (snapshot === undefined || this.#world === undefined || !sameTarget(this.#world, world)) return [];
    const { connection, policies } = world;
    const problems = [...this.#known.values()].flatMap((identity) => {
      const result = effectivePolicy({
        connection,
        policies,
        identity,
        catalog: snapshot,
        generation: this.#generation,
      });
      return result.kind === 'invalid' ? result.problems.map(formatProblem) : [];
    });
    return [...new Set(problems)];
  }
}

/** The same database and role, so that a catalog snapshot still holds; a new password does not matter. */
function sameTarget(one: World, other: World): boolean {
  const { password: _one, ...a } = one.target;
  const { password: _other, ...b } = other.target;
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The very same policies over the same database and role: sessions need not know. */
function differsInCredentialsOnly(one: World, other: World): boolean {
  return (
    one.connection === other.connection &&
    one.generation === other.generation &&
    one.policies.length === other.policies.length &&
    one.policies.every((policy, index) => policy === other.policies[index]) &&
    JSON.stringify([...one.maskKeySettings]) === JSON.stringify([...other.maskKeySettings]) &&
    sameTarget(one, other)
  );
}

function notReady(advice: string): PolicyState {
  return { kind: 'unavailable', denial: denialFor('not_ready', { advice }), ends: false };
}

function unreadable(cause: unknown): DependencyError {
  const detail = cause instanceof Error ? cause.message : 'unknown error';
  return new DependencyError('08006', 'the catalog of the database cannot be read', { detail, cause });
}
