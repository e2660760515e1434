/**
 * From what is wanted and what lies in the cluster to what is written: one bundle for each namespace of agents. A bundle is written anew, with
 * a higher generation, where it is missing, damaged, frozen, signed by a former key, or says something else. Pure.
 */
import type { Bundle } from '#bundle/bundle.ts';
import { agentNamespaces, compileBundle, isSameBundle, withdrawalBundle } from '#bundle/compile.ts';
import type { BundleConfigMap, ConnectionKey } from './published.ts';
import { grantingSources, type Sources } from './sources.ts';

/** One namespace of agents, as it is. */
export interface Target {
  readonly agentNamespace: string;
  /** The last one that was set down; 0: none. */
  readonly generation: number;
  readonly configMap: BundleConfigMap | undefined;
  /** The highest one that a sidecar says it has applied. */
  readonly reportedGeneration: number;
  /** Live pods there that ask for the connection. */
  readonly podCount: number;
}

export interface PlanInput {
  readonly key: ConnectionKey;
  readonly sources: Sources;
  readonly targets: readonly Target[];
  /** Of the key that signs now. */
  readonly kid: string;
  readonly keySetText: string;
  /** Signs, and says whether sidecars would take the result. */
  readonly sign: (bundle: Bundle) => { readonly bytes: Buffer; readonly isTooLarge: boolean };
}

export type BundleAction =
  /** `afterGeneration` must still be the last one when the bundle's own is set down. `uid`: of a frozen ConfigMap that goes first. */
  | {
      readonly kind: 'write';
      readonly agentNamespace: string;
      readonly afterGeneration: number;
      readonly bundle: Bundle;
      readonly bundleText: string;
      readonly frozenUid: string | undefined;
      readonly isRepair: boolean;
    }
  /** The bundle stays, the key set beside it changes. */
  | {
      readonly kind: 'renewKeys';
      readonly agentNamespace: string;
      readonly generation: number;
      readonly bundleText: string;
    }
  | { readonly kind: 'keep'; readonly agentNamespace: string; readonly generation: number }
  /** A withdrawal that no pod needs any more. */
  | { readonly kind: 'delete'; readonly agentNamespace: string; readonly uid: string }
  /** The last good one stays. */
  | { readonly kind: 'tooLarge'; readonly agentNamespace: string; readonly generation: number; readonly bytes: number };

/** Above this a reported generation is not believed: it must stay possible to count on. */
const MAX_BELIEVED_GENERATION = 2 ** 40;

export function planBundles(input: PlanInput): readonly BundleAction[] {
  const granting = grantingSources(input.sources);
  const wanted = new Set(
    granting === undefined
      ? []
      : agentNamespaces(
          granting.connection.resource,
          granting.policies.map((policy) => policy.resource),
        ),
  );
  const known = new Map(input.targets.map((target) => [target.agentNamespace, target]));
  const names = [...new Set([...wanted, ...known.keys()])].sort();
  return names.flatMap((agentNamespace) => {
    const target = known.get(agentNamespace) ?? emptyTarget(agentNamespace);
    if (granting === undefined || !wanted.has(agentNamespace)) return planWithdrawal(input, target);
    const make = (generation: number): Bundle =>
      compileBundle(granting.connection, granting.policies, agentNamespace, generation);
    return [planBundle(input, target, make)];
  });
}

function emptyTarget(agentNamespace: string): Target {
  return { agentNamespace, generation: 0, configMap: undefined, reportedGeneration: 0, podCount: 0 };
}

function planWithdrawal(input: PlanInput, target: Target): readonly BundleAction[] {
  const { agentNamespace, configMap } = target;
  const published = configMap?.signed?.bundle;
  // Nobody ever got anything here.
  if (target.generation === 0 && configMap === undefined) return [];
  const isWithdrawn =
    published !== undefined &&
    published.generation >= target.generation &&
    published.manifests.policies.length === 0 &&
    published.serviceAccounts.length === 0;
  if (target.podCount === 0) {
    if (configMap === undefined) return [];
    if (isWithdrawn) return [{ kind: 'delete', agentNamespace, uid: configMap.uid }];
  }
  const connection = withdrawnConnection(input, published);
  return [planBundle(input, target, (generation) => withdrawalBundle(connection, agentNamespace, generation))];
}

function withdrawnConnection({ key, sources }: PlanInput, published: Bundle | undefined): Bundle['connection'] {
  const uid = sources.connection.kind === 'sound' ? sources.connection.source.uid : (published?.connection.uid ?? '');
  return { namespace: key.namespace, name: key.name, uid };
}

function planBundle(input: PlanInput, target: Target, make: (generation: number) => Bundle): BundleAction {
  const { agentNamespace, configMap, generation } = target;
  const signed = configMap?.signed;
  const isCurrent =
    configMap !== undefined &&
    signed !== undefined &&
    signed.kid === input.kid &&
    signed.bundle.generation === generation &&
    believed(target.reportedGeneration) <= generation &&
    !configMap.isImmutable &&
    isSameBundle(signed.bundle, make(generation));
  if (isCurrent) {
    if (configMap.isLabelled && configMap.keySetText === input.keySetText) {
      return { kind: 'keep', agentNamespace, generation };
    }
    return { kind: 'renewKeys', agentNamespace, generation, bundleText: configMap.bundleText };
  }
  const last = Math.max(generation, signed?.bundle.generation ?? 0, believed(target.reportedGeneration));
  const bundle = make(last + 1);
  const { bytes, isTooLarge } = input.sign(bundle);
  if (isTooLarge) return { kind: 'tooLarge', agentNamespace, generation, bytes: bytes.length };
  return {
    kind: 'write',
    agentNamespace,
    afterGeneration: generation,
    bundle,
    bundleText: bytes.toString('base64'),
    frozenUid: configMap?.isImmutable === true ? configMap.uid : undefined,
    isRepair: generation > 0 && (signed === undefined || signed.bundle.generation !== generation),
  };
}

function believed(reported: number): number {
  return Number.isSafeInteger(reported) && reported <= MAX_BELIEVED_GENERATION ? reported : 0;
}
