/** What admission judges by, from what this replica knows now. */
import { decodeResource } from '#crds/decode.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import type { AdmissionContext, SidecarTemplate } from './admission/context.ts';
import type { Caches } from './caches.ts';
import type { Trust } from './signing-keys/trust.ts';

export interface AdmissionSources {
  readonly caches: Pick<Caches, 'get'>;
  readonly template: SidecarTemplate;
  readonly previousTemplates: () => readonly SidecarTemplate[];
  readonly trust: () => Trust | undefined;
}

/** Undefined while there are no keys: nothing can be injected then. */
export function admissionContextOf(sources: AdmissionSources): AdmissionContext | undefined {
  const trust = sources.trust();
  if (trust === undefined) return undefined;
  return {
    template: sources.template,
    previousTemplates: sources.previousTemplates(),
    rootKeys: trust.rootKeys,
    retiringRootKeys: trust.retiringRootKeys,
    connection: (namespace, name) => {
      const object = sources.caches.get('DatabaseConnection', `${namespace}/${name}`);
      return object === undefined ? undefined : decodeConnection(object);
    },
  };
}

/** An object in a cache is never changed, only replaced: each is decoded once. */
const decoded = new WeakMap<KubernetesObject, DatabaseConnection | 'unsound'>();

function decodeConnection(object: KubernetesObject): DatabaseConnection | undefined {
  let known = decoded.get(object);
  if (known === undefined) {
    const result = decodeResource(object);
    const sound = result.kind === 'decoded' && result.resource.kind === 'DatabaseConnection';
    known = sound ? (result.resource as DatabaseConnection) : 'unsound';
    decoded.set(object, known);
  }
  return known === 'unsound' ? undefined : known;
}
