/** Compares the policies of connections with their catalogs; the same policies and catalog are judged once. */
import type { LoadedCatalog } from '#catalog/load-catalog.ts';
import { type DatabaseAccessPolicy, qualifiedName } from '#crds/kinds.ts';
import { judgeFit, type PolicyFit } from '#policy/fit.ts';
import type { Found } from '../database-look/looker.ts';
import type { CatalogState } from './catalog-findings.ts';
import type { PolicyReading } from './sources.ts';

type Fits = ReadonlyMap<string, PolicyFit>;

interface Judged {
  readonly policies: readonly DatabaseAccessPolicy[];
  readonly fits: Fits;
}

export class CatalogJudge {
  readonly #judged = new WeakMap<LoadedCatalog, Judged>();

  /** The state for each of a connection's policies. `found`: undefined where there is nothing to log in with. */
  judge(readings: readonly PolicyReading[], found: Found | undefined): (reading: PolicyReading) => CatalogState {
    const state = stateOf(found);
    if (state.kind !== 'read') return () => state;
    const fits = this.#fits(
      readings.flatMap(({ source }) => source?.resource ?? []),
      state.catalog,
    );
    return ({ source }) => {
      const fit = source === undefined ? undefined : fits.get(qualifiedName(source.resource));
      if (fit === undefined) return { kind: 'unknown', why: 'the policy is not valid' };
      return { kind: 'known', fit, isFresh: state.isFresh };
    };
  }

  #fits(policies: readonly DatabaseAccessPolicy[], catalog: LoadedCatalog): Fits {
    const known = this.#judged.get(catalog);
    const isSame =
      known?.policies.length === policies.length && policies.every((policy, index) => policy === known.policies[index]);
    if (isSame) return known.fits;
    const fits = judgeFit(policies, catalog.snapshot);
    this.#judged.set(catalog, { policies, fits });
    return fits;
  }
}

type State =
  | { readonly kind: 'read'; readonly catalog: LoadedCatalog; readonly isFresh: boolean }
  | Exclude<CatalogState, { kind: 'known' }>;

function stateOf(found: Found | undefined): State {
  if (found === undefined) return { kind: 'unknown', why: 'the operator cannot log in to the database' };
  const { look, catalog } = found;
  if (look === undefined) return { kind: 'pending' };
  const isFresh = look.kind === 'reached' && look.catalog.kind === 'read';
  if (catalog !== undefined) return { kind: 'read', catalog, isFresh };
  if (look.kind === 'failed') return { kind: 'unknown', why: look.message };
  return { kind: 'unknown', why: look.catalog.kind === 'unread' ? look.catalog.message : 'it was not read' };
}
