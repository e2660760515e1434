import { beforeAll, describe, expect, test } from 'vitest';
import { kubectl } from '../cluster/programs.ts';
import { Agent, agentPod } from './agent.ts';
import { AGENTS, apply, eventually, get, helmInstall, IMAGE, SYSTEM, wouldCreate } from './cluster.ts';
import { policyWithCustomers, samplePolicy } from './samples.ts';

const agent = new Agent(AGENTS, 'agent');
const OVERLAP_SECONDS = 5;

interface Keys {
  readonly keys: readonly { readonly id: string; readonly phase: string }[];
}

async function currentKey(secret: string): Promise<string> {
  const { data } = await get('secret', SYSTEM, secret);
  const { keys } = JSON.parse(Buffer.from(data['keys.json'] ?? '', 'base64').toString('utf8')) as Keys;
  return keys.find(({ phase }) => phase === 'Current')?.id ?? 'none';
}

/** Asks for a new key and waits until it is used. */
async function rotate(secret: string): Promise<void> {
  const before = await currentKey(secret);
  await kubectl('--namespace', SYSTEM, 'annotate', '--overwrite', 'secret', secret, `postern.dev/rotate=${Date.now()}`);
  await eventually(
    `${secret} has another current key`,
    async () => ((await currentKey(secret)) === before ? undefined : true),
    { timeoutMs: 60_000 },
  );
}

describe('keys rotate under a running pod', () => {
  beforeAll(async () => {
    await helmInstall(`image.tag="${IMAGE.nextTag}"`, `certificates.rotationOverlapSeconds=${OVERLAP_SECONDS}`);
    await agent.sees('SELECT 1', '1');
  });

  test.each([
    ['the signing key', 'postern-signing-keys'],
    ['the certificate authority', 'postern-ca'],
    ['the root key', 'postern-root-key'],
  ])(
    '%s: a later policy edit still reaches it, and it still gets credentials',
    { timeout: 180_000 },
    async (_, secret) => {
      await rotate(secret);
      const value = `after-${secret}`;
      await apply(policyWithCustomers({ mask: [{ columns: ['city'], with: { method: 'Constant', value } }] }));
      await agent.sees('SELECT DISTINCT city FROM customers', value, 30_000);
      const granted = async (): Promise<number> =>
        Number(/^postern_credential_refresh_total\{result="granted"\} (\d+)/m.exec(await agent.metrics())?.[1] ?? '0');
      const before = await granted();
      await eventually('the next credentials arrive', async () => ((await granted()) > before ? true : undefined), {
        timeoutMs: 60_000,
      });
    },
  );

  test('labelled pods can still be made: the API server trusts the new certificate', { timeout: 90_000 }, async () => {
    await apply(samplePolicy());
    expect(await wouldCreate(agentPod({ name: 'after-rotation' }))).toBe('created');
    expect(await agent.restarts()).toBe(0);
  });
});
