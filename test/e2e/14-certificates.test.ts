import { afterAll, describe, expect, test } from 'vitest';
import { createAuthority, type TestAuthority } from '../certificates.ts';
import { kubectl } from '../cluster/programs.ts';
import { type Agent, agentPod, startAgent } from './agent.ts';
import { AGENTS, apply, eventually, helmInstall, IMAGE, SYSTEM, wouldCreate } from './cluster.ts';

const SECRET = 'own-tls';
const NAME = 'outside';

/** What cert-manager or a company's own authority would put there. `trusted`: what sidecars and the API server shall trust. */
async function applyCertificate(authority: TestAuthority, ...trusted: readonly TestAuthority[]): Promise<void> {
  const { certificatePem, keyPem } = authority.issue([`postern-operator.${SYSTEM}.svc`]);
  const pem = {
    'tls.crt': certificatePem,
    'tls.key': keyPem,
    'ca.crt': [authority, ...trusted].map(({ caPem }) => caPem).join(''),
  };
  const data = Object.fromEntries(
    Object.entries(pem).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
  );
  await apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: SECRET, namespace: SYSTEM },
    type: 'kubernetes.io/tls',
    data,
  });
}

async function trustedByApiServer(): Promise<string> {
  const path = '--output=jsonpath={.items[*].webhooks[*].clientConfig.caBundle}';
  const selector = '--selector=app.kubernetes.io/instance=postern';
  const answer = await kubectl('get', 'mutatingwebhookconfigurations', selector, path);
  return Buffer.from(answer.split(' ')[0] ?? '', 'base64').toString('utf8');
}

async function untilTrusted(authority: TestAuthority): Promise<void> {
  await eventually(
    'the API server trusts the authority of the certificate, and labelled pods can be made',
    async () => {
      if (!(await trustedByApiServer()).includes(authority.caPem.trim())) return undefined;
      return (await wouldCreate(agentPod({ name: 'after' }))) === 'created' ? true : undefined;
    },
    { timeoutMs: 90_000, seen: trustedByApiServer },
  );
}

async function untilCredentialsAreGranted(agent: Agent): Promise<void> {
  const granted = async (): Promise<number> =>
    Number(/^postern_credential_refresh_total\{result="granted"\} (\d+)/m.exec(await agent.metrics())?.[1] ?? '0');
  const before = await granted();
  await eventually('the next credentials arrive', async () => ((await granted()) > before ? true : undefined), {
    timeoutMs: 90_000,
  });
}

afterAll(async () => {
  await kubectl('--namespace', AGENTS, 'delete', 'pod', NAME, `${NAME}-later`, '--ignore-not-found');
  await helmInstall(`image.tag="${IMAGE.nextTag}"`);
  await kubectl('--namespace', SYSTEM, 'delete', 'secret', SECRET);
});

describe('a certificate from outside (certificates.mode: external)', () => {
  const [first, second] = [createAuthority(), createAuthority()];
  let agent: Agent;

  test('is served, and its authority is what the API server and the sidecars trust', { timeout: 240_000 }, async () => {
    await applyCertificate(first);
    await helmInstall(
      `image.tag="${IMAGE.nextTag}"`,
      'certificates.mode="external"',
      `certificates.external.secretName="${SECRET}"`,
    );
    await untilTrusted(first);
    agent = await startAgent({ name: NAME });
    expect(await agent.ask('SELECT count(*) > 0 FROM customers')).toBe('t');
  });

  test('is renewed in place by another authority, under a running pod', { timeout: 240_000 }, async () => {
    await applyCertificate(second, first);
    // The kubelet looks at a pod's Secrets at once when the pod changes, else within a minute or two.
    await kubectl(
      ...['--namespace', SYSTEM, 'annotate', 'pod', '--overwrite', `e2e/renewed=${Date.now()}`],
      '--selector=app.kubernetes.io/name=postern',
    );
    await untilTrusted(second);
    await untilCredentialsAreGranted(agent);
    const later = await startAgent({ name: `${NAME}-later` });
    expect(await later.ask('SELECT count(*) > 0 FROM customers')).toBe('t');
    expect(await agent.restarts()).toBe(0);
  });
});
