/**
 * Objects in S3, each written once: `If-None-Match: *` makes a second write of a key fail. An answer that is lost leads to a second try, which
 * then finds our own object: it is compared by its hash before anything is called a conflict.
 */
import { createHash } from 'node:crypto';
import {
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';

export interface ObjectStoreOptions {
  readonly bucket: string;
  /** Undefined: AWS. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly forcePathStyle: boolean;
  /** Undefined: the bucket's default. */
  readonly kmsKeyId: string | undefined;
  /** Undefined: the bucket's default retention, if it has one. */
  readonly lock: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number } | undefined;
}

/** What the bucket cannot promise, one line each, for the log; empty: all is well. */
export type BucketDoubts = readonly string[];

/** `unknown`: no answer came, so that the object may lie there or not. */
export type PutOutcome = 'refused' | 'unknown';

/** An object that S3 has not acknowledged. The message says what S3 answered and what to look at. */
export class PutError extends Error {
  override readonly name = 'PutError';
  readonly outcome: PutOutcome;

  constructor(outcome: PutOutcome, message: string, cause: unknown) {
    super(message, { cause });
    this.outcome = outcome;
  }
}

/** All attempts together: a sender waits for 30 s. */
const PUT_TIMEOUT_MS = 24_000;
const ATTEMPT_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 3_000;
const MAX_ATTEMPTS = 4;
const MAX_SOCKETS = 32;
const SHA256 = 'sha256';

export class ObjectStore {
  readonly #options: ObjectStoreOptions;
  readonly #client: S3Client;

  /** Credentials come from the environment, as the AWS SDK finds them: keys, IRSA, Pod Identity. */
  constructor(options: ObjectStoreOptions) {
    this.#options = options;
    this.#client = new S3Client({
      region: options.region,
      forcePathStyle: options.forcePathStyle,
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      maxAttempts: MAX_ATTEMPTS,
      requestChecksumCalculation: 'WHEN_SUPPORTED',
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: ATTEMPT_TIMEOUT_MS,
        throwOnRequestTimeout: true,
        httpAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
        httpsAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
      },
    });
  }

  /** Writes an object that is not there yet; resolves when S3 has acknowledged it. Rejects with a `PutError`. */
  async put(
    key: string,
    body: Uint8Array,
    contentType: string,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const digest = sha256Of(body);
    const abortSignal = AbortSignal.timeout(PUT_TIMEOUT_MS);
    try {
      const input = { Key: key, Body: body, ContentType: contentType, Metadata: { ...metadata, [SHA256]: digest } };
      await this.#client.send(new PutObjectCommand({ ...this.#everyPut(), ...input }), { abortSignal });
    } catch (error) {
      // A try whose answer was lost has written it.
      if (statusOf(error) === 412 && (await this.#findOwn(key, digest, abortSignal))) return;
      throw putError(error);
    }
  }

  /** Whether exactly this object lies there. Rejects where S3 does not say. */
  async holds(key: string, sha256: string, abortSignal = AbortSignal.timeout(PUT_TIMEOUT_MS)): Promise<boolean> {
    try {
      const command = new HeadObjectCommand({ Bucket: this.#options.bucket, Key: key });
      const head = await this.#client.send(command, { abortSignal });
      return head.Metadata?.[SHA256] === sha256;
    } catch (error) {
      if (statusOf(error) === 404) return false;
      throw error;
    }
  }

  async #findOwn(key: string, sha256: string, abortSignal: AbortSignal): Promise<boolean> {
    try {
      return await this.holds(key, sha256, abortSignal);
    } catch (error) {
      throw new PutError('unknown', `whether S3 holds the object is not known: ${describeFailure(error)}`, error);
    }
  }

  #everyPut(): Pick<
    PutObjectCommandInput,
    | 'Bucket'
    | 'IfNoneMatch'
    | 'ServerSideEncryption'
    | 'SSEKMSKeyId'
    | 'ObjectLockMode'
    | 'ObjectLockRetainUntilDate'
    | 'ChecksumAlgorithm'
  > {
    const { lock, kmsKeyId, bucket } = this.#options;
    return {
      Bucket: bucket,
      IfNoneMatch: '*',
      ChecksumAlgorithm: 'SHA256',
      ...(kmsKeyId === undefined ? {} : { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKeyId }),
      ...(lock === undefined
        ? {}
        : {
            ObjectLockMode: lock.mode,
            ObjectLockRetainUntilDate: new Date(Date.now() + lock.days * 86_400_000),
          }),
    };
  }

  /** Looks once at what the bucket promises. Never rejects. */
  async doubts(): Promise<BucketDoubts> {
    try {
      const { ObjectLockConfiguration: lock } = await this.#client.send(
        new GetObjectLockConfigurationCommand({ Bucket: this.#options.bucket }),
      );
      if (lock?.ObjectLockEnabled !== 'Enabled')
        return ['Object Lock is off: whoever may delete objects can delete records'];
      const hasRetention = this.#options.lock !== undefined || lock.Rule?.DefaultRetention !== undefined;
      return hasRetention
        ? []
        : ['Object Lock is on, but there is no retention: set one in the bucket or by --lock-days'];
    } catch (error) {
      const why = error instanceof S3ServiceException ? error.name : 'no answer';
      return [
        `whether the bucket has Object Lock is not known (${why}): whoever may delete objects may be able to delete records`,
      ];
    }
  }

  close(): void {
    this.#client.destroy();
  }
}

export function sha256Of(body: Uint8Array): string {
  return createHash(SHA256).update(body).digest('hex');
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

function putError(error: unknown): PutError {
  if (error instanceof PutError) return error;
  const status = statusOf(error);
  // 409: another write of this key is under way, which can only be an earlier try of ours; after one, any refusal leaves open what became of it.
  const attempts = error instanceof S3ServiceException ? (error.$metadata.attempts ?? 1) : 1;
  const refused = status !== undefined && status >= 400 && status < 500 && status !== 409 && attempts === 1;
  return new PutError(refused ? 'refused' : 'unknown', describeFailure(error), error);
}

const ADVICE: ReadonlyMap<string, string> = new Map([
  ['SignatureDoesNotMatch', 'the secret key is wrong'],
  ['InvalidAccessKeyId', 'the access key is not known there'],
  [
    'AccessDenied',
    "the identity needs s3:PutObject and s3:GetObject on the bucket's objects (and kms:GenerateDataKey)",
  ],
  ['NoSuchBucket', 'make the bucket, or name another'],
  ['PreconditionFailed', 'another object lies under this key; it is left as it is'],
  ['CredentialsProviderError', 'there are no credentials: set keys, or the annotation of the ServiceAccount'],
]);

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return 'S3 failed';
  const status = statusOf(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  const answer = status === undefined ? `S3 gave no answer (${code})` : `S3 answered ${status} ${error.name}`;
  const advice = ADVICE.get(error.name);
  return advice === undefined ? `${answer}: ${error.message}` : `${answer}: ${advice}`;
}
