/** TLS towards the database, after SSLRequest (protocol manual, 54.2.10). */
import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { DependencyError } from './dependency-error.ts';

/** Length 8, code 80877103. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);

export type UpstreamTlsMode = 'Disable' | 'Require' | 'VerifyCA' | 'VerifyFull';

export interface UpstreamTls {
  readonly mode: UpstreamTlsMode;
  /** Certificates the server's must lead to, PEM; absent: those that Node brings. */
  readonly caPem?: string | undefined;
}

/** Whether the mode proves that the server is the one we mean, so that a password may be shown to it. */
export function isVerified(mode: UpstreamTlsMode): boolean {
  return mode === 'VerifyCA' || mode === 'VerifyFull';
}

/** Asks for TLS on a connected socket and completes the handshake. Rejects with DependencyError; never goes on in clear text. */
export async function startUpstreamTls(socket: Socket, host: string, tls: UpstreamTls): Promise<TLSSocket> {
  await requestTls(socket);
  const { connect } = await import('node:tls');
  return await new Promise<TLSSocket>((resolve, reject) => {
    const secured = connect(tlsOptions(socket, host, tls));
    const onFailure = (cause?: NodeJS.ErrnoException): void => {
      secured.destroy();
      const detail = cause === undefined ? 'closed during the handshake' : `${cause.code ?? 'TLS'}: ${cause.message}`;
      const message = 'the TLS handshake with the database failed; check tls.mode, its certificate and caSecretRef';
      reject(new DependencyError('08001', message, { detail, retryable: false, cause }));
    };
    const onClose = (): void => onFailure();
    secured.on('error', onFailure).on('close', onClose);
    secured.once('secureConnect', () => {
      secured.removeListener('error', onFailure).removeListener('close', onClose);
      resolve(secured);
    });
  });
}

function tlsOptions(socket: Socket, host: string, tls: UpstreamTls): ConnectionOptions {
  const options: ConnectionOptions = {
    socket,
    host,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['postgresql'],
    rejectUnauthorized: isVerified(tls.mode),
  };
  if (isIP(host) === 0) options.servername = host;
  if (tls.caPem !== undefined && isVerified(tls.mode)) options.ca = tls.caPem;
  if (tls.mode !== 'VerifyFull') options.checkServerIdentity = () => undefined;
  return options;
}

/** The answer is one byte, and nothing may follow it: bytes sent before the handshake would pass as protected (CVE-2021-23222). */
async function requestTls(socket: Socket): Promise<void> {
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const settle = (): void => {
      socket.removeListener('data', onData).removeListener('error', onEnd).removeListener('close', onEnd);
      socket.pause();
    };
    const onData = (bytes: Buffer): void => {
      settle();
      resolve(bytes);
    };
    const onEnd = (cause?: unknown): void => {
      settle();
      const detail = cause instanceof Error ? cause.message : 'closed before an answer to SSLRequest';
      reject(new DependencyError('08001', 'the database closed the connection before TLS', { detail }));
    };
    socket.on('data', onData).on('error', onEnd).on('close', onEnd);
    socket.write(sslRequest);
  });
  if (answer.length === 1 && answer[0] === 0x53) return;
  socket.destroy();
  if (answer.length === 1 && answer[0] === 0x4e) {
    const message = 'the database does not offer TLS; tls.mode asks for it';
    throw new DependencyError('08001', message, { retryable: false });
  }
  throw new DependencyError('08001', 'the database gave no valid answer to the request for TLS', { retryable: false });
}
