/** The three admission webhooks: AdmissionReview in, AdmissionReview out, with the Events and the outcome for metrics beside it. */
import { type AdmissionRequest, decodeReview, reviewResponse } from './admission-review.ts';
import { checkInjectedPod } from './check-injected-pod.ts';
import { type AdmissionContext, CONNECTIONS_ANNOTATION, INJECT_LABEL, INJECTED_ANNOTATION } from './context.ts';
import { inject, marksOf } from './inject.ts';
import { annotationOf, type Json, labelOf, type PodRefusal, specOf, textOf } from './pod-json.ts';
import { eventAboutPod, type PodEvent } from './pod-events.ts';
import { unsafePodRefusals } from './unsafe-pod.ts';
import { validateManifest } from './validate-manifests.ts';

export const ADMISSION_PATHS = ['/mutate-pods', '/validate-pods', '/validate-manifests'] as const;
export type AdmissionPath = (typeof ADMISSION_PATHS)[number];

/** For `injections_total{result,reason}` and logs. */
export interface AdmissionOutcome {
  readonly result: 'injected' | 'unchanged' | 'allowed' | 'refused';
  /** Of a refusal, the first of them; else empty. */
  readonly reason: string;
}

export type AdmissionAnswer =
  | {
      readonly kind: 'answered';
      /** The body to send, status 200. */
      readonly review: Json;
      /** None for a dry run. */
      readonly events: readonly PodEvent[];
      readonly outcome: AdmissionOutcome;
    }
  /** Status 400; the API server then refuses, since the webhooks fail closed. */
  | { readonly kind: 'malformed'; readonly message: string };

/** Needs loadManifestValidation(). Never throws for bad input. */
export function handleAdmission(path: AdmissionPath, review: unknown, context: AdmissionContext): AdmissionAnswer {
  const decoded = decodeReview(review);
  if (decoded.kind === 'malformed') return decoded;
  const { request } = decoded;
  const answer = HANDLERS[path](request, context);
  return { kind: 'answered', ...answer, events: request.dryRun ? [] : answer.events };
}

type Answer = Omit<Extract<AdmissionAnswer, { kind: 'answered' }>, 'kind'>;

const HANDLERS: Readonly<Record<AdmissionPath, (request: AdmissionRequest, context: AdmissionContext) => Answer>> = {
  '/mutate-pods': mutatePod,
  '/validate-pods': validatePod,
  '/validate-manifests': answerManifest,
};

function isPodCreation({ operation, resource, subresource }: AdmissionRequest): boolean {
  return operation === 'CREATE' && resource === 'pods' && subresource === '';
}

function mutatePod(request: AdmissionRequest, context: AdmissionContext): Answer {
  const { object: pod, namespace, uid } = request;
  if (!isPodCreation(request)) return allowed(uid);
  if (labelOf(pod, INJECT_LABEL) !== 'true') return answerUnlabelled(request);
  const injection = inject(pod, namespace, context);
  if (injection.kind === 'refused') return refuse(request, injection.refusals);
  const names = injection.connections.map((connection) => `${connection.namespace}/${connection.name}`).join(', ');
  const warnings = [
    ...injection.missing.map(
      (name) => `DatabaseConnection ${name} does not exist yet; statements fail with 57P03 until it does`,
    ),
    ...dnsWarnings(pod),
  ];
  const events = [
    ...(injection.patch.length === 0
      ? []
      : [event(request, 'Normal', 'Injected', `the sidecar for ${names} stands before the pod's containers`)]),
    ...injection.missing.map((name) =>
      event(
        request,
        'Warning',
        'ConnectionMissing',
        `DatabaseConnection ${name} does not exist yet: statements fail with 57P03 until it does. PGDATABASE is its name until the pod is made anew`,
      ),
    ),
    ...dnsWarnings(pod).map((note) => event(request, 'Warning', 'ClusterDnsNotUsed', note)),
  ];
  return {
    review: reviewResponse(uid, { problems: [], warnings, patch: injection.patch }, FORBIDDEN),
    events,
    outcome: { result: injection.patch.length === 0 ? 'unchanged' : 'injected', reason: '' },
  };
}

function dnsWarnings(pod: Json): readonly string[] {
  const policy = textOf(specOf(pod)['dnsPolicy']);
  return policy === undefined || policy === 'ClusterFirst' || policy === 'ClusterFirstWithHostNet'
    ? []
    : [`spec.dnsPolicy ${policy}: the sidecar finds the operator and in-cluster databases only through ClusterFirst`];
}

/** The webhook's selector leaves unlabelled pods out; one that comes nevertheless and asks for connections is told what it lacks. */
function answerUnlabelled(request: AdmissionRequest): Answer {
  if (annotationOf(request.object, CONNECTIONS_ANNOTATION) === undefined) return allowed(request.uid);
  return refuse(request, [
    {
      reason: 'NotInjected',
      message: `the annotation ${CONNECTIONS_ANNOTATION} has no effect without the label ${INJECT_LABEL}: "true"; add the label to the pod`,
    },
  ]);
}

function validatePod(request: AdmissionRequest, context: AdmissionContext): Answer {
  const { object: pod, namespace, uid, resource, subresource } = request;
  if (resource === 'pods' && subresource === 'ephemeralcontainers') {
    const debug = { ...pod, spec: { ephemeralContainers: specOf(pod)['ephemeralContainers'] } };
    const refusals = unsafePodRefusals({ pod: debug, namespace, requested: [], connection: context.connection });
    return refusals.length === 0 ? allowed(uid) : refuse(request, refusals);
  }
  if (!isPodCreation(request)) return allowed(uid);
  if (labelOf(pod, INJECT_LABEL) !== 'true') return answerUnlabelled(request);
  const checked = checkInjectedPod(pod, context, namespace);
  if (checked.kind === 'injected' || isOfAnotherReplica(pod, checked.refusals, context)) return allowed(uid);
  return refuse(request, checked.refusals);
}

/**
 * While the operator itself is upgraded, a replica of the one release may be asked about a pod that one of the other injected. It cannot
 * tell, and leaves the sidecar's shape to the ValidatingAdmissionPolicy, which knows both; neighbours were judged before that.
 */
function isOfAnotherReplica(pod: Json, refusals: readonly PodRefusal[], context: AdmissionContext): boolean {
  const mark = annotationOf(pod, INJECTED_ANNOTATION);
  return (
    mark !== undefined &&
    !marksOf(context).has(mark) &&
    refusals.every((refusal) => refusal.reason === 'SidecarChanged')
  );
}

function answerManifest(request: AdmissionRequest, context: AdmissionContext): Answer {
  const { object, oldObject, namespace, uid, operation } = request;
  if (operation !== 'CREATE' && operation !== 'UPDATE') return allowed(uid);
  const verdict = validateManifest(object, operation === 'UPDATE' ? oldObject : undefined, namespace, context);
  return {
    review: reviewResponse(uid, verdict, { code: 422, reason: 'Invalid' }),
    events: [],
    outcome: verdict.problems.length === 0 ? ALLOWED : { result: 'refused', reason: 'InvalidManifest' },
  };
}

const FORBIDDEN = { code: 403, reason: 'Forbidden' };
const ALLOWED: AdmissionOutcome = { result: 'allowed', reason: '' };

function allowed(uid: string): Answer {
  return { review: reviewResponse(uid, { problems: [] }, FORBIDDEN), events: [], outcome: ALLOWED };
}

function refuse(request: AdmissionRequest, refusals: readonly PodRefusal[]): Answer {
  const problems = refusals.map(({ reason, message }) => `${reason}: ${message}`);
  return {
    review: reviewResponse(request.uid, { problems }, FORBIDDEN),
    events: [event(request, 'Warning', 'InjectionRefused', problems.join('; '))],
    outcome: { result: 'refused', reason: refusals[0]?.reason ?? 'Malformed' },
  };
}

function event(
  { object, namespace, operation }: AdmissionRequest,
  type: 'Normal' | 'Warning',
  reason: string,
  note: string,
): PodEvent {
  const action = operation === 'CREATE' ? 'Inject' : 'Validate';
  return eventAboutPod(object, namespace, { type, reason, action, note: note.slice(0, 1024) });
}
