/** What can go wrong between us and the API server. */

/** The API server answered with an error. `reason` is that of its Status object: `NotFound`, `Conflict`, `Forbidden`, `Expired` ... */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string;
  /** How long the server asks us to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No whole answer came: refused, reset, cut off, timed out, not JSON. Whether the request took effect is unknown. */
export class ApiUnreachable extends Error {
  override readonly name = 'ApiUnreachable';
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** Somebody else wrote first: 409 of either kind. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

export function isForbidden(error: unknown): boolean {
  return error instanceof ApiError && error.status === 403;
}

/** The resource version or continue token is too old: list again. */
export function isExpired(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}
