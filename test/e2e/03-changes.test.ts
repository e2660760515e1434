import { describe, expect, test } from 'vitest';
import { kubectl } from '../cluster/programs.ts';
import { Agent } from './agent.ts';
import { AGENTS, apply, DATA, eventually, list } from './cluster.ts';
import { asOwner, FIRST_PASSWORD, secret } from './database.ts';
import { policyWithCustomers, samplePolicy } from './samples.ts';

const agent = new Agent(AGENTS, 'agent');

describe('while the agent runs', () => {
  test('a policy edit reaches it: a column is masked in another way, another does not exist any more', async () => {
    await agent.sees("SELECT count(*) FROM customers WHERE city <> 'hidden'", /^[1-9]\d*$/);
    await apply(
      policyWithCustomers({
        hide: ['password_hash', 'phone'],
        mask: [{ columns: ['email', 'city'], with: { method: 'Constant', value: 'hidden' } }],
      }),
    );
    await agent.sees('SELECT DISTINCT city FROM customers', 'hidden', 10_000);
    expect(await agent.ask('SELECT phone FROM customers')).toMatch(/^ERROR: +42703/);
  });

  test('a session that was open before the edit obeys it too', async () => {
    const policy = samplePolicy();
    const script = [
      'coproc PSQL { psql --no-psqlrc --no-align --tuples-only 2>&1; }',
      'ask() { echo "$1" >&${PSQL[1]}; read -t 5 line <&${PSQL[0]}; echo "$line"; }',
      'ask "SELECT DISTINCT city FROM customers;"',
      'touch /tmp/asked',
      'while [ ! -e /tmp/go ]; do sleep 0.2; done',
      'ask "SELECT count(DISTINCT city) > 1 FROM customers;"',
    ].join('\n');
    const open = agent.run('bash', '-c', script);
    await eventually('the session has asked', async () =>
      (await agent.run('test', '-e', '/tmp/asked')).code === 0 ? true : undefined,
    );
    await apply(policy);
    await agent.sees("SELECT count(*) FROM customers WHERE city = 'hidden'", '0', 10_000);
    await agent.run('touch', '/tmp/go');
    expect((await open).stdout.trim().split('\n')).toEqual(['hidden', 't']);
  });

  test('a withdrawn policy ends its sessions, and none is let in', async () => {
    const open = agent.psql('SELECT pg_backend_pid()', '--command=\\! sleep 20', '--command=SELECT 1');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await kubectl('--namespace', DATA, 'delete', 'databaseaccesspolicy', 'support');
    await agent.sees('SELECT 1', /no policy grants/, 15_000);
    expect((await open).stderr).toMatch(/the policy of this session has been withdrawn/);
    await apply(samplePolicy());
    await agent.sees('SELECT 1', '1');
  });

  test('the Secret rotates under it: new sessions use the new password within 30 s, the pod is not restarted', async () => {
    const next = 'the-second-password-of-shop';
    await asOwner(`ALTER ROLE shop_agent PASSWORD '${next}'`);
    await apply(secret('shop-agent', { username: 'shop_agent', password: next }, { 'postern.dev/connection': 'shop' }));
    await agent.sees('SELECT 1', '1', 30_000);
    // With the database's word for it: the old one is of no use any more.
    expect(await asOwner('SELECT 1')).toBe('1');
    expect(await agent.restarts()).toBe(0);
    const pods = JSON.stringify(await list('pods', '--namespace', AGENTS));
    expect(pods).not.toContain(next);
    expect(pods).not.toContain(FIRST_PASSWORD);
  });
});
