/** Signs what this process wrote, once a minute and at its end; each digest names the one before. */
import { createHash, randomUUID, type KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { DIGEST_TYPE, type Digest, type DigestedObject, digestOfText, FIRST_PREVIOUS } from '#audit/digest.ts';
import type { Log } from '#kubernetes/log.ts';
import { newObjectUid } from './object-uid.ts';
import { digestKey } from './layout.ts';

export interface DigestsOptions {
  readonly prefix: string;
  /** Ed25519, and its name in the header of each digest. */
  readonly signer: { readonly kid: string; readonly privateKey: KeyObject };
  readonly put: (key: string, body: Uint8Array, contentType: string) => Promise<void>;
  readonly log: Log;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 60_000;

export class Digests {
  readonly #options: DigestsOptions;
  readonly #collector = randomUUID();
  readonly #timer: NodeJS.Timeout;
  #objects: DigestedObject[] = [];
  #number = 0;
  #previous = FIRST_PREVIOUS;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: DigestsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#next(false), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  /** An object that S3 has acknowledged. */
  add(key: string, body: Uint8Array, records: number): void {
    const sha256 = createHash('sha256').update(body).digest('hex');
    this.#objects.push({ key, sha256, bytes: body.length, records });
  }

  /** Writes the last digest. Rejects where S3 does not take it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    if (this.#number > 0 || this.#objects.length > 0) await this.#write(true);
  }

  async #next(last: boolean): Promise<void> {
    if (this.#objects.length === 0) return;
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#write(last);
      } catch (error) {
        const message = error instanceof Error ? error.message : 'unknown error';
        this.#options.log.warn({ error: message }, 'a digest could not be written; its objects go into the next one');
      }
    });
    await this.#writing;
  }

  async #write(last: boolean): Promise<void> {
    const { signer, prefix, put } = this.#options;
    const objects = this.#objects;
    this.#objects = [];
    const time = Date.now();
    const digest: Digest = {
      version: 1,
      collector: this.#collector,
      number: this.#number + 1,
      previous: this.#previous,
      time,
      last,
      objects,
    };
    const text = await new CompactSign(Buffer.from(JSON.stringify(digest)))
      .setProtectedHeader({ alg: 'EdDSA', kid: signer.kid, typ: DIGEST_TYPE })
      .sign(signer.privateKey);
    try {
      await put(digestKey(prefix, time, newObjectUid(time)), Buffer.from(text), 'application/jose');
    } catch (error) {
      this.#objects = [...objects, ...this.#objects];
      throw error;
    }
    this.#number += 1;
    this.#previous = digestOfText(text);
  }
}
