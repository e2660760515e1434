/**
 * One connection of a pod: which bundle is in force, which credentials are known, and what both make of its gate. Whatever cannot be taken
 * leaves the last good state in force and is reported; being behind what the operator names is bounded in time.
 */
import { randomBytes } from 'node:crypto';
import {
  type AcceptedState,
  acceptBundle,
  type BundleFiles,
  grantFor,
  initialState,
  type Trust,
} from '#bundle/accept.ts';
import type { OpenedBundle } from '#bundle/bundle.ts';
import type { ConnectionGrant, ConnectionReport } from '#bundle/credentials-exchange.ts';
import { qualifiedName } from '#crds/kinds.ts';
import type { Identity } from '#policy/identity.ts';
import { matchingPolicies } from '#policy/match.ts';
import { denialFor } from '#policy/reasons.ts';
import { BehindTracker } from './behind.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { type ConnectionName, type World, worldOfBundle } from './world.ts';

/** Whom the process trusts: what one connection's key set says holds for all. */
export interface TrustStore {
  trust: Trust;
}

export interface PodConnectionOptions {
  readonly name: ConnectionName;
  readonly identity: Identity;
  readonly gate: ConnectionGate;
  readonly trusted: TrustStore;
  /** What `report` says, or the trust, may have changed. */
  readonly changed: () => void;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** Reported beside the reasons of bundle/accept.ts: it is signed and in order, and its policies do not hold together or do not fit. */
const INVALID_POLICIES = 'InvalidPolicies';

export class PodConnection {
  readonly #options: PodConnectionOptions;
  readonly #connection: string;
  readonly #behind = { generation: new BehindTracker(), keySet: new BehindTracker() };
  readonly #unusedMaskKey = randomBytes(32);
  #accepted: AcceptedState;
  #refusal: string | undefined;
  /** The last answer that granted something. */
  #granted: ConnectionGrant | undefined;
  #minimumGeneration = 0;
  #applied = 0;
  #wanted: World | undefined;
  #isTaking = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: PodConnectionOptions) {
    this.#options = options;
    this.#connection = qualifiedName(options.name);
    this.#accepted = initialState(options.name, options.identity.namespace, options.trusted.trust.rootKeys);
    options.gate.live.waitFor(
      `the policies of ${this.#connection} have not come yet; check that DatabaseConnection ${this.#connection} exists and allows this service account`,
    );
    options.gate.live.subscribe(options.changed);
  }

  /** What the operator is told. */
  report(): ConnectionReport {
    const { live } = this.#options.gate;
    const isEnforcing = this.#applied > 0 && (live.isWithdrawn || live.notReady() === undefined);
    const base = {
      connection: this.#connection,
      appliedGeneration: this.#applied,
      keySetVersion: this.#options.trusted.trust.keySet?.version ?? 0,
    };
    if (this.#refusal !== undefined) return { ...base, state: 'Refused', refusal: this.#refusal };
    return { ...base, state: isEnforcing ? 'Enforcing' : 'Waiting' };
  }

  /** The volume holds this now. */
  takeFiles(files: BundleFiles): void {
    const { trusted, gate } = this.#options;
    const before = trusted.trust.keySet?.version ?? 0;
    const result = acceptBundle({ ...this.#accepted, trust: trusted.trust }, files, this.#minimumGeneration);
    this.#accepted = result.state;
    trusted.trust = result.state.trust;
    const isFirstWait = this.#accepted.bundle === undefined && files.bundle === undefined && files.keys === undefined;
    if (result.kind === 'accepted') {
      this.#refusal = undefined;
      this.#enforce();
    } else if (!isFirstWait) {
      this.#refuse(result.reason, `the bundle of ${this.#connection} is refused: ${result.reason}: ${result.message}`);
    }
    if (before !== trusted.trust.keySet?.version || result.kind === 'refused') this.#options.changed();
    if (this.#accepted.bundle === undefined && this.#refusal !== undefined) {
      gate.live.waitFor(`the policies of ${this.#connection} are refused (${this.#refusal})`);
    }
    this.#checkBehind();
  }

  /** The operator has answered about this connection. */
  takeGrant(grant: ConnectionGrant): void {
    const { live, access } = this.#options.gate;
    this.#minimumGeneration = Math.max(this.#minimumGeneration, grant.minimumGeneration);
    this.#behind.generation.name(grant.generation, this.#now());
    this.#behind.keySet.name(grant.keySetVersion, this.#now());
    this.#dropReplay();
    switch (grant.status) {
      case 'Granted':
        this.#granted = grant;
        access.bar(undefined);
        this.#enforce();
        break;
      case 'Forbidden':
        this.#onForbidden();
        break;
      case 'NotFound':
        live.waitFor(`there is no DatabaseConnection ${this.#connection}`);
        break;
      case 'SecretForbidden':
      case 'Unavailable':
        live.waitFor(`the operator has no credentials for ${this.#connection} (${grant.status})`);
    }
    this.#checkBehind();
  }

  /** The operator could not be asked, or did not answer; agents are told where nothing else is known. */
  waitForOperator(reason: string): void {
    if (this.#granted === undefined && this.#accepted.bundle !== undefined) this.#options.gate.live.waitFor(reason);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** Nobody gets in any more. Open sessions are for the bundle to end; without one in force there are none. */
  #onForbidden(): void {
    const { live, access } = this.#options.gate;
    const { namespace, serviceAccount } = this.#options.identity;
    if (this.#applied > 0) {
      access.bar(denialFor('no_policy', { subject: `${namespace}/${serviceAccount}` }));
      return;
    }
    this.#granted = undefined;
    live.withdraw(this.#accepted.bundle?.generation);
  }

  /** A bundle that was never in force and is older than the operator asks for has been replayed to a fresh pod. */
  #dropReplay(): void {
    const { bundle } = this.#accepted;
    if (bundle === undefined || this.#applied > 0 || bundle.generation >= this.#minimumGeneration) return;
    this.#accepted = { ...this.#accepted, bundle: undefined, payloadDigest: undefined };
    this.#refuse(
      'OlderGeneration',
      `the bundle of ${this.#connection} is refused: OlderGeneration: it has generation ${bundle.generation}; the operator asks for ${this.#minimumGeneration}`,
    );
    this.#options.gate.live.waitFor(`the policies of ${this.#connection} are refused (OlderGeneration)`);
    this.#options.changed();
  }

  #refuse(reason: string, problem: string): void {
    this.#refusal = reason;
    this.#options.gate.live.reject([problem]);
  }

  #enforce(): void {
    const { bundle } = this.#accepted;
    const { live } = this.#options.gate;
    if (bundle === undefined) return;
    if (this.#grantsNothing(bundle)) {
      this.#wanted = undefined;
      live.withdraw(bundle.generation);
      this.#apply(bundle.generation);
      return;
    }
    if (this.#granted === undefined) {
      live.waitFor(`the operator has given no credentials for ${this.#connection} yet`);
      this.#options.changed();
      return;
    }
    const result = worldOfBundle(bundle, this.#granted, this.#unusedMaskKey);
    if (result.kind === 'assembled') this.#take(result.world);
    else this.#refuse(INVALID_POLICIES, result.kind === 'invalid' ? result.problems.join('; ') : result.problem);
  }

  /** Also known before the database is: 28000 and not 57P03. A token's groups and claims are not. */
  #grantsNothing(bundle: OpenedBundle): boolean {
    const { identity } = this.#options;
    const { connection, policies } = bundle.manifests;
    if (connection === undefined || grantFor(bundle, identity.serviceAccount) === 'none') return true;
    return connection.spec.clientAuth.mode === 'Workload' && matchingPolicies(policies, identity).length === 0;
  }

  /** Taking a world may have to load the parser: one at a time, and of several that wait only the last. */
  #take(world: World): void {
    this.#wanted = world;
    if (this.#isTaking) return;
    this.#isTaking = true;
    void this.#takeWanted().finally(() => {
      this.#isTaking = false;
    });
  }

  async #takeWanted(): Promise<void> {
    const { live, access } = this.#options.gate;
    for (let world = this.#wanted; world !== undefined && !this.#isClosed; world = this.#wanted) {
      this.#wanted = undefined;
      const isTaken = await live.take(world);
      const newest = this.#accepted.bundle;
      // What was taken away meanwhile stays away.
      if (newest === undefined || this.#granted === undefined || this.#grantsNothing(newest)) {
        live.withdraw(newest?.generation);
      } else if (isTaken) {
        access.endOutdated();
        if (this.#refusal === INVALID_POLICIES) this.#refusal = undefined;
        this.#apply(world.generation ?? 0);
      } else {
        this.#refusal = INVALID_POLICIES;
        this.#options.changed();
      }
    }
  }

  #apply(generation: number): void {
    this.#applied = generation;
    this.#behind.generation.apply(generation);
    this.#checkBehind();
    this.#options.changed();
  }

  /** Refuses statements from the moment on that this process is behind for too long, and no longer. */
  #checkBehind(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#behind.keySet.apply(this.#options.trusted.trust.keySet?.version ?? 0);
    const deadlines = [this.#behind.generation.deadlineMs(), this.#behind.keySet.deadlineMs()];
    const deadlineMs = Math.min(...deadlines.map((deadline) => deadline ?? Number.POSITIVE_INFINITY));
    const leftMs = deadlineMs - this.#now();
    this.#options.gate.live.setOutdated(leftMs <= 0);
    if (leftMs <= 0) this.#options.changed();
    if (leftMs <= 0 || !Number.isFinite(leftMs)) return;
    this.#timer = setTimeout(() => this.#checkBehind(), leftMs);
    this.#timer.unref();
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now();
  }
}
