/** Runs statements through the gate on the real shop and directly on the honest one, and compares what a client gets. */
import { type CorpusGate, startCorpusGate } from '../gate.ts';
import { observe, type Step } from '../observer.ts';
import { comparable } from './comparable.ts';
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
      const isOrdered = steps.some((step) => /order by|fetch|copy /i.test(JSON.stringify(step)));
      const expected = comparable(honest, names.honest, { isOrdered, hasOids: true });
      const actual = comparable(gated, names.real, { isOrdered, hasOids: true });
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

function firstDifference(
  honest: readonly string[],
  gate: readonly string[],
): { readonly honest: readonly string[]; readonly gate: readonly string[] } {
  const at = honest.findIndex((text, index) => text !== gate[index]);
  const from = at === -1 ? honest.length : at;
  return { honest: honest.slice(from, from + 2), gate: gate.slice(from, from + 2) };
}
