/**
 * The database, the disk or an identity provider failed us. `message` may be shown to the agent: it names no credential and repeats no
 * text of the server. `detail` is for the log: the server's own words, with the password cut out.
 */
export class DependencyError extends Error {
  readonly sqlstate: '08001' | '08006' | '57P03';
  readonly detail: string | undefined;
  /** Whether trying again later may help; wrong credentials or certificates do not mend by themselves. */
  readonly retryable: boolean;

  constructor(
    sqlstate: '08001' | '08006' | '57P03',
    message: string,
    more: { readonly detail?: string | undefined; readonly retryable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'DependencyError';
    this.sqlstate = sqlstate;
    this.detail = more.detail;
    this.retryable = more.retryable ?? true;
  }
}
