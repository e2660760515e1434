import { parentPort } from 'node:worker_threads';
import type { Access, SessionNames } from '#sql/access.ts';
import type { TextAnalysis } from '#sql/analysis.ts';
import { analyzeText } from '#sql/analyze.ts';
import { type CatalogData, type CatalogSnapshot, indexCatalog, type Oid } from '#sql/catalog.ts';
import { loadParser } from '#sql/parser.ts';

/** Entry point of the worker thread that analyses large texts; see decide.ts. */

export type WorkerRequest =
  | { readonly kind: 'world'; readonly worldId: number; readonly catalog: CatalogData; readonly access: Access }
  | {
      readonly kind: 'analyze';
      readonly requestId: number;
      readonly worldId: number;
      readonly text: string;
      readonly session: SessionNames;
      readonly parameterTypeOids: readonly Oid[];
      readonly checkToken: string;
      readonly generation: number;
    };

export interface WorkerAnswer {
  readonly requestId: number;
  readonly analysis: TextAnalysis;
}

let world: { readonly id: number; readonly catalog: CatalogSnapshot; readonly access: Access } | undefined;

function answer(request: WorkerRequest): WorkerAnswer | undefined {
  if (request.kind === 'world') {
    world = { id: request.worldId, catalog: indexCatalog(request.catalog), access: request.access };
    return undefined;
  }
  if (world?.id !== request.worldId) throw new Error('analysis asked for before its world');
  const { catalog, access } = world;
  const { text, session, parameterTypeOids, checkToken, generation, requestId } = request;
  const input = { text, catalog, access, session, parameterTypeOids, checkToken, generation };
  return { requestId, analysis: analyzeText(input) };
}

const port = parentPort;
if (port !== null) {
  await loadParser();
  port.on('message', (request: WorkerRequest) => {
    const answered = answer(request);
    if (answered !== undefined) port.postMessage(answered);
  });
}
