/** Where the API server is and who we are: the service account in a pod, else `KUBECONFIG` or `~/.kube/config`. */
import { existsSync } from 'node:fs';
import type { OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpAgent } from 'node:http';
import { type AgentOptions, Agent as HttpsAgent, type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Reads the configuration anew. Throws, with what to do, where there is none. */
export function loadKubeConfig(environment: Readonly<Record<string, string | undefined>> = process.env): KubeConfig {
  const config = new KubeConfig();
  if (environment['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(SERVICE_ACCOUNT_TOKEN)) {
    config.loadFromCluster();
    return config;
  }
  const file = environment['KUBECONFIG'];
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  const cluster = config.getCurrentCluster();
  // The library falls back to localhost:8080, which would fail later with a message that helps nobody.
  if (cluster === null || cluster.server === 'http://localhost:8080') {
    throw new Error('no cluster is configured: run in a pod with a service account, or set KUBECONFIG');
  }
  return config;
}

/** What a request needs to be sent as us. */
export interface Access {
  readonly server: URL;
  readonly headers: OutgoingHttpHeaders;
  readonly agent: HttpAgent | HttpsAgent;
}

/** Credentials and keep-alive connections made from a configuration; `previous` gives its connections where the TLS material is the same. */
export async function prepareAccess(config: KubeConfig, previous?: PreparedAccess): Promise<PreparedAccess> {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig has no current cluster');
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const headers: OutgoingHttpHeaders = { ...(options.headers as OutgoingHttpHeaders | undefined) };
  if (typeof options.auth === 'string')
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  const server = new URL(cluster.server);
  const material = describeTls(options, cluster.server);
  if (previous !== undefined && previous.material === material) return { ...previous, headers };
  const proxied = cluster.proxyUrl !== undefined && options.agent instanceof HttpAgent;
  const agent = proxied ? (options.agent as HttpAgent) : openAgent(server, options);
  return { server, headers, agent, material };
}

export interface PreparedAccess extends Access {
  /** Equal where the connections may be shared. */
  readonly material: string;
}

function openAgent(server: URL, options: RequestOptions): HttpAgent | HttpsAgent {
  const keep = { keepAlive: true, keepAliveMsecs: 30_000 };
  if (server.protocol === 'http:') return new HttpAgent(keep);
  const tls: AgentOptions = { ...keep };
  for (const field of ['ca', 'cert', 'key', 'pfx', 'passphrase', 'rejectUnauthorized', 'servername'] as const) {
    if (options[field] !== undefined) Object.assign(tls, { [field]: options[field] });
  }
  return new HttpsAgent(tls);
}

function describeTls(options: RequestOptions, server: string): string {
  const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
  return JSON.stringify([server, ca, cert, key, pfx, passphrase, rejectUnauthorized, servername]);
}
