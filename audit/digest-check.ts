/**
 * Digests against the objects that are there: each digest signed and in its chain, each object named by one and as it was when it was written.
 * Pure: texts and hashes in, findings out.
 */
import { Buffer } from 'node:buffer';
import { type KeyObject, verify } from 'node:crypto';
import { type Digest, DIGEST_TYPE, digestOfText, FIRST_PREVIOUS, readDigest } from './digest.ts';
import { type Finding, FindingList } from './finding.ts';

export interface DigestVerdict {
  readonly digests: number;
  /** Objects that a digest names. */
  readonly objects: number;
  readonly findings: readonly Finding[];
  readonly findingCount: number;
}

interface Placed {
  readonly digest: Digest;
  readonly name: string;
  readonly hash: string;
}

interface Expected {
  readonly sha256: string;
  readonly name: string;
  isSeen: boolean;
}

/** With `acceptOpen`: objects this much younger than the newest digest may still wait for theirs. */
const DIGEST_DELAY_MS = 180_000;

/** The part of a key that does not depend on where the bucket's content lies: from `events/`, `results/` or `digests/` on. */
export function layoutKey(key: string): string {
  return /(?:^|\/)((?:events|results|digests)\/event_date=.*)$/.exec(key)?.[1] ?? key;
}

export class DigestCheck {
  readonly #keys: readonly KeyObject[];
  readonly #findings = new FindingList();
  readonly #collectors = new Map<string, Placed[]>();
  readonly #expected = new Map<string, Expected>();
  #digests = 0;
  #newestMs = 0;

  /** Public keys (Ed25519), one of which must have signed each digest. */
  constructor(keys: readonly KeyObject[]) {
    this.#keys = keys;
  }

  /** All digests come before the first object. */
  addDigest(name: string, text: string): void {
    this.#digests += 1;
    const read = this.#read(text);
    if (typeof read === 'string') return this.#find('digest_unsigned', name, read);
    const placed = { digest: read, name, hash: digestOfText(text) };
    const known = this.#collectors.get(read.collector);
    if (known === undefined) this.#collectors.set(read.collector, [placed]);
    else known.push(placed);
    this.#newestMs = Math.max(this.#newestMs, read.time);
    for (const { key, sha256 } of read.objects) this.#expected.set(layoutKey(key), { sha256, name, isSeen: false });
  }

  addObject(name: string, sha256: string, acceptOpen: boolean): void {
    const expected = this.#expected.get(layoutKey(name));
    if (expected === undefined) {
      const isYoung = acceptOpen && timeOfName(name) > this.#newestMs - DIGEST_DELAY_MS;
      if (!isYoung)
        this.#find(
          'object_undigested',
          name,
          'no digest names this object: it was put there by somebody else, or its digest is missing',
        );
      return;
    }
    expected.isSeen = true;
    if (expected.sha256 !== sha256)
      this.#find(
        'object_replaced',
        name,
        `the object is not the one that was written: ${expected.name} says otherwise`,
      );
  }

  finish(acceptOpen: boolean): DigestVerdict {
    for (const [key, { isSeen, name }] of this.#expected) {
      if (!isSeen) this.#find('object_missing', key, `the object is missing: ${name} names it`);
    }
    for (const [collector, placed] of this.#collectors) this.#finishCollector(collector, placed, acceptOpen);
    const { kept: findings, count: findingCount } = this.#findings;
    return { digests: this.#digests, objects: this.#expected.size, findings, findingCount };
  }

  #read(text: string): Digest | string {
    const [header = '', payload = '', signature = '', ...more] = text.split('.');
    const said = parse(header) as { readonly alg?: unknown; readonly typ?: unknown } | undefined;
    const digest = readDigest(parse(payload));
    if (digest === undefined || more.length > 0 || said?.typ !== DIGEST_TYPE) return 'this is no digest';
    if (said.alg !== 'EdDSA' || signature === '') return 'the digest is not signed';
    const input = Buffer.from(`${header}.${payload}`);
    const bytes = Buffer.from(signature, 'base64url');
    const isSigned = this.#keys.some((key) => verify(undefined, input, key, bytes));
    // One signature has one text: the hash that the next digest names is over it.
    if (!isSigned || bytes.toString('base64url') !== signature)
      return 'the digest is not signed by a key that was given';
    return digest;
  }

  #finishCollector(collector: string, placed: readonly Placed[], acceptOpen: boolean): void {
    const ordered = placed.toSorted((a, b) => a.digest.number - b.digest.number);
    // A digest whose acknowledgement was lost is written again: two of one number, either of which the next may name.
    let before: readonly string[] = [FIRST_PREVIOUS];
    let number = 0;
    let same: string[] = [];
    for (const { digest, name, hash } of ordered) {
      if (digest.number !== number) {
        if (number > 0) before = same;
        same = [];
        if (digest.number !== number + 1) {
          this.#find(
            'digest_missing',
            name,
            `${missingDigests(number + 1, digest.number - 1)} of collector ${collector}`,
          );
          before = [];
        }
        number = digest.number;
      }
      same.push(hash);
      if (before.length > 0 && !before.includes(digest.previous))
        this.#find(
          'digest_missing',
          name,
          `digest ${number} of collector ${collector} names another before it than the one that is there`,
        );
    }
    const end = ordered.findLast(({ digest }) => digest.last);
    const last = ordered.at(-1);
    if (last === undefined || end?.digest.number === number) return;
    if (end !== undefined)
      this.#find(
        'digest_unsigned',
        last.name,
        `digest ${number} of collector ${collector} stands behind the end of its chain`,
      );
    else if (!acceptOpen)
      this.#find(
        'digest_unclosed',
        last.name,
        `the digests of collector ${collector} are unclosed after number ${number}: it was killed, or later ones are missing`,
      );
  }

  #find(kind: Finding['kind'], file: string, message: string): void {
    this.#findings.add({ kind, file, line: 0, chain: undefined, seq: undefined, message });
  }
}

function parse(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

function missingDigests(first: number, last: number): string {
  return first === last ? `digest ${first} is missing` : `digests ${first} to ${last} are missing`;
}

/** When an object was named: the time in its UUID version 7; 0: it has none. */
function timeOfName(name: string): number {
  const [, high, low] = /([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\.[a-z.]+$/.exec(name) ?? [];
  return high === undefined || low === undefined ? 0 : Number.parseInt(high + low, 16);
}
