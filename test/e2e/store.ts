/** An S3 server in the cluster, with a bucket whose objects are locked, and the collector of the chart before it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { zstdDecompressSync } from 'node:zlib';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { kubectl, type Ran, run } from '../cluster/programs.ts';
import { findVersityGateway } from '../s3/find-versitygw.ts';
import { apply, DATA, eventually, type KubernetesObject, POSTGRES_IMAGE, POSTGRES_UID, SYSTEM } from './cluster.ts';

const BUCKET = 'records';
const REGION = 'us-east-1';
const ACCESS_KEY = 'collector';
const SECRET_KEY = 'the-secret-of-the-collector';
const PORT = 7070;

/** The server comes into the pod by itself: no image has it. */
const START = `
set -eu
mkdir -p /store/data /store/versions
until [ -e /store/ready ]; do sleep 0.2; done
exec /store/versitygw -p :${PORT} -a ${ACCESS_KEY} -s ${SECRET_KEY} posix --versioning-dir /store/versions /store/data
`;

/** What the chart is told of the store. */
export const COLLECTOR_VALUES: readonly string[] = [
  `collector=${JSON.stringify({
    enabled: true,
    autoscaling: { enabled: false },
    s3: {
      bucket: BUCKET,
      prefix: 'audit',
      region: REGION,
      endpoint: `http://store.${DATA}.svc:${PORT}`,
      pathStyle: true,
      credentialsSecretName: 'store-keys',
      lock: { mode: 'GOVERNANCE', days: 1 },
      ports: [PORT],
    },
  })}`,
];

/** A record, as far as this suite looks at it. */
export interface StoredRecord {
  readonly src_endpoint: { readonly instance_uid: string };
  readonly query_info?: { readonly query_string?: string };
  readonly disposition?: string;
  readonly unmapped: {
    readonly phase: string;
    readonly chain: { readonly id: string; readonly seq: number };
  };
}

export interface Store {
  readonly client: S3Client;
  readonly bucket: string;
  readonly keys: () => Promise<readonly string[]>;
  readonly records: () => Promise<readonly StoredRecord[]>;
  /** Objects of recorded results: their keys, and their lines. */
  readonly results: () => Promise<readonly { readonly key: string; readonly text: string }[]>;
  /** A command of ours over all that the store holds: `postern verify s3://... OPTIONS`. */
  readonly postern: (command: string, ...options: readonly string[]) => Promise<Ran>;
  readonly close: () => void;
}

/** Installs the server and opens it to this process by a forwarded port. */
export async function installStore(): Promise<Store> {
  const found = findVersityGateway();
  if (found.kind === 'missing') throw new Error(found.advice);
  await apply(...storeObjects());
  await kubectl('--namespace', DATA, 'wait', '--for=condition=Initialized', 'pod/store', '--timeout=60s');
  await eventually('the pod of the store runs', async () =>
    (await run('kubectl', ['--namespace', DATA, 'exec', 'store', '--', 'test', '-d', '/store/data'])).code === 0
      ? true
      : undefined,
  );
  await kubectl('cp', found.program, `${DATA}/store:/store/versitygw`);
  await kubectl(
    '--namespace',
    DATA,
    'exec',
    'store',
    '--',
    'sh',
    '-c',
    'chmod +x /store/versitygw && touch /store/ready',
  );
  await kubectl('--namespace', DATA, 'wait', '--for=condition=Ready', 'pod/store', '--timeout=60s');
  const { url, forwarding } = await forward();
  const client = new S3Client({
    region: REGION,
    endpoint: url,
    forcePathStyle: true,
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET, ObjectLockEnabledForBucket: true }));
  await client.send(
    new PutObjectLockConfigurationCommand({
      Bucket: BUCKET,
      ObjectLockConfiguration: {
        ObjectLockEnabled: 'Enabled',
        Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } },
      },
    }),
  );
  const keys = async (): Promise<readonly string[]> => {
    const { Contents: contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
    return contents.map(({ Key: key = '' }) => key);
  };
  return {
    client,
    bucket: BUCKET,
    keys,
    records: async () => {
      const events = (await keys()).filter((key) => key.startsWith('audit/events/'));
      const texts = await Promise.all(events.map(async (key) => await textOf(client, key)));
      return texts.flatMap((text) =>
        text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as StoredRecord),
      );
    },
    results: async () => {
      const ofResults = (await keys()).filter((key) => key.startsWith('audit/results/'));
      return await Promise.all(ofResults.map(async (key) => ({ key, text: await textOf(client, key) })));
    },
    postern: async (command, ...options) => {
      const main = new URL('../../cli/main.ts', import.meta.url).pathname;
      const store = ['--endpoint', url, '--region', REGION, '--path-style'];
      const keysAsEnvironment = [`AWS_ACCESS_KEY_ID=${ACCESS_KEY}`, `AWS_SECRET_ACCESS_KEY=${SECRET_KEY}`];
      const all = [...keysAsEnvironment, process.execPath, main, command, `s3://${BUCKET}/audit`, ...store, ...options];
      return await run('env', all);
    },
    close: () => {
      client.destroy();
      forwarding.kill();
    },
  };
}

async function textOf(client: S3Client, key: string): Promise<string> {
  const { Body: body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
  return zstdDecompressSync((await body?.transformToByteArray()) ?? new Uint8Array()).toString('utf8');
}

async function forward(): Promise<{ readonly url: string; readonly forwarding: ChildProcess }> {
  const forwarding = spawn('kubectl', ['--namespace', DATA, 'port-forward', 'pod/store', `:${PORT}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.once('exit', () => forwarding.kill());
  const port = await new Promise<string>((resolve, reject) => {
    let said = '';
    forwarding.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
      const found = /127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    forwarding.once('exit', () => reject(new Error(`kubectl port-forward ended: ${said}`)));
  });
  return { url: `http://127.0.0.1:${port}`, forwarding };
}

function storeObjects(): readonly KubernetesObject[] {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'store-keys', namespace: SYSTEM },
      data: { AWS_ACCESS_KEY_ID: base64(ACCESS_KEY), AWS_SECRET_ACCESS_KEY: base64(SECRET_KEY) },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'store', namespace: DATA },
      spec: { selector: { app: 'store' }, ports: [{ port: PORT }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'store', namespace: DATA, labels: { app: 'store' } },
      spec: {
        securityContext: { runAsUser: POSTGRES_UID, fsGroup: 21000 },
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'store',
            image: POSTGRES_IMAGE,
            command: ['bash', '-c', START],
            readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 1 },
            volumeMounts: [{ name: 'store', mountPath: '/store' }],
          },
        ],
        volumes: [{ name: 'store', emptyDir: {} }],
      },
    },
  ];
}
