import { run, type Ran, succeed } from '../cluster/programs.ts';

/** Where the chart, the database's team and the agents' team are. */
export const SYSTEM = 'postern-system';
export const DATA = 'data';
export const AGENTS = 'agents';
/** A namespace that Pod Security does not watch over: what is refused here Postern has refused. */
export const LAB = 'lab';

export const RELEASE = 'postern';
export const CHART = new URL('../../charts/postern', import.meta.url).pathname;

/** Images, as run.ts has loaded them: the release, the one it is upgraded to, and one with a shell, psql and a PostgreSQL server. */
export const IMAGE = { repository: 'localhost/postern', tag: 'e2e', nextTag: 'e2e-next' } as const;
export const POSTGRES_IMAGE = process.env['POSTERN_E2E_POSTGRES_IMAGE'] ?? 'localhost/postgres:15';
/** The user that this image's server runs as. */
export const POSTGRES_UID = Number(process.env['POSTERN_E2E_POSTGRES_UID'] ?? '100');

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** What the API server holds, as far as this suite looks at it. */
export interface Found {
  readonly reason: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly generation: number;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly holderIdentity: string;
    readonly initContainers: readonly FoundContainer[];
    readonly template: { readonly spec: { readonly containers: readonly FoundContainer[] } };
  };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
      readonly observedGeneration?: number;
    }[];
    readonly pods?: { readonly matched: number; readonly enforcing: number; readonly outdated: number };
    readonly initContainerStatuses?: readonly FoundContainerStatus[];
    readonly containerStatuses?: readonly FoundContainerStatus[];
  };
  readonly data: Readonly<Record<string, string>>;
  readonly binaryData: Readonly<Record<string, string>>;
}

interface FoundContainer {
  readonly name: string;
  readonly image: string;
}

interface FoundContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly state: { readonly terminated?: { readonly exitCode: number } };
}

/** Creates or changes objects, as a cluster administrator. */
export async function apply(...objects: readonly KubernetesObject[]): Promise<void> {
  await succeed(
    'kubectl',
    ['apply', '--server-side', '--force-conflicts', '--field-manager=e2e', '--filename', '-'],
    asList(objects),
  );
}

/** What the API server says to creating it, without doing so: `created` or the message. */
export async function wouldCreate(object: KubernetesObject, user?: string): Promise<string> {
  return verdict(
    await run('kubectl', ['create', '--dry-run=server', ...as(user), '--filename', '-'], asList([object])),
  );
}

export function asList(objects: readonly KubernetesObject[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
}

/** kubectl's parameters to act as somebody else, e.g. `system:serviceaccount:agents:support-bot`. */
export const as = (user: string | undefined): readonly string[] => (user === undefined ? [] : [`--as=${user}`]);

const verdict = ({ code, stderr }: Ran): string => (code === 0 ? 'created' : stderr);

/** kubectl as somebody else; never throws. */
export async function kubectlAs(user: string, ...parameters: readonly string[]): Promise<Ran> {
  return run('kubectl', [...as(user), ...parameters]);
}

/** One object; fails where there is none. */
export async function get(kind: string, namespace: string, name: string): Promise<Found> {
  return JSON.parse(await succeed('kubectl', ['get', kind, name, '--namespace', namespace, '--output=json'])) as Found;
}

export async function list(kind: string, ...parameters: readonly string[]): Promise<readonly Found[]> {
  const answer = await succeed('kubectl', ['get', kind, '--output=json', ...parameters]);
  return (JSON.parse(answer) as { readonly items: readonly Found[] }).items;
}

/** Asks until the answer is not undefined; says what was waited for, and what was seen last, when that takes too long. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  { timeoutMs = 60_000, everyMs = 500, seen = async (): Promise<string> => '' } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs / 1_000} s: ${what}\n${await seen()}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Runs a program in a container. */
export async function exec(
  { namespace, pod, container }: { readonly namespace: string; readonly pod: string; readonly container: string },
  command: readonly string[],
): Promise<Ran> {
  return run('kubectl', ['exec', '--namespace', namespace, pod, '--container', container, '--', ...command]);
}

/** Installs or upgrades the chart and waits until it is ready. */
export async function helmInstall(...values: readonly string[]): Promise<string> {
  return succeed('helm', [
    'upgrade',
    '--install',
    RELEASE,
    CHART,
    '--namespace',
    SYSTEM,
    '--create-namespace',
    // The CRDs may be there from a run of test:cluster.
    '--take-ownership',
    '--wait',
    '--timeout=3m',
    ...[
      `image.repository="${IMAGE.repository}"`,
      `image.tag="${IMAGE.tag}"`,
      'image.pullPolicy="Never"',
      `connectionNamespaces=["${DATA}"]`,
      ...values,
    ].flatMap((value) => ['--set-json', value]),
  ]);
}

/** The status of a condition, `True: Reason: message`; undefined while there is none for the current generation. */
export function condition(object: Found, type: string): string | undefined {
  const found = object.status?.conditions?.find((entry) => entry.type === type);
  if (found === undefined || (found.observedGeneration ?? 0) < object.metadata.generation) return undefined;
  return `${found.status}: ${found.reason}: ${found.message}`;
}
