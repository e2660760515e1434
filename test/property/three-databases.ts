/** Three servers' ends for one statement: a gate before the real shop, a gate before one that differs only in what is hidden, the honest view. */
import {
  FIDELITY_POLICY,
  type FidelityServer,
  type ShopKind,
  startFidelityServer,
} from '#test/corpus/fidelity/databases.ts';
import { type CorpusGate, startCorpusGate } from '#test/corpus/gate.ts';
import { type Observer, openObserver } from '#test/corpus/observer.ts';

export interface ThreeDatabases extends Readonly<Record<ShopKind, Observer>> {
  readonly names: FidelityServer['names'];
  /** What the gates logged as faults of theirs. */
  readonly faults: () => readonly string[];
  readonly stop: () => Promise<void>;
}

/** `prepare` changes the databases before anybody is connected; what it gives is called at the end. */
export async function startThreeDatabases(
  version: 18 | 15,
  prepare: (server: FidelityServer['server']) => Promise<() => Promise<void>> = async () => async () => undefined,
): Promise<ThreeDatabases> {
  const fixture = await startFidelityServer(version, true);
  const { server, names } = fixture;
  const finish = await prepare(server);
  const gate = (database: ShopKind): Promise<CorpusGate> =>
    startCorpusGate({ serverPort: server.port, database, user: 'bot', password: 'none', policySpec: FIDELITY_POLICY });
  const [realGate, otherGate] = await Promise.all([gate('real'), gate('other')]);
  const [real, other, honest] = await Promise.all([
    openObserver(realGate.port, 'real'),
    openObserver(otherGate.port, 'other'),
    openObserver(server.port, 'honest'),
  ]);
  return {
    real,
    other,
    honest,
    names,
    faults: () => [...realGate.faults, ...otherGate.faults],
    stop: async () => {
      for (const observer of [real, other, honest]) observer.close();
      await Promise.all([realGate.close(), otherGate.close()]);
      await finish();
      await fixture.stop();
    },
  };
}

/** The first line in which two answers differ. */
export function difference(left: readonly string[], right: readonly string[]): string | undefined {
  const at = Array.from({ length: Math.max(left.length, right.length) }, (_, index) => index).find(
    (index) => left[index] !== right[index],
  );
  return at === undefined ? undefined : `${left[at] ?? '(nothing)'}  <>  ${right[at] ?? '(nothing)'}`;
}
