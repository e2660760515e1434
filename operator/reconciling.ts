/** The seam between the machinery (start.ts) and what reconciles connections and policies and answers sidecars. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { CacheKind } from './caches.ts';
import type { OperatorDependencies } from './dependencies.ts';
import type { Look } from './database-look/looker.ts';
import { Reconciler } from './reconcile/reconciler.ts';

export interface Reconciling {
  /** A followed object was added, changed or (undefined) is gone; on every replica. */
  readonly changed: (kind: CacheKind, key: string, object: KubernetesObject | undefined) => void;
  /** Keys, key set or authorities changed: every bundle is to be signed anew. */
  readonly trustChanged: () => void;
  /** This replica leads from now on. */
  readonly lead: () => void;
  readonly stop: () => Promise<void>;
  readonly queueDepth: () => number;
  /** `POST /v1/credentials`; never rejects. */
  readonly handleCredentials: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
}

/** Begins to follow what it needs besides the caches. */
export function openReconciling(dependencies: OperatorDependencies): Reconciling {
  const reconciler = new Reconciler(dependencies, look);
  return {
    changed: (kind, key, object) => reconciler.changed(kind, key, object),
    trustChanged: () => reconciler.trustChanged(),
    lead: () => reconciler.lead(),
    stop: async () => await reconciler.stop(),
    queueDepth: () => reconciler.queueDepth(),
    handleCredentials: async (request, response) => await reconciler.handleCredentials(request, response),
  };
}

/** The client library is loaded by the leader alone, when it first looks. */
const look: Look = async (connection, material, known) => {
  const { lookAtDatabase } = await import('./database-look/look-at-database.ts');
  return await lookAtDatabase(connection, material, known);
};
