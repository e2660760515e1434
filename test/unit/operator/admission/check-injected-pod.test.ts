import { describe, expect, test } from 'vitest';
import { checkInjectedPod } from '#operator/admission/check-injected-pod.ts';
import { shapeOf } from '#operator/admission/sidecar.ts';
import { recordData, recordedTemplates, withTemplate } from '#operator/admission/template-record.ts';
import { watchPods } from '#operator/admission/watchdog.ts';
import {
  admissionContext,
  agentPod,
  connection,
  injected,
  type Json,
  ROOT_KEY,
  TEMPLATE,
} from '#test/admission-samples.ts';
import { CHANGED } from '#test/cluster/admission-attacks.ts';

const CONTEXT = admissionContext();
const PREVIOUS = { ...TEMPLATE, release: '0.0.9', image: 'localhost/postern:0.0.9', collectorUrl: 'https://old' };
const FOREIGN_KEY = 'A'.repeat(43);

/** As the API server gives it back: with what it and the cluster's own plugins set. */
function live(pod: Json): Json {
  const copy = structuredClone(pod) as { metadata: Json; spec: { initContainers: Json[]; volumes: Json[] } };
  copy.metadata = {
    ...copy.metadata,
    name: 'agent-x',
    namespace: 'agents',
    uid: 'u1',
    annotations: { ...(copy.metadata['annotations'] as Json), 'postern.dev/bundle-generation': '7' },
  };
  const [sidecar = {}] = copy.spec.initContainers;
  (sidecar['volumeMounts'] as Json[]).push({
    name: 'kube-api-access-abcde',
    readOnly: true,
    mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
  });
  sidecar['resources'] = { limits: { memory: '512Mi', cpu: '1' } };
  sidecar['imagePullPolicy'] = 'Always';
  return copy as unknown as Json;
}

const reasons = (pod: Json, context = CONTEXT): readonly string[] => {
  const checked = checkInjectedPod(pod, context);
  return checked.kind === 'refused' ? checked.refusals.map(({ reason, message }) => `${reason}: ${message}`) : [];
};

describe('a live pod', () => {
  test('as this release injects it is good, and says what it may ask for', () => {
    const pod = live(injected(agentPod({}, { 'postern.dev/connections': 'data/shop,data/bill-2' })));
    expect(checkInjectedPod(pod, CONTEXT)).toEqual({
      kind: 'injected',
      connections: [
        { namespace: 'data', name: 'shop', port: 5432 },
        { namespace: 'data', name: 'bill-2', port: 5433 },
      ],
      serviceAccount: 'support-bot',
      template: TEMPLATE,
      outdated: false,
    });
  });

  test('as the previous release injected it is good, and outdated', () => {
    const pod = live(injected(agentPod(), admissionContext({ template: PREVIOUS })));
    expect(checkInjectedPod(pod, admissionContext({ previousTemplates: [PREVIOUS] }))).toMatchObject({
      kind: 'injected',
      outdated: true,
    });
    expect(reasons(pod)).toEqual([
      'SidecarChanged: the sidecar or its volumes are not as this or the previous release makes them; delete the pod, so that it is made anew',
    ]);
  });

  test('with a root key that retires is good; with a foreign one, alone or besides, it is not', () => {
    const withKeys = (...rootKeys: readonly string[]): Json =>
      live(injected(agentPod(), admissionContext({ rootKeys })));
    const rotating = admissionContext({ rootKeys: ['B'.repeat(43)], retiringRootKeys: [ROOT_KEY] });
    expect(reasons(withKeys(ROOT_KEY), rotating)).toEqual([]);
    for (const pod of [withKeys(FOREIGN_KEY), withKeys(ROOT_KEY, FOREIGN_KEY)]) {
      expect(reasons(pod)).toEqual([
        'SidecarChanged: the sidecar trusts a key that is not ours; delete the pod, so that it is made anew',
      ]);
    }
  });

  test('whose annotation was changed afterwards gets nothing', () => {
    const pod = live(injected(agentPod()));
    ((pod['metadata'] as Json)['annotations'] as Json)['postern.dev/connections'] = 'data/bill-2';
    expect(reasons(pod)[0]).toMatch(/^SidecarChanged: /);
  });

  test('without the label, or without the sidecar, is not injected', () => {
    const pod = live(injected(agentPod()));
    const bare = structuredClone(pod) as { metadata: Json };
    bare.metadata['labels'] = {};
    expect(reasons(bare as unknown as Json)[0]).toMatch(/^NotInjected: the pod lacks the label/);
    const without = structuredClone(pod) as { spec: Json };
    without.spec['initContainers'] = [];
    expect(reasons(without as unknown as Json)[0]).toMatch(/^NotInjected: the pod runs without the sidecar/);
  });

  test('with a debug container that targets the sidecar gets nothing', () => {
    const pod = live(injected(agentPod()));
    (pod['spec'] as Json)['ephemeralContainers'] = [{ name: 'debug', targetContainerName: 'postern-proxy' }];
    expect(reasons(pod)).toEqual([
      'SharedProcessNamespace: spec.ephemeralContainers[0] (debug): targets the sidecar, whose processes it could read; target another container',
    ]);
  });

  test('that holds the Secret of a connection made after it gets nothing', () => {
    const later = connection('agents', 'later');
    const pod = live(
      injected(
        agentPod(
          { containers: [{ name: 'agent', envFrom: [{ secretRef: { name: 'later-agent' } }] }] },
          { 'postern.dev/connections': 'agents/later' },
        ),
      ),
    );
    expect(reasons(pod)).toEqual([]);
    expect(reasons(pod, admissionContext({}, [later]))[0]).toMatch(/^ConnectionSecret: /);
  });

  test('a mount beside the account token is a change', () => {
    const pod = live(injected(agentPod()));
    const [sidecar] = (pod['spec'] as { initContainers: { volumeMounts: Json[] }[] }).initContainers;
    sidecar?.volumeMounts.push({ name: 'kube-api-access-x', readOnly: true, mountPath: '/postern' });
    expect(reasons(pod)[0]).toMatch(/^SidecarChanged: /);
  });
});

describe('the policy behind the webhook and this check agree', () => {
  test.each(CHANGED)('%s: refused here too', (_what, change) => {
    const pod = injected(agentPod());
    expect(checkInjectedPod(pod, CONTEXT, 'agents').kind).toBe('injected');
    change(pod);
    expect(checkInjectedPod(pod, CONTEXT, 'agents').kind).toBe('refused');
  });
});

describe('the watchdog', () => {
  const named = (pod: Json, name: string, status: Json = {}): Json => ({
    ...pod,
    metadata: { ...(pod['metadata'] as Json), name, namespace: 'agents', uid: name },
    status,
  });

  test('reports labelled pods without the sidecar, and those that get no credentials', () => {
    const outdated = injected(agentPod(), admissionContext({ template: PREVIOUS }));
    const changed = injected(agentPod(), admissionContext({ rootKeys: [FOREIGN_KEY] }));
    const report = watchPods(
      [
        named(agentPod(), 'bare', { phase: 'Running' }),
        named(agentPod(), 'starting', { phase: 'Pending' }),
        named(agentPod(), 'ended', { phase: 'Succeeded' }),
        named(injected(agentPod()), 'good', { phase: 'Running' }),
        named(outdated, 'outdated'),
        named(changed, 'changed'),
      ],
      admissionContext({ previousTemplates: [PREVIOUS] }),
    );
    expect(report).toMatchObject({ withoutSidecar: 2, changedSidecar: 1, outdated: 1 });
    expect(report.events.map(({ regarding, type, reason }) => [regarding.name, type, reason])).toEqual([
      ['bare', 'Warning', 'SidecarMissing'],
      ['starting', 'Warning', 'SidecarMissing'],
      ['changed', 'Warning', 'SidecarRefused'],
    ]);
  });
});

describe('the record of templates', () => {
  const later = { ...TEMPLATE, release: '0.2.0', image: 'localhost/postern:0.2.0' };

  const versions = (templates: ReturnType<typeof withTemplate>): readonly string[] =>
    templates.map(({ release, collectorUrl }) => `${release} ${collectorUrl}`.trim());

  test('keeps this release and the one before, newest first', () => {
    const first = withTemplate(undefined, PREVIOUS);
    const second = withTemplate(recordData(first), TEMPLATE);
    expect(versions(second)).toEqual(['0.1.0', '0.0.9 https://old']);
    const third = withTemplate(recordData(second), { ...TEMPLATE, collectorUrl: 'https://new' });
    expect(versions(third)).toEqual(['0.1.0 https://new', '0.1.0', '0.0.9 https://old']);
    expect(versions(withTemplate(recordData(third), later))).toEqual(['0.2.0', '0.1.0 https://new', '0.1.0']);
  });

  test('keeps what an earlier release made, also where this one would make something else', () => {
    const [recorded = PREVIOUS] = recordedTemplates(recordData(withTemplate(undefined, PREVIOUS)));
    const shape = shapeOf(recorded);
    const older = { ...recorded, shape: { ...shape, container: { ...shape.container, args: ['proxy', '--older'] } } };
    const [kept = PREVIOUS] = recordedTemplates(recordData([older]));
    const pod = live(injected(agentPod(), admissionContext({ template: older })));
    expect(JSON.stringify(pod)).toContain('--older');
    expect(checkInjectedPod(pod, admissionContext({ previousTemplates: [kept] }))).toMatchObject({
      kind: 'injected',
      outdated: true,
    });
    expect(reasons(pod, admissionContext({ previousTemplates: [PREVIOUS] }))[0]).toMatch(/^SidecarChanged: /);
  });

  test('writing the same again changes nothing, and rubbish reads as nothing', () => {
    const record = recordData(withTemplate(undefined, TEMPLATE));
    expect(recordData(withTemplate(record, TEMPLATE))).toEqual(record);
    for (const templates of ['{', '7', '[7,{"release":"x"}]']) expect(recordedTemplates({ templates })).toEqual([]);
  });
});
