import { describe, expect, test } from 'vitest';
import { readPodEnvironment } from '#proxy/pod-environment.ts';
import { newKeys } from '#test/signed-bundles.ts';

const key = newKeys().rootText;
const good = {
  POSTERN_CONNECTIONS: 'data/shop=5432,data/crm=5433',
  POSTERN_ROOT_KEYS: `${key},${key}`,
  POSTERN_OPERATOR_URL: 'https://postern-operator.postern-system.svc:8443',
  POSTERN_BUNDLE_DIRECTORY: '/etc/postern/bundles',
  POSTERN_TOKEN_DIRECTORY: '/var/run/secrets/postern.dev',
  POSTERN_SPOOL_DIRECTORY: '/var/lib/postern',
  POSTERN_SPOOL_LIMIT_BYTES: '214748364',
  POD_NAME: 'bot-1',
  POD_NAMESPACE: 'agents',
  POD_UID: '1-2-3',
  POD_SERVICE_ACCOUNT: 'support-bot',
};

describe("the sidecar's environment", () => {
  test('is read', () => {
    const read = readPodEnvironment(good);
    expect(read).toMatchObject({
      kind: 'read',
      environment: {
        connections: [
          { name: { namespace: 'data', name: 'shop' }, port: 5432 },
          { name: { namespace: 'data', name: 'crm' }, port: 5433 },
        ],
        rootKeys: [key, key],
        spoolLimitBytes: 214_748_364,
        collectorUrl: undefined,
        pod: { name: 'bot-1', namespace: 'agents', uid: '1-2-3', serviceAccount: 'support-bot' },
        adminPort: 19_464,
      },
    });
  });

  test('is absent outside a pod', () => {
    expect(readPodEnvironment({ PATH: '/bin' })).toEqual({ kind: 'absent' });
  });

  test.each([
    [
      { POSTERN_CONNECTIONS: 'shop=5432' },
      'POSTERN_CONNECTIONS: expected NAMESPACE/NAME=PORT such as data/shop=5432, found "shop=5432"',
    ],
    [{ POSTERN_CONNECTIONS: 'data/shop=5432,data/crm=5432' }, 'POSTERN_CONNECTIONS: port 5432 stands twice'],
    [{ POSTERN_CONNECTIONS: 'data/shop=5432,data/shop=5433' }, 'POSTERN_CONNECTIONS: data/shop stands twice'],
    [
      { POSTERN_CONNECTIONS: 'data/shop=70000' },
      'POSTERN_CONNECTIONS: expected NAMESPACE/NAME=PORT such as data/shop=5432, found "data/shop=70000"',
    ],
    [
      { POSTERN_SPOOL_LIMIT_BYTES: '-1' },
      'POSTERN_SPOOL_LIMIT_BYTES: expected a number up to 9007199254740991, found "-1"',
    ],
    [{ POD_SERVICE_ACCOUNT: 'A b' }, 'POD_SERVICE_ACCOUNT: expected a name, found "A b"'],
    [{ POSTERN_COLLECTOR_URL: 'collector' }, 'POSTERN_COLLECTOR_URL: expected an https URL, found "collector"'],
  ])('%o is a problem that names the variable', (changes, problem) => {
    expect(readPodEnvironment({ ...good, ...changes })).toEqual({ kind: 'invalid', problems: [problem] });
  });
});
