import { describe, expect, test } from 'vitest';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { checkEligible, subjectOf } from '#operator/credentials/eligible-pod.ts';
import { admissionContext, agentPod, injected } from '#test/admission-samples.ts';

const context = admissionContext();
const subject = { namespace: 'agents', serviceAccount: 'support-bot', podName: 'agent', podUid: 'uid-1' };

function pod(changes: { metadata?: object; spec?: object; status?: object } = {}): KubernetesObject {
  const made = injected(agentPod({ serviceAccountName: 'support-bot' }), context) as {
    readonly metadata: object;
    readonly spec: object;
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    ...made,
    metadata: { ...made.metadata, name: 'agent', namespace: 'agents', uid: 'uid-1', ...changes.metadata },
    spec: { ...made.spec, ...changes.spec },
    status: { phase: 'Running', podIP: '10.0.0.7', podIPs: [{ ip: '10.0.0.7' }, { ip: 'fd00::7' }], ...changes.status },
  } as unknown as KubernetesObject;
}

describe('a pod is answered', () => {
  test.each(['10.0.0.7', '::ffff:10.0.0.7', 'fd00::7'])('at its own address %s', (address) => {
    expect(checkEligible(subject, pod(), address, context)).toMatchObject({
      kind: 'eligible',
      connections: [{ namespace: 'data', name: 'shop' }],
    });
  });

  test('while it is being ended, since it still runs', () => {
    const ending = pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } });
    expect(checkEligible(subject, ending, '10.0.0.7', context).kind).toBe('eligible');
  });
});

describe('a pod is refused', () => {
  test.each([
    ['that does not exist', undefined, '10.0.0.7', 'PodNotFound'],
    ['that took the name of an earlier one', pod({ metadata: { uid: 'uid-2' } }), '10.0.0.7', 'PodReplaced'],
    ['of another namespace', pod({ metadata: { namespace: 'other' } }), '10.0.0.7', 'PodReplaced'],
    ['under another account', pod({ spec: { serviceAccountName: 'x' } }), '10.0.0.7', 'WrongServiceAccount'],
    ['that has ended', pod({ status: { phase: 'Succeeded' } }), '10.0.0.7', 'PodEnded'],
    ['that failed', pod({ status: { phase: 'Failed' } }), '10.0.0.7', 'PodEnded'],
    ['without its label', pod({ metadata: { labels: {} } }), '10.0.0.7', 'NotInjected'],
    ['without its sidecar', pod({ spec: { initContainers: [] } }), '10.0.0.7', 'NotInjected'],
    ['that shares its processes', pod({ spec: { shareProcessNamespace: true } }), '10.0.0.7', 'SharedProcessNamespace'],
    ['without an address yet', pod({ status: { podIP: undefined, podIPs: [] } }), '10.0.0.7', 'AddressUnknown'],
    ['for which another address asks', pod(), '10.0.0.8', 'WrongAddress'],
    ['for which nobody knows who asks', pod(), '', 'WrongAddress'],
  ] as const)('%s', (_what, given, address, reason) => {
    expect(checkEligible(subject, given, address, context)).toMatchObject({ kind: 'refused', reason });
  });
});

describe('a token', () => {
  const review = {
    authenticated: true,
    audiences: ['postern.dev/operator'],
    username: 'system:serviceaccount:agents:support-bot',
    groups: [],
    extra: {
      'authentication.kubernetes.io/pod-name': ['agent'],
      'authentication.kubernetes.io/pod-uid': ['uid-1'],
    },
  };

  test('of a pod names it', () => {
    expect(subjectOf(review)).toEqual(subject);
  });

  test.each([
    ['that is not authentic', { authenticated: false }],
    ['that is bound to no pod', { extra: {} }],
    ['of a user', { username: 'admin' }],
    ['with a name that only looks like an account', { username: 'x system:serviceaccount:agents:support-bot' }],
  ])('%s names nobody', (_what, changes) => {
    expect(subjectOf({ ...review, ...changes })).toBeUndefined();
  });
});
