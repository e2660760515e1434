import type { LoadedCatalog } from '#catalog/load-catalog.ts';

/** What the operator found when it logged in to a database as a connection's role. Pure: how findings become conditions. */
export interface RoleFacts {
  readonly role: string;
  /** `server_version`, e.g. `16.4`. */
  readonly serverVersion: string;
  /** Rights that make the gate pointless, each with how the role has it. */
  readonly excess: readonly string[];
}

export type DatabaseLook =
  | { readonly kind: 'reached'; readonly facts: RoleFacts; readonly catalog: CatalogLook }
  /** `reason` is CamelCase and stable; `message` holds no secret. */
  | { readonly kind: 'failed'; readonly reason: LookFailure; readonly message: string };

export type CatalogLook =
  | { readonly kind: 'read'; readonly loaded: LoadedCatalog }
  /** `message` holds no secret. */
  | { readonly kind: 'unread'; readonly message: string };

export type LookFailure =
  | 'NameNotFound'
  | 'ConnectionRefused'
  | 'TimedOut'
  | 'TlsFailed'
  | 'AuthenticationFailed'
  | 'DatabaseNotFound'
  | 'TooManyConnections'
  | 'WeakAuthentication'
  | 'NotReachableFromHere'
  | 'Unreachable';
