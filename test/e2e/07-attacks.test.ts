import { beforeAll, describe, expect, test } from 'vitest';
import { bundleConfigMapName } from '#bundle/config-map.ts';
import { type Ran, run, succeed } from '../cluster/programs.ts';
import { askForCredentials } from './ask-for-credentials.ts';
import { Agent, agentPod, SAFE, SUPPORT_BOT } from './agent.ts';
import {
  AGENTS,
  apply,
  as,
  asList,
  DATA,
  type Found,
  get,
  IMAGE,
  kubectlAs,
  LAB,
  POSTGRES_IMAGE,
  SYSTEM,
  wouldCreate,
} from './cluster.ts';
import { samplePolicy } from './samples.ts';

const agent = new Agent(AGENTS, 'agent');
const EDITOR = `system:serviceaccount:${AGENTS}:editor`;
const PASSWORD = /the-(?:first|second)-password-of-shop/;
const BUNDLE = bundleConfigMapName('data', 'shop');

/** A stock edit account of the agents' team, in both namespaces where it has agents. */
beforeAll(async () => {
  for (const namespace of [AGENTS, LAB]) {
    await apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'editor', namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
      subjects: [{ kind: 'ServiceAccount', name: 'editor', namespace: AGENTS }],
    });
  }
});

const editor = async (...parameters: readonly string[]): Promise<Ran> => kubectlAs(EDITOR, ...parameters);

describe("the agent's code tries for the password", () => {
  test.each([
    ['its environment', 'env'],
    ['the environment of every process it can see', 'cat /proc/*/environ 2>/dev/null | tr "\\0" "\\n"'],
    ['the command line of every process it can see', 'cat /proc/*/cmdline 2>/dev/null | tr "\\0" " "'],
    [
      'every file it can read that is not of the image',
      'find / -xdev -newer /etc/hostname -type f -readable -size -1M -exec cat {} + 2>/dev/null',
    ],
    [
      'its mounted tokens and volumes',
      'find /var/run /run /etc/postern /var/lib/postern -type f -exec cat {} + 2>/dev/null',
    ],
  ])('in %s: it is not there', async (_, script) => {
    const { stdout } = await agent.run('bash', '-c', script);
    expect(stdout).not.toMatch(PASSWORD);
  });

  test('in the memory of the sidecar: it does not see its processes', async () => {
    const { stdout } = await agent.run('bash', '-c', 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done');
    expect(stdout).not.toContain('postern.js');
  });

  test('from the database past the gate: it has no way to log in', async () => {
    const { code, stderr } = await agent.run(
      'psql',
      `host=shop-db.${DATA}.svc dbname=shop user=shop_agent sslmode=require`,
      '--no-password',
      '--command=SELECT 1',
    );
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/no password supplied|password/);
  });

  test('by what the database itself could tell: role passwords, other sessions, files', async () => {
    expect(await agent.ask('SELECT rolpassword FROM pg_authid')).toMatch(/42501/);
    expect(await agent.ask('SELECT query FROM pg_stat_activity')).not.toMatch(PASSWORD);
    expect(await agent.ask("SELECT pg_read_file('/tls/tls.key')")).toMatch(/42501/);
  });

  test('from the health port of the sidecar: it answers health and metrics only, without a secret', async () => {
    expect(await agent.metrics()).not.toMatch(PASSWORD);
  });
});

describe("the agent's service account asks the API server", () => {
  test.each([
    ["for the database's Secret", ['get', 'secret', 'shop-agent', '--namespace', DATA]],
    ["for the operator's keys", ['get', 'secret', 'postern-signing-keys', '--namespace', SYSTEM]],
    ['for the bundle', ['get', 'configmap', BUNDLE, '--namespace', AGENTS]],
    ['for its connection', ['get', 'databaseconnection', 'shop', '--namespace', DATA]],
    ['to widen its policy', ['delete', 'databaseaccesspolicy', 'support', '--namespace', DATA]],
    [
      'for a token of the sidecar',
      ['create', 'token', 'support-bot', '--namespace', AGENTS, '--audience=postern.dev/operator'],
    ],
  ])('%s: forbidden', async (_, parameters) => {
    const { code, stderr } = await kubectlAs(SUPPORT_BOT, ...parameters);
    expect(code).not.toBe(0);
    expect(stderr).toContain('forbidden');
  });
});

describe('an account with the stock edit role tries for the password', () => {
  test("the database's Secret is out of its reach", async () => {
    expect((await editor('get', 'secrets', '--namespace', DATA)).stderr).toContain('forbidden');
  });

  test('nothing in its own namespace holds it: Secrets, ConfigMaps, pods, Events', async () => {
    for (const kind of ['secrets', 'configmaps', 'pods', 'events']) {
      const { code, stdout } = await editor('get', kind, '--namespace', AGENTS, '--output=json');
      expect(code).toBe(0);
      expect(stdout).not.toMatch(PASSWORD);
      expect(stdout).not.toContain(Buffer.from('the-second-password-of-shop').toString('base64'));
    }
  });

  test('the logs of the sidecar do not tell it', async () => {
    const { code, stdout } = await editor('logs', 'agent', '--container=postern-proxy', '--namespace', AGENTS);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(PASSWORD);
  });

  test('it cannot run anything in the sidecar, nor attach to it', async () => {
    const tried = await editor(
      'exec',
      'agent',
      '--container=postern-proxy',
      '--namespace',
      AGENTS,
      '--',
      '/usr/local/bin/node',
      '--version',
    );
    expect(tried.code).not.toBe(0);
    expect(tried.stderr).toContain('ValidatingAdmissionPolicy');
    const attached = await editor('attach', 'agent', '--container=postern-proxy', '--namespace', AGENTS);
    expect(attached.stderr).toContain('ValidatingAdmissionPolicy');
    const allowed = await editor('exec', 'agent', '--container=agent', '--namespace', AGENTS, '--', 'true');
    expect(allowed.code).toBe(0);
  });

  test.each([
    ['targets the sidecar', { targetContainerName: 'postern-proxy' }],
    ['mounts its token', { volumeMounts: [{ name: 'postern-token', mountPath: '/t' }] }],
  ])('it cannot add an ephemeral container that %s', async (_, fields) => {
    const debug = { name: 'debug', image: POSTGRES_IMAGE, command: ['sleep', '60'], securityContext: SAFE };
    const patch = { spec: { ephemeralContainers: [{ ...debug, ...fields }] } };
    const patching = [
      ...['patch', 'pod', 'agent', '--namespace', AGENTS, '--subresource=ephemeralcontainers'],
      `--patch=${JSON.stringify(patch)}`,
    ];
    expect((await editor(...patching)).stderr).toContain('forbidden');
    // Not for want of the right alone, which clusters often give for debugging.
    expect((await run('kubectl', patching)).stderr).toMatch(/Postern|postern-/);
  });
});

describe('an account with the stock edit role tries for the token', () => {
  test.each([
    ['for the operator', ['--audience=postern.dev/operator']],
    ['for the collector', ['--audience=postern.dev/collector']],
    ['among other audiences', ['--audience=mine', '--audience=postern.dev/operator']],
  ])('it cannot mint one %s', async (_, audiences) => {
    const { code, stderr } = await editor('create', 'token', 'support-bot', '--namespace', AGENTS, ...audiences);
    expect(code).not.toBe(0);
    expect(stderr).toContain('ValidatingAdmissionPolicy');
  });

  test('nor one that is bound to the running pod', async () => {
    const { metadata } = await get('pod', AGENTS, 'agent');
    const { code, stderr } = await editor(
      ...['create', 'token', 'support-bot', '--namespace', AGENTS, '--audience=postern.dev/operator'],
      ...['--bound-object-kind=Pod', '--bound-object-name=agent', `--bound-object-uid=${metadata.uid}`],
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain('ValidatingAdmissionPolicy');
  });

  test('a token of another audience can be minted, and is of no use: 401', async () => {
    const { code, stdout } = await editor('create', 'token', 'support-bot', '--namespace', AGENTS);
    expect(code).toBe(0);
    expect(await askForCredentials(stdout.trim())).toMatchObject({ status: 401 });
  });

  test.each([
    ['with the label', { labels: { 'postern.dev/inject': 'true' } }],
    ['without the label', { labels: {} }],
  ])('it cannot project one into a pod of its own %s', async (_, { labels }) => {
    const pod = agentPod({ name: 'thief', namespace: LAB });
    const answer = await wouldCreate(
      {
        ...pod,
        metadata: { ...pod.metadata, labels, ...('postern.dev/inject' in labels ? {} : { annotations: {} }) },
        spec: {
          ...pod.spec,
          volumes: [
            {
              name: 't',
              projected: { sources: [{ serviceAccountToken: { audience: 'postern.dev/operator', path: 't' } }] },
            },
          ],
        },
      },
      EDITOR,
    );
    expect(answer).toMatch(/postern\.dev\/operator|postern/);
    expect(answer).not.toBe('created');
  });
});

describe('an account with the stock edit role tries for a wider view', () => {
  test("a policy of its own has no effect: it names no connection of the database's team", async () => {
    const wide = {
      ...samplePolicy(),
      metadata: { name: 'wide', namespace: AGENTS },
      spec: { ...samplePolicy().spec, tables: [{ name: 'public.*' }] },
    };
    const { code } = await run('kubectl', ['apply', ...as(EDITOR), '--filename', '-'], asList([wide]));
    expect(code).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(await agent.ask('SELECT salary FROM employees')).toMatch(/42501/);
    await succeed('kubectl', ['delete', 'databaseaccesspolicy', 'wide', '--namespace', AGENTS]);
  });

  test.each([
    [
      'change the bundle',
      ['patch', 'configmap', BUNDLE, '--type=merge', '--patch={"binaryData":{"bundle.jws.gz":"AAAA"}}'],
    ],
    ['freeze the bundle', ['patch', 'configmap', BUNDLE, '--type=merge', '--patch={"immutable":true}']],
    [
      'have the pod ask for another connection',
      ['annotate', '--overwrite', 'pod', 'agent', 'postern.dev/connections=data/other'],
    ],
    ['take the label away', ['label', 'pod', 'agent', 'postern.dev/inject-']],
    [
      'swap the image of the sidecar',
      [
        'patch',
        'pod',
        'agent',
        '--patch={"spec":{"initContainers":[{"name":"postern-proxy","image":"localhost/postgres:15"}]}}',
      ],
    ],
  ])('it cannot %s', async (_, parameters) => {
    const { code, stderr } = await editor(...parameters, '--namespace', AGENTS);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/ValidatingAdmissionPolicy|denied|forbidden/);
  });

  test('it cannot bring a sidecar of its own: ours stands in its place', async () => {
    const pod = agentPod({ name: 'own', namespace: LAB });
    const fake = {
      name: 'postern-proxy',
      image: 'localhost/postgres:15',
      restartPolicy: 'Always',
      command: ['sleep', 'infinity'],
    };
    const { stdout } = await run(
      'kubectl',
      ['create', '--dry-run=server', '--output=json', ...as(EDITOR), '--filename', '-'],
      JSON.stringify({ ...pod, spec: { ...pod.spec, initContainers: [fake] } }),
    );
    const sidecars = (JSON.parse(stdout) as Found).spec.initContainers.filter(({ name }) => name === 'postern-proxy');
    expect(sidecars).toEqual([expect.objectContaining({ image: expect.stringMatching(IMAGE.repository) as unknown })]);
    expect(sidecars[0]).not.toHaveProperty('command');
  });

  test('acting as the agent gives it what the agent has, and no more', async () => {
    const { stdout } = await editor(
      ...['exec', 'agent', '--container=agent', '--namespace', AGENTS, '--', 'psql', '-Atc'],
      'SELECT DISTINCT region FROM customers',
    );
    expect(stdout.trim()).toBe('eu');
  });
});
