/** A decision against one parse by libpg-query's own function, same text, in this process, on a policy that masks and filters. */
import { randomBytes } from 'node:crypto';
import { loadModule, parseSync } from 'libpg-query';
import type { DatabaseAccessPolicy, DatabaseConnection } from '#crds/kinds.ts';
import { decideText } from '#policy/decide.ts';
import { effectivePolicy } from '#policy/effective.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { loadGuardrails } from '#policy/guardrails.ts';
import type { CatalogSnapshot } from '#sql/catalog.ts';
import type { SessionNames } from '#sql/access.ts';
import { loadParser } from '#sql/parser.ts';
import { DecisionCache } from '#session/decision-cache.ts';
import { planText } from '#session/decided-text.ts';
import { type Figure, percentile } from './statistics.ts';

const NAMES: SessionNames = {
  searchPath: ['public'],
  temporaryRelations: new Map(),
  cursors: new Map(),
  preparedStatements: new Map(),
};

export interface DecideInput {
  readonly connection: DatabaseConnection;
  readonly policies: readonly DatabaseAccessPolicy[];
  readonly catalog: CatalogSnapshot;
  readonly count: number;
}

/** A statement of about 1 kB such as an agent writes; `seed` makes it one that was never seen. */
function coldStatement(seed: number): string {
  const columns = Array.from(
    { length: 8 },
    (_, i) => `sum(CASE WHEN a.abalance > ${seed + i} THEN 1 ELSE 0 END) AS above_${seed}_${i}`,
  );
  return `WITH recent AS (SELECT w.id, w.amount, w.name, w.at FROM wide w WHERE w.id BETWEEN ${seed} AND ${seed + 500} AND w.amount > 10)
SELECT a.bid, count(*) AS accounts_${seed}, max(a.abalance) AS highest, min(r.amount) AS lowest, ${columns.join(', ')}
FROM accounts a LEFT JOIN recent r ON r.id = a.aid AND r.name IS NOT NULL
WHERE a.aid > ${seed} AND (a.bid IN (1, 2, 3, ${seed}) OR r.amount BETWEEN 5 AND ${seed})
GROUP BY a.bid HAVING count(*) > ${seed % 7} ORDER BY a.bid, highest DESC LIMIT ${10 + (seed % 90)}`;
}

export async function measureDecide(input: DecideInput): Promise<readonly Figure[]> {
  await Promise.all([loadParser(), loadModule(), loadGuardrails(input.policies)]);
  const identity = { namespace: 'agents', serviceAccount: 'bot', groups: [], claims: {} };
  const effective = effectivePolicy({ ...input, identity, generation: 1 });
  if (effective.kind !== 'effective') throw new Error(`no effective policy: ${effective.kind}`);
  const { policy } = effective;
  const checkToken = randomBytes(8).toString('hex');
  const parse: number[] = [];
  const decide: number[] = [];
  const repeated: number[] = [];
  const cache = new DecisionCache({ maxBytes: 8 << 20, maxEntries: 4_096 });
  const repeatedText = (value: number): string => coldStatement(1_000).replaceAll(/\b1000\b/g, String(value));
  remember(cache, policy, repeatedText(1_000), checkToken);
  for (let round = -200; round < input.count; round++) {
    const text = coldStatement(10_000 + round);
    const parseMs = timed(() => parseSync(text));
    const decideMs = timed(() => {
      const decision = decideText({ text, policy, session: NAMES, parameterTypeOids: [], checkToken });
      if (decision.denial !== undefined) throw new Error(`denied: ${decision.denial.message}`);
    });
    const again = repeatedText(20_000 + round);
    const repeatedMs = timed(() => find(cache, policy, again));
    // The first rounds only warm the compiler.
    if (round < 0) continue;
    parse.push(parseMs);
    decide.push(decideMs);
    repeated.push(repeatedMs);
  }
  const group = `decision, ${coldStatement(10_000).length} bytes`;
  return [
    { group, name: 'libpg-query parse, p50', value: percentile(parse, 0.5) * 1_000, unit: 'µs' },
    {
      group,
      name: 'never seen / parse, p50',
      value: percentile(decide, 0.5) / percentile(parse, 0.5),
      unit: '×',
      goal: { max: 2.5 },
    },
    {
      group,
      name: 'never seen / parse, p99',
      value: percentile(decide, 0.99) / percentile(parse, 0.99),
      unit: '×',
      goal: { max: 6 },
    },
    {
      group,
      name: 'new literals / parse, p50',
      value: percentile(repeated, 0.5) / percentile(parse, 0.5),
      unit: '×',
      goal: { max: 0.3 },
    },
  ];
}

function timed(action: () => void): number {
  const started = performance.now();
  action();
  return performance.now() - started;
}

function lookup(policy: EffectivePolicy, text: string) {
  const buffer = Buffer.from(text);
  return { policy, names: NAMES, buffer, start: 0, end: buffer.length, types: '', text: () => text };
}

function remember(cache: DecisionCache, policy: EffectivePolicy, text: string, checkToken: string): void {
  const decision = decideText({ text, policy, session: NAMES, parameterTypeOids: [], checkToken });
  cache.add(lookup(policy, text), planText(text, decision, policy));
}

function find(cache: DecisionCache, policy: EffectivePolicy, text: string): void {
  if (cache.find(lookup(policy, text)) === undefined) throw new Error('the repeated shape was not found in the cache');
}
