import type { Ran } from '../cluster/programs.ts';
import { AGENTS, apply, eventually, exec, get, list, type KubernetesObject, POSTGRES_IMAGE } from './cluster.ts';

export const SUPPORT_BOT = `system:serviceaccount:${AGENTS}:support-bot`;

export interface AgentOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly connections?: string;
  /** A shell script; without it the agent waits to be told what to do. */
  readonly script?: string;
}

/** Passes Pod Security's level `restricted`, as most agents' pods should. */
export const SAFE = {
  runAsNonRoot: true,
  runAsUser: 10001,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

const WAIT = 'trap "exit 0" TERM; while :; do sleep 1 & wait $!; done';

export interface AgentPodSpec {
  readonly serviceAccountName: string;
  readonly containers: readonly Readonly<Record<string, unknown>>[];
  readonly [field: string]: unknown;
}

export interface AgentPod extends KubernetesObject {
  readonly metadata: KubernetesObject['metadata'] & PodTemplate['metadata'];
  readonly spec: AgentPodSpec;
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: AgentPodSpec;
}

/** What a user writes: a label, an annotation, and an agent that knows of nothing. */
export function agentTemplate({
  serviceAccount = 'support-bot',
  connections = 'data/shop',
  script,
}: AgentOptions): PodTemplate {
  return {
    metadata: {
      labels: { 'postern.dev/inject': 'true' },
      annotations: { 'postern.dev/connections': connections },
    },
    spec: {
      serviceAccountName: serviceAccount,
      containers: [
        {
          name: 'agent',
          image: POSTGRES_IMAGE,
          command: ['bash', '-c', script ?? WAIT],
          securityContext: SAFE,
        },
      ],
    },
  };
}

export function agentPod(options: AgentOptions): AgentPod {
  const { metadata, spec } = agentTemplate(options);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: options.name, namespace: options.namespace ?? AGENTS },
    spec,
  };
}

/** `change`: what else its pod has. */
export function agentJob(
  options: AgentOptions & { readonly script: string },
  change: (spec: AgentPodSpec) => AgentPodSpec = (spec) => spec,
): KubernetesObject {
  const template = agentTemplate(options);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: options.name, namespace: options.namespace ?? AGENTS },
    spec: { backoffLimit: 0, template: { ...template, spec: change({ ...template.spec, restartPolicy: 'Never' }) } },
  };
}

/** Starts an agent and waits until its gate answers. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  await apply(agentPod(options));
  const agent = new Agent(options.namespace ?? AGENTS, options.name);
  await eventually(
    `the agent ${options.name} can ask its first question`,
    async () => ((await agent.psql('SELECT 1')).code === 0 ? true : undefined),
    { timeoutMs: 90_000, seen: async () => agent.describe() },
  );
  return agent;
}

/** A running agent pod, in whose container anything can be run. */
export class Agent {
  readonly #namespace: string;
  readonly #pod: string;

  constructor(namespace: string, pod: string) {
    this.#namespace = namespace;
    this.#pod = pod;
  }

  async run(...command: readonly string[]): Promise<Ran> {
    return exec({ namespace: this.#namespace, pod: this.#pod, container: 'agent' }, command);
  }

  /** psql with nothing but what the pod's environment says: no host, no user, no password. */
  async psql(sql: string, ...options: readonly string[]): Promise<Ran> {
    return this.run(
      'psql',
      '--no-psqlrc',
      '--no-align',
      '--tuples-only',
      '--set=VERBOSITY=verbose',
      ...options,
      `--command=${sql}`,
    );
  }

  /** What a question is answered with: the rows, or the error. */
  async ask(sql: string): Promise<string> {
    const { code, stdout, stderr } = await this.psql(sql);
    return (code === 0 ? stdout : stderr).trim();
  }

  /** Asks until the answer is this. */
  async sees(sql: string, wanted: string | RegExp, timeoutMs = 30_000): Promise<void> {
    let last = '';
    await eventually(
      `${sql} is answered with ${String(wanted)}`,
      async () => {
        last = await this.ask(sql);
        return (typeof wanted === 'string' ? last === wanted : wanted.test(last)) ? true : undefined;
      },
      { timeoutMs, everyMs: 200, seen: async () => last },
    );
  }

  /** Of its own sidecar, or of another pod. */
  async metrics(address = '127.0.0.1'): Promise<string> {
    const get = 'exec 3<>/dev/tcp/$0/19464; printf "GET /metrics HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3';
    return (await this.run('bash', '-c', get, address)).stdout;
  }

  async restarts(): Promise<number> {
    const pod = await get('pod', this.#namespace, this.#pod);
    const statuses = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])];
    return statuses.reduce((sum, { restartCount }) => sum + restartCount, 0);
  }

  async describe(): Promise<string> {
    const [pod] = await list('pods', '--namespace', this.#namespace, `--field-selector=metadata.name=${this.#pod}`);
    return JSON.stringify(pod?.status ?? 'no such pod', undefined, 1);
  }
}
