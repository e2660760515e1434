import { describe, expect, test } from 'vitest';
import { type OperatorArguments, readSettings, SettingsError } from '#operator/settings.ts';

const sound: OperatorArguments = {
  namespace: 'postern-system',
  podName: 'postern-operator-1',
  service: 'postern-operator',
  image: 'localhost/postern:dev',
  imagePullPolicy: 'IfNotPresent',
  connectionNamespaces: 'data, billing,data',
  operatorUrl: '',
  collectorUrl: '',
  collectorService: '',
  certificates: 'self',
  certificateDirectory: '/etc/postern/tls',
  sidecarResources: '{"requests":{"cpu":"50m","memory":"96Mi"},"limits":{"memory":"256Mi"}}',
  sidecarLogLevel: 'info',
  spoolSizeLimit: '256Mi',
  rotationOverlap: '600',
  webhookListen: ':9443',
  credentialsListen: '[::1]:8443',
  admin: '127.0.0.1:19464',
};

describe("the operator's settings", () => {
  test('are read; the URL that sidecars use follows from Service and namespace', () => {
    const settings = readSettings(sound, '1.2.3');
    expect(settings).toMatchObject({
      connectionNamespaces: ['data', 'billing'],
      rotationOverlapMs: 600_000,
      webhookListen: { host: undefined, port: 9443 },
      credentialsListen: { host: '::1', port: 8443 },
      adminListen: { host: '127.0.0.1', port: 19464 },
      template: {
        release: '1.2.3',
        operatorUrl: 'https://postern-operator.postern-system.svc:8443',
        resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '256Mi' } },
      },
    });
  });

  test.each([
    [{ namespace: '' }, '--namespace: expected the namespace that the operator runs in'],
    [{ service: 'A' }, "--service: expected the name of the operator's Service"],
    [{ image: '' }, '--image: expected the image that sidecars run'],
    [{ connectionNamespaces: 'data,Ünsinn' }, '--connection-namespaces: "Ünsinn" is no name of a namespace'],
    [{ imagePullPolicy: 'Sometimes' }, '--image-pull-policy: expected one of Always, IfNotPresent, Never'],
    [{ certificates: 'none' }, '--certificates: expected one of self, certManager, external'],
    [{ collectorUrl: 'http://collector' }, '--collector-url: expected https://HOST[:PORT] or nothing'],
    [{ operatorUrl: 'nonsense' }, '--operator-url: expected https://HOST[:PORT] or nothing'],
    [{ rotationOverlap: '0' }, '--rotation-overlap: expected seconds, at least 1'],
    [{ rotationOverlap: 'soon' }, '--rotation-overlap: expected seconds, at least 1'],
    [{ spoolSizeLimit: 'much' }, '--spool-size-limit: expected a quantity such as 256Mi'],
    [{ sidecarLogLevel: 'loud' }, '--sidecar-log-level: expected one of trace, debug, info, warn, error'],
    [{ webhookListen: '9443x' }, '--webhook-listen: expected HOST:PORT or :PORT'],
    [{ admin: ':70000' }, '--admin: expected HOST:PORT or :PORT'],
    [
      { sidecarResources: '{"limits":{"memory":["x"]}}' },
      '--sidecar-resources: expected JSON such as {"requests":{"cpu":"50m"},"limits":{"memory":"256Mi"}}',
    ],
  ])('%j is refused with what is expected', (change, problem) => {
    let problems: readonly string[] = [];
    try {
      readSettings({ ...sound, ...change }, '1.2.3');
    } catch (error) {
      if (error instanceof SettingsError) problems = error.problems;
    }
    expect(problems).toEqual([problem]);
  });
});
