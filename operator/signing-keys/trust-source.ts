/** The operator's keys on every replica: follows the Secrets and keeps the last state in which all fit together. */
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { Log } from '#kubernetes/log.ts';
import { Reflector, type ReflectorMetrics } from '#kubernetes/reflector.ts';
import { collectionPath } from '#kubernetes/resources.ts';
import { AUTHORITY_SECRET, PART_OF, PART_OF_LABEL, ROOT_KEY_SECRET, SIGNING_KEYS_SECRET } from './stored-keys.ts';
import { readTrust, type Trust } from './trust.ts';

export interface TrustSourceOptions {
  readonly client: ClusterClient;
  readonly namespace: string;
  /** Authorities of certificates from outside, PEM; undefined where the operator makes its own. */
  readonly externalAuthorities: () => readonly string[] | undefined;
  readonly log: Log;
  readonly metrics?: ReflectorMetrics;
}

export class TrustSource {
  readonly #options: TrustSourceOptions;
  readonly #reflector: Reflector;
  readonly #listeners = new Set<(trust: Trust) => void>();
  readonly #secretListeners = new Set<() => void>();
  #current: Trust | undefined;
  #reason = 'the Secrets with the keys were not read yet';
  #pending = false;

  constructor(options: TrustSourceOptions) {
    this.#options = options;
    const { client, namespace, log, metrics } = options;
    this.#reflector = new Reflector({
      client,
      path: collectionPath({ apiVersion: 'v1', kind: 'Secret', namespace }),
      labelSelector: `${PART_OF_LABEL}=${PART_OF}`,
      onChange: () => this.#changed(),
      log,
      ...(metrics === undefined ? {} : { metrics }),
    });
  }

  start(): void {
    this.#reflector.start();
  }

  async stop(): Promise<void> {
    await this.#reflector.stop();
  }

  /** The last state in which everything fits together; undefined before the first. */
  current(): Trust | undefined {
    return this.#current;
  }

  /** Why there is no state yet, or why the newest is not taken; empty where all is well. */
  reason(): string {
    return this.#reason;
  }

  /** Called after each change, with the new state. */
  onChange(listener: (trust: Trust) => void): void {
    this.#listeners.add(listener);
  }

  /** Called when any of the Secrets changes, whether it fits or not: for whoever keeps them in order. */
  onSecretChange(listener: () => void): void {
    this.#secretListeners.add(listener);
  }

  /** Reads again what came from outside. */
  refresh(): void {
    this.#changed();
  }

  #changed(): void {
    if (this.#pending) return;
    this.#pending = true;
    // Several Secrets of one list, or of one rotation, are taken together.
    setImmediate(() => {
      this.#pending = false;
      this.#read();
      for (const listener of this.#secretListeners) listener();
    });
  }

  #read(): void {
    const { namespace, externalAuthorities, log } = this.#options;
    const secret = (name: string): ReturnType<Reflector['get']> => this.#reflector.get(`${namespace}/${name}`);
    const secrets = {
      root: secret(ROOT_KEY_SECRET),
      signing: secret(SIGNING_KEYS_SECRET),
      authority: secret(AUTHORITY_SECRET),
    };
    try {
      const reading = readTrust(secrets, externalAuthorities());
      this.#reason = reading.kind === 'incomplete' ? reading.reason : '';
      if (reading.kind === 'incomplete') return;
      this.#current = reading.trust;
      for (const listener of this.#listeners) listener(reading.trust);
    } catch (error) {
      this.#reason = error instanceof Error ? error.message : 'the keys cannot be read';
      log.error({ error: this.#reason }, 'the keys cannot be read; the last good ones stay');
    }
  }
}
