import { describe, expect, test } from 'vitest';
import { kubectl, succeed } from '../cluster/programs.ts';
import { apply, condition, DATA, eventually, get, helmInstall, list, RELEASE, SYSTEM } from './cluster.ts';
import { installDatabase } from './database.ts';
import { sampleConnection, samplePolicy } from './samples.ts';

describe('install by Helm', () => {
  test('the chart comes up: two replicas are ready, and helm test agrees', { timeout: 240_000 }, async () => {
    await helmInstall();
    const deployment = await get('deployment', SYSTEM, 'postern-operator');
    expect(deployment.status).toMatchObject({ readyReplicas: 2, updatedReplicas: 2 });
    expect(await succeed('helm', ['test', RELEASE, '--namespace', SYSTEM, '--timeout=1m'])).toContain('Succeeded');
  });

  test('its namespace can enforce Pod Security level restricted', async () => {
    const warnings = await kubectl(
      ...['label', '--dry-run=server', '--overwrite', 'namespace', SYSTEM],
      'pod-security.kubernetes.io/enforce=restricted',
    );
    expect(warnings).not.toContain('Warning');
  });

  test('one replica leads, by a Lease', async () => {
    const lease = await get('lease', SYSTEM, 'postern-operator');
    const pods = await list('pods', '--namespace', SYSTEM, '--selector=app.kubernetes.io/component=operator');
    expect(pods.map(({ metadata }) => metadata.name)).toContainEqual(
      expect.stringMatching(new RegExp(`^(${String(lease.spec.holderIdentity)}.*|.*)$`)),
    );
    expect(lease.spec.holderIdentity).toMatch(/postern-operator/);
  });
});

describe('apply samples', () => {
  test('a connection becomes Ready and Reachable, and its role is found to have no right too many', async () => {
    await installDatabase();
    await apply(sampleConnection());
    const connection = await eventually(
      'the connection is Ready and has been looked at',
      async () => {
        const found = await get('databaseconnection', DATA, 'shop');
        const states = ['Ready', 'Reachable', 'LeastPrivilege'].map((type) => condition(found, type) ?? '');
        return states.every((state) => state.startsWith('True')) ? found : undefined;
      },
      { timeoutMs: 60_000, seen: async () => JSON.stringify((await get('databaseconnection', DATA, 'shop'))?.status) },
    );
    expect(connection.status).toMatchObject({
      observedGeneration: 1,
      serverVersion: expect.stringMatching(/^1\d\.\d+/),
    });
  });

  test('a policy becomes Ready', async () => {
    await apply(samplePolicy());
    await eventually(
      'the policy is Ready',
      async () =>
        condition(await get('databaseaccesspolicy', DATA, 'support'), 'Ready')?.startsWith('True') ? true : undefined,
      { seen: async () => JSON.stringify((await get('databaseaccesspolicy', DATA, 'support'))?.status) },
    );
  });

  test('kubectl get postern lists both kinds, with what they point at', async () => {
    const table = await kubectl('get', 'postern', '--namespace', DATA);
    expect(table).toMatch(/databaseconnection\S*\/shop +True +shop-db\.data\.svc +shop/);
    expect(table).toMatch(/databaseaccesspolicy\S*\/support +True +shop +Enforce/);
  });

  test('what only the database knows is refused where it stands: a filter that does not parse, at once', async () => {
    const policy = samplePolicy();
    const broken = {
      ...policy,
      spec: { ...policy.spec, tables: [{ name: 'public.customers', rowFilter: "region = 'eu' AND" }] },
    };
    await expect(apply(broken)).rejects.toThrow(/rowFilter/);
  });
});
