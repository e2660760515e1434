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

const REQUEST_TIMEOUT_MS = 30_000;
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
      maxAttempts: 3,
      requestChecksumCalculation: 'WHEN_SUPPORTED',
    });
  }

  /** Writes an object that is not there yet; resolves when S3 has acknowledged it. Rejects with what to do about it. */
  async put(key: string, body: Uint8Array, contentType: string): Promise<void> {
    const digest = createHash(SHA256).update(body).digest('hex');
    const { lock, kmsKeyId, bucket } = this.#options;
    const input: PutObjectCommandInput = {
      Bucket: bucket,
      Key: key,
      Body: body,
      ContentType: contentType,
      IfNoneMatch: '*',
      Metadata: { [SHA256]: digest },
      ...(kmsKeyId === undefined ? {} : { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKeyId }),
      ...(lock === undefined
        ? {}
        : {
            ObjectLockMode: lock.mode,
            ObjectLockRetainUntilDate: new Date(Date.now() + lock.days * 86_400_000),
            ChecksumAlgorithm: 'SHA256' as const,
          }),
    };
    try {
      await this.#client.send(new PutObjectCommand(input), { abortSignal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    } catch (error) {
      if (isPreconditionFailed(error) && (await this.#holds(key, digest))) return;
      throw error;
    }
  }

  async #holds(key: string, digest: string): Promise<boolean> {
    const head = await this.#client.send(new HeadObjectCommand({ Bucket: this.#options.bucket, Key: key }));
    return head.Metadata?.[SHA256] === digest;
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

function isPreconditionFailed(error: unknown): boolean {
  return error instanceof S3ServiceException && error.$metadata.httpStatusCode === 412;
}
