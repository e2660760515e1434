/**
 * Decides texts in this process under the policy of the fidelity shop and looks at what would be sent: no text may make the core throw, stop it
 * for long, or be sent with a governed table outside of its view.
 */
import pg from 'pg';
import { parse as parseYaml } from 'yaml';
import { decideText } from '#policy/decide.ts';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { readCatalog } from '#catalog/read-catalog.ts';
import type { SessionNames } from '#sql/access.ts';
import { indexCatalog } from '#sql/catalog.ts';
import { loadParser } from '#sql/parser.ts';
import { BOT, sampleConnection, samplePolicy } from '#test/sample-policy.ts';
import { FIDELITY_POLICY, startFidelityServer } from '../fidelity/databases.ts';
import { findExposed } from './exposed.ts';

const SESSION: SessionNames = {
  searchPath: ['public'],
  temporaryRelations: new Map(),
  cursors: new Map(),
  preparedStatements: new Map(),
};
/** The longest a decision may take. */
const DEADLINE_MS = 1_000;

export interface Judgement {
  /** What is wrong with the decision; `undefined`: nothing. */
  readonly problem: string | undefined;
  readonly isAccepted: boolean;
}

/** The policy of the fidelity shop over the catalog of its real database; the server is stopped before this returns. */
export async function shopPolicy(version: 18 | 15 = 18): Promise<EffectivePolicy> {
  await loadParser();
  const fixture = await startFidelityServer(version);
  const client = new pg.Client({ connectionString: fixture.server.adminUrl('real') });
  await client.connect();
  const data = await readCatalog(async (text): Promise<(string | null)[][]> => {
    const types = { getTypeParser: () => String };
    return (await client.query<(string | null)[]>({ text, rowMode: 'array', types })).rows;
  });
  await client.end();
  await fixture.stop();
  const result = effectivePolicy({
    connection: sampleConnection(),
    policies: [samplePolicy(parseYaml(FIDELITY_POLICY))],
    identity: BOT,
    catalog: indexCatalog(data),
    generation: 1,
  });
  if (result.kind !== 'effective') throw new Error(`no policy: ${result.kind}`);
  return result.policy;
}

/** One text under that policy. */
export function judgeText(text: string, policy: EffectivePolicy): Judgement {
  const started = performance.now();
  let decision: ReturnType<typeof decideText>;
  try {
    decision = decideText({ text, policy, session: SESSION, parameterTypeOids: [], checkToken: 'token' });
  } catch (error) {
    return { problem: `it threw ${error instanceof Error ? error.stack : String(error)}`, isAccepted: false };
  }
  const tookMs = performance.now() - started;
  if (tookMs > DEADLINE_MS) return { problem: `it took ${Math.round(tookMs)} ms`, isAccepted: false };
  if (decision.denial !== undefined) {
    const isFault = /internal fault/.test(JSON.stringify(decision));
    return { problem: isFault ? 'an internal fault' : undefined, isAccepted: false };
  }
  if (decision.forwardText === undefined) return { problem: 'neither denied nor sent', isAccepted: false };
  const exposed = findExposed(decision.forwardText, policy);
  const problem = exposed === undefined ? undefined : `${exposed} in ${decision.forwardText}`;
  return { problem, isAccepted: true };
}
