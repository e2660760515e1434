import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from './cluster.ts';

/** A policy as this suite changes it. */
export interface SamplePolicy extends KubernetesObject {
  readonly spec: { readonly tables: readonly [SampleTable, ...SampleTable[]]; readonly [field: string]: unknown };
}

interface SampleTable {
  readonly name: string;
  readonly hide?: readonly string[];
  readonly [field: string]: unknown;
}

/** The samples that users get, with the TLS that users should have: this suite's server has a certificate. */
export function sampleConnection(): KubernetesObject {
  const connection = firstOf('connection.yaml') as KubernetesObject & { readonly spec: object };
  return {
    ...connection,
    spec: {
      ...connection.spec,
      tls: { mode: 'VerifyFull', caSecretRef: { name: 'shop-ca', key: 'ca.crt' } },
      allowedWorkloads: [
        { namespace: 'agents', serviceAccounts: ['support-bot', 'ops-bot'] },
        { namespace: 'lab', serviceAccounts: ['support-bot'] },
      ],
    },
  };
}

export function samplePolicy(): SamplePolicy {
  return firstOf('policy.yaml') as SamplePolicy;
}

/** The sample, with the first table, public.customers, changed. */
export function policyWithCustomers(change: Readonly<Record<string, unknown>>): SamplePolicy {
  const policy = samplePolicy();
  const [customers, ...others] = policy.spec.tables;
  return { ...policy, spec: { ...policy.spec, tables: [{ ...customers, ...change }, ...others] } };
}

function firstOf(file: string): KubernetesObject {
  const text = readFileSync(new URL(`../../hack/kind/samples/${file}`, import.meta.url), 'utf8');
  return parseAllDocuments(text)[0]?.toJS() as KubernetesObject;
}
