import type { Access } from '#sql/access.ts';
import type { CatalogSnapshot, Oid } from '#sql/catalog.ts';
import type { SessionNames } from '#sql/access.ts';
import type { Identity } from './identity.ts';

/** The lowest of each limit over all matching policies; absent: none. */
export interface Limits {
  readonly maxRows?: number;
  readonly maxResultBytes?: number;
  readonly statementTimeoutMs?: number;
  readonly maxConnections?: number;
  readonly statementsPerMinute?: number;
  readonly maxStatementBytes: number;
}

export interface Redaction {
  readonly detectors: readonly string[];
  readonly patterns: readonly { readonly name: string; readonly regex: string }[];
  /** Of a row, which is held whole while it is looked into. */
  readonly maxRowBytes: number;
}

/** A guardrail with its CEL compiled; `evaluate` throws where CEL fails, and an error denies. */
export interface CompiledGuardrail {
  readonly policy: string;
  readonly name: string;
  readonly action: 'Deny' | 'RequireApproval';
  readonly message: string | undefined;
  readonly evaluate: (activation: Readonly<Record<string, unknown>>) => unknown;
}

/** All that holds for one identity on one connection under one generation of the policies and one catalog snapshot. */
export interface EffectivePolicy {
  /** Differs whenever policies or catalog do: cursors and cached decisions of another one do not count. */
  readonly generation: number;
  /** What records name: the generation of the signed bundle; absent: `generation`. */
  readonly recordedGeneration?: number;
  readonly mode: 'Enforce' | 'Observe';
  readonly identity: Identity;
  readonly connection: { readonly namespace: string; readonly name: string; readonly database: string };
  /** `namespace/name` of every matching policy. */
  readonly policies: readonly string[];
  readonly access: Access;
  readonly catalog: CatalogSnapshot;
  readonly guardrails: readonly CompiledGuardrail[];
  readonly approvers: readonly string[];
  readonly limits: Limits;
  /** Absent: no content redaction. */
  readonly redaction: Redaction | undefined;
  readonly errors: { readonly detail: 'Full' | 'Generic'; readonly message: string };
}

export interface DecisionInput {
  readonly text: string;
  readonly policy: EffectivePolicy;
  readonly session: SessionNames;
  readonly parameterTypeOids: readonly Oid[];
  readonly checkToken: string;
}
