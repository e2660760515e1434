/** Opens the server connection for one agent: its start-up message decided, our pins added, our credentials used. */
import type { Socket } from 'node:net';
import type { Denial } from '#policy/decision.ts';
import { denialFor, type ErrorDetail } from '#policy/reasons.ts';
import { planStartup } from '#session/settings.ts';
import type { ConnectionDependencies, UpstreamResult } from './connection-ports.ts';
import { DependencyError } from './dependency-error.ts';
import { connectUpstream } from './upstream.ts';
import type { World } from './world.ts';

export interface DatabaseAccessOptions {
  readonly world: () => World | undefined;
  /** A connection could not be opened; `detail` is for the log only. */
  readonly failed: (error: DependencyError) => void;
}

/** Open server connections by the database they lead to, so that they end when the configuration names another. */
export class DatabaseAccess {
  readonly #options: DatabaseAccessOptions;
  readonly #open = new Map<Socket, string>();
  #bar: Denial | undefined;

  constructor(options: DatabaseAccessOptions) {
    this.#options = options;
  }

  readonly connect: ConnectionDependencies['connectUpstream'] = async (request) => {
    const { policy, reader, startup } = request;
    const world = this.#options.world();
    if (this.#bar !== undefined) return { kind: 'refused', denial: this.#bar };
    if (world === undefined) return { kind: 'refused', denial: denialFor('not_ready') };
    const plan = planStartup({
      parameters: startup.parameters,
      access: policy.access,
      maskKeySettings: world.maskKeySettings,
      errors: policy.errors,
    });
    if (plan.kind === 'refused') return plan;
    try {
      const upstream = await connectUpstream(world.target, plan.settings, reader);
      const now = this.#options.world();
      if (now === undefined || placeOf(now) !== placeOf(world)) {
        upstream.socket.destroy();
        return { kind: 'refused', denial: denialFor('not_ready', {}, policy.errors) };
      }
      this.#open.set(upstream.socket, placeOf(world));
      upstream.socket.once('close', () => this.#open.delete(upstream.socket));
      return { kind: 'connected', upstream, searchPath: plan.searchPath };
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      this.#options.failed(error);
      return { kind: 'refused', denial: denialOf(error, policy.errors) } satisfies UpstreamResult;
    }
  };

  /** Refuses every new connection with this answer, and with `undefined` none any more; open ones go on. */
  bar(denial: Denial | undefined): void {
    this.#bar = denial;
  }

  /** Ends connections to a database or role that is not the configured one any more: no policy of ours speaks about it. */
  endOutdated(): void {
    const world = this.#options.world();
    if (world === undefined) return;
    const place = placeOf(world);
    for (const [socket, opened] of this.#open) if (opened !== place) socket.destroy();
  }
}

function placeOf(world: World): string {
  const { host, port, database, user } = world.target;
  return JSON.stringify([host, port, database, user]);
}

function denialOf(error: DependencyError, errors: ErrorDetail): Denial {
  const denial = denialFor('upstream_unreachable', { sqlstate: error.sqlstate }, errors);
  return errors.detail === 'Generic' ? denial : { ...denial, message: error.message };
}
