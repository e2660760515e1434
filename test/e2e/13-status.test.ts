import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kubectl } from '../cluster/programs.ts';
import { Agent, startAgent } from './agent.ts';
import { AGENTS, DATA, eventually, type Found, get } from './cluster.ts';
import { asOwner } from './database.ts';
import { applySecondConnection, removeSecondConnection } from './second-connection.ts';

const NAME = 'judged';
const TABLES = ['judged_notes', 'judged_readings', 'judged_keys'];

const agent = new Agent(AGENTS, NAME);

type Table = Readonly<Record<string, unknown>>;

/** Applies the policy with these tables, and waits until its status speaks of them with this reason. */
async function becomes(tables: readonly Table[], type: string, reason: string, timeoutMs = 30_000): Promise<Found> {
  await applySecondConnection(NAME, {}, tables);
  return await says(type, reason, timeoutMs);
}

async function says(type: string, reason: string, timeoutMs: number): Promise<Found> {
  return await eventually(
    `${type} of the policy is ${reason}`,
    async () => {
      const policy = await get('databaseaccesspolicy', DATA, NAME);
      const found = conditionOf(policy, type);
      return found.reason === reason && found.observedGeneration === policy.metadata.generation ? policy : undefined;
    },
    { timeoutMs, seen: async () => JSON.stringify((await get('databaseaccesspolicy', DATA, NAME)).status) },
  );
}

function conditionOf({ status }: Found, type: string) {
  const found = status.conditions?.find((condition) => condition.type === type);
  return found ?? { type, status: 'absent', reason: 'absent', message: '', observedGeneration: -1 };
}

beforeAll(async () => {
  await asOwner(`
    CREATE TABLE judged_notes (id int PRIMARY KEY, author text, body text);
    INSERT INTO judged_notes VALUES (1, 'ada', 'the body');
    CREATE TABLE judged_readings (id int, at date NOT NULL, secret text) PARTITION BY RANGE (at);
    CREATE TABLE judged_readings_2026 PARTITION OF judged_readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE judged_keys (id int PRIMARY KEY, code text UNIQUE, region text NOT NULL);
    GRANT SELECT, INSERT, UPDATE, DELETE ON judged_notes, judged_readings, judged_readings_2026, judged_keys TO shop_agent`);
});

afterAll(async () => {
  await kubectl('--namespace', AGENTS, 'delete', 'pod', NAME, '--ignore-not-found');
  await removeSecondConnection(NAME);
  await asOwner(`DROP TABLE ${TABLES.join(', ')}`);
});

describe("a policy's status speaks of the database", () => {
  test('a table that it lacks: UnknownNames, and where it is named; all else is in force', {
    timeout: 120_000,
  }, async () => {
    const tables = [{ name: 'public.judged_notes' }, { name: 'public.judged_nowhere' }];
    expect(conditionOf(await becomes(tables, 'Ready', 'UnknownNames'), 'Ready')).toMatchObject({
      status: 'False',
      message:
        'the database lacks what it names: spec.tables[1].name: public.judged_nowhere is not a table or view of this database; it is not granted. All else it says is in force',
    });
    await startAgent({ name: NAME, connections: `${DATA}/${NAME}` });
    expect(await agent.ask('SELECT author FROM judged_notes')).toBe('ada');
  });

  test('a mask that its column cannot have, a hidden column that is not there: DoesNotFit; what was applied before stays', {
    timeout: 60_000,
  }, async () => {
    const wrong = [{ columns: ['author'], with: { method: 'Bucket', size: 10 } }];
    const tables = [{ name: 'public.judged_notes', mask: wrong, hide: ['bdoy'] }];
    const { message, status } = conditionOf(await becomes(tables, 'Ready', 'DoesNotFit'), 'Ready');
    expect(status).toBe('False');
    expect(message).toContain('spec.tables[0].hide: public.judged_notes has no column bdoy');
    expect(message).toMatch(/spec\.tables\[0\]\.mask\[0\].*Bucket/);
    expect(await agent.ask('SELECT author FROM judged_notes')).toBe('ada');
    const right = [{ columns: ['author'], with: { method: 'Redact' } }];
    await becomes([{ name: 'public.judged_notes', mask: right }], 'Ready', 'Published');
    await agent.sees('SELECT author FROM judged_notes', '[redacted]');
  });

  test('a partition whose own view is stricter than its table: StricterChild, and reading the table is refused', {
    timeout: 60_000,
  }, async () => {
    const tables = [{ name: 'public.judged_readings' }, { name: 'public.judged_readings_2026', hide: ['secret'] }];
    const policy = await becomes(tables, 'Conflicted', 'StricterChild');
    expect(conditionOf(policy, 'Conflicted')).toMatchObject({
      status: 'True',
      message: expect.stringContaining('public.judged_readings_2026'),
    });
    await agent.sees('SELECT id FROM judged_readings', /^ERROR: +42501/);
  });

  test('tables in which a chosen key tells of a hidden row: they are named, unless chosen keys are refused', {
    timeout: 60_000,
  }, async () => {
    const tables = [{ name: 'public.judged_keys', actions: ['Select', 'Insert'], rowFilter: "region = 'eu'" }];
    const policy = await becomes(tables, 'Conflicted', 'NoConflict');
    expect((policy.status as { readonly writes?: unknown }).writes).toEqual({ chosenKeys: ['public.judged_keys'] });
  });

  test('a column that came later and is visible by a star: ColumnsAdded, and which', { timeout: 150_000 }, async () => {
    await becomes([{ name: 'public.judged_notes' }], 'Ready', 'Published');
    await asOwner('ALTER TABLE judged_notes ADD COLUMN salary int');
    // The operator looks at a database once a minute.
    const policy = await says('Ready', 'ColumnsAdded', 90_000);
    expect(conditionOf(policy, 'Ready')).toMatchObject({
      status: 'True',
      message: expect.stringContaining('public.judged_notes.salary'),
    });
  });
});
