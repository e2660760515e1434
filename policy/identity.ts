/** Who asks: the pod's service account and, with OIDC, what the verified token says. */
export interface Identity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly groups: readonly string[];
  /** Claims of the verified JWT (or `--claim`); scalars are usable in row filters. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Kubernetes' user name of a service account: the `actor.user.uid` of every record. */
export function identityUid(identity: Identity): string {
  return `system:serviceaccount:${identity.namespace}:${identity.serviceAccount}`;
}
