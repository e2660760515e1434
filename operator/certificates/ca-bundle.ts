/**
 * Keeps `caBundle` of the webhook configurations that name the operator's Service: all authorities that are known (a new one before it issues,
 * an old one after), repaired when somebody wipes or re-applies them.
 */
import type { ClusterClient } from '#kubernetes/cluster-client.ts';
import type { KubernetesObject } from '#kubernetes/object.ts';
import { objectPath } from '#kubernetes/resources.ts';

export const WEBHOOK_CONFIGURATIONS = {
  mutating: { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration' },
  validating: { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration' },
} as const;

export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

interface Webhook {
  readonly name: string;
  readonly clientConfig?: { readonly caBundle?: string; readonly service?: ServiceName };
}

export interface JsonPatchOperation {
  readonly op: 'test' | 'add';
  readonly path: string;
  readonly value: string;
}

/** What has to change so that every webhook of ours trusts these authorities; empty: nothing. Others in the same object are left alone. */
export function caBundlePatch(
  configuration: KubernetesObject,
  service: ServiceName,
  authorities: readonly string[],
): readonly JsonPatchOperation[] {
  const caBundle = encodeCaBundle(authorities);
  const webhooks = (configuration['webhooks'] ?? []) as readonly Webhook[];
  return webhooks.flatMap((webhook, index): readonly JsonPatchOperation[] => {
    const client = webhook.clientConfig;
    const ours = client?.service?.name === service.name && client.service.namespace === service.namespace;
    if (!ours || client.caBundle === caBundle) return [];
    return [
      // The order may have changed since it was read.
      { op: 'test', path: `/webhooks/${index}/name`, value: webhook.name },
      { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle },
    ];
  });
}

/** PEM certificates as `caBundle` wants them. */
export function encodeCaBundle(authorities: readonly string[]): string {
  return Buffer.from(authorities.map((pem) => `${pem.trim()}\n`).join('')).toString('base64');
}

/** Repairs one configuration; true where something was written. */
export async function ensureCaBundle(
  client: Pick<ClusterClient, 'request'>,
  configuration: KubernetesObject,
  service: ServiceName,
  authorities: readonly string[],
): Promise<boolean> {
  const patch = caBundlePatch(configuration, service, authorities);
  if (patch.length === 0) return false;
  const { apiVersion, kind } = configuration;
  const path = objectPath({ apiVersion, kind, name: configuration.metadata.name });
  await client.request('PATCH', path, { body: patch, contentType: 'application/json-patch+json' });
  return true;
}
