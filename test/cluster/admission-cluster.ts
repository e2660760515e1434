import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Json } from '#test/admission-samples.ts';
import { type Answer, Api } from './api.ts';

/** Two runs against one cluster do not meet. */
const PREFIX = `admission-${process.pid}`;

/** The same attempts are made in both namespaces; the policies look at the closed one only. */
export const OPEN = `${PREFIX}-open`;
export const CLOSED = `${PREFIX}-closed`;
/** Stands for the chart's release namespace. */
export const OPERATOR_NAMESPACE = `${PREFIX}-operator`;
export const OPERATOR_USER = `system:serviceaccount:${OPERATOR_NAMESPACE}:postern-operator`;
export const OPERATOR_URL = `https://postern-operator.${OPERATOR_NAMESPACE}.svc:8443`;
/** That this release is said to replace. */
export const PREVIOUS_IMAGE = 'localhost/postern:previous';

const root = new URL('../..', import.meta.url).pathname;
const api = new Api();

/** Whom a request is made as; an account gets its groups by itself. */
export interface As {
  readonly user: string;
  readonly group?: string;
}

/** An account of the stock `edit` role in its namespace. */
export function editorOf(namespace: string): As {
  return { user: `system:serviceaccount:${namespace}:editor` };
}

export async function send(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  as?: As,
): Promise<Answer> {
  const headers: Record<string, string> = as === undefined ? {} : { 'Impersonate-User': as.user };
  if (as?.group !== undefined) headers['Impersonate-Group'] = as.group;
  const contentType =
    method !== 'PATCH'
      ? 'application/json'
      : Array.isArray(body)
        ? 'application/json-patch+json'
        : 'application/strategic-merge-patch+json';
  return api.send(path, { method, body, contentType, headers });
}

export const podsPath = (namespace: string, name = ''): string =>
  `/api/v1/namespaces/${namespace}/pods${name === '' ? '' : `/${name}`}`;

/** Creates, or says why not; an object that is there already counts as created. */
export async function ensure(path: string, body: unknown): Promise<void> {
  const answer = await send('POST', path, body);
  if (answer.status !== 201 && answer.status !== 409) throw new Error(`${path}: ${answer.status} ${answer.message}`);
}

/** Policies and bindings of the chart, under own names and for the closed namespace alone. */
export function scopedPolicies(): readonly Json[] {
  const rendered = execFileSync(
    'helm',
    [
      ...['template', 'postern', join(root, 'charts/postern'), '--namespace', OPERATOR_NAMESPACE],
      ...['--set', 'image.repository=localhost/node', '--set-string', 'image.tag=26'],
      ...['--set', `sidecar.previousImages={${PREVIOUS_IMAGE}}`],
    ],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  return parseAllDocuments(rendered)
    .map((document): unknown => document.toJS())
    .filter(isPolicyObject)
    .map(scoped);
}

function isPolicyObject(document: unknown): document is Json {
  return (
    typeof document === 'object' &&
    document !== null &&
    'kind' in document &&
    (document.kind === 'ValidatingAdmissionPolicy' || document.kind === 'ValidatingAdmissionPolicyBinding')
  );
}

interface PolicyObject {
  kind: string;
  metadata: { name: string };
  spec: { policyName?: string; matchConstraints?: { namespaceSelector?: unknown } };
}

function scoped(document: Json): Json {
  const copy = structuredClone(document) as Json & PolicyObject;
  copy.metadata.name = `${PREFIX}-${copy.metadata.name}`;
  if (copy.spec.policyName !== undefined) copy.spec.policyName = `${PREFIX}-${copy.spec.policyName}`;
  if (copy.spec.matchConstraints !== undefined) {
    copy.spec.matchConstraints.namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': CLOSED } };
  }
  return copy;
}

/** Where the chart itself is installed its policies hold in every namespace, and no attack works anywhere. */
export async function refuseInstalledChart(): Promise<void> {
  const path = '/apis/admissionregistration.k8s.io/v1';
  const installed = [
    `${path}/validatingadmissionpolicies/postern-exec`,
    `${path}/mutatingwebhookconfigurations/postern-operator`,
  ];
  for (const each of installed) {
    const { status } = await send('GET', each);
    if (status === 200)
      throw new Error('the chart is installed in this cluster; remove it before this test: helm uninstall');
  }
}

export function applyAll(documents: readonly Json[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'admission-'));
  const file = join(folder, 'objects.json');
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents }));
  execFileSync('kubectl', ['apply', '--server-side', '--force-conflicts', '-f', file], { encoding: 'utf8' });
  rmSync(folder, { recursive: true });
}

export async function removePolicies(): Promise<void> {
  const root = '/apis/admissionregistration.k8s.io/v1';
  for (const document of scopedPolicies()) {
    const { kind, metadata } = document as Json & PolicyObject;
    const plural = kind.endsWith('Binding') ? 'validatingadmissionpolicybindings' : 'validatingadmissionpolicies';
    await send('DELETE', `${root}/${plural}/${metadata.name}`);
  }
}

/** Runs kubectl; its output, and its message where it fails. */
export function kubectl(...parameters: readonly string[]): { readonly ok: boolean; readonly text: string } {
  try {
    return {
      ok: true,
      text: execFileSync('kubectl', parameters, { encoding: 'utf8', stdio: 'pipe', timeout: 60_000 }),
    };
  } catch (error) {
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
    return { ok: false, text: stderr };
  }
}

/** Until `look` gives something; else fails with what was awaited. */
export async function eventually<T>(what: string, seconds: number, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
