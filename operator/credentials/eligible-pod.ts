/** Whether the pod behind a request may be answered at all: the token names it, it lives, it is as we inject it, and it is who speaks. Pure. */
import type { TokenReviewStatus } from '#kubernetes/cluster-client.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { checkInjectedPod } from '../admission/check-injected-pod.ts';
import type { AdmissionContext } from '../admission/context.ts';
import { asMap, mapsOf, serviceAccountOf, textOf } from '../admission/pod-json.ts';
import { hasEnded } from '../reconcile/agent-pods.ts';
import type { ConnectionName } from './grants.ts';

/** Whom a token stands for, by the API server's word. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

/** Undefined: no token of a pod. */
export function subjectOf(review: TokenReviewStatus): TokenSubject | undefined {
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(review.username);
  const [podName] = review.extra['authentication.kubernetes.io/pod-name'] ?? [];
  const [podUid] = review.extra['authentication.kubernetes.io/pod-uid'] ?? [];
  const [, namespace, serviceAccount] = account ?? [];
  if (!review.authenticated || namespace === undefined || serviceAccount === undefined) return undefined;
  if (podName === undefined || podUid === undefined || podName === '' || podUid === '') return undefined;
  return { namespace, serviceAccount, podName, podUid };
}

export type Eligibility =
  | { readonly kind: 'eligible'; readonly connections: readonly ConnectionName[] }
  /** `reason` is CamelCase and stable. */
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string };

/** `pod` is undefined where there is none of that name. `peerAddress` as the socket gives it. */
export function checkEligible(
  subject: TokenSubject,
  pod: KubernetesObject | undefined,
  peerAddress: string,
  context: AdmissionContext,
): Eligibility {
  const no = (reason: string, message: string): Eligibility => ({ kind: 'refused', reason, message });
  if (pod === undefined) return no('PodNotFound', 'the pod of this token does not exist');
  if (pod.metadata.uid !== subject.podUid || pod.metadata.namespace !== subject.namespace) {
    return no('PodReplaced', 'the token is of an earlier pod of this name');
  }
  if (serviceAccountOf(pod) !== subject.serviceAccount) {
    return no('WrongServiceAccount', 'the pod runs under another service account than its token says');
  }
  if (hasEnded(pod)) return no('PodEnded', 'the pod has ended');
  const checked = checkInjectedPod(pod, context);
  if (checked.kind === 'refused') {
    const [first] = checked.refusals;
    return no(first?.reason ?? 'NotInjected', checked.refusals.map(({ message }) => message).join('; '));
  }
  const addresses = addressesOf(pod);
  if (addresses.length === 0) return no('AddressUnknown', 'the pod has no address in its status yet');
  if (!addresses.includes(plainAddress(peerAddress))) {
    return no('WrongAddress', 'the request does not come from the address of the pod');
  }
  return { kind: 'eligible', connections: checked.connections };
}

function addressesOf(pod: KubernetesObject): readonly string[] {
  const status = asMap(pod['status']);
  const all = [status['podIP'], ...mapsOf(status['podIPs']).map((entry) => entry['ip'])];
  return all.flatMap((address) => textOf(address) ?? []).map(plainAddress);
}

/** An IPv4 address in IPv6 clothes, and a zone, are put aside. */
export function plainAddress(address: string): string {
  return address
    .replace(/^::ffff:(?=\d+\.)/i, '')
    .replace(/%.*$/, '')
    .toLowerCase();
}
