/**
 * The collector in a cloud: no key is given to it, it exchanges the token of its ServiceAccount for one. The services that do that exist only
 * there; here a server speaks their part of the protocol, and the S3 server checks what is signed with what they gave. It knows no session
 * tokens, so none is given.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestChain } from './chains.ts';
import { startCollectorProcess } from './collector-process.ts';
import { ACCESS_KEY, REGION, type S3Server, SECRET_KEY, startS3 } from './s3-server.ts';
import { sendRecords, TokenIssuer } from './sender.ts';

const POD = '11111111-2222-4333-8444-555555555555';
const ROLE = 'arn:aws:iam::111122223333:role/postern-collector';
const SERVICE_ACCOUNT_TOKEN = 'the-projected-token-of-the-service-account';

let s3: S3Server;
let folder: string;
let tokenFile: string;
let tokens: TokenIssuer;
let services: Server;
let servicesUrl: string;
/** What the services were asked, and by which token. */
let asked: Readonly<Record<string, string | undefined>>[];

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html */
function stsAnswer(): string {
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>${ACCESS_KEY}</AccessKeyId><SecretAccessKey>${SECRET_KEY}</SecretAccessKey>
<Expiration>${new Date(Date.now() + 3_600_000).toISOString()}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET' && request.url === '/v1/credentials') {
    asked.push({ service: 'pod identity', token: request.headers.authorization });
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    response.end(JSON.stringify({ AccessKeyId: ACCESS_KEY, SecretAccessKey: SECRET_KEY, Token: '', Expiration }));
    return;
  }
  const form = new URLSearchParams(await text(request));
  const [service, role, token] = ['Action', 'RoleArn', 'WebIdentityToken'].map((name) => form.get(name) ?? undefined);
  asked.push({ service, role, token });
  response.setHeader('content-type', 'text/xml');
  response.end(stsAnswer());
}

beforeAll(async () => {
  s3 = await startS3();
  folder = mkdtempSync(join(tmpdir(), 'postern-workload-'));
  tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, SERVICE_ACCOUNT_TOKEN);
  tokens = await TokenIssuer.open(join(folder, 'jwks.json'));
  services = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => services.listen(0, '127.0.0.1', resolve));
  servicesUrl = `http://127.0.0.1:${(services.address() as AddressInfo).port}`;
});

afterAll(async () => {
  services.close();
  await s3.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Records that a collector with these credentials brings into the bucket. */
async function store(bucket: string, credentials: Readonly<Record<string, string>>): Promise<number> {
  await s3.makeBucket(bucket);
  const collector = await startCollectorProcess({
    folder,
    bucket,
    s3Url: s3.url,
    jwksUri: tokens.jwksUri,
    credentials: { AWS_REGION: REGION, ...credentials },
  });
  try {
    const { status } = await sendRecords(collector.port, new TestChain(POD).decisions(3), await tokens.token(POD));
    expect(status).toBe(200);
    return (await s3.keys(bucket, 'events/')).length;
  } finally {
    collector.kill('SIGTERM');
    expect(await collector.ended).toBe(0);
  }
}

describe('the collector without keys', () => {
  test('is let in by the role of its ServiceAccount (IRSA)', async () => {
    asked = [];
    const objects = await store('by-web-identity', {
      AWS_ROLE_ARN: ROLE,
      AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile,
      AWS_ENDPOINT_URL_STS: servicesUrl,
    });
    expect(objects).toBe(1);
    expect(asked).toEqual([{ service: 'AssumeRoleWithWebIdentity', role: ROLE, token: SERVICE_ACCOUNT_TOKEN }]);
  });

  test('is let in by EKS Pod Identity', async () => {
    asked = [];
    const objects = await store('by-pod-identity', {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${servicesUrl}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile,
    });
    expect(objects).toBe(1);
    expect(asked).toEqual([{ service: 'pod identity', token: SERVICE_ACCOUNT_TOKEN }]);
  });
});
