/** `postern collector` as a process of its own, over plain HTTP on free ports. */
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { ACCESS_KEY, SECRET_KEY } from './s3-server.ts';
import { ISSUER } from './sender.ts';

export interface CollectorProcess {
  readonly port: number;
  readonly pid: number;
  /** Largest resident memory so far, in MiB. */
  readonly peakMebibytes: () => number;
  /** User and system, in seconds. */
  readonly cpuSeconds: () => number;
  readonly kill: (signal: 'SIGTERM' | 'SIGKILL') => void;
  /** Resolves to its exit code. */
  readonly ended: Promise<number | null>;
}

export interface CollectorProcessOptions {
  readonly folder: string;
  readonly bucket: string;
  readonly s3Url: string;
  readonly jwksUri: string;
  readonly flags?: readonly string[];
  /** The program as it is delivered; default: its source. */
  readonly program?: string;
  /** The environment in which it looks for its rights to the bucket; default: keys. */
  readonly credentials?: Readonly<Record<string, string>>;
}

/** As the chart sets them: large buffers go back to the system when they are freed, and the heap is kept small. */
const MEMORY_SETTINGS = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '131072',
  NODE_OPTIONS: '--max-old-space-size=128 --max-semi-space-size=4',
};

export async function startCollectorProcess(options: CollectorProcessOptions): Promise<CollectorProcess> {
  const { folder, bucket, s3Url, jwksUri } = options;
  const keyFile = join(folder, 'digest-key.pem');
  writeFileSync(keyFile, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  const main = options.program ?? new URL('../../cli/main.ts', import.meta.url).pathname;
  const where = ['--bucket', bucket, '--endpoint', s3Url, '--path-style', '--digest-key', keyFile];
  const ports = ['--plain-http', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
  const tokens = ['--issuer', ISSUER, '--jwks-uri', jwksUri];
  const program = [main, 'collector', ...where, ...ports, ...tokens, '--drain-seconds', '0', ...(options.flags ?? [])];
  const credentials = options.credentials ?? { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY };
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'));
  const child = spawn(process.execPath, program, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...Object.fromEntries(inherited), ...credentials, ...MEMORY_SETTINGS },
  });
  process.once('exit', () => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const { pid } = child;
  if (pid === undefined) throw new Error('the collector could not be started');
  const port = await new Promise<number>((resolve, reject) => {
    const seen: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      seen.push(line);
      const found = /"port":(\d+).*"taking records"/.exec(line)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
    void ended.then((code) => reject(new Error(`the collector ended with ${code}: ${seen.join('\n')}`)));
  });
  return {
    port,
    pid,
    peakMebibytes: () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024,
    cpuSeconds: () => {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) / 100;
    },
    kill: (signal) => void child.kill(signal),
    ended,
  };
}
