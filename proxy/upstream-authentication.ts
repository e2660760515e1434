/** Answers the database's authentication request. Protocol manual, 54.2.1; one request a connection, answered at most once. */
import { createHash } from 'node:crypto';
import { DependencyError } from './dependency-error.ts';
import { type FrameQueue, refusalByServer, type UpstreamFrame } from './upstream-frames.ts';
import { type ScramExchange, ScramError, startScram } from './scram.ts';

export interface AuthenticationInput {
  readonly frames: FrameQueue;
  /** The server's certificate in DER, where the connection is TLS: for channel binding. */
  readonly certificate: Buffer | undefined;
  readonly user: string;
  readonly password: string;
  /** The server's identity is proven, so MD5 and clear text are not given to a stranger. */
  readonly mayShowPassword: boolean;
  readonly send: (message: Buffer) => void;
}

/** Resolves at AuthenticationOk; rejects with DependencyError. */
export async function authenticate(input: AuthenticationInput): Promise<void> {
  const { code, rest } = await nextAuthentication(input);
  switch (code) {
    case 0:
      return;
    case 3:
      refuseUnverified(input, 'a password in clear text');
      input.send(passwordMessage(input.password));
      break;
    case 5:
      refuseUnverified(input, 'an MD5 password');
      input.send(passwordMessage(md5Password(input.user, input.password, rest.subarray(0, 4))));
      break;
    case 10:
      await exchangeScram(input, rest);
      break;
    default:
      throw unsupported(`authentication method ${code}`);
  }
  const last = await nextAuthentication(input);
  if (last.code !== 0) throw unsupported('a second authentication request');
}

async function exchangeScram(input: AuthenticationInput, mechanisms: Buffer): Promise<void> {
  const offered = mechanisms
    .toString('utf8')
    .split('\0')
    .filter((name) => name !== '');
  const scram = startScram(offered, input.password, input.certificate);
  if (scram === undefined) throw unsupported(`SASL mechanisms ${offered.join(', ')}`);
  try {
    await runScram(input, scram);
  } catch (cause) {
    if (!(cause instanceof ScramError)) throw cause;
    const message = 'authentication with the database failed';
    throw new DependencyError('08001', message, { detail: cause.message, retryable: false, cause });
  }
}

async function runScram(input: AuthenticationInput, scram: ScramExchange): Promise<void> {
  const first = Buffer.from(scram.clientFirst);
  const length = Buffer.alloc(4);
  length.writeInt32BE(first.length);
  input.send(frame('p', Buffer.concat([Buffer.from(`${scram.mechanism}\0`), length, first])));
  const challenge = await nextAuthentication(input);
  if (challenge.code !== 11) throw new ScramError(`the server sent ${challenge.code} in place of its challenge`);
  input.send(frame('p', Buffer.from(await scram.clientFinal(challenge.rest.toString('utf8')))));
  const outcome = await nextAuthentication(input);
  // INVARIANT: AuthenticationOk is accepted only after the server's own proof.
  if (outcome.code !== 12) throw new ScramError(`the server sent ${outcome.code} in place of its proof`);
  scram.verify(outcome.rest.toString('utf8'));
}

async function nextAuthentication(
  input: AuthenticationInput,
): Promise<{ readonly code: number; readonly rest: Buffer }> {
  for (;;) {
    const next: UpstreamFrame = await input.frames.next();
    if (next.type === 'E') throw refusalByServer(next.body, input.password);
    if (next.type === 'N') continue;
    if (next.type !== 'R' || next.body.length < 4) throw unsupported(`message ${JSON.stringify(next.type)}`);
    return { code: next.body.readInt32BE(0), rest: next.body.subarray(4) };
  }
}

function refuseUnverified(input: AuthenticationInput, what: string): void {
  if (input.mayShowPassword) return;
  const message = `the database asks for ${what}, which the gate sends only with tls.mode VerifyCA or VerifyFull; use SCRAM-SHA-256`;
  throw new DependencyError('08001', message, { retryable: false });
}

function unsupported(what: string): DependencyError {
  const message = 'the database asks for an authentication that the gate does not support';
  return new DependencyError('08001', message, { detail: what, retryable: false });
}

/** `md5` and the hash of the salted hash of password and user. */
function md5Password(user: string, password: string, salt: Buffer): string {
  const inner = createHash('md5').update(password).update(user).digest('hex');
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}

function passwordMessage(password: string): Buffer {
  return frame('p', Buffer.from(`${password}\0`));
}

function frame(type: string, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.write(type, 0, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}
