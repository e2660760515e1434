/** Everything the fault run needs, each a process of its own: database, S3, collector, sidecars; and the networks between them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createAuthority } from '#test/certificates.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { type BadNetwork, startBadNetwork } from '#test/s3/bad-network.ts';
import { type S3Server, startS3 } from '#test/s3/s3-server.ts';
import { TokenIssuer } from '#test/s3/sender.ts';
import { CollectorProcess } from './collector.ts';
import { Forwarder } from './forwarder.ts';
import { FaultPod, type PodSettings } from './pod.ts';

export const BUCKET = 'fault-run';
const ROLE = { username: 'fault_agent', password: 'fault run only' };
const TOKEN_SECONDS = 3600;

export interface World {
  readonly folder: string;
  readonly postgres: PostgresServer;
  readonly s3: S3Server;
  /** Between collector and S3. */
  readonly s3Network: BadNetwork;
  readonly collector: CollectorProcess;
  /** Between sidecars and collector. */
  readonly network: Forwarder;
  readonly pods: readonly FaultPod[];
  readonly close: () => Promise<void>;
}

export async function openWorld(settings: readonly PodSettings[]): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-fault-'));
  const postgres = await startPostgres({ settings: { log_statement: 'all' } });
  const database = await prepareDatabase(postgres);
  const s3 = await startS3();
  await s3.makeBucket(BUCKET);
  const s3Network = await startBadNetwork(s3.port);
  const authority = createAuthority();
  const tokens = await TokenIssuer.open(join(folder, 'jwks.json'));
  const collector = await CollectorProcess.create({
    folder,
    bucket: BUCKET,
    endpoint: s3Network.url,
    jwksUri: tokens.jwksUri,
    authority,
  });
  const network = await Forwarder.open(() => collector.port);
  const pods: FaultPod[] = [];
  for (const each of settings) {
    pods.push(
      await FaultPod.create(each, {
        database,
        authority,
        collectorUrl: `https://127.0.0.1:${network.port}`,
        token: async (podUid) => await tokens.token(podUid, { expiresIn: TOKEN_SECONDS }),
        credentials: ROLE,
      }),
    );
  }
  const close = async (): Promise<void> => {
    await Promise.allSettled(pods.map((pod) => pod.close()));
    await collector.end('SIGKILL');
    await network.close();
    await s3Network.stop();
    await s3.stop();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, postgres, s3, s3Network, collector, network, pods, close };
}

async function prepareDatabase(postgres: PostgresServer): Promise<URL> {
  const url = new URL(await postgres.createDatabase('shop'));
  const root = new pg.Client({ connectionString: url.href });
  await root.connect();
  await root.query(`CREATE ROLE ${ROLE.username} LOGIN PASSWORD '${ROLE.password}'`);
  await root.query('CREATE TABLE items (id int PRIMARY KEY, name text)');
  await root.query("INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 20) n");
  await root.query(`GRANT SELECT ON items TO ${ROLE.username}`);
  await root.end();
  return url;
}
