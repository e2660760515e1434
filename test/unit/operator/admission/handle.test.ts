import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkInjectedPod } from '#operator/admission/check-injected-pod.ts';
import { ADMISSION_PATHS, type AdmissionPath, handleAdmission } from '#operator/admission/handle.ts';
import { loadManifestValidation } from '#operator/admission/validate-manifests.ts';
import { admissionContext, agentPod, applyPatch, injected, type Json, TEMPLATE } from '#test/admission-samples.ts';

const CONTEXT = admissionContext();
beforeAll(loadManifestValidation);

/** An AdmissionReview as the API server sends it. */
function review(object: unknown, more: Json = {}): Json {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      namespace: 'agents',
      operation: 'CREATE',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object,
      oldObject: null,
      dryRun: false,
      ...more,
    },
  };
}

function answer(
  path: AdmissionPath,
  request: Json,
  context = CONTEXT,
): Extract<ReturnType<typeof handleAdmission>, { kind: 'answered' }> & { response: Json } {
  const answered = handleAdmission(path, request, context);
  if (answered.kind === 'malformed') throw new Error(answered.message);
  return { ...answered, response: answered.review['response'] as Json };
}

const patchOf = (response: Json): Parameters<typeof applyPatch>[1] =>
  JSON.parse(Buffer.from(String(response['patch']), 'base64').toString('utf8')) as Parameters<typeof applyPatch>[1];

describe('/mutate-pods', () => {
  test('answers with a patch that injects, an Event and the outcome', () => {
    const owned = agentPod();
    (owned['metadata'] as Json)['ownerReferences'] = [
      { apiVersion: 'batch/v1', kind: 'Job', name: 'nightly', uid: 'j1', controller: true },
    ];
    const { review: sent, response, events, outcome } = answer('/mutate-pods', review(owned));
    expect(sent).toMatchObject({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' });
    expect(response).toMatchObject({
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      allowed: true,
      patchType: 'JSONPatch',
    });
    expect(applyPatch(owned, patchOf(response))).toEqual(injected(owned));
    expect(events).toEqual([
      {
        regarding: { apiVersion: 'batch/v1', kind: 'Job', namespace: 'agents', name: 'nightly', uid: 'j1' },
        type: 'Normal',
        reason: 'Injected',
        action: 'Inject',
        note: "the sidecar for data/shop stands before the pod's containers",
      },
    ]);
    expect(outcome).toEqual({ result: 'injected', reason: '' });
  });

  test('asked again about its own work it changes nothing', () => {
    const { response, events, outcome } = answer('/mutate-pods', review(injected(agentPod())));
    expect(response).toEqual({ uid: '705ab4f5-6393-11e8-b7cc-42010a800002', allowed: true });
    expect([events, outcome.result]).toEqual([[], 'unchanged']);
  });

  test('a dry run gets the same patch and leaves no Event', () => {
    const wet = answer('/mutate-pods', review(agentPod()));
    const dry = answer('/mutate-pods', review(agentPod(), { dryRun: true }));
    expect(dry.response).toEqual(wet.response);
    expect([wet.events.length, dry.events.length]).toEqual([1, 0]);
  });

  test('an unsafe pod is refused with 403 and the reason', () => {
    const { response, events, outcome } = answer('/mutate-pods', review(agentPod({ hostPID: true })));
    expect(response).toEqual({
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      allowed: false,
      status: {
        code: 403,
        reason: 'Forbidden',
        message: 'HostNamespace: spec.hostPID reaches past the pod; remove it',
      },
    });
    expect(events[0]).toMatchObject({ type: 'Warning', reason: 'InjectionRefused' });
    expect(outcome).toEqual({ result: 'refused', reason: 'HostNamespace' });
  });

  test('a connection that does not exist yet is a warning and an Event', () => {
    const { response, events } = answer(
      '/mutate-pods',
      review(agentPod({ dnsPolicy: 'None' }, { 'postern.dev/connections': 'data/later' })),
    );
    expect(response['warnings']).toEqual([
      'DatabaseConnection data/later does not exist yet; statements fail with 57P03 until it does',
      'spec.dnsPolicy None: the sidecar finds the operator and in-cluster databases only through ClusterFirst',
    ]);
    expect(events.map(({ reason }) => reason)).toEqual(['Injected', 'ConnectionMissing', 'ClusterDnsNotUsed']);
  });

  test('the annotation without the label is refused with the advice; neither is none of our business', () => {
    const unlabelled = agentPod();
    (unlabelled['metadata'] as Json)['labels'] = {};
    expect(answer('/mutate-pods', review(unlabelled)).response['status']).toMatchObject({
      message:
        'NotInjected: the annotation postern.dev/connections has no effect without the label postern.dev/inject: "true"; add the label to the pod',
    });
    expect(
      answer('/mutate-pods', review({ metadata: { name: 'x' }, spec: { containers: [] } })).response['allowed'],
    ).toBe(true);
  });

  test.each([
    undefined,
    null,
    'x',
    {},
    review(null),
    { ...review(agentPod()), apiVersion: 'admission.k8s.io/v1beta1' },
  ])('what is no review is malformed, and nothing throws: %j', (body) => {
    expect(handleAdmission('/mutate-pods', body, CONTEXT).kind).toBe('malformed');
  });

  test.each([
    { spec: 7 },
    { metadata: { labels: { 'postern.dev/inject': 'true' } }, spec: { containers: 'x', initContainers: [null, 7] } },
  ])('a pod of another shape is answered: %j', (pod) => {
    expect(answer('/mutate-pods', review(pod)).response).toHaveProperty('allowed');
  });
});

describe('/validate-pods', () => {
  test('an injected pod passes; one that another webhook changed afterwards does not', () => {
    expect(answer('/validate-pods', review(injected(agentPod()))).response['allowed']).toBe(true);
    const changed = injected(agentPod());
    (changed['spec'] as Json)['shareProcessNamespace'] = true;
    expect(answer('/validate-pods', review(changed)).outcome).toEqual({
      result: 'refused',
      reason: 'SharedProcessNamespace',
    });
  });

  test('a pod that a replica of another release injected is left to the policy, but not its neighbours', () => {
    const foreign = admissionContext({ template: { ...TEMPLATE, release: '9.9.9', image: 'localhost/postern:9.9.9' } });
    const pod = injected(agentPod(), foreign);
    expect(answer('/validate-pods', review(pod)).response['allowed']).toBe(true);
    (pod['spec'] as Json)['hostPID'] = true;
    expect(answer('/validate-pods', review(pod)).outcome.reason).toBe('HostNamespace');
  });

  test('a debug container that targets the sidecar is refused, another is not', () => {
    const ask = (container: Json): unknown => {
      const pod = injected(
        agentPod({ containers: [{ name: 'agent' }], ephemeralContainers: [{ name: 'debug', ...container }] }),
      );
      return answer('/validate-pods', review(pod, { operation: 'UPDATE', subResource: 'ephemeralcontainers' })).outcome
        .reason;
    };
    expect(ask({ targetContainerName: 'agent' })).toBe('');
    expect(() => ask({ targetContainerName: 'postern-proxy' })).toThrow(/targets the sidecar/);
    const late = injected(agentPod());
    (late['spec'] as Json)['ephemeralContainers'] = [{ name: 'debug', targetContainerName: 'postern-proxy' }];
    const update = { operation: 'UPDATE', subResource: 'ephemeralcontainers' };
    expect(answer('/validate-pods', review(late, update)).outcome.reason).toBe('SharedProcessNamespace');
  });
});

describe('/validate-manifests', () => {
  const manifest = (kind: string, spec: Json): Json => ({
    apiVersion: 'postern.dev/v1alpha1',
    kind,
    metadata: { name: 'support', namespace: 'data' },
    spec,
  });
  const ask = (object: Json, more: Json = {}): Json =>
    answer(
      '/validate-manifests',
      review(object, {
        namespace: 'data',
        resource: { group: 'postern.dev', version: 'v1alpha1', resource: 'databaseaccesspolicies' },
        ...more,
      }),
    ).response;
  const policy = (more: Json): Json =>
    manifest('DatabaseAccessPolicy', {
      connectionRef: { name: 'shop' },
      subjects: [{ serviceAccount: { namespace: 'agents', name: 'support-bot' } }],
      tables: [{ name: 'public.customers' }],
      ...more,
    });

  test('a good policy and a good connection pass without a word', () => {
    expect(ask(policy({}))).toEqual({ uid: expect.any(String), allowed: true });
    const { spec } = admissionSpec();
    expect(ask(manifest('DatabaseConnection', spec))).toEqual({ uid: expect.any(String), allowed: true });
  });

  function admissionSpec(): { spec: Json } {
    return {
      spec: {
        engine: 'Postgres',
        host: 'shop-rw.data.svc',
        database: 'shop',
        credentials: { secretRef: { name: 'shop-agent' } },
      },
    };
  }

  test.each<[string, Json, string]>([
    [
      'a rowFilter that does not parse',
      { tables: [{ name: 'public.a', rowFilter: 'region = = 1' }] },
      'spec.tables[0].rowFilter: is not an SQL expression: syntax error at or near "="',
    ],
    [
      'a rowFilter with a sub-select',
      { tables: [{ name: 'public.a', rowFilter: 'id IN (SELECT 1)' }] },
      'spec.tables[0].rowFilter: ',
    ],
    [
      'a guardrail that does not compile',
      { guardrails: [{ name: 'g', when: 'statement.command ==', action: 'Deny' }] },
      'spec.guardrails[0].when: is not valid CEL: ',
    ],
    [
      'a guardrail over what there is not',
      { guardrails: [{ name: 'g', when: 'statement.nothing', action: 'Deny' }] },
      'spec.guardrails[0].when: ',
    ],
    [
      'an unknown mask',
      { tables: [{ name: 'public.a', mask: [{ columns: ['b'], with: { method: 'Redakt' } }] }] },
      'spec.tables[0].mask[0].with.method: ',
    ],
    [
      'two masks of one column',
      {
        tables: [
          {
            name: 'public.a',
            mask: [
              { columns: ['b'], with: { method: 'Redact' } },
              { columns: ['b'], with: { method: 'Email' } },
            ],
          },
        ],
      },
      'spec.tables[0].mask: b is masked by two methods in one rule; keep one',
    ],
    [
      'a tag allowed and denied',
      { statements: { allow: ['TRUNCATE TABLE'], deny: ['TRUNCATE TABLE'] } },
      'spec.statements: TRUNCATE TABLE stands in allow and in deny; keep one',
    ],
    [
      'a pattern that RE2 does not take',
      { redact: { patterns: [{ name: 'p', regex: '(?=a)' }] } },
      'spec.redact.patterns[0].regex: is not a regular expression of RE2',
    ],
  ])('%s: refused with 422', (_what, more, message) => {
    const response = ask(policy(more));
    expect(response).toMatchObject({ allowed: false, status: { code: 422, reason: 'Invalid' } });
    expect((response['status'] as Json)['message']).toContain(message);
  });

  test.each<[string, Json, string]>([
    [
      'an unknown connection',
      { connectionRef: { name: 'later' } },
      'spec.connectionRef: there is no DatabaseConnection data/later yet',
    ],
    ['nobody', { subjects: [] }, 'spec.subjects: names nobody, so the policy has no effect'],
    [
      'a group without OIDC',
      { subjects: [{ group: 'support' }] },
      'spec.subjects: group and claims never match, since the connection has clientAuth.mode Workload; set OIDC there',
    ],
    [
      'a mask of a hidden column',
      { tables: [{ name: 'public.a', hide: ['b'], mask: [{ columns: ['b'], with: { method: 'Redact' } }] }] },
      'spec.tables[0].mask: b cannot be seen at all, so no mask is needed',
    ],
    ['Observe', { mode: 'Observe' }, 'spec.mode: Observe forwards what Enforce would refuse, and only records it'],
  ])('%s: allowed, with a warning', (_what, more, warning) => {
    expect(ask(policy(more))).toMatchObject({ allowed: true, warnings: [warning] });
  });

  test('a connection whose server is not checked, or whose host an agent could answer for, is warned about', () => {
    const { spec } = admissionSpec();
    expect(
      ask(manifest('DatabaseConnection', { ...spec, host: 'shop', tls: { mode: 'Disable' } }))['warnings'],
    ).toEqual([
      'spec.tls.mode: Disable does not check who answers; with VerifyFull nobody can stand between the sidecar and the database',
      "spec.host: shop is looked up from the agent's namespace; write it in full, e.g. shop.data.svc",
    ]);
  });

  test('an update that leaves the spec alone passes, so that a finalizer can always go', () => {
    const broken = policy({ tables: [{ name: 'public.a', rowFilter: 'region = = 1' }] });
    const labelled = { ...broken, metadata: { name: 'support', namespace: 'data', labels: { a: 'b' } } };
    expect(ask(labelled, { operation: 'UPDATE', oldObject: broken })['allowed']).toBe(true);
    expect(ask(broken, { operation: 'UPDATE', oldObject: policy({}) })['allowed']).toBe(false);
  });

  test('a name that the server will make is no problem', () => {
    const unnamed = { ...policy({}), metadata: { generateName: 'support-' } };
    expect(ask(unnamed)['allowed']).toBe(true);
  });
});

describe('requests as a real API server of 1.36 sent them', () => {
  const recorded = JSON.parse(readFileSync(new URL('recorded-reviews.json', import.meta.url), 'utf8')) as readonly {
    readonly path: string;
    readonly review: {
      readonly request: { readonly operation: string; readonly dryRun: boolean; readonly object: Json };
    };
  }[];
  const answerAt = (index: number): ReturnType<typeof answer> & { object: Json } => {
    const { path, review: sent } = recorded[index] ?? {
      path: '',
      review: { request: { operation: '', dryRun: false, object: {} } },
    };
    const known = ADMISSION_PATHS.find((each) => path.split('?')[0] === each);
    if (known === undefined) throw new Error(path);
    return { ...answer(known, sent), object: sent.request.object };
  };

  test.each([
    ['a bare pod', 0, 'Pod'],
    ['a pod of a Deployment', 1, 'ReplicaSet'],
    ['a pod of a Job', 2, 'Job'],
    ['a dry run', 4, undefined],
  ])('%s is injected, and then passes the check', (_what, index, kind) => {
    const made = answerAt(index);
    expect(made.response).toMatchObject({ allowed: true, patchType: 'JSONPatch' });
    expect(made.events[0]?.regarding.kind).toBe(kind);
    const pod = applyPatch(made.object, patchOf(made.response));
    expect(checkInjectedPod(pod, CONTEXT, 'admission-record').kind).toBe('injected');
    // The Job does without the account's token.
    expect(JSON.stringify(pod).includes('kube-api-access')).toBe(kind !== 'Job');
  });

  test('a policy that does not read is refused, and may be labelled all the same', () => {
    expect(answerAt(3).outcome).toEqual({ result: 'refused', reason: 'InvalidManifest' });
    expect(answerAt(5).outcome.result).toBe('allowed');
  });

  test('a debug container for the agent is let through', () => {
    expect(answerAt(6).outcome.result).toBe('allowed');
  });
});
