/** Keeps the catalog snapshot of one database: read at start, again when the database has changed or somebody asks. */
import { type LoadedCatalog, loadCatalog as load } from '#catalog/load-catalog.ts';
import { openCatalogClient } from './catalog-client.ts';
import type { UpstreamTarget } from './upstream.ts';

/** Reads the catalog, unless it is still as `known` has it: then gives that back. Rejects with DependencyError. */
export async function loadCatalog(
  target: UpstreamTarget,
  known: LoadedCatalog | undefined,
  signal: AbortSignal,
): Promise<LoadedCatalog> {
  const client = await openCatalogClient(target, signal);
  const onAbort = (): void => client.close();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await load(client.query, known);
  } finally {
    signal.removeEventListener('abort', onAbort);
    client.close();
  }
}
