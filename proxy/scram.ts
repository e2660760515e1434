/**
 * The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 5929 for the channel binding), as PostgreSQL
 * speaks it: the user name in the exchange is empty, since the start-up message has named it.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);
const maxIterations = 10_000_000;

/** The server broke the exchange, or does not know the password. */
export class ScramError extends Error {}

/** One exchange, in order: `clientFirst`, `clientFinal`, `verify`. */
export interface ScramExchange {
  readonly mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';
  readonly clientFirst: string;
  /** Answers the server's first message; rejects with ScramError where that is not an answer to ours. */
  readonly clientFinal: (serverFirst: string) => Promise<string>;
  /** Throws ScramError unless the server has proven that it knows the password too. */
  readonly verify: (serverFinal: string) => void;
}

/**
 * Picks the mechanism and starts the exchange. `certificate` is the server's, in DER, where the connection is TLS.
 * `undefined`: the server offers neither mechanism.
 */
export function startScram(
  offered: readonly string[],
  password: string,
  certificate: Buffer | undefined,
  nonce: string = randomBytes(18).toString('base64'),
): ScramExchange | undefined {
  const binding = certificate === undefined ? undefined : tlsServerEndPoint(certificate);
  const canBind = binding !== undefined && offered.includes('SCRAM-SHA-256-PLUS');
  if (!canBind && !offered.includes('SCRAM-SHA-256')) return undefined;
  // `y` (we could, you cannot) lets the server notice a downgrade; it is wrong where the server offers PLUS and we cannot.
  const unbound = binding !== undefined && !offered.includes('SCRAM-SHA-256-PLUS') ? 'y,,' : 'n,,';
  const header = canBind ? 'p=tls-server-end-point,,' : unbound;
  const bare = `n=,r=${nonce}`;
  const channel = Buffer.concat([Buffer.from(header), canBind ? binding : Buffer.alloc(0)]).toString('base64');
  let expected: Buffer | undefined;
  return {
    mechanism: canBind ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256',
    clientFirst: header + bare,
    clientFinal: async (serverFirst) => {
      const { combinedNonce, salt, iterations } = parseServerFirst(serverFirst, nonce);
      const salted = await derive(await prepare(password), salt, iterations, 32, 'sha256');
      const clientKey = hmac(salted, 'Client Key');
      const unsigned = `c=${channel},r=${combinedNonce}`;
      const authMessage = `${bare},${serverFirst},${unsigned}`;
      const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
      expected = hmac(hmac(salted, 'Server Key'), authMessage);
      const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
      return `${unsigned},p=${proof.toString('base64')}`;
    },
    verify: (serverFinal) => {
      const match = /^v=([A-Za-z0-9+/=]+)(?:,|$)/.exec(serverFinal);
      const given = Buffer.from(match?.[1] ?? '', 'base64');
      if (expected === undefined || given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new ScramError('the server did not prove that it knows the password');
      }
    },
  };
}

interface ServerFirst {
  readonly combinedNonce: string;
  readonly salt: Buffer;
  readonly iterations: number;
}

function parseServerFirst(message: string, nonce: string): ServerFirst {
  const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,|$)/.exec(message);
  const combinedNonce = match?.[1] ?? '';
  const iterations = Number(match?.[3] ?? 0);
  if (!combinedNonce.startsWith(nonce) || combinedNonce.length === nonce.length) {
    throw new ScramError('the server answered with a nonce that is not ours');
  }
  if (iterations > maxIterations) throw new ScramError('the server asks for too many iterations');
  return { combinedNonce, salt: Buffer.from(match?.[2] ?? '', 'base64'), iterations };
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** SASLprep (RFC 4013); like the server, a password it does not accept is used as it is. Its tables load only for non-ASCII text. */
async function prepare(password: string): Promise<string> {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const { default: saslprep } = await import('saslprep');
  try {
    return saslprep(password);
  } catch {
    return password;
  }
}

/** Hash by signature algorithm (last bytes of its OID, hex DER); MD5 and SHA-1 become SHA-256 (RFC 5929, 4.1). */
const signatureHashes: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d010104', 'sha256'],
  ['2a864886f70d010105', 'sha256'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a864886f70d01010e', 'sha224'],
  ['2a8648ce3d0401', 'sha256'],
  ['2a8648ce3d040301', 'sha224'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
]);

/** Channel binding data: the certificate's hash under its signature's algorithm; `undefined` where that names no hash. */
export function tlsServerEndPoint(certificate: Buffer): Buffer | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { algorithm OID ...
  const outer = readDer(certificate, 0);
  const tbs = outer && readDer(certificate, outer.start);
  const algorithm = tbs && readDer(certificate, tbs.end);
  const oid = algorithm && readDer(certificate, algorithm.start);
  if (oid === undefined) return undefined;
  const hash = signatureHashes.get(certificate.subarray(oid.start, oid.end).toString('hex'));
  return hash === undefined ? undefined : createHash(hash).update(certificate).digest();
}

/** Content bounds of the DER element at `offset`. */
function readDer(bytes: Buffer, offset: number): { readonly start: number; readonly end: number } | undefined {
  const first = bytes[offset + 1];
  if (first === undefined) return undefined;
  if (first < 0x80) return bounded(bytes, offset + 2, first);
  const size = first & 0x7f;
  if (size === 0 || size > 4 || offset + 2 + size > bytes.length) return undefined;
  return bounded(bytes, offset + 2 + size, bytes.readUIntBE(offset + 2, size));
}

function bounded(
  bytes: Buffer,
  start: number,
  length: number,
): { readonly start: number; readonly end: number } | undefined {
  return start + length <= bytes.length ? { start, end: start + length } : undefined;
}
