/**
 * The last generation of each bundle, in the ConfigMap `postern-generations` of the operator's namespace. It is set down before a bundle with
 * it is written, only ever rises, and outlives connections, bundles and the operator. Two leaders at once cannot set down the same one.
 */
import { ApiError, isConflict, isNotFound } from '#kubernetes/api-error.ts';
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { PART_OF, PART_OF_LABEL } from '../signing-keys/stored-keys.ts';

export const GENERATIONS_NAME = 'postern-generations';

export interface StoredGeneration {
  readonly generation: number;
  /** The bundle with it grants nothing. */
  readonly isWithdrawn: boolean;
}

export const NO_GENERATION: StoredGeneration = { generation: 0, isWithdrawn: true };

/** By `targetKey`. */
export type Generations = ReadonlyMap<string, StoredGeneration>;

const ENTRY = /^([1-9][0-9]{0,15})( withdrawn)?$/;

/** Throws where an entry cannot be read: to begin anew from 1 would let old bundles back in. */
export function readGenerations(object: KubernetesObject | undefined): Generations {
  const data = (object?.['data'] ?? {}) as Readonly<Record<string, unknown>>;
  const generations = new Map<string, StoredGeneration>();
  for (const [key, text] of Object.entries(data)) {
    const match = typeof text === 'string' ? ENTRY.exec(text) : null;
    if (match === null) {
      throw new Error(
        `ConfigMap ${GENERATIONS_NAME}: ${key}: expected a generation such as 12; restore the ConfigMap from a backup`,
      );
    }
    generations.set(key, { generation: Number(match[1]), isWithdrawn: match[2] !== undefined });
  }
  return generations;
}

export interface Raise {
  readonly key: string;
  /** What must be set down now; 0: nothing. */
  readonly after: number;
  readonly to: StoredGeneration;
}

/** What was set down differs from what the plan was made from: plan again. */
export class GenerationMoved extends Error {
  override readonly name = 'GenerationMoved';
}

/** Writes of the leader, one after the other; those that wait are written as one. */
export class GenerationStore {
  readonly #client: ClusterClient;
  readonly #namespace: string;
  /** Told of what the API server holds, sooner than a watch is. */
  readonly #onRead: (object: KubernetesObject) => void;
  #waiting: { readonly raise: Raise; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #isWriting = false;

  constructor(client: ClusterClient, namespace: string, onRead: (object: KubernetesObject) => void) {
    this.#client = client;
    this.#namespace = namespace;
    this.#onRead = onRead;
  }

  /** Resolves when it is set down; rejects with `GenerationMoved` where `after` is no longer true. */
  async raise(raise: Raise): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ raise, resolve, reject });
    });
    if (!this.#isWriting) void this.#writeAll();
    await done;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    // Those that come within the same turn are one write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const failures = await this.#write(batch.map(({ raise }) => raise));
        for (const { raise, resolve, reject } of batch) {
          const failure = failures.get(raise);
          if (failure === undefined) resolve();
          else reject(failure);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isWriting = false;
  }

  async #write(raises: readonly Raise[]): Promise<ReadonlyMap<Raise, Error>> {
    for (let attempt = 1; ; attempt++) {
      const current = await this.#client.find(this.#reference());
      const { data, failures } = applyRaises(current, raises);
      try {
        this.#onRead(await this.#put(current, data));
        return failures;
      } catch (error) {
        const isRace = isConflict(error) || isNotFound(error);
        if (!isRace || attempt >= 5) throw error;
      }
    }
  }

  async #put(current: KubernetesObject | undefined, data: Readonly<Record<string, string>>): Promise<KubernetesObject> {
    if (current !== undefined) return await this.#client.replace({ ...current, data });
    const { apiVersion, kind, namespace, name } = this.#reference();
    return await this.#client.create({
      apiVersion,
      kind,
      metadata: { name, namespace, labels: { [PART_OF_LABEL]: PART_OF } },
      data,
    });
  }

  #reference(): { apiVersion: string; kind: string; namespace: string; name: string } {
    return { apiVersion: 'v1', kind: 'ConfigMap', namespace: this.#namespace, name: GENERATIONS_NAME };
  }
}

/** The data with every raise that is still true of it; nothing ever falls. */
export function applyRaises(
  current: KubernetesObject | undefined,
  raises: readonly Raise[],
): { readonly data: Readonly<Record<string, string>>; readonly failures: ReadonlyMap<Raise, Error> } {
  if (current?.['immutable'] === true) {
    throw new ApiError(422, 'Invalid', `ConfigMap ${GENERATIONS_NAME} is immutable; replace it by a copy that is not`);
  }
  const generations = new Map(readGenerations(current));
  const failures = new Map<Raise, Error>();
  for (const raise of raises) {
    const { generation } = generations.get(raise.key) ?? NO_GENERATION;
    if (generation === raise.after && raise.to.generation > generation) generations.set(raise.key, raise.to);
    else
      failures.set(
        raise,
        new GenerationMoved(`${raise.key}: generation ${generation} is set down, not ${raise.after}`),
      );
  }
  const data = [...generations].map(
    ([key, { generation, isWithdrawn }]) =>
      [key, isWithdrawn ? `${generation} withdrawn` : String(generation)] as const,
  );
  return { data: Object.fromEntries(data), failures };
}
