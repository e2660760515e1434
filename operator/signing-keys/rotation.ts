/**
 * How a key is replaced while everybody goes on: first the next one is made known beside the current one, then it takes over, then the previous
 * one stays known for a while. Pure; the same for the root key, the signing key and the certificate authority.
 */

/** Next: known, not used yet. Current: used. Previous: no longer used, still known. */
export type KeyPhase = 'Next' | 'Current' | 'Previous';

export interface KeyGeneration {
  /** Names the key; never used twice. */
  readonly id: string;
  readonly phase: KeyPhase;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  readonly phaseSinceMs: number;
}

export interface RotationRules {
  /** A current key that is older is good for nothing: the next one takes over without waiting. */
  readonly lifetimeMs: number;
  /** A current key that is older is replaced. */
  readonly maxAgeMs: number;
  /** How long the next key is known before it takes over. */
  readonly overlapMs: number;
  /** How long a previous key stays known. */
  readonly keepPreviousMs: number;
}

/** What is to be done now; at most one thing at a time, so that each is written before the next. */
export type RotationStep =
  | { readonly kind: 'make'; readonly phase: 'Current' | 'Next' }
  | { readonly kind: 'promote' }
  | { readonly kind: 'forget'; readonly id: string }
  | { readonly kind: 'wait'; readonly ms: number };

/** `requested`: somebody asked for a new key. A clock that went back only makes things wait. */
export function nextRotationStep(
  keys: readonly KeyGeneration[],
  rules: RotationRules,
  nowMs: number,
  requested: boolean,
): RotationStep {
  const current = keys.find((key) => key.phase === 'Current');
  const next = keys.find((key) => key.phase === 'Next');
  if (current === undefined) return next === undefined ? { kind: 'make', phase: 'Current' } : { kind: 'promote' };
  const waits: number[] = [];
  if (next === undefined) {
    const ageLeft = current.createdAtMs + rules.maxAgeMs - nowMs;
    if (requested || ageLeft <= 0) return { kind: 'make', phase: 'Next' };
    waits.push(ageLeft);
  } else {
    const overlapLeft = next.phaseSinceMs + rules.overlapMs - nowMs;
    if (overlapLeft <= 0 || nowMs >= current.createdAtMs + rules.lifetimeMs) return { kind: 'promote' };
    waits.push(overlapLeft);
  }
  for (const key of keys) {
    if (key.phase !== 'Previous') continue;
    const left = key.phaseSinceMs + rules.keepPreviousMs - nowMs;
    if (left <= 0) return { kind: 'forget', id: key.id };
    waits.push(left);
  }
  return { kind: 'wait', ms: Math.min(...waits) };
}

/** The keys after `promote`: the next is current, the current previous. */
export function promote<T extends KeyGeneration>(keys: readonly T[], nowMs: number): readonly T[] {
  return keys.map((key) => {
    if (key.phase === 'Next') return { ...key, phase: 'Current', phaseSinceMs: nowMs };
    return key.phase === 'Current' ? { ...key, phase: 'Previous', phaseSinceMs: nowMs } : key;
  });
}
