/** Reading a pod as raw JSON: what is absent or of another type reads as nothing; fields that we do not know stay where they are. */
import { SIDECAR_NAME } from './context.ts';

export type Json = Readonly<Record<string, unknown>>;

/** Why a pod is refused; CamelCase and stable, also the reason of Events and a label of `injections_total`. */
export type PodRefusalReason =
  | 'NotInjected'
  | 'InvalidConnections'
  | 'InvalidPort'
  | 'PortClash'
  | 'ReservedName'
  | 'ReservedVolume'
  | 'ReservedToken'
  | 'EnvironmentConflict'
  | 'SharedProcessNamespace'
  | 'HostNamespace'
  | 'HostPath'
  | 'Privileged'
  | 'AddedCapabilities'
  | 'ProcMount'
  | 'SidecarUser'
  | 'ConnectionSecret'
  | 'RedirectedTraffic'
  | 'UnsupportedSystem'
  | 'SidecarChanged'
  | 'Malformed';

/** `message` says what to do next. */
export interface PodRefusal {
  readonly reason: PodRefusalReason;
  readonly message: string;
}

export function asMap(value: unknown): Json {
  return isMap(value) ? value : {};
}

export function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The entries of a list that are maps. */
export function mapsOf(value: unknown): readonly Json[] {
  return asList(value).filter(isMap);
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function specOf(pod: Json): Json {
  return asMap(pod['spec']);
}

export function metadataOf(pod: Json): Json {
  return asMap(pod['metadata']);
}

export function labelOf(pod: Json, name: string): string | undefined {
  const value = asMap(metadataOf(pod)['labels'])[name];
  return typeof value === 'string' ? value : undefined;
}

export function annotationOf(pod: Json, name: string): string | undefined {
  const value = asMap(metadataOf(pod)['annotations'])[name];
  return typeof value === 'string' ? value : undefined;
}

/** A pod that names no account runs as `default`. */
export function serviceAccountOf(pod: Json): string {
  const spec = specOf(pod);
  return textOf(spec['serviceAccountName']) ?? textOf(spec['serviceAccount']) ?? 'default';
}

export type ContainerList = 'initContainers' | 'containers' | 'ephemeralContainers';

export interface PlacedContainer {
  /** `spec.containers[0]`. */
  readonly path: string;
  readonly name: string;
  readonly container: Json;
}

/** Every container but the sidecar, which is the init container of that name; ephemeral ones too. */
export function otherContainers(pod: Json): readonly PlacedContainer[] {
  const spec = specOf(pod);
  const placed = (list: ContainerList): readonly PlacedContainer[] =>
    asList(spec[list]).flatMap((container, index) =>
      isMap(container) && !(list === 'initContainers' && container['name'] === SIDECAR_NAME)
        ? [{ path: `spec.${list}[${index}]`, name: textOf(container['name']) ?? '?', container }]
        : [],
    );
  return [...placed('initContainers'), ...placed('containers'), ...placed('ephemeralContainers')];
}

/** Equal as JSON: lists in order, maps in any. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => isSameJson(item, b[index]));
  }
  if (!isMap(a) || !isMap(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSameJson(a[key], b[key]))
  );
}
