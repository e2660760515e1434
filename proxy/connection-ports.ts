import type { Socket } from 'node:net';
import type { Identity } from '#policy/identity.ts';
import type { EffectivePolicy } from '#policy/effective-policy.ts';
import type { Denial } from '#policy/decision.ts';
import type { AuditSink } from '#audit/event.ts';
import type { SessionObserver } from '#session/observer.ts';
import type { ReadBuffer } from './read-buffer.ts';

/**
 * What proxy/connection.ts needs from the rest of the process, as ports: start.ts composes them, tests give their own.
 */

/**
 * An authenticated connection to the database. Bytes arrive through `reader.receive` (set by connection.ts): a plain socket is opened
 * with `reader.onread`, a TLS socket's 'data' events call it. A false answer pauses the socket; `socket.resume()` goes on.
 */
export interface UpstreamConnection {
  readonly socket: Socket;
  readonly reader: ReadBuffer;
  /** ParameterStatus values reported until the first ReadyForQuery, latest value each. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Bytes read after the first ReadyForQuery (normally empty). */
  readonly leftover: Buffer;
  /** Opens a second connection to the same server and sends its CancelRequest; never rejects. */
  cancel(): Promise<void>;
}

/** What the client asked for in its StartupMessage, after checks. */
export interface ClientStartup {
  readonly protocolMinor: 0 | 2;
  /** Parameters as sent: user, database, options, application_name ... */
  readonly parameters: ReadonlyMap<string, string>;
}

export type UpstreamResult =
  | { readonly kind: 'connected'; readonly upstream: UpstreamConnection; readonly searchPath: readonly string[] }
  /** FATAL towards the client: 28000, 57P03, 08001, 42501 for a start-up option not allowed ... */
  | { readonly kind: 'refused'; readonly denial: Denial };

/** The policy that holds for an identity now. The same `policy` object is returned until something changes. */
export type PolicyState =
  | { readonly kind: 'ready'; readonly policy: EffectivePolicy }
  /** `ends`: open sessions end too (withdrawn: 57P01); else the statement is refused and the session lives (57P03). */
  | { readonly kind: 'unavailable'; readonly denial: Denial; readonly ends: boolean };

export interface GateState {
  current(identity: Identity): PolicyState;
  /** Called after every change of policies, catalog or credentials; the answer removes the subscription. */
  subscribe(listener: () => void): () => void;
}

/** Proves who the client is. OIDC asks for the token as cleartext password; workload identity needs no message. */
export type Authentication =
  | { readonly kind: 'workload'; readonly identity: Identity }
  | {
      readonly kind: 'token';
      /** Checks the JWT; a refusal is 28P01 FATAL. `expiresAtMs`: the session ends then. */
      verify(
        token: string,
      ): Promise<
        | { readonly kind: 'verified'; readonly identity: Identity; readonly expiresAtMs: number | undefined }
        | { readonly kind: 'refused'; readonly denial: Denial }
      >;
    };

/** Turns the client's socket into a TLS socket (server side); absent: SSLRequest is answered `N`. */
export interface ServerTls {
  /** Resolves when the handshake is done. `head`: bytes to unread first (direct TLS). Rejects when it fails. */
  upgrade(socket: Socket, head: Buffer): Promise<Socket>;
}

export interface ConnectionDependencies {
  readonly authentication: Authentication;
  readonly gate: GateState;
  readonly tls: ServerTls | undefined;
  /** Opens, authenticates and sets up (pins, start-up options) the server connection for this client. */
  connectUpstream(request: {
    readonly startup: ClientStartup;
    readonly identity: Identity;
    readonly policy: EffectivePolicy;
    /** Give `reader.onread` to net.connect; set `reader.receive` for the handshake. */
    readonly reader: ReadBuffer;
  }): Promise<UpstreamResult>;
  readonly audit: {
    readonly sink: AuditSink;
    readonly required: boolean;
    readonly parameters: boolean;
    /** Confirmed: a decision is in S3 before its statement is forwarded. Matters only where records are required. */
    readonly durability: 'Spool' | 'Confirmed';
    /** How long a statement waits for that before it is refused; default 15 s. */
    readonly confirmTimeoutMs?: number;
    /** Masked: what agents receive is recorded too. */
    readonly results: 'None' | 'Masked';
  };
  /** For records: the pod's UID (empty outside a cluster) and where the database is. */
  readonly destination: { readonly hostname: string; readonly port: number };
  readonly observer: SessionObserver;
  /** Random per process; the same that connectUpstream and the policies use. */
  readonly checkToken: string;
  /** Unexpected faults (our bugs): logged by the caller; never holds a statement or a value. */
  reportFault(error: unknown, id: string): void;
}
