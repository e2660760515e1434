import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { DecisionInput } from '#policy/effective-policy.ts';
import { effectivePolicy } from '#policy/effective.ts';
import { loadCatalog } from '#proxy/catalog-loader.ts';
import { ThreadedDecider } from '#proxy/decide.ts';
import { initialNames } from '#session/session-names.ts';
import { loadParser } from '#sql/parser.ts';
import pg from 'pg';
import { createDatabase } from '../postgres.ts';
import { BOT, sampleConnection, samplePolicy } from '../sample-policy.ts';

let input: Omit<DecisionInput, 'text'>;
const decider = new ThreadedDecider();

beforeAll(async () => {
  const admin = inject('sharedPostgresUrl');
  await createDatabase(admin, 'large_statement');
  const url = new URL(admin);
  url.pathname = '/large_statement';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query('CREATE TABLE customers (id int PRIMARY KEY, email text)');
  await client.end();
  await loadParser();
  const target = {
    host: url.hostname,
    port: Number(url.port),
    database: 'large_statement',
    user: url.username,
    password: url.password,
    tls: { mode: 'Disable' as const },
  };
  const { snapshot: catalog } = await loadCatalog(target, undefined, new AbortController().signal);
  const policies = [samplePolicy({ tables: [{ name: 'public.customers', rowFilter: 'id > 3' }] })];
  const result = effectivePolicy({ connection: sampleConnection(), policies, identity: BOT, catalog, generation: 1 });
  if (result.kind !== 'effective') throw new Error(JSON.stringify(result));
  input = {
    policy: result.policy,
    session: initialNames(['public']).names,
    parameterTypeOids: [],
    checkToken: 'token',
  };
});

afterAll(() => {
  decider.close();
});

describe('large statements', () => {
  test('are decided in a thread as they would be here, and the event loop stays free', async () => {
    const list = Array.from({ length: 20_000 }, (_, index) => index).join(', ');
    const text = `SELECT count(*) FROM customers WHERE id IN (${list})`;
    await decider.decide({ ...input, text: text.replace('count(*)', 'min(id)') });
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const decision = await decider.decide({ ...input, text });
    delay.disable();
    expect(decision.denial).toBeUndefined();
    expect(decision.forwardText).toContain('"public"."customers"');
    expect(decision.statements[0]?.facts.relations).toEqual(['public.customers']);
    expect(delay.max / 1e6).toBeLessThan(60);
  });

  test('deep nesting is refused with 54000, and the next one is decided', async () => {
    const deep = `SELECT ${'('.repeat(10_000)}1${')'.repeat(10_000)}`;
    expect((await decider.decide({ ...input, text: deep })).denial?.sqlstate).toMatch(/^(54000|42601)$/);
    const text = `SELECT '${'x'.repeat(20_000)}' FROM customers`;
    expect((await decider.decide({ ...input, text })).denial).toBeUndefined();
  });

  test('500 statements in one text are decided, one more is refused', async () => {
    const many = (count: number): string => 'SELECT id FROM customers;'.repeat(count);
    expect((await decider.decide({ ...input, text: many(500) })).denial).toBeUndefined();
    const { denial } = await decider.decide({ ...input, text: many(501) });
    expect(denial).toMatchObject({
      sqlstate: '54000',
      message:
        'the statement is too complex (501 statements in one text); split it into smaller ones; send at most 500 at once',
    });
  });

  test('relations that are not granted are denied all the same', async () => {
    const text = `SELECT '${'x'.repeat(20_000)}' FROM pg_authid`;
    expect((await decider.decide({ ...input, text })).denial?.sqlstate).toBe('42501');
  });
});
