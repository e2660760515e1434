/** Judges payloads by non-interference: what differs without the gate must be equal through it. */
import { type CorpusGate, startCorpusGate } from '../gate.ts';
import { isRefusedByGate, observe, observeSteps, type Step } from '../observer.ts';
import { startTwins, TWIN_POLICY, type TwinServers } from './twins.ts';

export interface Payload {
  /** Lines of the catalogue in security.md, section 4: `A1`, `B27`. */
  readonly line: string;
  readonly title: string;
  readonly steps: readonly Step[];
}

/** A payload in a row of a table. */
export type PayloadRow = readonly [line: string, title: string, ...steps: readonly Step[]];

export function payloads(rows: readonly PayloadRow[]): readonly Payload[] {
  return rows.map(([line, title, ...steps]) => ({ line, title, steps }));
}

export type Verdict =
  | {
      readonly kind: 'held';
      readonly refused: boolean;
      readonly seen: readonly string[];
      /** Steps that fail alike without the gate: they show nothing. */
      readonly idle: readonly number[];
    }
  /** A protected value stands in a record or a line of the log: `found`, none of which the agent wrote itself. */
  | { readonly kind: 'recorded'; readonly found: readonly string[] }
  /** The gate's answers differ: `differences` are the first lines that do. */
  | { readonly kind: 'leaked'; readonly differences: readonly string[] }
  /** The answers without the gate are equal, or not stable: the payload proves nothing. */
  | { readonly kind: 'vacuous'; readonly why: string; readonly seen: readonly string[] };

export interface LeakBench {
  readonly judge: (payload: Payload) => Promise<Verdict>;
  /** What the gates of both twins say, without a control. */
  readonly compare: (
    steps: readonly Step[],
  ) => Promise<{ readonly differences: readonly string[]; readonly seen: readonly string[] }>;
  /** Records, log lines and metrics of both gates, as text. */
  readonly traces: () => Promise<{ readonly records: number; readonly logLines: number; readonly metrics: string }>;
  /** What a gate of ours logged as faults. */
  readonly faults: () => readonly string[];
  readonly stop: () => Promise<void>;
}

function gateFor(serverPort: number): Promise<CorpusGate> {
  return startCorpusGate({
    serverPort,
    database: 'shop',
    user: 'bot',
    password: 'none',
    policySpec: TWIN_POLICY,
    searchPath: ['public', 'crm'],
  });
}

export async function startLeakBench(version: 18 | 15): Promise<LeakBench> {
  const servers: TwinServers = await startTwins(version);
  const [alpha, bravo] = await Promise.all([gateFor(servers.alpha.port), gateFor(servers.bravo.port)]);
  const traces = [newTraces(alpha), newTraces(bravo)];
  return {
    judge: async (payload) => {
      const verdict = await judge(payload, {
        lastOid: servers.lastOid,
        direct: [servers.alpha.port, servers.bravo.port],
        gated: [alpha.port, bravo.port],
      });
      const found = traces.flatMap((take) => recordedSecrets(take(), payload));
      return found.length === 0 || verdict.kind === 'leaked' ? verdict : { kind: 'recorded', found };
    },
    traces: async () => ({
      records: alpha.events.length + bravo.events.length,
      logLines: alpha.logged.length + bravo.logged.length,
      metrics: `${await alpha.metrics()}${await bravo.metrics()}`,
    }),
    compare: async (steps) => {
      const see = async (port: number): Promise<readonly string[]> =>
        steady(await observe(port, steps), servers.lastOid);
      const [left, right] = await Promise.all([see(alpha.port), see(bravo.port)]);
      return { differences: differences(left, right), seen: left };
    },
    faults: () => [...alpha.faults, ...bravo.faults],
    stop: async () => {
      await Promise.all([alpha.close(), bravo.close()]);
      await servers.stop();
    },
  };
}

function idleSteps(controls: readonly (readonly (readonly string[])[])[]): readonly number[] {
  const [left = [], right = []] = controls;
  return left.flatMap((seen, index) => {
    const isError = seen.some((text) => text.startsWith('E '));
    return isError && differences(seen, right[index] ?? []).length === 0 ? [index] : [];
  });
}

/** Records and log lines since the last call. */
function newTraces(gate: CorpusGate): () => string {
  let events = 0;
  let lines = 0;
  return () => {
    const fresh = [...gate.events.slice(events).map((event) => JSON.stringify(event)), ...gate.logged.slice(lines)];
    events = gate.events.length;
    lines = gate.logged.length;
    return fresh.join('\n');
  };
}

/** Protected values hold the word of their twin; so may what the agent writes, which the record shows as it was written. */
export const SECRET_WORD = /[\w.@-]*(?:alpha|bravissimo)[\w.@-]*/gi;

function recordedSecrets(traces: string, { steps }: Payload): readonly string[] {
  const own = JSON.stringify(steps);
  return [...new Set(traces.match(SECRET_WORD) ?? [])].filter((found) => !own.includes(found.replace(/^public\./, '')));
}

interface Ports {
  /** Higher table OIDs are those of temporary tables, which depend on what ran before. */
  readonly lastOid: number;
  readonly direct: readonly [number, number];
  readonly gated: readonly [number, number];
}

async function judge({ steps }: Payload, { direct, gated, lastOid }: Ports): Promise<Verdict> {
  const see = async (port: number): Promise<readonly string[]> => steady(await observe(port, steps), lastOid);
  const [gatedAlpha, gatedBravo] = await Promise.all([see(gated[0]), see(gated[1])]);
  const controls = await Promise.all(direct.map((port) => observeSteps(port, steps)));
  const [alpha, bravo] = [steady(controls[0]?.flat() ?? [], lastOid), steady(controls[1]?.flat() ?? [], lastOid)];
  const again = await see(direct[0]);
  const leaks = differences(gatedAlpha, gatedBravo);
  if (leaks.length > 0) return { kind: 'leaked', differences: leaks.slice(0, 3) };
  const unstable = differences(alpha, again);
  if (unstable.length > 0) {
    return { kind: 'vacuous', why: 'the answer without the gate is not stable', seen: unstable };
  }
  if (differences(alpha, bravo).length === 0) {
    return { kind: 'vacuous', why: 'nothing differs without the gate', seen: alpha };
  }
  return { kind: 'held', refused: isRefusedByGate(gatedAlpha), seen: gatedAlpha, idle: idleSteps(controls) };
}

/** Without what differs from run to run: OIDs and schemas of temporary tables, the process id of a notification. */
function steady(seen: readonly string[], lastOid: number): readonly string[] {
  return seen.map((text) => {
    if (text.startsWith('E ')) return text.replace(/\bpg_temp_\d+/g, 'pg_temp_N');
    if (text.startsWith('A ')) return text.replace(/^A .{0,16}c/, 'A c');
    if (!text.startsWith('T ')) return text;
    return text.replace(/ of (\d+) /g, (all, oid) => (Number(oid) > lastOid ? ' of (temporary) ' : all));
  });
}

function differences(left: readonly string[], right: readonly string[]): readonly string[] {
  const found: string[] = [];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    if (left[index] !== right[index]) found.push(`${left[index] ?? '(nothing)'}  <>  ${right[index] ?? '(nothing)'}`);
  }
  return found;
}
