import { describe, expect, test } from 'vitest';
import type { SessionNames } from '#sql/access.ts';
import { planText } from '#session/decided-text.ts';
import { type CacheHit, DecisionCache, type TextLookup } from '#session/decision-cache.ts';
import { initialNames } from '#session/session-names.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import { tableDecision, testPolicy } from '../../protocol-gate.ts';

const policy = testPolicy();
const { names } = initialNames(['public']);
const decide = tableDecision([
  { when: /fixed/, accepted: {}, replace: { pattern: /fixed/g, by: 'pinned' } },
  {
    when: /customers/,
    accepted: {},
    replace: { pattern: /customers/g, by: '(SELECT * FROM public.customers) AS customers' },
  },
]);

function lookup(text: string, changes: Partial<TextLookup> = {}): TextLookup {
  const buffer = Buffer.from(`xx${text}yy`);
  return { policy, names, buffer, start: 2, end: buffer.length - 2, types: '', text: () => text, ...changes };
}

function add(
  cache: DecisionCache,
  text: string,
  sensitive: readonly number[] = [],
  under: EffectivePolicy = policy,
): void {
  const decision = decide({ text, policy: under, session: names, parameterTypeOids: [], checkToken: '' });
  cache.add(
    lookup(text, { policy: under }),
    planText(text, { ...decision, sensitiveLiterals: new Set(sensitive) }, under),
  );
}

function sent(hit: CacheHit | undefined): string | undefined {
  return hit?.forward?.toString();
}

function newCache(): DecisionCache {
  return new DecisionCache({ maxBytes: 1_000_000, maxEntries: 100 });
}

describe('decision cache', () => {
  test('a text with other literals of other lengths is answered by its shape, with the pieces moved', () => {
    const cache = newCache();
    add(cache, "SELECT 1, * FROM customers WHERE name = 'a' AND id = 5");
    const text = "SELECT 123456, * FROM customers WHERE name = 'a longer one' AND id = 77";
    const hit = cache.find(lookup(text));
    expect(hit?.result).toBe('shape');
    expect(sent(hit)).toBe(text.replace('customers', '(SELECT * FROM public.customers) AS customers'));
    const own = hit?.pieces()?.map((piece) => ('insert' in piece ? '|' : text.slice(piece.start, piece.end)));
    expect(own?.join('')).toBe(text.replace('customers', '|'));
  });

  test('a literal that the decision depends on must be the same', () => {
    const cache = newCache();
    add(cache, 'SELECT * FROM customers ORDER BY 1 LIMIT 10', ['SELECT * FROM customers ORDER BY '.length]);
    expect(cache.find(lookup('SELECT * FROM customers ORDER BY 1 LIMIT 20'))?.result).toBe('shape');
    expect(cache.find(lookup('SELECT * FROM customers ORDER BY 2 LIMIT 10'))).toBeUndefined();
    add(cache, 'SELECT * FROM customers ORDER BY 2 LIMIT 10', ['SELECT * FROM customers ORDER BY '.length]);
    expect(sent(cache.find(lookup('SELECT * FROM customers ORDER BY 2 LIMIT 7')))).toContain('ORDER BY 2 LIMIT 7');
  });

  test('a decision that depends on every byte, and a denial, serve only the exact text', () => {
    const cache = newCache();
    const text = 'SELECT 1 FROM fixed';
    const decision = decide({ text, policy, session: names, parameterTypeOids: [], checkToken: '' });
    cache.add(lookup(text), planText(text, { ...decision, sensitiveLiterals: undefined }, policy));
    expect(cache.find(lookup(text))?.result).toBe('exact');
    expect(cache.find(lookup('SELECT 2 FROM fixed'))).toBeUndefined();
    add(cache, 'SELECT 1 FROM secret');
    expect(cache.find(lookup('SELECT 1 FROM secret'))?.decided.denial?.sqlstate).toBe('42501');
    expect(cache.find(lookup('SELECT 2 FROM secret'))).toBeUndefined();
  });

  test('another policy, other names and other parameter types are other questions', () => {
    const cache = newCache();
    add(cache, 'SELECT 1 FROM customers');
    const other: SessionNames = { ...names, searchPath: ['elsewhere'] };
    expect(cache.find(lookup('SELECT 1 FROM customers', { policy: testPolicy() }))).toBeUndefined();
    expect(cache.find(lookup('SELECT 1 FROM customers', { names: other }))).toBeUndefined();
    expect(cache.find(lookup('SELECT 1 FROM customers', { types: '23' }))).toBeUndefined();
    expect(cache.find(lookup('SELECT 1 FROM customers', { names: { ...names } }))?.result).toBe('shape');
  });

  test('it stays within its bounds and keeps what is used', () => {
    const cache = new DecisionCache({ maxBytes: 100_000, maxEntries: 10 });
    add(cache, 'SELECT kept FROM customers');
    for (let index = 0; index < 200; index++) {
      expect(cache.find(lookup('SELECT kept FROM customers'))).toBeDefined();
      add(cache, `SELECT column_${'x'.repeat(index % 50)} FROM customers AS a${'y'.repeat(index)}`);
      expect(cache.size).toBeLessThanOrEqual(10);
      expect(cache.bytes).toBeLessThanOrEqual(100_000);
    }
  });
});
