/** Versity S3 Gateway on a free port of 127.0.0.1, with its data in a temp folder; it ends with this process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListBucketsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { findVersityGateway } from './find-versitygw.ts';

export const ACCESS_KEY = 'postern-test';
export const SECRET_KEY = 'postern-test-secret';
export const REGION = 'us-east-1';

export interface S3Server {
  readonly url: string;
  readonly port: number;
  readonly client: S3Client;
  readonly makeBucket: (name: string, options?: { readonly lock: boolean }) => Promise<string>;
  readonly keys: (bucket: string, prefix?: string) => Promise<readonly string[]>;
  readonly read: (bucket: string, key: string) => Promise<Buffer>;
  readonly head: (bucket: string, key: string) => Promise<HeadObjectCommandOutput>;
  /** kill -9: answers to nobody any more. */
  readonly kill: () => Promise<void>;
  /** On the same port and the same data. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startS3(): Promise<S3Server> {
  const found = findVersityGateway();
  if (found.kind === 'missing') throw new Error(found.advice);
  const folder = await mkdtemp(join(tmpdir(), 'postern-s3-'));
  const data = join(folder, 'data');
  const versions = join(folder, 'versions');
  await Promise.all([mkdir(data), mkdir(versions)]);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const client = openClient(url);
  const start = async (): Promise<ChildProcess> => {
    const where = ['-p', `127.0.0.1:${port}`, '-a', ACCESS_KEY, '-s', SECRET_KEY];
    const started = spawn(found.program, [...where, 'posix', '--versioning-dir', versions, data], { stdio: 'ignore' });
    await untilAnswers(client, started);
    return started;
  };
  let gateway = await start();
  const kill = async (): Promise<void> => {
    if (gateway.exitCode !== null || gateway.signalCode !== null) return;
    const ended = new Promise((resolve) => gateway.once('exit', resolve));
    gateway.kill('SIGKILL');
    await ended;
  };
  process.once('exit', () => gateway.kill('SIGKILL'));
  return {
    url,
    port,
    client,
    makeBucket: async (name, options) => {
      await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: options?.lock === true }));
      return name;
    },
    keys: async (bucket, prefix) => await listKeys(client, bucket, prefix ?? ''),
    read: async (bucket, key) => {
      const { Body: body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      return Buffer.from((await body?.transformToByteArray()) ?? []);
    },
    head: async (bucket, key) => await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })),
    kill,
    restart: async () => {
      gateway = await start();
    },
    stop: async () => {
      client.destroy();
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function openClient(url: string): S3Client {
  return new S3Client({
    endpoint: url,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    maxAttempts: 1,
  });
}

async function listKeys(client: S3Client, bucket: string, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
    );
    keys.push(
      ...(page.Contents ?? []).flatMap(({ Key: key }) => (key === undefined || key.endsWith('/') ? [] : [key])),
    );
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return keys;
}

async function untilAnswers(client: S3Client, gateway: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (gateway.exitCode !== null) throw new Error(`versitygw ended with ${gateway.exitCode}`);
    try {
      await client.send(new ListBucketsCommand({}));
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error('versitygw does not answer');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
