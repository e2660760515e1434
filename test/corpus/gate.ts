/** A real proxy in this process, before a real server, under one policy given as YAML. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent, AuditSink } from '#audit/event.ts';
import type { Log } from '#proxy/log.ts';
import { startProxy } from '#proxy/start.ts';
import { connectionManifests, policyManifest } from '#test/manifests.ts';

export interface CorpusGateOptions {
  readonly serverPort: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** The `spec` of the policy below `connectionRef` and `subjects`, indented by two spaces. */
  readonly policySpec: string;
  readonly searchPath?: readonly string[];
}

export interface CorpusGate {
  readonly port: number;
  /** Everything the proxy logged as an error: a fault of ours stands here. */
  readonly faults: string[];
  /** Every line of the log. */
  readonly logged: string[];
  /** The audit records, newest last. */
  readonly events: AuditEvent[];
  /** What /metrics says. */
  readonly metrics: () => Promise<string>;
  readonly close: () => Promise<void>;
}

function manifest(options: CorpusGateOptions): string {
  const connection = connectionManifests({
    port: options.serverPort,
    database: options.database,
    username: options.user,
    password: options.password,
    spec: `  searchPath: [${(options.searchPath ?? ['public']).join(', ')}]
  maskKey: { secretRef: { name: shop-agent, key: mask-key } }`,
    secret: ', mask-key: "a key for the corpus only"',
  });
  return `${connection}---${policyManifest(options.policySpec, 'corpus', 'bot')}`;
}

/** Starts the proxy and waits until policy and catalog are in force; rejects with what it logged where it does not come up. */
export async function startCorpusGate(options: CorpusGateOptions): Promise<CorpusGate> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-corpus-'));
  await writeFile(join(folder, 'all.yaml'), manifest(options));
  const faults: string[] = [];
  const events: AuditEvent[] = [];
  const logged: string[] = [];
  const write = (fields: unknown, message: string): string => {
    const line = `${message} ${JSON.stringify(fields)}`;
    logged.push(line);
    return line;
  };
  const log: Log = {
    info: write,
    warn: write,
    error: (fields, message) => faults.push(write(fields, message)),
  };
  const sink: AuditSink = {
    append: (batch) => {
      events.push(...batch);
      return true;
    },
    writable: true,
    lastSeq: 0,
    close: async () => undefined,
  };
  const proxy = await startProxy({
    manifests: folder,
    connection: { namespace: 'data', name: 'shop' },
    identity: { namespace: 'agents', serviceAccount: 'bot', groups: [], claims: {} },
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    sink,
    log,
    catalogRefreshMs: 3_600_000,
  });
  const timer = setTimeout(() => faults.push('the gate did not become ready'), 10_000);
  await proxy.ready();
  clearTimeout(timer);
  return {
    port: proxy.address.port,
    faults,
    logged,
    events,
    metrics: async () => (await fetch(`http://127.0.0.1:${proxy.adminAddress?.port ?? 0}/metrics`)).text(),
    close: async () => {
      await proxy.close(500);
      await rm(folder, { recursive: true });
    },
  };
}
