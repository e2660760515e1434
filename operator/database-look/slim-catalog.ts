/** The part of a database's catalog that policies are compared with: the operator holds one for each connection. */
import { type LoadedCatalog, loadCatalog } from '#catalog/load-catalog.ts';
import type { CatalogQuery } from '#catalog/read-catalog.ts';
import { type CatalogSnapshot, indexCatalog, isSystemSchema } from '#sql/catalog.ts';

/** Reads it, unless it is still as `known` has it: then gives that back. Rejects as the query does. */
export async function readSlimCatalog(query: CatalogQuery, known: LoadedCatalog | undefined): Promise<LoadedCatalog> {
  const loaded = await loadCatalog(query, known);
  return loaded === known ? known : { mark: loaded.mark, snapshot: slim(loaded.snapshot) };
}

/** Without what only statements need: functions, operators, casts, texts of views, the system's own relations. */
function slim(snapshot: CatalogSnapshot): CatalogSnapshot {
  const { serverVersionNum, databaseName, currentUser, schemas, types } = snapshot;
  const relations = snapshot.relations
    .filter((relation) => !isSystemSchema(relation.schema))
    .map(({ definition: _definition, ...relation }) => relation);
  return indexCatalog({
    ...{ serverVersionNum, databaseName, currentUser, schemas, types, relations },
    ...{ functions: [], operators: [], casts: [] },
  });
}
