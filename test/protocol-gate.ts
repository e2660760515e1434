/**
 * The real session between real sockets and a real server, under a policy that is not the subject of the test: decisions come from a
 * table, so that the protocol can be tested without the analysis.
 */
import type { AuditEvent, AuditSink, RecordedResult } from '#audit/event.ts';
import { indexCatalog } from '#sql/catalog.ts';
import type { AcceptedStatement, SessionEffect, TextPiece } from '#sql/analysis.ts';
import type { Denial, StatementDecision, TextDecision } from '#policy/decision.ts';
import type { DecisionInput, EffectivePolicy } from '#policy/effective-policy.ts';
import type { PolicyState } from '#proxy/connection-ports.ts';
import { listenForClients } from '#proxy/listener.ts';
import { connectUpstream, type UpstreamTarget } from '#proxy/upstream.ts';
import { SILENT_OBSERVER } from '#session/observer.ts';
import { createDatabase } from './postgres.ts';

export const CHECK_TOKEN = 'c0ffee';

export function testPolicy(changes: Partial<EffectivePolicy> = {}): EffectivePolicy {
  return {
    generation: 1,
    mode: 'Enforce',
    identity: { namespace: 'agents', serviceAccount: 'bot', groups: [], claims: {} },
    connection: { namespace: 'data', name: 'shop', database: 'shop' },
    policies: ['data/test'],
    access: {
      views: new Map(),
      governedOids: new Set(),
      functions: { functions: new Set(), operators: new Set(), extensions: new Set() },
      allowedCommands: new Set(),
      deniedCommands: new Set(),
      schemas: ['public'],
      defaultSearchPath: ['public'],
      chosenKeys: 'Allow',
      grantsWrite: true,
    },
    catalog: indexCatalog({
      serverVersionNum: 180000,
      databaseName: 'shop',
      currentUser: 'agent',
      schemas: new Map(),
      relations: [],
      types: [],
      functions: [],
      operators: [],
      casts: [],
    }),
    guardrails: [],
    approvers: [],
    limits: { maxStatementBytes: 262_144 },
    redaction: undefined,
    errors: { detail: 'Full', message: '' },
    ...changes,
  };
}

export const DENIED: Denial = {
  slug: 'relation_not_granted',
  sqlstate: '42501',
  severity: 'ERROR',
  message: 'policy data/test does not allow SELECT on public.secret',
};

/** What a text holding the word is decided as; the first match counts. */
export interface DecisionRule {
  readonly when: RegExp;
  readonly denial?: Denial;
  readonly accepted?: Partial<AcceptedStatement>;
  /** Replaces each match in the text. */
  readonly replace?: { readonly pattern: RegExp; readonly by: string };
}

const SECRET: DecisionRule = { when: /secret/, denial: DENIED };

function effectsOf(statement: string): readonly SessionEffect[] {
  const text = statement.trim().toLowerCase();
  if (/^(begin|start)/.test(text)) return [{ kind: 'begin' }];
  if (/^(commit|end)/.test(text)) return [{ kind: 'commit' }];
  if (/^(rollback|abort)(?! to)/.test(text)) return [{ kind: 'rollback' }];
  return [];
}

/** Decides by the rules; the text is cut at semicolons (none may stand in a literal). */
export function tableDecision(rules: readonly DecisionRule[]): (input: DecisionInput) => TextDecision {
  return ({ text, policy }) => {
    const pieces: TextPiece[] = [];
    const statements: StatementDecision[] = [];
    let offset = 0;
    for (const part of text.split(';')) {
      const start = offset;
      const end = Math.min(start + part.length + 1, text.length);
      offset = end;
      if (part.trim() !== '') statements.push(decideOne(part, start, end, rules, policy));
      else pieces.push({ start, end });
      const accepted = statements.at(-1)?.accepted;
      if (part.trim() !== '' && accepted !== undefined) pieces.push(...accepted.pieces);
    }
    const denial = statements.find((statement) => statement.denial !== undefined)?.denial;
    const forwardText = pieces.map((p) => ('insert' in p ? p.insert : text.slice(p.start, p.end))).join('');
    return {
      statements,
      denial,
      pieces: denial === undefined ? pieces : undefined,
      forwardText: denial === undefined ? forwardText : undefined,
      sensitiveLiterals: new Set(),
    };
  };
}

function decideOne(
  part: string,
  start: number,
  end: number,
  rules: readonly DecisionRule[],
  policy: EffectivePolicy,
): StatementDecision {
  const rule = [...rules, SECRET].find((candidate) => candidate.when.test(part));
  const command = part.trim().split(/\s+/)[0]?.toUpperCase() ?? '';
  const facts = {
    command,
    hasWhere: false,
    relations: [],
    columns: [],
    functions: [],
    nested: [],
    masked: [],
    rowFilters: [],
    readRelationOids: [],
    writtenRelationOids: [],
  };
  const base = { facts, policies: policy.policies };
  if (rule?.denial !== undefined) {
    return { ...base, disposition: 'Denied', denial: rule.denial, reasons: [rule.denial.slug] };
  }
  const accepted: AcceptedStatement = {
    kind: 'accepted',
    facts,
    start,
    end,
    pieces: replacedPieces(part, start, end, rule),
    rewritten: rule?.replace !== undefined,
    effects: effectsOf(part),
    checks: [],
    shape: { strippedColumns: 0, hidesRows: false },
    governed: false,
    ...(/^\s*copy .* from stdin/i.test(part) ? { copy: 'in' as const } : {}),
    ...rule?.accepted,
  };
  return { ...base, disposition: 'Allowed', accepted, reasons: [] };
}

function replacedPieces(
  part: string,
  start: number,
  end: number,
  rule: DecisionRule | undefined,
): readonly TextPiece[] {
  if (rule?.replace === undefined) return [{ start, end }];
  const pieces: TextPiece[] = [];
  let from = start;
  for (const match of part.matchAll(rule.replace.pattern)) {
    pieces.push({ start: from, end: start + match.index }, { insert: rule.replace.by });
    from = start + match.index + match[0].length;
  }
  return [...pieces, { start: from, end }];
}

export interface ProtocolGate {
  readonly port: number;
  readonly events: AuditEvent[];
  /** Every text that was sent to the decision. */
  readonly decided: string[];
  policy: EffectivePolicy;
  state: PolicyState | undefined;
  auditWorks: boolean;
  changed(): void;
  close(): Promise<void>;
}

export interface ProtocolGateOptions {
  readonly target: UpstreamTarget;
  readonly rules?: readonly DecisionRule[];
  readonly policy?: EffectivePolicy;
  readonly parameters?: boolean;
  /** Decides later, as a worker does. */
  readonly asynchronous?: boolean;
  readonly settings?: ReadonlyMap<string, string>;
  /** Takes what agents receive, as audit.results Masked has it. */
  readonly results?: RecordedResult[];
  /** Durability Confirmed, with a sink that says when a line is kept for good; undefined: it cannot say. */
  readonly confirmed?: { readonly whenConfirmed: AuditSink['whenConfirmed']; readonly timeoutMs?: number };
  /** Hears of faults of the gate; by default they are thrown. */
  readonly reportFault?: (error: unknown) => void;
}

/** An empty database on the server behind a superuser's URL, as the upstream of a gate. */
export async function freshTarget(adminUrl: string, database: string): Promise<UpstreamTarget> {
  await createDatabase(adminUrl, database);
  const { hostname, port, username, password } = new URL(adminUrl);
  return { host: hostname, port: Number(port), database, user: username, password, tls: { mode: 'Disable' } };
}

export async function startProtocolGate(options: ProtocolGateOptions): Promise<ProtocolGate> {
  const listeners = new Set<() => void>();
  const events: AuditEvent[] = [];
  const decided: string[] = [];
  const decide = tableDecision(options.rules ?? []);
  const sink: AuditSink = {
    append: (more) => {
      if (gate.auditWorks && events.length < 10000) events.push(...more);
      return gate.auditWorks;
    },
    writable: true,
    lastSeq: 0,
    appendResult: (result) => options.results?.push(result),
    ...(options.confirmed?.whenConfirmed === undefined ? {} : { whenConfirmed: options.confirmed.whenConfirmed }),
    close: async () => {},
  };
  const closers: (() => Promise<void>)[] = [];
  const gate = {
    port: 0,
    events,
    decided,
    policy: options.policy ?? testPolicy(),
    state: undefined as PolicyState | undefined,
    auditWorks: true,
    changed: () => {
      for (const listen of listeners) listen();
    },
    close: async () => {
      for (const close of closers) await close();
    },
  };
  const listener = await listenForClients(
    { host: '127.0.0.1', port: 0 },
    {
      authentication: { kind: 'workload', identity: gate.policy.identity },
      gate: {
        current: () => gate.state ?? { kind: 'ready', policy: gate.policy },
        subscribe: (listen) => {
          listeners.add(listen);
          return () => listeners.delete(listen);
        },
      },
      tls: undefined,
      connectUpstream: async ({ reader }) => {
        const upstream = await connectUpstream(options.target, options.settings ?? new Map(), reader);
        return { kind: 'connected', upstream, searchPath: ['public'] };
      },
      audit: {
        sink,
        required: true,
        durability: options.confirmed === undefined ? 'Spool' : 'Confirmed',
        ...(options.confirmed?.timeoutMs === undefined ? {} : { confirmTimeoutMs: options.confirmed.timeoutMs }),
        parameters: options.parameters ?? false,
        results: options.results === undefined ? 'None' : 'Masked',
      },
      destination: { hostname: 'localhost', port: 5432 },
      observer: SILENT_OBSERVER,
      checkToken: CHECK_TOKEN,
      reportFault: (error) => {
        if (options.reportFault === undefined) throw error;
        options.reportFault(error);
      },
    },
    {
      decide: (input) => {
        decided.push(input.text);
        const decision = decide(input);
        return options.asynchronous === true ? new Promise((resolve) => setTimeout(resolve, 2, decision)) : decision;
      },
      close: () => {},
    },
  );
  closers.push(() => listener.close(200));
  if ('port' in listener.address) gate.port = listener.address.port;
  return gate;
}
