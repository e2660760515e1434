/** Runs statements through the gate on the real shop and directly on the honest one, and compares what a client gets. */
import { type CorpusGate, startCorpusGate } from '../gate.ts';
import { observe, type Step } from '../observer.ts';
import { FIDELITY_POLICY, startFidelityServer } from './databases.ts';

export interface FidelityCase {
  /** The client or kind of work that sends it. */
  readonly from: string;
  /** One session. `{{class:customers}}` stands for an OID. */
  readonly steps: readonly Step[];
}

export type FidelityVerdict =
  /** `error`: the first error of the honest database; such a statement shows little. */
  | { readonly kind: 'equal'; readonly error: string | undefined }
  | {
      readonly kind: 'different';
      readonly honest: readonly string[];
      readonly gate: readonly string[];
      /** The errors as the gate sent them. */
      readonly errors: readonly string[];
    };

export interface FidelityBench {
  readonly judge: (entry: FidelityCase) => Promise<FidelityVerdict>;
  readonly faults: () => readonly string[];
  readonly gatePort: number;
  readonly stop: () => Promise<void>;
}

export async function startFidelityBench(version: 18 | 15): Promise<FidelityBench> {
  const fixture = await startFidelityServer(version);
  const { server, names } = fixture;
  const gate: CorpusGate = await startCorpusGate({
    serverPort: server.port,
    database: 'real',
    user: 'bot',
    password: 'none',
    policySpec: FIDELITY_POLICY,
  });
  return {
    judge: async ({ steps }) => {
      const [honest, gated] = await Promise.all([
        observe(server.port, withOids(steps, names.honest), 'honest'),
        observe(gate.port, withOids(steps, names.real), 'real'),
      ]);
      const expected = comparable(honest, names.honest, steps);
      const actual = comparable(gated, names.real, steps);
      return JSON.stringify(expected) === JSON.stringify(actual)
        ? { kind: 'equal', error: expected.find((text) => text.startsWith('E ')) }
        : {
            kind: 'different',
            ...firstDifference(expected, actual),
            errors: gated.filter((text) => text.startsWith('E ')),
          };
    },
    faults: () => gate.faults,
    gatePort: gate.port,
    stop: async () => {
      await gate.close();
      await fixture.stop();
    },
  };
}

function withOids(steps: readonly Step[], names: ReadonlyMap<string, string>): readonly Step[] {
  const oids = new Map([...names].map(([oid, name]) => [name.replace(' ', ':'), oid]));
  const text = JSON.stringify(steps).replace(/\{\{(.*?)\}\}/g, (all, name: string) => oids.get(name) ?? all);
  return JSON.parse(text);
}

/** Names in place of OIDs; the rows of an answer without an order of its own are sorted; of errors what does not depend on the server's build. */
function comparable(
  seen: readonly string[],
  names: ReadonlyMap<string, string>,
  steps: readonly Step[],
): readonly string[] {
  const isOrdered = steps.some((step) => /order by|fetch|copy /i.test(JSON.stringify(step)));
  const lines = seen.map((text) => {
    if (text.startsWith('T ')) return describedTypes(text, names);
    if (text.startsWith('E ') || text.startsWith('N ')) return errorOf(text);
    return text.startsWith('D ') ? named(withoutPlace(text), names) : text;
  });
  return isOrdered ? lines : sortRows(lines);
}

function named(text: string, names: ReadonlyMap<string, string>): string {
  // The length before a cell goes: it differs with the OID's number of digits.
  return text
    .replace(/\\x0\\x0\\x0(\\x[0-9a-f]{1,2}|[ -~])(?=\d{5}(?!\d))/g, '|')
    .replace(/(?<!\d)\d{5}(?!\d)/g, (oid) => names.get(oid) ?? oid);
}

/** Names, types and formats of columns. The type of a whole row is `record` through the gate, as of any sub-select. */
function describedTypes(text: string, names: ReadonlyMap<string, string>): string {
  return text
    .replace(/ of \d+ -?\d+/g, '')
    .replace(/type (\d+)/g, (all, oid: string) => names.get(oid) ?? all)
    .replace(/type (customers|orders|products|tickets|employees)\b/g, 'type 2249');
}

/** The name of the database differs here; other roles' names are not the agent's to see (an owner shows as NULL). */
function withoutPlace(text: string): string {
  return text
    .replace(/\\x0\\x0\\x0(\\x6honest|\\x4real)/g, '(database)')
    .replace(/\\x0\\x0\\x0(\\x8postgres|\\x11pg_database_owner)/g, String.raw`\xff\xff\xff\xff`);
}

/** SQLSTATE and position. What is denied and what does not exist is one to the agent: 42501. */
function errorOf(text: string): string {
  const code = /C=(\w+)/.exec(text)?.[1] ?? '';
  const position = /P=(\d+)/.exec(text)?.[1] ?? '';
  return ['42P01', '42883', '42501'].includes(code) ? 'E 42501' : `E ${code} ${position}`;
}

function sortRows(lines: readonly string[]): readonly string[] {
  const sorted: string[] = [];
  let rows: string[] = [];
  for (const text of [...lines, '']) {
    if (text.startsWith('D ')) rows.push(text);
    else {
      sorted.push(...rows.toSorted(), text);
      rows = [];
    }
  }
  return sorted;
}

function firstDifference(
  honest: readonly string[],
  gate: readonly string[],
): { readonly honest: readonly string[]; readonly gate: readonly string[] } {
  const at = honest.findIndex((text, index) => text !== gate[index]);
  const from = at === -1 ? honest.length : at;
  return { honest: honest.slice(from, from + 2), gate: gate.slice(from, from + 2) };
}
