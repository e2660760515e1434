/** A collector in this process, with tokens that the test issues and a bucket of a real S3 server. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { byJwks } from '#collector/authenticate.ts';
import { type CollectorOptions, type RunningCollector, startCollector } from '#collector/start.ts';
import { silentLog } from '#proxy/log.ts';
import { ACCESS_KEY, REGION, SECRET_KEY, type S3Server } from './s3-server.ts';
import { ISSUER, TokenIssuer } from './sender.ts';

export interface Fixture {
  readonly tokens: TokenIssuer;
  readonly digestPublicKey: KeyObject;
  readonly start: (
    bucket: string,
    options?: Partial<Omit<CollectorOptions, 'store'>> & { readonly store?: Partial<CollectorOptions['store']> },
  ) => Promise<RunningCollector>;
  /** Ends every collector that still runs. */
  readonly stop: () => Promise<void>;
}

export async function openFixture(s3: S3Server): Promise<Fixture> {
  process.env['AWS_ACCESS_KEY_ID'] = ACCESS_KEY;
  process.env['AWS_SECRET_ACCESS_KEY'] = SECRET_KEY;
  const folder = mkdtempSync(join(tmpdir(), 'postern-collector-'));
  const tokens = await TokenIssuer.open(join(folder, 'jwks.json'));
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const running = new Set<RunningCollector>();
  return {
    tokens,
    digestPublicKey: publicKey,
    start: async (bucket, { store, ...options } = {}) => {
      const collector = await startCollector({
        listen: { host: '127.0.0.1', port: 0 },
        tls: undefined,
        prefix: '',
        digestKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        authenticate: byJwks(ISSUER, tokens.jwksUri),
        maxObjectBytes: 8 * 1024 * 1024,
        maxDelayMs: 20,
        maxPendingBytes: 64 * 1024 * 1024,
        log: silentLog,
        ...options,
        store: {
          bucket,
          endpoint: s3.url,
          region: REGION,
          forcePathStyle: true,
          kmsKeyId: undefined,
          lock: undefined,
          ...store,
        },
      });
      const { close } = collector;
      const started = {
        ...collector,
        close: async (drainMs: number): Promise<void> => {
          running.delete(started);
          await close(drainMs);
        },
      };
      running.add(started);
      return started;
    },
    stop: async () => {
      await Promise.allSettled([...running].map(async (one) => await one.close(0)));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface StoredRecord {
  readonly metadata: { readonly uid: string };
  readonly unmapped: { readonly chain: { readonly id: string; readonly seq: number } };
}

/** Every record of a bucket, in the order of the keys. */
export async function readRecords(s3: S3Server, bucket: string, prefix = 'events/'): Promise<readonly StoredRecord[]> {
  const keys = await s3.keys(bucket, prefix);
  const objects = await Promise.all(keys.map(async (key) => await s3.read(bucket, key)));
  return objects.flatMap((object) =>
    zstdDecompressSync(object)
      .toString('utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as StoredRecord),
  );
}
