/** When databases are looked at: at once when a connection or its credentials change, once a minute after that, sooner after a failure. */
import { createHash } from 'node:crypto';
import type { LoadedCatalog } from '#catalog/load-catalog.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { ReadyMaterial } from '../credentials/connection-material.ts';
import type { DatabaseLook } from './look.ts';

/** `known`: the catalog that was read of the same database before. */
export type Look = (
  connection: DatabaseConnection,
  material: ReadyMaterial,
  known: LoadedCatalog | undefined,
) => Promise<DatabaseLook>;

const REPEAT_MS = 60_000;
const RETRY_MS = 15_000;
const MAX_AT_ONCE = 4;

interface Known {
  /** Digest of what was looked at. */
  readonly of: string;
  readonly look: DatabaseLook;
  /** What was read last, though the last look may have failed. */
  readonly catalog: LoadedCatalog | undefined;
  readonly nextAtMs: number;
}

/** Both undefined: nobody has looked yet. */
export interface Found {
  readonly look: DatabaseLook | undefined;
  readonly catalog: LoadedCatalog | undefined;
}

const NOTHING: Found = { look: undefined, catalog: undefined };

export class DatabaseLooker {
  readonly #look: Look;
  readonly #onLooked: (key: string) => void;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();
  readonly #looking = new Set<string>();

  constructor(look: Look, onLooked: (key: string) => void, now: () => number = Date.now) {
    this.#look = look;
    this.#onLooked = onLooked;
    this.#now = now;
  }

  /** What was found last, if it is of this very connection; begins to look where it is time. */
  find(key: string, connection: DatabaseConnection, material: ReadyMaterial): Found {
    const of = createHash('sha256')
      .update(
        JSON.stringify([connection.spec.host, connection.spec.port, connection.spec.database, connection.spec.tls]),
      )
      .update(JSON.stringify([material.username, material.password, material.tlsCa]))
      .digest('base64');
    const known = this.#known.get(key);
    const isSame = known?.of === of;
    if (!this.#looking.has(key) && this.#looking.size < MAX_AT_ONCE && (!isSame || known.nextAtMs <= this.#now())) {
      void this.#begin(key, of, connection, material, isSame ? known.catalog : undefined);
    }
    return isSame ? { look: known.look, catalog: known.catalog } : NOTHING;
  }

  /** In how long there is something to look at again. */
  dueInMs(key: string): number {
    const known = this.#known.get(key);
    return known === undefined ? RETRY_MS : Math.max(known.nextAtMs - this.#now(), 1000);
  }

  forget(key: string): void {
    this.#known.delete(key);
  }

  async #begin(
    key: string,
    of: string,
    connection: DatabaseConnection,
    material: ReadyMaterial,
    before: LoadedCatalog | undefined,
  ): Promise<void> {
    this.#looking.add(key);
    const look = await this.#look(connection, material, before).catch((error: unknown): DatabaseLook => {
      const message = error instanceof Error ? error.message : 'unknown error';
      return { kind: 'failed', reason: 'Unreachable', message: `the operator cannot look at databases: ${message}` };
    });
    this.#looking.delete(key);
    const catalog = look.kind === 'reached' && look.catalog.kind === 'read' ? look.catalog.loaded : before;
    this.#known.set(key, {
      of,
      look,
      catalog,
      nextAtMs: this.#now() + (look.kind === 'reached' ? REPEAT_MS : RETRY_MS),
    });
    this.#onLooked(key);
  }
}
