/** How agents prove who they are, as the connection in force now asks, and the check that nobody got in under an older rule. */
import type { Identity } from '#policy/identity.ts';
import { denialFor } from '#policy/reasons.ts';
import type { Authentication, PolicyState } from './connection-ports.ts';
import { createTokenVerifier, type OidcOptions, type TokenVerifier } from './oidc.ts';
import type { World } from './world.ts';

/** What agents must prove under one world; the texts are equal where the demands are. */
interface Demand {
  readonly fingerprint: string;
  readonly oidc: OidcOptions | undefined;
}

export class ClientAuthentication {
  readonly #workload: Identity;
  readonly #world: () => World | undefined;
  /** Which demand an identity has met. The workload's own meets `Workload` only. */
  readonly #met = new WeakMap<Identity, string>();
  #verifier: { readonly fingerprint: string; readonly verifier: TokenVerifier } | undefined;

  constructor(workload: Identity, world: () => World | undefined) {
    this.#workload = workload;
    this.#world = world;
    this.#met.set(workload, 'Workload');
  }

  /** For a connection that arrives now. */
  get port(): Authentication {
    const demand = demandOf(this.#world());
    if (demand?.oidc === undefined) return { kind: 'workload', identity: this.#workload };
    const { oidc, fingerprint } = demand;
    if (this.#verifier?.fingerprint !== fingerprint)
      this.#verifier = { fingerprint, verifier: createTokenVerifier(oidc) };
    const { verifier } = this.#verifier;
    return {
      kind: 'token',
      verify: async (token) => {
        const result = await verifier.verify(token, this.#workload);
        if (result.kind === 'verified') this.#met.set(result.identity, fingerprint);
        return result;
      },
    };
  }

  /**
   * Refuses an identity that was proven under another demand than today's: one that came before the manifests were loaded, or before
   * they asked for a token. `undefined`: it may stay.
   */
  refusal(identity: Identity): PolicyState | undefined {
    const demand = demandOf(this.#world());
    if (demand === undefined || this.#met.get(identity) === demand.fingerprint) return undefined;
    const advice = 'this connection now asks for another proof of identity; connect again';
    return { kind: 'unavailable', denial: denialFor('token_refused', { advice }), ends: true };
  }
}

function demandOf(world: World | undefined): Demand | undefined {
  if (world === undefined) return undefined;
  const { mode, oidc } = world.connection.spec.clientAuth;
  if (mode === 'Workload' || oidc === undefined) return { fingerprint: 'Workload', oidc: undefined };
  return { fingerprint: JSON.stringify(oidc), oidc };
}
