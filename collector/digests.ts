/** Signs what this process wrote, once a minute and at its end; each digest names the one before. */
import { randomUUID, type KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { DIGEST_TYPE, type Digest, type DigestedObject, digestOfText, FIRST_PREVIOUS } from '#audit/digest.ts';
import type { Log } from '#kubernetes/log.ts';
import { newObjectUid } from './object-uid.ts';
import { digestKey } from './layout.ts';

export interface DigestsOptions {
  readonly prefix: string;
  /** Ed25519, and its name in the header of each digest. */
  readonly signer: { readonly kid: string; readonly privateKey: KeyObject };
  /** Writes once; a second write of the same bytes under the same key is no error. */
  readonly put: (key: string, body: Uint8Array, contentType: string) => Promise<void>;
  /** Whether S3 has this object. Rejects where it does not say. */
  readonly holds: (key: string, sha256: string) => Promise<boolean>;
  readonly onResult: (result: 'ok' | 'error') => void;
  readonly log: Log;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 60_000;
/** Objects that wait for a digest; beyond it nothing more is taken. */
const MAX_WAITING = 50_000;
/** An object whose answer was lost may still arrive for so long. */
const DOUBT_MS = 120_000;

interface SignedDigest {
  readonly key: string;
  readonly text: string;
}

interface DoubtfulObject {
  readonly object: DigestedObject;
  readonly sinceMs: number;
}

export class Digests {
  readonly #options: DigestsOptions;
  readonly #collector = randomUUID();
  readonly #timer: NodeJS.Timeout;
  #objects: DigestedObject[] = [];
  #doubtful: readonly DoubtfulObject[] = [];
  #number = 0;
  #previous = FIRST_PREVIOUS;
  /** Signed, not acknowledged: written again as it is, since it may lie there already. */
  #unwritten: SignedDigest | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: DigestsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.write(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  /** An object that S3 has acknowledged. */
  add(object: DigestedObject): void {
    this.#objects.push(object);
  }

  /** An object that S3 may have: looked for until it is found, or cannot come any more. */
  addDoubtful(object: DigestedObject): void {
    this.#doubtful = [...this.#doubtful, { object, sinceMs: Date.now() }];
  }

  /** Whether so many objects wait that no more should be written. */
  isBehind(): boolean {
    return this.#objects.length + this.#doubtful.length > MAX_WAITING;
  }

  /** Writes what is due. Never rejects: what could not be written is written the next time. */
  async write(): Promise<void> {
    await this.#queue(false).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : 'unknown error';
      this.#options.log.warn({ error: message }, 'a digest could not be written; it is tried again');
    });
  }

  /** Writes the last digest. Rejects where S3 does not take it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#queue(true);
  }

  async #queue(last: boolean): Promise<void> {
    const result = this.#writing.then(async () => await this.#writeDue(last));
    this.#writing = result.catch(() => undefined);
    await result;
  }

  async #writeDue(last: boolean): Promise<void> {
    await this.#settleDoubts();
    if (this.#unwritten !== undefined) await this.#put(this.#unwritten);
    if (this.#objects.length === 0 && !(last && this.#number > 0)) return;
    await this.#put(await this.#sign(last));
  }

  async #settleDoubts(): Promise<void> {
    const doubtful = this.#doubtful;
    this.#doubtful = [];
    for (const doubt of doubtful) {
      const { object, sinceMs } = doubt;
      const found = await this.#options.holds(object.key, object.sha256).catch(() => undefined);
      if (found === true) this.#objects.push(object);
      else if (found === undefined || Date.now() - sinceMs < DOUBT_MS) this.#doubtful = [...this.#doubtful, doubt];
    }
  }

  async #sign(last: boolean): Promise<SignedDigest> {
    const { signer, prefix } = this.#options;
    const time = Date.now();
    const objects = this.#objects;
    this.#objects = [];
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
    this.#unwritten = { key: digestKey(prefix, time, newObjectUid(time)), text };
    this.#number += 1;
    this.#previous = digestOfText(text);
    return this.#unwritten;
  }

  async #put({ key, text }: SignedDigest): Promise<void> {
    try {
      await this.#options.put(key, Buffer.from(text), 'application/jose');
    } catch (error) {
      this.#options.onResult('error');
      throw error;
    }
    this.#options.onResult('ok');
    this.#unwritten = undefined;
  }
}
