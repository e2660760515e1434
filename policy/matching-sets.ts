/** Which policies can meet in one identity, told from their subjects alone. Pure. */
import type { DatabaseAccessPolicy, SubjectSpec } from '#crds/kinds.ts';
import type { Identity } from './identity.ts';
import { matchingPolicies } from './match.ts';

/** Policies that match together, and an identity that they match. */
export interface MatchingSet {
  readonly policies: readonly DatabaseAccessPolicy[];
  readonly identity: Identity;
}

export interface MatchingSets {
  readonly sets: readonly MatchingSet[];
  /** Any two subjects were put together. */
  readonly isComplete: boolean;
}

const MAX_PAIRED = 60;
const MAX_SETS = 200;

/**
 * The sets for whoever is no more than one subject says, for whoever is two of them at once, and for whoever is as many as go together.
 * Three that meet without any of these showing it are left to the sidecar, which refuses what it must.
 */
export function matchingSets(policies: readonly DatabaseAccessPolicy[], maxSets = MAX_SETS): MatchingSets {
  const subjects = distinctSubjects(policies);
  const found = new Map<string, MatchingSet>();
  const add = (identity: Identity | undefined): void => {
    if (identity === undefined || found.size >= maxSets) return;
    const matching = matchingPolicies(policies, identity);
    const key = matching.map((policy) => policies.indexOf(policy)).join();
    if (matching.length > 0 && !found.has(key)) found.set(key, { policies: matching, identity });
  };
  for (const subject of subjects) add(identityOf([subject]));
  for (const subject of subjects) add(identityOf(together(subject, subjects)));
  const isPaired = subjects.length <= MAX_PAIRED;
  if (isPaired) {
    for (const [index, one] of subjects.entries()) {
      for (const other of subjects.slice(index + 1)) if (goTogether([one], other)) add(identityOf([one, other]));
    }
  }
  return { sets: [...found.values()], isComplete: isPaired && found.size < maxSets };
}

function distinctSubjects(policies: readonly DatabaseAccessPolicy[]): readonly SubjectSpec[] {
  const all = policies.flatMap((policy) => policy.spec.subjects);
  const key = ({ serviceAccount, group, claims }: SubjectSpec): string =>
    JSON.stringify([serviceAccount?.namespace, serviceAccount?.name, group, [...(claims ?? [])]]);
  return [...new Map(all.map((subject) => [key(subject), subject])).values()];
}

/** `first`, and every other that contradicts none before it. */
function together(first: SubjectSpec, subjects: readonly SubjectSpec[]): readonly SubjectSpec[] {
  const taken = [first];
  for (const subject of subjects) if (subject !== first && goTogether(taken, subject)) taken.push(subject);
  return taken;
}

/** One account, one value of a claim; groups there can be many. */
function goTogether(taken: readonly SubjectSpec[], subject: SubjectSpec): boolean {
  return taken.every(({ serviceAccount: account, claims }) => {
    const own = subject.serviceAccount;
    const isSameAccount =
      account === undefined || own === undefined || (account.namespace === own.namespace && account.name === own.name);
    return (
      isSameAccount && [...(subject.claims ?? [])].every(([name, value]) => (claims?.get(name) ?? value) === value)
    );
  });
}

function identityOf(subjects: readonly SubjectSpec[]): Identity {
  const account = subjects.find(({ serviceAccount }) => serviceAccount !== undefined)?.serviceAccount;
  return {
    // No name of Kubernetes has a star: it is no account that another subject names.
    namespace: account?.namespace ?? '*',
    serviceAccount: account?.name ?? '*',
    groups: [...new Set(subjects.flatMap(({ group }) => group ?? []))],
    claims: Object.fromEntries(subjects.flatMap(({ claims }) => [...(claims ?? [])])),
  };
}
