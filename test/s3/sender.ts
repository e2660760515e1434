/** A sidecar's side of the wire, as plain as can be: one request, one answer. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { zstdCompress } from 'node:zlib';
import { exportJWK, SignJWT } from 'jose';
import type { Batch } from './chains.ts';

const compress = promisify(zstdCompress);

export const ISSUER = 'https://kubernetes.default.svc';

/** Issues tokens as the API server does. */
export class TokenIssuer {
  readonly #key: KeyObject;
  readonly jwksUri: string;

  /** Writes its public key to `file`. */
  constructor(key: KeyObject, file: string) {
    this.#key = key;
    this.jwksUri = pathToFileURL(file).href;
  }

  static async open(file: string): Promise<TokenIssuer> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = { ...(await exportJWK(publicKey)), kid: 'test', alg: 'ES256', use: 'sig' };
    writeFileSync(file, JSON.stringify({ keys: [jwk] }));
    return new TokenIssuer(privateKey, file);
  }

  /** Undefined for `podUid`: a token that no pod holds. */
  async token(
    podUid: string | undefined,
    { audience = 'postern.dev/collector', expiresIn = 600, issuer = ISSUER } = {},
  ): Promise<string> {
    const pod = podUid === undefined ? {} : { pod: { name: 'agent', uid: podUid } };
    return await new SignJWT({ 'kubernetes.io': { namespace: 'agents', ...pod } })
      .setProtectedHeader({ alg: 'ES256', kid: 'test' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject('system:serviceaccount:agents:support-bot')
      .setExpirationTime(Math.floor(Date.now() / 1_000) + expiresIn)
      .sign(this.#key);
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
}

export type Headers = Readonly<Record<string, string | number>>;

/** Rejects where the connection ends without an answer. */
export async function post(port: number, path: string, body: Uint8Array, headers: Headers): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const parsed = JSON.parse(text) as Readonly<Record<string, unknown>>;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export function recordHeaders(batch: Pick<Batch, 'chainId' | 'first' | 'last'>, token: string): Headers {
  return {
    authorization: `Bearer ${token}`,
    'content-type': 'application/x-ndjson',
    'content-encoding': 'zstd',
    'postern-chain': batch.chainId,
    'postern-first-seq': batch.first,
    'postern-last-seq': batch.last,
  };
}

export async function sendRecords(port: number, batch: Batch, token: string, headers: Headers = {}): Promise<Answer> {
  const body = await compress(batch.lines);
  const all = { ...recordHeaders(batch, token), 'content-length': body.length, ...headers };
  return await post(port, '/v1/records', body, all);
}
