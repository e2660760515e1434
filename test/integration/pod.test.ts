import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import type { Bundle } from '#bundle/bundle.ts';
import type { RefusalReason } from '#bundle/credentials-exchange.ts';
import { signBundle } from '#bundle/sign.ts';
import { createAuthority } from '#test/certificates.ts';
import { errorText, PodFixture, TOKEN } from '#test/pod-fixture.ts';
import { bundleOf, newKeys, policyJson, signedKeySet, withdrawn } from '#test/signed-bundles.ts';

const database = 'pod_test';
const masked = { name: 'public.customers', mask: [{ columns: ['email'], with: { method: 'Redact' } }] };
const hidden = { name: 'public.customers', hide: ['email'] };
const hashed = { name: 'public.customers', mask: [{ columns: ['email'], with: { method: 'Hash' } }] };
const waitMs = { timeout: 5000, interval: 20 };

let admin: pg.Client;
let url: URL;
let fixture: PodFixture;
const authority = createAuthority();
const stranger = createAuthority();

beforeAll(async () => {
  url = new URL(inject('sharedPostgresUrl'));
  const root = new pg.Client({ connectionString: url.href });
  await root.connect();
  await root.query(`DROP DATABASE IF EXISTS ${database}`);
  await root.query(`CREATE DATABASE ${database}`);
  await root.query('DROP ROLE IF EXISTS pod_agent');
  await root.query("CREATE ROLE pod_agent LOGIN PASSWORD 'first secret'");
  await root.end();
  url.pathname = `/${database}`;
  admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  await admin.query(`CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
    INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com');
    CREATE VIEW all_customers AS SELECT * FROM customers;
    GRANT SELECT ON customers, all_customers TO pod_agent`);
});

afterAll(async () => {
  await admin.end();
});

beforeEach(async () => {
  await admin.query("ALTER ROLE pod_agent PASSWORD 'first secret'");
  fixture = await PodFixture.create(url, authority);
  return async () => {
    await fixture.close();
  };
});

/** Bundle 3 and its credentials are in force. */
async function enforcing(): Promise<void> {
  await fixture.deliver(fixture.bundle(3, masked));
  fixture.endpoint.grant(fixture.granted(3));
  const pod = await fixture.start();
  await pod.firstReady();
  await vi.waitFor(() => expect(fixture.endpoint.lastReport('data/shop')?.state).toBe('Enforcing'), waitMs);
}

async function refusal(): Promise<void> {
  await vi.waitFor(() => expect(fixture.endpoint.lastReport('data/shop')?.state).toBe('Refused'), waitMs);
}

const emails = 'SELECT * FROM customers';

describe('a fresh pod', () => {
  test('says 57P03 and what it waits for, until bundle and credentials are there; then it serves', async () => {
    await fixture.start();
    expect(await fixture.knock()).toBe(
      '57P03 the gate is not ready yet: the policies of data/shop have not come yet; check that DatabaseConnection data/shop exists and allows this service account; try again in some seconds',
    );
    fixture.endpoint.failure = { status: 503, body: '{"reason":"NotReady","message":"starting"}' };
    await fixture.deliver(fixture.bundle(1, masked));
    await vi.waitFor(
      async () =>
        expect(await fixture.knock()).toBe(
          '57P03 the gate is not ready yet: the operator is not ready, so there are no credentials yet; try again in some seconds',
        ),
      waitMs,
    );
    fixture.endpoint.failure = undefined;
    fixture.endpoint.grant(fixture.granted(1));
    await fixture.pod?.firstReady();
    const client = await fixture.agent();
    expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann', email: '[redacted]' }]);
    expect(fixture.endpoint.seen[0]).toEqual({
      authorization: `Bearer ${TOKEN}`,
      body: {
        apiVersion: 'postern.dev/v1alpha1',
        release: '0.1.0-test',
        connections: [{ connection: 'data/shop', appliedGeneration: 0, keySetVersion: 1, state: 'Waiting' }],
      },
    });
    await vi.waitFor(
      () =>
        expect(fixture.endpoint.lastReport('data/shop')).toEqual({
          connection: 'data/shop',
          appliedGeneration: 1,
          keySetVersion: 1,
          state: 'Enforcing',
        }),
      waitMs,
    );
  });

  test('says 28000 where the bundle names no policy for its account, without credentials and database', async () => {
    const others = [{ serviceAccount: { namespace: 'agents', name: 'other' } }];
    const bundle = bundleOf(fixture.connection(), [policyJson('support', 'shop', { subjects: others })], 1);
    await fixture.deliver(bundle);
    await fixture.endpoint.close();
    await fixture.start();
    await vi.waitFor(
      async () =>
        expect(await fixture.knock()).toBe(
          '28000 no policy grants agents/support-bot access to this database; ask the owner of the database for a DatabaseAccessPolicy',
        ),
      waitMs,
    );
  });

  test('does not take a replayed bundle that is older than the operator asks for', async () => {
    await fixture.deliver(fixture.bundle(2, masked));
    fixture.endpoint.grant(fixture.granted(5, { minimumGeneration: 4 }));
    await fixture.start();
    await refusal();
    expect(fixture.endpoint.lastReport('data/shop')).toEqual({
      connection: 'data/shop',
      appliedGeneration: 0,
      keySetVersion: 1,
      state: 'Refused',
      refusal: 'OlderGeneration',
    });
    expect(await fixture.knock()).toBe(
      '57P03 the gate is not ready yet: the policies of data/shop are refused (OlderGeneration); try again in some seconds',
    );
    await fixture.deliver(fixture.bundle(5, masked));
    await fixture.pod?.firstReady();
    expect(await fixture.knock()).toBe('accepted');
  });

  test('does not ask an operator whose certificate another authority has issued', async () => {
    await fixture.endpoint.close();
    await fixture.openEndpoint(stranger);
    fixture.endpoint.grant(fixture.granted(1));
    await fixture.deliver(fixture.bundle(1, masked));
    await fixture.start();
    await vi.waitFor(
      async () =>
        expect(await fixture.knock()).toBe(
          '57P03 the gate is not ready yet: the operator cannot be reached, so there are no credentials yet; try again in some seconds',
        ),
      waitMs,
    );
    expect(fixture.endpoint.seen).toEqual([]);
    expect(await fixture.metrics()).toMatch(/\npostern_credential_refresh_total\{result="unreachable"\} [1-9]/);
    // The authority changes under the running pod.
    const keySet = signedKeySet(fixture.keys, {
      version: 2,
      certificateAuthorities: [fixture.authority.caPem, stranger.caPem],
    });
    await fixture.deliver(fixture.bundle(1, masked), 'shop', keySet);
    await fixture.pod?.firstReady();
    expect(await fixture.knock()).toBe('accepted');
  });

  test('tells an account that the operator does not let in', async () => {
    await fixture.deliver(fixture.bundle(1, masked));
    fixture.endpoint.grant({
      connection: 'data/shop',
      status: 'Forbidden',
      generation: 1,
      minimumGeneration: 0,
      keySetVersion: 1,
    });
    await fixture.start();
    await vi.waitFor(async () => expect(await fixture.knock()).toMatch(/^28000 no policy grants/), waitMs);
  });

  test('does not give Hash tokens of a key that nobody has given it', async () => {
    await fixture.deliver(fixture.bundle(1, hashed));
    const { maskKey: _none, ...grant } = fixture.granted(1);
    fixture.endpoint.grant(grant);
    await fixture.start();
    await refusal();
    expect(fixture.endpoint.lastReport('data/shop')?.refusal).toBe('InvalidPolicies');
    fixture.endpoint.grant(fixture.granted(1));
    await fixture.pod?.firstReady();
    const client = await fixture.agent();
    const { rows } = await client.query<{ email: string }>('SELECT email FROM customers');
    expect(rows[0]?.email).toMatch(/^[0-9a-f]{32}$/);
  });
});

interface Spoiled {
  readonly what: string;
  readonly reason: RefusalReason;
  readonly bundle: () => Uint8Array | undefined;
  /** Absent: a good one. */
  readonly keySet?: () => string;
}

const unmasked = { name: 'public.customers' };
const sign = (bundle: Bundle): Uint8Array => signBundle(bundle, fixture.keys.signer);
const spoiled: readonly Spoiled[] = [
  { what: 'is no gzip', reason: 'Malformed', bundle: () => Buffer.from('not gzip') },
  { what: 'is changed in its text', reason: 'Unsigned', bundle: () => tampered(sign(fixture.bundle(9, unmasked))) },
  {
    what: 'is signed by a key that is not in the key set',
    reason: 'UnknownKey',
    bundle: () => signBundle(fixture.bundle(9, unmasked), newKeys().signer),
  },
  {
    what: 'is of another connection',
    reason: 'WrongConnection',
    bundle: () => sign(fixture.bundle(9, unmasked, 'other')),
  },
  {
    what: 'is of another namespace',
    reason: 'WrongNamespace',
    bundle: () => sign({ ...fixture.bundle(9, unmasked), agentNamespace: 'x' }),
  },
  { what: 'is older', reason: 'OlderGeneration', bundle: () => sign(fixture.bundle(2, unmasked)) },
  { what: 'is deleted', reason: 'MissingFile', bundle: () => undefined },
  {
    what: 'comes with a key set of somebody else',
    reason: 'UnknownKey',
    bundle: () => sign(fixture.bundle(9, unmasked)),
    keySet: () => signedKeySet(newKeys()),
  },
];

/** The bundle with its first generation 9 made 8 within the signed text. */
function tampered(packed: Uint8Array): Uint8Array {
  const [header = '', payload = '', signature = ''] = gunzipSync(packed).toString('latin1').split('.');
  const text = Buffer.from(payload, 'base64url').toString('utf8').replace('"generation":9', '"generation":8');
  return gzipSync([header, Buffer.from(text).toString('base64url'), signature].join('.'));
}

test('a view that reads what the policies of others govern does not show it', async () => {
  const support = policyJson('support', 'shop', { tables: [{ name: 'public.all_customers' }] });
  const others = policyJson('others', 'shop', {
    subjects: [{ serviceAccount: { namespace: 'elsewhere', name: 'bot' } }],
    tables: [masked],
  });
  await fixture.deliver(bundleOf(fixture.connection(), [support, others], 1));
  fixture.endpoint.grant(fixture.granted(1));
  await fixture.start();
  await fixture.pod?.firstReady();
  const client = await fixture.agent();
  await expect(client.query('SELECT * FROM all_customers')).rejects.toMatchObject({ code: '42501' });
  await fixture.deliver(bundleOf(fixture.connection(), [support], 2));
  await vi.waitFor(async () => {
    expect((await client.query('SELECT email FROM all_customers')).rows).toEqual([{ email: 'ann@example.com' }]);
  }, waitMs);
  expect(
    fixture.events.flatMap((event) => (event.phase === 'policy' ? [[event.generation, event.policies]] : [])),
  ).toEqual([
    [1, ['data/support']],
    [2, ['data/support']],
  ]);
});

describe('a running pod', () => {
  beforeEach(enforcing);

  test('holds a session to a stricter policy at its next statement, within a second', async () => {
    const client = await fixture.agent();
    const statement = { name: 'one', text: emails };
    expect((await client.query(statement)).rows).toEqual([{ id: 1, name: 'Ann', email: '[redacted]' }]);
    const startedMs = performance.now();
    await fixture.deliver(fixture.bundle(4, hidden));
    await vi.waitFor(async () => {
      expect((await client.query({ text: emails })).rows).toEqual([{ id: 1, name: 'Ann' }]);
    }, waitMs);
    expect(performance.now() - startedMs).toBeLessThan(2000);
    await vi.waitFor(() => expect(fixture.endpoint.lastReport('data/shop')?.appliedGeneration).toBe(4), waitMs);
    expect(await fixture.metrics()).toContain('\npostern_bundle_generation{connection="data/shop"} 4\n');
  });

  test('uses a rotated Secret for new connections, and leaves sessions and their portals alone', async () => {
    const client = await fixture.agent();
    await client.query('BEGIN');
    await client.query('DECLARE c CURSOR FOR SELECT name FROM customers');
    await admin.query("ALTER ROLE pod_agent PASSWORD 'second secret'");
    expect(await fixture.knock()).toBe("08001 the database refused the gate's credentials");
    fixture.endpoint.grant(fixture.granted(3, { credentials: { username: 'pod_agent', password: 'second secret' } }));
    await vi.waitFor(async () => expect(await fixture.knock()).toBe('accepted'), waitMs);
    expect((await client.query('FETCH 1 FROM c')).rows).toEqual([{ name: 'Ann' }]);
    await client.query('COMMIT');
    expect(await fixture.metrics()).toContain('\npostern_credential_refresh_total{result="granted"} ');
  });

  test.each(spoiled)('keeps the last good bundle when the new one $what: $reason', async (given) => {
    const { reason } = given;
    const client = await fixture.agent();
    await fixture.deliver(given.bundle(), 'shop', given.keySet?.() ?? fixture.keySet());
    await refusal();
    expect(fixture.endpoint.lastReport('data/shop')).toEqual({
      connection: 'data/shop',
      appliedGeneration: 3,
      keySetVersion: 1,
      state: 'Refused',
      refusal: reason,
    });
    expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann', email: '[redacted]' }]);
    expect(await fixture.knock()).toBe('accepted');
    expect(await fixture.metrics()).toContain('\npostern_bundle_rejected_total{connection="data/shop"} 1\n');
    expect(
      fixture.events.flatMap((event) =>
        event.phase === 'policy' && event.reason === 'rejected' ? [event.detail] : [],
      ),
    ).toEqual([expect.stringContaining(`the bundle of data/shop is refused: ${reason}: `)]);
    await fixture.deliver(fixture.bundle(10, hidden));
    await vi.waitFor(async () => {
      expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann' }]);
    }, waitMs);
  });

  test('a policy that does not fit the database leaves the last good one in force, and is reported', async () => {
    const client = await fixture.agent();
    await fixture.deliver(
      fixture.bundle(4, { name: 'public.customers', mask: [{ columns: ['id'], with: { method: 'Email' } }] }),
    );
    await refusal();
    expect(fixture.endpoint.lastReport('data/shop')).toMatchObject({
      appliedGeneration: 3,
      refusal: 'InvalidPolicies',
    });
    expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann', email: '[redacted]' }]);
  });

  test('goes on without the operator: sessions, new connections, stricter policies', async () => {
    const client = await fixture.agent();
    await fixture.endpoint.close();
    await fixture.deliver(fixture.bundle(4, hidden));
    await vi.waitFor(async () => {
      expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann' }]);
    }, waitMs);
    expect(await fixture.knock()).toBe('accepted');
    await vi.waitFor(
      async () =>
        expect(await fixture.metrics()).toMatch(/\npostern_credential_refresh_total\{result="unreachable"\} /),
      waitMs,
    );
    const told = fixture.endpoint.seen.length;
    await fixture.replaceToken('a-newer-token');
    await fixture.openEndpoint();
    await vi.waitFor(() => expect(fixture.endpoint.seen.length).toBeGreaterThan(told), { ...waitMs, timeout: 15_000 });
    expect(fixture.endpoint.seen.at(-1)).toMatchObject({
      authorization: 'Bearer a-newer-token',
      body: { connections: [{ appliedGeneration: 4, state: 'Enforcing' }] },
    });
  });

  test('ends its sessions with 57P01 when all is withdrawn, refuses new ones with 28000, and takes what comes later', async () => {
    const client = await fixture.agent();
    const ended = new Promise<string>((resolve) => {
      client.once('error', (error: unknown) => resolve(errorText(error)));
    });
    await fixture.deliver(withdrawn('shop', 4));
    expect(await ended).toBe('57P01 the policy of this session has been withdrawn');
    expect(await fixture.knock()).toMatch(/^28000 /);
    await vi.waitFor(
      () =>
        expect(fixture.endpoint.lastReport('data/shop')).toMatchObject({ appliedGeneration: 4, state: 'Enforcing' }),
      waitMs,
    );
    await fixture.deliver(fixture.bundle(3, masked));
    await refusal();
    expect(await fixture.knock()).toMatch(/^28000 /);
    await fixture.deliver(fixture.bundle(5, masked));
    await vi.waitFor(async () => expect(await fixture.knock()).toBe('accepted'), waitMs);
  });

  test('refuses statements with 57P03 when it is behind the generation that the operator names for 15 s', async () => {
    const client = await fixture.agent();
    fixture.endpoint.grant(fixture.granted(7));
    await sleep(12_000);
    expect((await client.query(emails)).rows).toHaveLength(1);
    await vi.waitFor(
      async () =>
        await expect(client.query(emails)).rejects.toThrow(
          'the gate is behind on its policies; try again in some seconds',
        ),
      { timeout: 6000, interval: 100 },
    );
    expect(await fixture.knock()).toBe('57P03 the gate is behind on its policies; try again in some seconds');
    await fixture.deliver(fixture.bundle(7, hidden));
    await vi.waitFor(async () => {
      expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann' }]);
    }, waitMs);
  });

  test('lets nobody in whom the operator forbids, and leaves it to the bundle to end sessions', async () => {
    const client = await fixture.agent();
    const { credentials: _none, ...grant } = fixture.granted(3);
    fixture.endpoint.grant({ ...grant, status: 'Forbidden' });
    await vi.waitFor(
      async () => expect(await fixture.knock()).toMatch(/^28000 no policy grants agents\/support-bot /),
      waitMs,
    );
    expect((await client.query(emails)).rows).toHaveLength(1);
    fixture.endpoint.grant(fixture.granted(3));
    await vi.waitFor(async () => expect(await fixture.knock()).toBe('accepted'), waitMs);
  });

  test('takes a new signing key and a new root key while it runs', async () => {
    const next = newKeys();
    const both = signedKeySet(fixture.keys, {
      version: 2,
      rootKeys: [fixture.keys.rootText, next.rootText],
      certificateAuthorities: [fixture.authority.caPem],
    });
    await fixture.deliver(fixture.bundle(4, masked), 'shop', both);
    await vi.waitFor(() => expect(fixture.endpoint.lastReport('data/shop')?.keySetVersion).toBe(2), waitMs);
    const rotated = signedKeySet(next, { version: 3, certificateAuthorities: [fixture.authority.caPem] });
    await fixture.deliver(signBundle(fixture.bundle(5, hidden), next.signer), 'shop', rotated);
    const client = await fixture.agent();
    await vi.waitFor(async () => {
      expect((await client.query(emails)).rows).toEqual([{ id: 1, name: 'Ann' }]);
    }, waitMs);
    // What the old key signs counts no more.
    await fixture.deliver(signBundle(fixture.bundle(6, masked), fixture.keys.signer), 'shop', rotated);
    await refusal();
    expect(fixture.endpoint.lastReport('data/shop')?.refusal).toBe('UnknownKey');
  });

  test('holds no secret in its log and its records, and its records name the generation of the bundle', async () => {
    const client = await fixture.agent();
    await client.query(emails);
    const written = JSON.stringify(fixture.events) + fixture.logged.join('\n');
    for (const secret of ['first secret', TOKEN, Buffer.alloc(32, 7).toString('base64')]) {
      expect(written).not.toContain(secret);
    }
    const decisions = fixture.events.flatMap((event) =>
      event.phase === 'decision' ? [[event.about.generation, event.about.policies]] : [],
    );
    expect(decisions).toEqual([[3, ['data/support']]]);
  });
});

test('one process serves several connections, each with its own bundle and credentials', async () => {
  await fixture.start('data/shop=0,data/other=0');
  await fixture.deliver(fixture.bundle(1, masked));
  fixture.endpoint.grant(fixture.granted(1), fixture.granted(2, { connection: 'data/other' }));
  await fixture.pod?.firstReady();
  expect(await fixture.knock('data/other')).toMatch(/^57P03 .* the policies of data\/other have not come yet/);
  await fixture.deliver(fixture.bundle(2, hidden, 'other'), 'other');
  await vi.waitFor(async () => expect(await fixture.knock('data/other')).toBe('accepted'), waitMs);
  const shop = await fixture.agent('data/shop');
  const other = await fixture.agent('data/other');
  expect((await shop.query(emails)).rows).toEqual([{ id: 1, name: 'Ann', email: '[redacted]' }]);
  expect((await other.query(emails)).rows).toEqual([{ id: 1, name: 'Ann' }]);
  await fixture.deliver(withdrawn('shop', 2));
  await vi.waitFor(async () => expect(await fixture.knock('data/shop')).toMatch(/^28000/), waitMs);
  expect((await other.query(emails)).rows).toEqual([{ id: 1, name: 'Ann' }]);
  const starts = fixture.events.filter((event) => event.phase === 'session' && event.reason === 'process_start');
  expect(starts).toHaveLength(1);
  expect(await fixture.metrics()).toContain('\npostern_bundle_generation{connection="data/other"} 2\n');
});
