/** What the injector puts into the sidecar's environment (design §5), read once. */
import { isPublicKeyText } from '#bundle/key-set.ts';
import { DNS_LABEL, DNS_SUBDOMAIN } from '#crds/kinds.ts';
import type { ConnectionName } from './world.ts';

export interface PodEnvironment {
  /** Each with the port on 127.0.0.1 where its agents connect. */
  readonly connections: readonly { readonly name: ConnectionName; readonly port: number }[];
  /** Raw Ed25519 public keys in base64url. */
  readonly rootKeys: readonly string[];
  readonly operatorUrl: URL;
  readonly bundleDirectory: string;
  readonly tokenDirectory: string;
  readonly spoolDirectory: string;
  /** Records are refused beyond it: past the volume's own limit the kubelet would evict the agent. */
  readonly spoolLimitBytes: number;
  /** Absent: there is no collector yet, and records stay in the spool. */
  readonly collectorUrl: URL | undefined;
  readonly pod: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly serviceAccount: string;
  };
  /** Health and metrics, on every address. */
  readonly adminPort: number;
}

/** `absent`: this is not a pod that was injected. `problems`: one line each, naming the variable. */
export type PodEnvironmentRead =
  | { readonly kind: 'read'; readonly environment: PodEnvironment }
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

const DEFAULT_ADMIN_PORT = 19_464;
const NUMBER = /^\d{1,15}$/;

/** Reads the variables; never throws. */
export function readPodEnvironment(variables: Readonly<Record<string, string | undefined>>): PodEnvironmentRead {
  if (variables['POSTERN_CONNECTIONS'] === undefined) return { kind: 'absent' };
  const problems: string[] = [];
  const text = (name: string): string => {
    const value = variables[name];
    if (value === undefined || value === '') problems.push(`${name}: is required in a pod`);
    return value ?? '';
  };
  const number = (name: string, value: string, max: number): number => {
    const found = NUMBER.test(value) ? Number(value) : Number.NaN;
    if (found <= max || value === '') return found;
    problems.push(`${name}: expected a number up to ${max}, found ${JSON.stringify(value)}`);
    return 0;
  };
  const environment: PodEnvironment = {
    connections: readConnections(text('POSTERN_CONNECTIONS'), problems),
    rootKeys: readRootKeys(text('POSTERN_ROOT_KEYS'), problems),
    operatorUrl: readUrl('POSTERN_OPERATOR_URL', text('POSTERN_OPERATOR_URL'), problems),
    bundleDirectory: text('POSTERN_BUNDLE_DIRECTORY'),
    tokenDirectory: text('POSTERN_TOKEN_DIRECTORY'),
    spoolDirectory: text('POSTERN_SPOOL_DIRECTORY'),
    spoolLimitBytes: number('POSTERN_SPOOL_LIMIT_BYTES', text('POSTERN_SPOOL_LIMIT_BYTES'), Number.MAX_SAFE_INTEGER),
    collectorUrl: readCollectorUrl(variables['POSTERN_COLLECTOR_URL'] ?? '', problems),
    pod: {
      name: text('POD_NAME'),
      namespace: readName('POD_NAMESPACE', text('POD_NAMESPACE'), DNS_LABEL, problems),
      uid: text('POD_UID'),
      serviceAccount: readName('POD_SERVICE_ACCOUNT', text('POD_SERVICE_ACCOUNT'), DNS_SUBDOMAIN, problems),
    },
    adminPort: number('POSTERN_ADMIN_PORT', variables['POSTERN_ADMIN_PORT'] ?? String(DEFAULT_ADMIN_PORT), 65_535),
  };
  return problems.length === 0 ? { kind: 'read', environment } : { kind: 'invalid', problems };
}

function readConnections(text: string, problems: string[]): PodEnvironment['connections'] {
  if (text === '') return [];
  const seen = new Set<string>();
  return text.split(',').flatMap((entry) => {
    const match = /^([^/=]+)\/([^/=]+)=(\d{1,5})$/.exec(entry.trim());
    const [, namespace = '', name = '', portText = ''] = match ?? [];
    const port = Number(portText);
    if (!DNS_LABEL.test(namespace) || !DNS_LABEL.test(name) || port > 65_535) {
      problems.push(
        `POSTERN_CONNECTIONS: expected NAMESPACE/NAME=PORT such as data/shop=5432, found ${JSON.stringify(entry)}`,
      );
      return [];
    }
    // Port 0 lets the system choose.
    for (const key of port === 0 ? [`${namespace}/${name}`] : [`${namespace}/${name}`, `port ${port}`]) {
      if (seen.has(key)) problems.push(`POSTERN_CONNECTIONS: ${key} stands twice`);
      seen.add(key);
    }
    return [{ name: { namespace, name }, port }];
  });
}

function readRootKeys(text: string, problems: string[]): readonly string[] {
  const keys = text.split(',').map((key) => key.trim());
  if (text === '' || keys.every(isPublicKeyText)) return keys;
  problems.push('POSTERN_ROOT_KEYS: expected Ed25519 public keys, 32 bytes in base64url, separated by commas');
  return [];
}

function readUrl(name: string, text: string, problems: string[]): URL {
  const url = URL.parse(text);
  if (url?.protocol === 'https:') return url;
  if (text !== '') problems.push(`${name}: expected an https URL, found ${JSON.stringify(text)}`);
  return new URL('https://invalid.invalid');
}

function readCollectorUrl(text: string, problems: string[]): URL | undefined {
  return text === '' ? undefined : readUrl('POSTERN_COLLECTOR_URL', text, problems);
}

function readName(name: string, text: string, pattern: RegExp, problems: string[]): string {
  if (text !== '' && !pattern.test(text)) problems.push(`${name}: expected a name, found ${JSON.stringify(text)}`);
  return text;
}
