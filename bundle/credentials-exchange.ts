/**
 * What a sidecar and the operator say to each other at `POST /v1/credentials`: the sidecar reports what it enforces and gets the
 * credentials of its connections. Both ends decode with this file and ignore fields they do not know.
 */
import { API_VERSION } from '#crds/kinds.ts';
import { JsonReader, MalformedError, type Read, readingJson } from './json-reader.ts';

export const CREDENTIALS_PATH = '/v1/credentials';
/** Audience of the token that the sidecar shows, and the name of its file. */
export const OPERATOR_TOKEN_AUDIENCE = 'postern.dev/operator';
export const OPERATOR_TOKEN_FILE = 'operator';
/** Longest and default wait of a long poll. */
export const MAX_WAIT_SECONDS = 30;
/** A body is refused beyond this. */
export const MAX_EXCHANGE_BYTES = 1024 * 1024;

/** Why a sidecar did not take a bundle (bundle/accept.ts). */
export const REFUSAL_REASONS = [
  'Unsigned',
  'WrongNamespace',
  'WrongConnection',
  'OlderGeneration',
  'UnknownKey',
  'TooLarge',
  'Malformed',
  'MissingFile',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Waiting: no bundle, catalog or credentials yet. Refused: what lies in the volume is not taken; the last good one, if any, stays. */
export const ENFORCEMENT_STATES = ['Enforcing', 'Waiting', 'Refused'] as const;
export type EnforcementState = (typeof ENFORCEMENT_STATES)[number];

/** What a sidecar says about one of its connections. */
export interface ConnectionReport {
  /** `namespace/name`. */
  readonly connection: string;
  /** Generation of the bundle in force; 0: none. */
  readonly appliedGeneration: number;
  /** Version of the key set that is trusted; 0: none. */
  readonly keySetVersion: number;
  readonly state: EnforcementState;
  /** With state Refused; a reason that a newer sidecar may know and this end does not is kept as text. */
  readonly refusal?: string;
}

export interface CredentialsRequest {
  readonly apiVersion: typeof API_VERSION;
  /** Version of the sidecar's program. */
  readonly release: string;
  readonly connections: readonly ConnectionReport[];
  /** How long the operator may hold the answer; absent: answer at once. */
  readonly waitSeconds?: number;
  /** `version` of the last answer; the operator holds the next one until it would differ. */
  readonly knownVersion?: string;
}

/**
 * Granted: credentials are there. Forbidden: `allowedWorkloads` does not name the account. NotFound: no such connection.
 * SecretForbidden: the Secret may not be read. Unavailable: it is not there or lacks a key.
 */
export const GRANT_STATUSES = ['Granted', 'Forbidden', 'NotFound', 'SecretForbidden', 'Unavailable'] as const;
export type GrantStatus = (typeof GRANT_STATUSES)[number];

/** What the operator answers about one connection. Never logged, never written to a file. */
export interface ConnectionGrant {
  /** `namespace/name`. */
  readonly connection: string;
  readonly status: GrantStatus;
  /** What to do about it, for the log; holds no secret. */
  readonly message?: string;
  /** The newest generation of the bundle; a sidecar behind it for more than 15 s refuses statements. 0: none yet. */
  readonly generation: number;
  /** A bundle below this is a replay. */
  readonly minimumGeneration: number;
  /** The newest version of the key set. */
  readonly keySetVersion: number;
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Base64. */
  readonly maskKey?: string;
  /** Certificates for the database's TLS, PEM. */
  readonly tlsCa?: string;
}

export interface CredentialsAnswer {
  readonly apiVersion: typeof API_VERSION;
  /** Opaque; to be given back as `knownVersion`. */
  readonly version: string;
  readonly connections: readonly ConnectionGrant[];
}

/** The body of any answer but 200. */
export interface CredentialsError {
  /** CamelCase, stable. */
  readonly reason: string;
  /** What to do about it. */
  readonly message: string;
}

const MAX_CONNECTIONS = 100;
const CONNECTION_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Decodes the body of a request. */
export function decodeCredentialsRequest(body: string | Uint8Array): Read<CredentialsRequest> {
  return readingJson(body, 'request', (value) => {
    const reader = new JsonReader(value, 'request');
    const waitSeconds = reader.optionalCount('waitSeconds');
    const knownVersion = reader.optionalText('knownVersion');
    return {
      apiVersion: reader.choice('apiVersion', [API_VERSION]),
      release: reader.text('release'),
      connections: reader.list('connections', MAX_CONNECTIONS, readReport),
      ...(waitSeconds === undefined ? {} : { waitSeconds: Math.min(waitSeconds, MAX_WAIT_SECONDS) }),
      ...(knownVersion === undefined ? {} : { knownVersion }),
    };
  });
}

/** Decodes the body of a 200. Messages never hold what a field held. */
export function decodeCredentialsAnswer(body: string | Uint8Array): Read<CredentialsAnswer> {
  return readingJson(body, 'answer', (value) => {
    const reader = new JsonReader(value, 'answer');
    return {
      apiVersion: reader.choice('apiVersion', [API_VERSION]),
      version: reader.text('version'),
      connections: reader.list('connections', MAX_CONNECTIONS, readGrant),
    };
  });
}

/** Decodes the body of a refusal. */
export function decodeCredentialsError(body: string | Uint8Array): Read<CredentialsError> {
  return readingJson(body, 'error', (value) => {
    const reader = new JsonReader(value, 'error');
    return { reason: reader.text('reason'), message: reader.text('message') };
  });
}

function readReport(value: unknown, path: string): ConnectionReport {
  const reader = new JsonReader(value, path);
  const refusal = reader.optionalText('refusal');
  return {
    connection: readConnectionName(reader),
    appliedGeneration: reader.count('appliedGeneration'),
    keySetVersion: reader.count('keySetVersion'),
    state: reader.choice('state', ENFORCEMENT_STATES),
    ...(refusal === undefined ? {} : { refusal }),
  };
}

function readGrant(value: unknown, path: string): ConnectionGrant {
  const reader = new JsonReader(value, path);
  const status = reader.choice('status', GRANT_STATUSES);
  const message = reader.optionalText('message');
  const credentials = reader.optionalMap('credentials');
  const maskKey = reader.optionalText('maskKey');
  const tlsCa = reader.optionalText('tlsCa');
  if (status === 'Granted' && credentials === undefined) {
    throw new MalformedError(reader.pathOf('credentials'), 'credentials with status Granted');
  }
  if (maskKey !== undefined && !BASE64.test(maskKey)) throw new MalformedError(reader.pathOf('maskKey'), 'base64');
  return {
    connection: readConnectionName(reader),
    status,
    generation: reader.count('generation'),
    minimumGeneration: reader.count('minimumGeneration'),
    keySetVersion: reader.count('keySetVersion'),
    ...(message === undefined ? {} : { message }),
    ...(credentials === undefined
      ? {}
      : { credentials: { username: credentials.text('username'), password: credentials.text('password') } }),
    ...(maskKey === undefined ? {} : { maskKey }),
    ...(tlsCa === undefined ? {} : { tlsCa }),
  };
}

function readConnectionName(reader: JsonReader): string {
  const name = reader.text('connection');
  if (!CONNECTION_NAME.test(name)) throw new MalformedError(reader.pathOf('connection'), 'NAMESPACE/NAME');
  return name;
}
