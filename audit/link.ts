/**
 * A record's place in its chain, read from the bytes of its line without parsing it: records are canonical, so their members stand in a known
 * order, and inside a JSON string every quote is escaped, so that these patterns match only where the record itself has them.
 */
import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';

export interface Link {
  /** 64 hexadecimal digits, as the line says. */
  readonly hash: string;
  /** What the line's bytes hash to without `chain.hash`. */
  readonly computed: string;
  readonly chainId: string;
  readonly prev: string;
  readonly seq: number;
  /** Unix milliseconds. */
  readonly timeMs: number;
  /** The record ends its chain. */
  readonly isEnd: boolean;
  /** UID of the pod; empty outside a cluster. */
  readonly instanceUid: string;
}

const CHAIN = Buffer.from('"chain":{"hash":"sha256:');
const HASH_START = '"chain":{'.length;
const HASH_MEMBER_BYTES = '"hash":"sha256:'.length + 66;
const REST = /^"id":"([^"\\]{1,64})","prev":"sha256:([0-9a-f]{64})","seq":([1-9]\d{0,15})\}/;
const REST_BYTES = 200;
const DIGITS = /^[0-9a-f]{64}$/;
const INSTANCE = Buffer.from('"src_endpoint":{"instance_uid":"');
const TIME = Buffer.from('"time":');
const END = Buffer.from('"phase":"session","reason":"process_end"');

let scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** Reads the line in `bytes[start, end)`, without its line end; undefined: it is no record of a chain. */
export function readLink(bytes: Buffer, start: number, end: number): Link | undefined {
  // Only this line: a search that does not find what it looks for must not go through all that follows.
  return readLinkOf(bytes.subarray(start, end));
}

function readLinkOf(bytes: Buffer): Link | undefined {
  const start = 0;
  const end = bytes.length;
  const chain = bytes.indexOf(CHAIN, start);
  if (chain < 0 || chain + CHAIN.length + 64 > end) return undefined;
  const digitsAt = chain + CHAIN.length;
  const digits = bytes.toString('latin1', digitsAt, digitsAt + 64);
  const middle = chain + HASH_START;
  const tail = middle + HASH_MEMBER_BYTES;
  const [, chainId, prev, seq] = REST.exec(bytes.toString('latin1', tail, Math.min(tail + REST_BYTES, end))) ?? [];
  const timeMs = readTime(bytes, start, chain);
  if (chainId === undefined || prev === undefined || timeMs === undefined || !DIGITS.test(digits)) return undefined;
  return {
    hash: digits,
    computed: hashWithout(bytes, start, middle, tail, end),
    chainId,
    prev,
    seq: Number(seq),
    timeMs,
    isEnd: within(bytes, END, tail, end) >= 0,
    instanceUid: readInstance(bytes, start, chain),
  };
}

function hashWithout(bytes: Buffer, start: number, middle: number, tail: number, end: number): string {
  const length = end - start - (tail - middle);
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length * 2);
  bytes.copy(scratch, 0, start, middle);
  bytes.copy(scratch, middle - start, tail, end);
  return hash('sha256', scratch.subarray(0, length), 'hex');
}

/** Looks at the line only: a search to the end of the batch for each of its lines would cost its square. */
function within(bytes: Buffer, pattern: Buffer, start: number, end: number): number {
  return bytes.subarray(start, end).indexOf(pattern);
}

/** The last `"time":` before the chain is the record's own. */
function readTime(bytes: Buffer, start: number, chain: number): number | undefined {
  const at = bytes.lastIndexOf(TIME, chain);
  if (at < start) return undefined;
  const match = /^(\d{1,15}),/.exec(bytes.toString('latin1', at + TIME.length, at + TIME.length + 17));
  return match === null ? undefined : Number(match[1]);
}

function readInstance(bytes: Buffer, start: number, chain: number): string {
  const at = bytes.lastIndexOf(INSTANCE, chain);
  if (at < start) return '';
  const from = at + INSTANCE.length;
  return bytes.toString('latin1', from, bytes.indexOf(0x22, from));
}
