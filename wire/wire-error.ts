/** The peer broke the protocol: 08P01, FATAL, the connection closes. The message never repeats the peer's bytes. */
export class WireError extends Error {
  readonly sqlstate = '08P01';
  constructor(message: string) {
    super(message);
    this.name = 'WireError';
  }
}
