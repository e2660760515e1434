import { type DatabaseAccessPolicy, type DatabaseConnection, qualifiedName, type SubjectSpec } from '#crds/kinds.ts';
import type { Identity } from './identity.ts';

/** Whether one entry of `subjects` means this identity: all fields that it has must match. Claims match by equal value and type. */
export function matchesSubject(subject: SubjectSpec, identity: Identity): boolean {
  const { serviceAccount, group, claims } = subject;
  if (serviceAccount === undefined && group === undefined && (claims === undefined || claims.size === 0)) return false;
  if (serviceAccount !== undefined) {
    if (serviceAccount.namespace !== identity.namespace || serviceAccount.name !== identity.serviceAccount)
      return false;
  }
  if (group !== undefined && !identity.groups.includes(group)) return false;
  for (const [name, value] of claims ?? []) {
    if (!Object.hasOwn(identity.claims, name) || identity.claims[name] !== value) return false;
  }
  return true;
}

/** The policies of a connection, for whomever: same namespace, and named by `connectionRef`. In order of their names. */
export function policiesOfConnection(
  connection: DatabaseConnection,
  policies: readonly DatabaseAccessPolicy[],
): readonly DatabaseAccessPolicy[] {
  return policies
    .filter((policy) => policy.namespace === connection.namespace && policy.spec.connectionRef.name === connection.name)
    .toSorted((a, b) => (qualifiedName(a) < qualifiedName(b) ? -1 : 1));
}

/** Those of them that name this identity; any entry of `subjects` is enough, and no entry names nobody. */
export function matchingPolicies(
  policies: readonly DatabaseAccessPolicy[],
  identity: Identity,
): readonly DatabaseAccessPolicy[] {
  return policies.filter((policy) => policy.spec.subjects.some((subject) => matchesSubject(subject, identity)));
}

/** `allowedWorkloads` shuts out every account that it does not list; left out, the policies alone decide. */
export function isAllowedWorkload(connection: DatabaseConnection, identity: Identity): boolean {
  const allowed = connection.spec.allowedWorkloads;
  if (allowed === undefined) return true;
  return allowed.some(
    (entry) => entry.namespace === identity.namespace && entry.serviceAccounts.includes(identity.serviceAccount),
  );
}
