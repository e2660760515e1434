/** TLS towards the agent: certificate and key from files, ALPN `postgresql` (protocol manual, 54.2.11). */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { ServerTls } from './connection-ports.ts';

const handshakeTimeoutMs = 10_000;

/** Reads both files; rejects with an Error that names the file at fault. */
export async function openServerTls(certificatePath: string, keyPath: string): Promise<ServerTls> {
  const { createSecureContext, TLSSocket } = await import('node:tls');
  const [cert, key] = await Promise.all([readPem(certificatePath), readPem(keyPath)]);
  let secureContext: SecureContext;
  try {
    secureContext = createSecureContext({ cert, key, minVersion: 'TLSv1.2' });
  } catch (cause) {
    throw new Error(`${certificatePath} and ${keyPath} are not a certificate and its key in PEM`, { cause });
  }
  return {
    upgrade: (socket, head) =>
      new Promise<Socket>((resolve, reject) => {
        // A flowing socket would hand unshifted bytes to nobody; the TLS socket takes what is buffered, then reads by itself.
        socket.removeAllListeners('data');
        socket.pause();
        if (head.length > 0) socket.unshift(head);
        const secured = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['postgresql'] });
        const timer = setTimeout(() => secured.destroy(new Error('TLS handshake timed out')), handshakeTimeoutMs);
        const onFailure = (cause?: Error): void => {
          clearTimeout(timer);
          secured.destroy();
          reject(cause ?? new Error('closed during the TLS handshake'));
        };
        const onClose = (): void => onFailure();
        secured.on('error', onFailure).on('close', onClose);
        secured.once('secure', () => {
          clearTimeout(timer);
          secured.removeListener('error', onFailure).removeListener('close', onClose);
          // A client of direct TLS that does not name the protocol may be another protocol's, tricked into talking to us.
          if (head.length > 0 && secured.alpnProtocol !== 'postgresql') {
            secured.destroy();
            reject(new Error('direct TLS without ALPN postgresql'));
          } else resolve(secured);
        });
      }),
  };
}

async function readPem(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new Error(`${path} cannot be read: ${cause instanceof Error ? cause.message : 'unknown error'}`, { cause });
  }
}
