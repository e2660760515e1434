/** A sidecar without a cluster: a volume as the kubelet makes it, an operator's endpoint over HTTPS, a real database behind. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import type { ConnectionGrant } from '#bundle/credentials-exchange.ts';
import type { Bundle } from '#bundle/bundle.ts';
import type { Log } from '#proxy/log.ts';
import { type PodEnvironment, readPodEnvironment } from '#proxy/pod-environment.ts';
import { type RunningPod, startPod } from '#proxy/start-pod.ts';
import type { TestAuthority } from '#test/certificates.ts';
import { CredentialsEndpoint } from '#test/credentials-endpoint.ts';
import { ProjectedVolume } from '#test/projected-volume.ts';
import {
  bundleFiles,
  bundleOf,
  connectionJson,
  newKeys,
  policyJson,
  signedKeySet,
  type TestKeys,
} from './signed-bundles.ts';

export const TOKEN = 'the-token-of-the-pod';

/** One pod's surroundings; `start` starts the sidecar, `close` ends all. */
export class PodFixture {
  readonly keys: TestKeys = newKeys();
  readonly endpoint = new CredentialsEndpoint();
  readonly events: AuditEvent[] = [];
  readonly logged: string[] = [];
  readonly authority: TestAuthority;
  readonly volume: ProjectedVolume;
  readonly #tokens: string;
  readonly #database: URL;
  readonly #clients: pg.Client[] = [];
  pod: RunningPod | undefined;

  private constructor(given: { authority: TestAuthority; volume: ProjectedVolume; tokens: string; database: URL }) {
    this.authority = given.authority;
    this.volume = given.volume;
    this.#tokens = given.tokens;
    this.#database = given.database;
  }

  static async create(database: URL, authority: TestAuthority): Promise<PodFixture> {
    const volume = await ProjectedVolume.create();
    const tokens = await mkdtemp(join(tmpdir(), 'postern-token-'));
    await writeFile(join(tokens, 'operator'), `${TOKEN}\n`);
    const fixture = new PodFixture({ authority, volume, tokens, database });
    await fixture.openEndpoint();
    return fixture;
  }

  async openEndpoint(authority: TestAuthority = this.authority): Promise<void> {
    await this.endpoint.open(authority.issue(['127.0.0.1']));
  }

  async replaceToken(token: string): Promise<void> {
    await writeFile(join(this.#tokens, 'operator'), token);
  }

  variables(connections = 'data/shop=0'): Record<string, string> {
    return {
      POSTERN_CONNECTIONS: connections,
      POSTERN_ROOT_KEYS: this.keys.rootText,
      POSTERN_OPERATOR_URL: this.endpoint.url.href,
      POSTERN_BUNDLE_DIRECTORY: this.volume.directory,
      POSTERN_TOKEN_DIRECTORY: this.#tokens,
      POSTERN_SPOOL_DIRECTORY: this.#tokens,
      POSTERN_SPOOL_LIMIT_BYTES: '1000000',
      POSTERN_COLLECTOR_URL: '',
      POD_NAME: 'support-bot-1',
      POD_NAMESPACE: 'agents',
      POD_UID: 'pod-uid-1',
      POD_SERVICE_ACCOUNT: 'support-bot',
      POSTERN_ADMIN_PORT: '0',
    };
  }

  environment(connections?: string): PodEnvironment {
    const read = readPodEnvironment(this.variables(connections));
    if (read.kind !== 'read') throw new Error('the environment of the test is not sound');
    return read.environment;
  }

  async start(connections?: string): Promise<RunningPod> {
    const sink: AuditSink = {
      append: (batch) => {
        this.events.push(...batch);
        return true;
      },
      writable: true,
      lastSeq: 0,
      close: async () => undefined,
    };
    const write = (fields: object, message: string): void => {
      this.logged.push(`${message} ${JSON.stringify(fields)}`);
    };
    const log: Log = { info: write, warn: write, error: write };
    this.pod = await startPod({ environment: this.environment(connections), sink, log, release: '0.1.0-test' });
    return this.pod;
  }

  keySet(version = 1): string {
    return signedKeySet(this.keys, { version, certificateAuthorities: [this.authority.caPem] });
  }

  /** The DatabaseConnection of the shared server. */
  connection(name = 'shop', spec: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    const { hostname, port, pathname } = this.#database;
    return connectionJson(name, { host: hostname, port: Number(port), database: pathname.slice(1), ...spec });
  }

  bundle(generation: number, table: Readonly<Record<string, unknown>>, name = 'shop'): Bundle {
    return bundleOf(this.connection(name), [policyJson('support', name, { tables: [table] })], generation);
  }

  async deliver(bundle: Bundle | Uint8Array | undefined, name = 'shop', keySet = this.keySet()): Promise<void> {
    await this.volume.deliver(bundleFiles(name, bundle, this.keys, keySet));
  }

  granted(generation: number, changes: Partial<ConnectionGrant> = {}): ConnectionGrant {
    return {
      connection: 'data/shop',
      status: 'Granted',
      generation,
      minimumGeneration: 0,
      keySetVersion: 1,
      credentials: { username: 'pod_agent', password: 'first secret' },
      maskKey: Buffer.alloc(32, 7).toString('base64'),
      ...changes,
    };
  }

  /** Connects as an agent does; rejects with the server's error. */
  async agent(connection = 'data/shop'): Promise<pg.Client> {
    const port = this.pod?.addresses.get(connection)?.port ?? 0;
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'support-bot', database: 'x', password: 'x' });
    client.on('error', () => undefined);
    this.#clients.push(client);
    await client.connect();
    return client;
  }

  /** SQLSTATE and message with which a connection is refused now, or `accepted`. */
  async knock(connection?: string): Promise<string> {
    try {
      const client = await this.agent(connection);
      await client.end();
      return 'accepted';
    } catch (error) {
      return errorText(error);
    }
  }

  async metrics(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.pod?.adminAddress?.port ?? 0}/metrics`);
    return await response.text();
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)));
    await this.pod?.close(1000);
    await this.endpoint.close();
    await this.volume.remove();
    await rm(this.#tokens, { recursive: true });
  }
}

export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return 'no error';
  return `${'code' in error ? String(error.code) : ''} ${error.message}`;
}
