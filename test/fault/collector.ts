/** `postern collector` in a process of its own, always on the same port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestAuthority } from '#test/certificates.ts';
import { ACCESS_KEY, REGION, SECRET_KEY } from '#test/s3/s3-server.ts';
import { ISSUER } from '#test/s3/sender.ts';
import { freePort } from './pod.ts';

const program = new URL('../../cli/main.ts', import.meta.url).pathname;

export class CollectorProcess {
  readonly port: number;
  readonly digestPublicKeyFile: string;
  readonly #parameters: readonly string[];
  readonly #adminPort: number;
  #child: ChildProcess | undefined;
  #stderr = '';

  private constructor(given: CollectorSettings, port: number, adminPort: number) {
    const { folder, authority } = given;
    const { certificatePem, keyPem } = authority.issue(['127.0.0.1']);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const write = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    this.port = port;
    this.#adminPort = adminPort;
    this.digestPublicKeyFile = write('digest-public.pem', publicKey.export({ type: 'spki', format: 'pem' }).toString());
    this.#parameters = [
      ...['--bucket', given.bucket, '--endpoint', given.endpoint, '--region', REGION, '--path-style'],
      ...['--digest-key', write('digest.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())],
      ...['--tls-cert', write('tls.crt', certificatePem), '--tls-key', write('tls.key', keyPem)],
      ...['--issuer', ISSUER, '--jwks-uri', given.jwksUri],
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`],
    ];
  }

  static async create(given: CollectorSettings): Promise<CollectorProcess> {
    return new CollectorProcess(given, await freePort(), await freePort());
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [program, 'collector', ...this.#parameters], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'], AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY },
    });
    child.stderr.on('data', (bytes) => {
      this.#stderr = (this.#stderr + String(bytes)).slice(-20_000);
    });
    this.#child = child;
    for (let attempt = 0; attempt < 300; attempt++) {
      if (child.exitCode !== null) break;
      const ready = await fetch(`http://127.0.0.1:${this.#adminPort}/readyz`).catch(() => undefined);
      if (ready?.status === 200) return;
      await sleep(100);
    }
    throw new Error(`the collector does not start\n${this.#stderr}`);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return await ended;
  }
}

export interface CollectorSettings {
  readonly folder: string;
  readonly bucket: string;
  readonly endpoint: string;
  readonly jwksUri: string;
  readonly authority: TestAuthority;
}
