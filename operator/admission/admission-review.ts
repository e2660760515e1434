/** `admission.k8s.io/v1` AdmissionReview as raw JSON: the request taken apart, the response put together. */
import type { PatchOperation } from './inject.ts';
import { asMap, isMap, type Json, textOf } from './pod-json.ts';

export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: string;
  /** `pods`, `databaseconnections` ... */
  readonly resource: string;
  /** Empty: the resource itself. */
  readonly subresource: string;
  readonly namespace: string;
  readonly dryRun: boolean;
  readonly object: Json;
  readonly oldObject: Json | undefined;
}

export type DecodedReview =
  | { readonly kind: 'request'; readonly request: AdmissionRequest }
  | { readonly kind: 'malformed'; readonly message: string };

const API_VERSION = 'admission.k8s.io/v1';

export function decodeReview(review: unknown): DecodedReview {
  if (!isMap(review) || review['apiVersion'] !== API_VERSION || review['kind'] !== 'AdmissionReview') {
    return { kind: 'malformed', message: `expected an AdmissionReview of ${API_VERSION}` };
  }
  const request = asMap(review['request']);
  const uid = textOf(request['uid']);
  const operation = textOf(request['operation']);
  const resource = textOf(asMap(request['resource'])['resource']);
  const { object, oldObject } = request;
  if (uid === undefined || operation === undefined || resource === undefined || !isMap(object)) {
    return { kind: 'malformed', message: 'expected a request with uid, operation, resource and object' };
  }
  return {
    kind: 'request',
    request: {
      uid,
      operation,
      resource,
      subresource: textOf(request['subResource']) ?? '',
      namespace: textOf(request['namespace']) ?? '',
      dryRun: request['dryRun'] === true,
      object,
      oldObject: isMap(oldObject) ? oldObject : undefined,
    },
  };
}

export interface Verdict {
  /** Empty: allowed. */
  readonly problems: readonly string[];
  readonly warnings?: readonly string[];
  readonly patch?: readonly PatchOperation[];
}

/** The API server cuts warnings at 256 characters when there are many; at most this many are sent. */
const MAX_WARNINGS = 12;
const MAX_WARNING_LENGTH = 250;

/** The AdmissionReview to answer with. */
export function reviewResponse(
  uid: string,
  verdict: Verdict,
  refusal: { readonly code: number; readonly reason: string },
): Json {
  const { problems, warnings = [], patch = [] } = verdict;
  const refused = problems.length > 0;
  return {
    apiVersion: API_VERSION,
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: !refused,
      ...(refused ? { status: { ...refusal, message: problems.join('; ') } } : {}),
      ...(warnings.length > 0
        ? { warnings: warnings.slice(0, MAX_WARNINGS).map((text) => text.slice(0, MAX_WARNING_LENGTH)) }
        : {}),
      ...(!refused && patch.length > 0
        ? { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }
        : {}),
    },
  };
}
