/** Conditions as kstatus reads them: each says which generation it speaks of, and its time changes only with its status. Pure. */
import type { KubernetesObject } from '#kubernetes/object.ts';

export type Truth = 'True' | 'False' | 'Unknown';

/** What is found, before it is known since when. */
export interface Finding {
  readonly type: string;
  readonly status: Truth;
  /** CamelCase and stable: programs select by it. */
  readonly reason: string;
  readonly message: string;
}

export interface Condition extends Finding {
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

export interface Status {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly [field: string]: unknown;
}

const MAX_MESSAGE = 4096;

/** The conditions that an object has now. */
export function conditionsOf(object: KubernetesObject): readonly Partial<Condition>[] {
  const status = object['status'];
  const conditions = isMap(status) ? status['conditions'] : undefined;
  return Array.isArray(conditions) ? (conditions as readonly unknown[]).filter(isMap) : [];
}

export function conditionOf(object: KubernetesObject, type: string): Partial<Condition> | undefined {
  return conditionsOf(object).find((condition) => condition.type === type);
}

/** A whole status. `nowIso` is the time of conditions that changed. */
export function statusOf(
  object: KubernetesObject,
  findings: readonly Finding[],
  fields: Readonly<Record<string, unknown>>,
  nowIso: string,
): Status {
  const observedGeneration = object.metadata.generation ?? 0;
  const conditions = findings.map((finding): Condition => {
    const before = conditionOf(object, finding.type);
    const isSame = before?.status === finding.status && before.lastTransitionTime !== undefined;
    return {
      ...finding,
      message: cut(finding.message),
      observedGeneration,
      lastTransitionTime: isSame ? (before.lastTransitionTime ?? nowIso) : nowIso,
    };
  });
  return { observedGeneration, conditions, ...fields };
}

/** Whether an object says all this already. */
export function hasStatus(object: KubernetesObject, status: Status): boolean {
  return isDeepEqual(object['status'], status);
}

/**
 * `Reconciling` and `Stalled` beside `Ready`: they are there only while they are true. Stalled: somebody has to change something.
 */
export function progressOf(ready: Finding, needsSomebody: boolean): readonly Finding[] {
  if (ready.status === 'Unknown') return [{ ...ready, type: 'Reconciling', status: 'True' }];
  if (ready.status === 'False' && needsSomebody) return [{ ...ready, type: 'Stalled', status: 'True' }];
  return [];
}

function cut(message: string): string {
  return message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE - 1)}…`;
}

function isDeepEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => isDeepEqual(item, other[index]));
  }
  if (!isMap(one) || !isMap(other)) return false;
  const keys = Object.keys(one).filter((key) => one[key] !== undefined);
  const others = Object.keys(other).filter((key) => other[key] !== undefined);
  return keys.length === others.length && keys.every((key) => isDeepEqual(one[key], other[key]));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
