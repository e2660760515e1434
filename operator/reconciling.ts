/** The seam between the machinery (start.ts) and what reconciles connections and policies and answers sidecars. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { CacheKind } from './caches.ts';
import type { OperatorDependencies } from './dependencies.ts';

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

export function openReconciling(_dependencies: OperatorDependencies): Reconciling {
  return {
    changed: () => undefined,
    trustChanged: () => undefined,
    lead: () => undefined,
    stop: async () => await Promise.resolve(),
    queueDepth: () => 0,
    handleCredentials: async (request, response) => {
      request.resume();
      response.writeHead(503, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ reason: 'NotReady', message: 'this operator does not serve credentials yet' }));
      return await Promise.resolve();
    },
  };
}
