/** What the operator is told by flags and environment. */
import type { SidecarResources } from './admission/context.ts';
import type { SidecarTemplate } from './admission/context.ts';

export interface ListenAddress {
  /** Undefined: every address of both families. */
  readonly host: string | undefined;
  readonly port: number;
}

/** As texts, from the command line or the environment. */
export interface OperatorArguments {
  readonly namespace: string;
  readonly podName: string;
  readonly service: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly connectionNamespaces: string;
  readonly operatorUrl: string;
  readonly collectorUrl: string;
  readonly collectorService: string;
  readonly certificates: string;
  readonly certificateDirectory: string;
  readonly sidecarResources: string;
  readonly sidecarLogLevel: string;
  readonly spoolSizeLimit: string;
  readonly rotationOverlap: string;
  readonly webhookListen: string;
  readonly credentialsListen: string;
  readonly admin: string;
}

/** self: made by the operator. certManager: from files, caBundle by cert-manager. external: from files, caBundle by the operator. */
export type CertificateMode = 'self' | 'certManager' | 'external';

export interface OperatorSettings {
  readonly namespace: string;
  readonly podName: string;
  readonly service: string;
  /** The collector's Service in the same namespace; empty: this release has no collector. */
  readonly collectorService: string;
  readonly connectionNamespaces: readonly string[];
  readonly certificates: CertificateMode;
  readonly certificateDirectory: string;
  readonly rotationOverlapMs: number;
  readonly template: SidecarTemplate;
  readonly webhookListen: ListenAddress;
  readonly credentialsListen: ListenAddress;
  readonly adminListen: ListenAddress;
}

/** What is wrong with the settings, one line each. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'] as const;
const MODES = ['self', 'certManager', 'external'] as const;
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
const QUANTITY = /^\d+(?:\.\d+)?(?:[kMGTPE]i?|m)?$/;

/** Throws `SettingsError` with every problem there is. `release` is the program's version. */
export function readSettings(given: OperatorArguments, release: string): OperatorSettings {
  const problems: string[] = [];
  const check = (sound: boolean, problem: string): void => {
    if (!sound) problems.push(problem);
  };
  const connectionNamespaces = splitList(given.connectionNamespaces);
  check(LABEL.test(given.namespace), '--namespace: expected the namespace that the operator runs in');
  check(LABEL.test(given.service), "--service: expected the name of the operator's Service");
  check(given.image !== '', '--image: expected the image that sidecars run');
  for (const name of connectionNamespaces) {
    check(LABEL.test(name), `--connection-namespaces: ${JSON.stringify(name)} is no name of a namespace`);
  }
  check(
    given.collectorService === '' || LABEL.test(given.collectorService),
    "--collector-service: expected the name of the collector's Service or nothing",
  );
  const overlapSeconds = Number(given.rotationOverlap);
  check(Number.isFinite(overlapSeconds) && overlapSeconds >= 1, '--rotation-overlap: expected seconds, at least 1');
  check(QUANTITY.test(given.spoolSizeLimit), '--spool-size-limit: expected a quantity such as 256Mi');
  check(isUrlOrEmpty(given.collectorUrl), '--collector-url: expected https://HOST[:PORT] or nothing');
  check(isUrlOrEmpty(given.operatorUrl), '--operator-url: expected https://HOST[:PORT] or nothing');
  const imagePullPolicy = choose(given.imagePullPolicy, PULL_POLICIES, '--image-pull-policy', problems);
  const certificates = choose(given.certificates, MODES, '--certificates', problems);
  const logLevel = choose(given.sidecarLogLevel, LOG_LEVELS, '--sidecar-log-level', problems);
  const resources = readResources(given.sidecarResources, problems);
  const settings: OperatorSettings = {
    namespace: given.namespace,
    podName: given.podName,
    service: given.service,
    collectorService: given.collectorService,
    connectionNamespaces,
    certificates,
    certificateDirectory: given.certificateDirectory,
    rotationOverlapMs: overlapSeconds * 1000,
    template: {
      release,
      image: given.image,
      imagePullPolicy,
      operatorUrl:
        given.operatorUrl === '' ? `https://${given.service}.${given.namespace}.svc:8443` : given.operatorUrl,
      collectorUrl: given.collectorUrl,
      logLevel,
      resources,
      spoolSizeLimit: given.spoolSizeLimit,
    },
    webhookListen: readAddress(given.webhookListen, '--webhook-listen', problems),
    credentialsListen: readAddress(given.credentialsListen, '--credentials-listen', problems),
    adminListen: readAddress(given.admin, '--admin', problems),
  };
  if (problems.length > 0) throw new SettingsError(problems);
  return settings;
}

function splitList(text: string): readonly string[] {
  return [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== '');
}

function choose<T extends string>(value: string, choices: readonly [T, ...T[]], option: string, problems: string[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) problems.push(`${option}: expected one of ${choices.join(', ')}`);
  return found ?? choices[0];
}

function isUrlOrEmpty(text: string): boolean {
  if (text === '') return true;
  return URL.canParse(text) && new URL(text).protocol === 'https:';
}

function readAddress(text: string, option: string, problems: string[]): ListenAddress {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)?:)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    problems.push(`${option}: expected HOST:PORT or :PORT`);
    return { host: undefined, port: 0 };
  }
  return { host: match[1]?.replace(/^\[|\]$/g, ''), port };
}

function readResources(text: string, problems: string[]): SidecarResources {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) throw new TypeError('resources');
    const { requests, limits } = value as { readonly requests?: unknown; readonly limits?: unknown };
    return { requests: readQuantities(requests), limits: readQuantities(limits) };
  } catch {
    problems.push('--sidecar-resources: expected JSON such as {"requests":{"cpu":"50m"},"limits":{"memory":"256Mi"}}');
    return { requests: {}, limits: {} };
  }
}

function readQuantities(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError('quantities');
  const entries = Object.entries(value as Readonly<Record<string, unknown>>).map(([name, quantity]) => {
    const written = typeof quantity === 'number' ? String(quantity) : quantity;
    if (typeof written !== 'string' || !QUANTITY.test(written)) throw new TypeError('quantity');
    return [name, written] as const;
  });
  return Object.fromEntries(entries);
}
