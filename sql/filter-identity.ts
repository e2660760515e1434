import { quoteLiteral } from './identifiers.ts';

export type FilterPart =
  | string
  | { readonly column: string }
  | { readonly identity: IdentityReference; readonly placeholder: string };

export type IdentityReference =
  | { readonly kind: 'serviceAccount' | 'namespace' | 'groups' }
  | { readonly kind: 'claim'; readonly name: string };

/** What a filter may know of who asks (policy/identity.ts). */
export interface FilterIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly groups: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A fault of a row filter; caught in filter.ts. */
export class FilterProblem extends Error {}

/** Ends the reading of a filter. */
export function reject(problem: string): never {
  throw new FilterProblem(problem);
}

/** A parenthesised literal for an identity's value; `undefined` where it is absent, null, or not a scalar. */
export function identityLiteral(reference: IdentityReference, identity: FilterIdentity): string | undefined {
  if (reference.kind === 'groups') return arrayLiteral(identity.groups);
  if (reference.kind !== 'claim') return scalarLiteral(identity[reference.kind]);
  return Object.hasOwn(identity.claims, reference.name) ? scalarLiteral(identity.claims[reference.name]) : undefined;
}

function isQuotable(value: string): boolean {
  return !value.includes('\0') && value.isWellFormed();
}

function scalarLiteral(value: unknown): string | undefined {
  if (typeof value === 'string') return isQuotable(value) ? `(${quoteLiteral(value)}::pg_catalog.text)` : undefined;
  if (typeof value === 'boolean') return `('${value}'::pg_catalog.bool)`;
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  return Number.isSafeInteger(value) ? `('${value}'::pg_catalog.int8)` : `('${value}'::pg_catalog."numeric")`;
}

function arrayLiteral(values: readonly string[]): string | undefined {
  if (!values.every(isQuotable)) return undefined;
  const elements = values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  return `(${quoteLiteral(`{${elements.join(',')}}`)}::pg_catalog.text[])`;
}

const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** Replaces each `{{ identity.x }}` by a quoted name of its own, so that it is read as one operand. */
export function extractPlaceholders(source: string): {
  readonly text: string;
  readonly references: ReadonlyMap<string, IdentityReference>;
} {
  const references = new Map<string, IdentityReference>();
  const text = source.replaceAll(PLACEHOLDER, (_, inner: string) => {
    const name = `{{${references.size}}}`;
    references.set(name, identityReference(inner));
    return ` "${name}" `;
  });
  if (text.replaceAll(/"\{\{\d+\}\}"/g, '').includes('{{')) reject('holds {{ without its }}');
  return { text, references };
}

function identityReference(inner: string): IdentityReference {
  const match = /^identity\.(serviceAccount|namespace|groups|claims\.([A-Za-z0-9_:/.-]{1,256}))$/.exec(inner);
  const known = match?.[1];
  if (known === 'serviceAccount' || known === 'namespace' || known === 'groups') return { kind: known };
  const claim = match?.[2];
  if (claim !== undefined) return { kind: 'claim', name: claim };
  return reject(
    `{{ ${inner} }} is not known; use identity.serviceAccount, identity.namespace, identity.groups or identity.claims.NAME`,
  );
}
