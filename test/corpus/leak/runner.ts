/** Judges payloads by non-interference: what differs without the gate must be equal through it. */
import { type CorpusGate, startCorpusGate } from '../gate.ts';
import { isRefusedByGate, observe, type Step } from '../observer.ts';
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
  | { readonly kind: 'held'; readonly refused: boolean; readonly seen: readonly string[] }
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
  return {
    judge: (payload) =>
      judge(payload, {
        lastOid: servers.lastOid,
        direct: [servers.alpha.port, servers.bravo.port],
        gated: [alpha.port, bravo.port],
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

interface Ports {
  /** Higher table OIDs are those of temporary tables, which depend on what ran before. */
  readonly lastOid: number;
  readonly direct: readonly [number, number];
  readonly gated: readonly [number, number];
}

async function judge({ steps }: Payload, { direct, gated, lastOid }: Ports): Promise<Verdict> {
  const see = async (port: number): Promise<readonly string[]> => steady(await observe(port, steps), lastOid);
  const [gatedAlpha, gatedBravo] = await Promise.all([see(gated[0]), see(gated[1])]);
  const [alpha, bravo] = await Promise.all([see(direct[0]), see(direct[1])]);
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
  return { kind: 'held', refused: isRefusedByGate(gatedAlpha), seen: gatedAlpha };
}

/** Without what differs from run to run: the OIDs of temporary tables, the process id of a notification. */
function steady(seen: readonly string[], lastOid: number): readonly string[] {
  return seen.map((text) => {
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
