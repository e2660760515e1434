/** Reads a catalog snapshot anew only where the database has changed since the last one. */
import { type CatalogSnapshot, indexCatalog } from '#sql/catalog.ts';
import { type CatalogQuery, readCatalog } from './read-catalog.ts';

/** A snapshot and the mark of the state it was read in. */
export interface LoadedCatalog {
  readonly snapshot: CatalogSnapshot;
  readonly mark: string;
}

/**
 * One text that changes with every DDL: row versions of the catalogs that a snapshot is made of, temporary objects left out. VACUUM and
 * ANALYZE update in place and do not change it.
 */
const markQuery = `
WITH n AS (SELECT oid, xmin FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast|temp)'),
     c AS (SELECT oid, xmin FROM pg_catalog.pg_class WHERE relnamespace IN (SELECT oid FROM n))
SELECT pg_catalog.concat_ws('/',
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM n),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM c),
  (SELECT pg_catalog.concat(count(*), ':', sum(attrelid::bigint * 7 + attnum * 13 + xmin::text::bigint))
     FROM pg_catalog.pg_attribute WHERE attrelid IN (SELECT oid FROM c)),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint))
     FROM pg_catalog.pg_type WHERE typnamespace IN (SELECT oid FROM n)),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM pg_catalog.pg_proc),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM pg_catalog.pg_operator),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM pg_catalog.pg_cast),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM pg_catalog.pg_constraint),
  (SELECT pg_catalog.concat(count(*), ':', sum(indexrelid::bigint * 7 + xmin::text::bigint))
     FROM pg_catalog.pg_index WHERE indrelid IN (SELECT oid FROM c)),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint))
     FROM pg_catalog.pg_rewrite WHERE ev_class IN (SELECT oid FROM c)),
  (SELECT pg_catalog.concat(count(*), ':', sum(inhrelid::bigint * 7 + inhparent::bigint * 13 + xmin::text::bigint))
     FROM pg_catalog.pg_inherits),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM pg_catalog.pg_trigger),
  (SELECT pg_catalog.concat(count(*), ':', sum(oid::bigint * 7 + xmin::text::bigint)) FROM pg_catalog.pg_attrdef))`;

/** Reads the catalog, unless it is still as `known` has it: then gives that back. Rejects as the query does. */
export async function loadCatalog(query: CatalogQuery, known: LoadedCatalog | undefined): Promise<LoadedCatalog> {
  // The mark is read before the catalog: DDL in between makes the next look read again.
  const [row] = await query(markQuery);
  const mark = row?.[0] ?? '';
  if (known?.mark === mark) return known;
  return { snapshot: indexCatalog(await readCatalog(query)), mark };
}
