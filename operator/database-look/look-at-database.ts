/** Logs in to a connection's database as its role, reads what the role may do and what there is, and goes. The operator's only way to a database. */
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { LoadedCatalog } from '#catalog/load-catalog.ts';
import type { DatabaseConnection } from '#crds/kinds.ts';
import type { ReadyMaterial } from '../credentials/connection-material.ts';
import type { CatalogLook, DatabaseLook, LookFailure } from './look.ts';
import { readSlimCatalog } from './slim-catalog.ts';
import { readRoleFacts } from './role-facts.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 10_000;
const LOOK_TIMEOUT_MS = 45_000;
/** A database of some 10,000 tables; what is read is held for a while. */
const MAX_LOOK_BYTES = 32 * 1024 * 1024;

/** Never rejects: what goes wrong is the finding. `known` is what was read of the same database before. */
export async function lookAtDatabase(
  connection: DatabaseConnection,
  material: Pick<ReadyMaterial, 'username' | 'password' | 'tlsCa'>,
  known?: LoadedCatalog,
  maxBytes = MAX_LOOK_BYTES,
): Promise<DatabaseLook> {
  const { host, port, database, tls } = connection.spec;
  if (host.startsWith('/')) {
    return failed('NotReachableFromHere', 'a socket folder is in the pods of agents; the operator cannot look there');
  }
  const client = new CarefulClient(tls.mode === 'VerifyCA' || tls.mode === 'VerifyFull', {
    host,
    port,
    database,
    user: material.username,
    password: material.password,
    ssl: sslOf(tls.mode, host, material.tlsCa),
    application_name: 'postern-operator',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS,
    options: '-c default_transaction_read_only=on -c search_path=pg_catalog -c quote_all_identifiers=off',
  });
  // An error after the answer, e.g. a server that is shut down, is nobody's concern.
  client.on('error', () => undefined);
  try {
    await client.connect();
    client.bound(maxBytes, LOOK_TIMEOUT_MS);
    const facts = await readRoleFacts(async (sql) => (await client.query<Row>(sql)).rows);
    return { kind: 'reached', facts, catalog: await lookAtCatalog(client, known, material.password) };
  } catch (error) {
    return describeFailure(error, `${host}:${port}`, material.password);
  } finally {
    client.release();
    await client.end().catch(() => undefined);
  }
}

/** The role was looked at by then: a catalog that cannot be read is a finding of its own. */
async function lookAtCatalog(
  client: CarefulClient,
  known: LoadedCatalog | undefined,
  password: string,
): Promise<CatalogLook> {
  try {
    const query = async (text: string) => (await client.query<(string | null)[]>({ text, ...AS_TEXT })).rows;
    return { kind: 'read', loaded: await readSlimCatalog(query, known) };
  } catch (error) {
    const message = client.excess ?? (error instanceof Error ? error.message : 'unknown error');
    return { kind: 'unread', message: password === '' ? message : message.replaceAll(password, '…') };
  }
}

/** Rows as lists of the server's own texts. */
const AS_TEXT = { rowMode: 'array', types: { getTypeParser: () => String } } as const;

type Row = Readonly<Record<string, unknown>>;
type TlsMode = DatabaseConnection['spec']['tls']['mode'];

function sslOf(mode: TlsMode, host: string, ca: string | undefined): false | ConnectionOptions {
  if (mode === 'Disable') return false;
  if (mode === 'Require') return { rejectUnauthorized: false };
  const authorities = ca === undefined ? {} : { ca };
  const servername = /^[0-9.]+$|:/.test(host) ? {} : { servername: host };
  if (mode === 'VerifyCA') {
    return { ...authorities, ...servername, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  }
  return { ...authorities, ...servername, rejectUnauthorized: true };
}

interface Stream {
  readonly destroy: (error: Error) => void;
  readonly on: (event: 'data', listener: (bytes: Buffer) => void) => void;
}

class WeakAuthenticationError extends Error {
  override readonly name = 'WeakAuthenticationError';
}

/** Gives its password in clear, or as MD5, only to a server whose certificate is verified: as the sidecar does. */
class CarefulClient extends pg.Client {
  readonly #isVerified: boolean;
  #deadline: NodeJS.Timeout | undefined;
  /** Set: the connection was cut, and why. */
  excess: string | undefined;

  constructor(isVerified: boolean, config: pg.ClientConfig) {
    super(config);
    this.#isVerified = isVerified;
    for (const method of ['_handleAuthCleartextPassword', '_handleAuthMD5Password'] as const) {
      const original: unknown = Reflect.get(this, method);
      if (typeof original !== 'function')
        throw new TypeError(`pg has no ${method}; its version is pinned, check the update`);
      Reflect.set(this, method, (...given: readonly unknown[]) => {
        if (this.#isVerified) Reflect.apply(original, this, given);
        else this.#refuse();
      });
    }
  }

  /** Once connected: cuts the connection when the server sends more than this from now on, or takes longer. */
  bound(maxBytes: number, timeoutMs: number): void {
    const stream = this.#stream();
    let received = 0;
    stream.on('data', (bytes) => {
      received += bytes.length;
      if (received > maxBytes) this.#cut(`its catalog is larger than ${maxBytes} bytes`);
    });
    this.#deadline = setTimeout(
      () => this.#cut(`its catalog takes longer than ${timeoutMs / 1000} s to read`),
      timeoutMs,
    );
    this.#deadline.unref();
  }

  release(): void {
    clearTimeout(this.#deadline);
  }

  #cut(excess: string): void {
    this.excess ??= excess;
    this.#stream().destroy(new Error(excess));
  }

  #refuse(): void {
    this.#stream().destroy(new WeakAuthenticationError('weak authentication'));
  }

  #stream(): Stream {
    return (this as unknown as { readonly connection: { readonly stream: Stream } }).connection.stream;
  }
}

function describeFailure(error: unknown, where: string, password: string): DatabaseLook {
  if (error instanceof WeakAuthenticationError) {
    return failed(
      'WeakAuthentication',
      `the server at ${where} asks for the password in clear or as MD5; use scram-sha-256 there, or tls.mode VerifyCA or VerifyFull`,
    );
  }
  const { code = '', message } =
    error instanceof Error ? (error as Error & { readonly code?: string }) : { message: '' };
  const reason = reasonOf(code, message);
  const safe = password === '' ? message : message.replaceAll(password, '…');
  return failed(reason, `${where}: ${safe}${ADVICE[reason] ?? ''}`);
}

const ADVICE: Partial<Record<LookFailure, string>> = {
  NameNotFound: '; check spec.host',
  ConnectionRefused: '; check spec.host and spec.port, and that the database runs',
  TimedOut: '; check NetworkPolicies and firewalls between the operator and the database',
  TlsFailed: "; check spec.tls: the mode, and that caSecretRef holds the authority of the server's certificate",
  AuthenticationFailed: '; check username and password in the Secret, and pg_hba.conf',
  DatabaseNotFound: '; check spec.database',
};

function reasonOf(code: string, message: string): LookFailure {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'NameNotFound';
  if (code === 'ECONNREFUSED') return 'ConnectionRefused';
  if (code === 'ETIMEDOUT' || /timeout/i.test(message)) return 'TimedOut';
  if (code === '3D000') return 'DatabaseNotFound';
  if (code === '53300') return 'TooManyConnections';
  if (code.startsWith('28')) return 'AuthenticationFailed';
  const isTls =
    /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO)/.test(code) || /SSL|certificate|TLS/i.test(message);
  return isTls ? 'TlsFailed' : 'Unreachable';
}

function failed(reason: LookFailure, message: string): DatabaseLook {
  return { kind: 'failed', reason, message };
}
